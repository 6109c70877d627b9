"""What was taught: feedback in, training pairs out; contradictions are resolved here and nowhere else."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from adamem_server.types import FloatVector

# Queries with a larger cosine are one question: typing variants of a question lie above it, other questions below.
SAME_QUERY: Final = 0.98
# A question taught again and again counts no more than this many others.
MAX_WEIGHT: Final = 2.0
DEFAULT_CAPACITY: Final = 1000
DEFAULT_NEWEST: Final = 250


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Feedback:
    """What an agent says of a query's hits; an Update with a cue says that its slot helped the cue.

    `query` is the encoder's vector, before any adapter, float32 [dim], unit norm, of the words `text`. `helped` and
    `not_helped` are ids of slots; `weight` is above 0, 1 is ordinary; `time_us` is microseconds since the Unix epoch.
    """

    query: FloatVector
    helped: Sequence[str]
    not_helped: Sequence[str] = ()
    weight: float = 1.0
    time_us: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pair:
    """A question, the slots that answer it, at least one, and slots that look like it and do not; as in `Feedback`."""

    query: FloatVector
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    weight: float
    time_us: int
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Example:
    """A pair in vectors: query float32 [dim], positives [n >= 1, dim], negatives [n >= 0, dim], all of unit norm."""

    query: FloatVector
    positives: FloatVector
    negatives: FloatVector
    weight: float = 1.0


def pairs_from_feedback(feedback: Sequence[Feedback]) -> list[Pair]:
    """One pair for each question that has a slot that helped, in order of the question's first mention.

    Feedback on the same question (cosine of at least SAME_QUERY to its first mention) is joined. Of what was said of a
    slot the newest holds, and among equally old the later in the sequence; a slot that one call names in both lists was
    not judged by it. A slot that did not help is a hard negative; a question without a slot that helped gives no pair,
    as there is nothing to move it towards. The weight is the sum of the weights, at most MAX_WEIGHT; the time is the
    newest. Cost: `O(n * questions * dim)`.
    """
    groups: list[list[Feedback]] = []
    firsts = np.empty((len(feedback), len(feedback[0].query) if feedback else 0), np.float32)
    for said in feedback:
        cosines = firsts[: len(groups)] @ said.query
        if cosines.size and float(cosines.max()) >= SAME_QUERY:
            groups[int(cosines.argmax())].append(said)
        else:
            firsts[len(groups)] = said.query
            groups.append([said])
    return [pair for group in groups if (pair := _joined(group)) is not None]


def retained(
    taught: Sequence[tuple[int, bytes]],
    *,
    capacity: int = DEFAULT_CAPACITY,
    newest: int = DEFAULT_NEWEST,
    seed: int = 0,
) -> list[int]:
    """What to keep for later training, at most `capacity`: a replay buffer against forgetting.

    The `newest` by time always stay, so that what was just taught is learned; the rest is a uniform sample of all older
    ones. The sample is a reservoir without state: each has a pseudo-random priority of its own and the highest stay, so
    keeping step by step gives the same set as keeping once. Cost: `O(n log n)`.

    Args:
        taught: Of each thing that was taught its time in microseconds, and what tells it from others of that time.
        capacity: The most that is kept.
        newest: How many of the newest are kept whatever else there is.
        seed: Of the sample.

    Returns:
        The places of those to keep, ascending.
    """
    by_age = sorted(range(len(taught)), key=lambda i: (taught[i][0], i), reverse=True)
    fresh = by_age[: min(newest, capacity)]
    rest = sorted(by_age[len(fresh) :], key=lambda i: _priority(taught[i], seed), reverse=True)
    return sorted([*fresh, *rest[: capacity - len(fresh)]])


def examples(pairs: Sequence[Pair], vectors: Mapping[str, FloatVector]) -> list[Example]:
    """Pairs with the slots' vectors in place of ids; ids that `vectors` lacks (deleted slots) are left out.

    A pair that has no positive left is left out too.
    """
    found = []
    for pair in pairs:
        if positives := [vectors[slot] for slot in pair.positives if slot in vectors]:
            negatives = [vectors[slot] for slot in pair.negatives if slot in vectors]
            rows = np.stack(negatives) if negatives else np.empty((0, pair.query.shape[0]), np.float32)
            found.append(Example(query=pair.query, positives=np.stack(positives), negatives=rows, weight=pair.weight))
    return found


def _joined(group: Sequence[Feedback]) -> Pair | None:
    verdicts: dict[str, bool] = {}
    for said in sorted(group, key=lambda said: said.time_us):
        helped, not_helped = set(said.helped), set(said.not_helped)
        verdicts |= dict.fromkeys(helped - not_helped, True) | dict.fromkeys(not_helped - helped, False)
    positives = tuple(sorted(slot for slot, helps in verdicts.items() if helps))
    if not positives:
        return None
    newest = max(group, key=lambda said: said.time_us)
    return Pair(
        query=newest.query,
        positives=positives,
        negatives=tuple(sorted(slot for slot, helps in verdicts.items() if not helps)),
        weight=min(MAX_WEIGHT, sum(said.weight for said in group)),
        time_us=newest.time_us,
        text=newest.text,
    )


def _priority(taught: tuple[int, bytes], seed: int) -> bytes:
    time_us, identity = taught
    return hashlib.blake2b(f"{seed} {time_us} ".encode() + identity, digest_size=16).digest()
