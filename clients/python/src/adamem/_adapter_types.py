"""What a namespace has learned, and how its training went."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from adamem._record import Record


class TrainingOutcome(StrEnum):
    """How a training of an adapter ended."""

    PROMOTED = "promoted"
    """A new version serves."""
    NOT_BETTER = "not_better"
    """The new adapter was not clearly better than none, and all stays as it was."""
    WITHDRAWN = "withdrawn"
    """So it was, and the version that served did harm on pairs younger than it: none serves."""
    TOO_FEW_PAIRS = "too_few_pairs"
    """There are too few pairs to tell."""
    FAILED = "failed"
    """An error, which the server's log tells."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class TrainingReport(Record):
    """What a training found.

    Attributes:
        outcome: How it ended.
        finished_at: When.
        duration_s: From its begin to its end.
        cpu_s: Time of its thread on a core.
        n_pairs: Pairs it learned from.
        n_judged: Pairs it was judged by, each by an adapter that had not seen it.
        baseline: Mean nDCG at 20 of the whole ranking without an adapter, 0 to 1.
        candidate: The same with one.
        probability: That the adapter is better, by the bootstrap, 0 to 1.
        version: The version promoted. 0: none.
    """

    outcome: TrainingOutcome
    finished_at: datetime | None
    duration_s: float
    cpu_s: float
    n_pairs: int
    n_judged: int
    baseline: float
    candidate: float
    probability: float
    version: int


@dataclass(frozen=True, slots=True, repr=False)
class AdapterStatus(Record):
    """What a namespace has learned.

    Attributes:
        namespace: That it is of.
        enabled: Queries use it, and trainings start by themselves.
        version: The version that serves. 0: none.
        n_pairs: Pairs of question and slots that are kept to learn from.
        n_new_pairs: Those that came since the last training began.
        training: One is under way or asked for.
        last_training: How the last one ended. None: there was none.
        learned_weights: What the version that serves has learned of the ranking: by the name of a signal what is added
            to a hybrid score per unit of it, the part `learned` of a hit.
    """

    namespace: str
    enabled: bool
    version: int
    n_pairs: int
    n_new_pairs: int
    training: bool
    last_training: TrainingReport | None
    learned_weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class AdapterVersion(Record):
    """One stored adapter.

    Attributes:
        version: Counts the adapters of a namespace from 1.
        created_at: When it was trained.
        n_pairs: Pairs it learned from.
        rank: Of its matrices.
        dense_shift: What it adds to the dense side's share of the ranking.
        n_judged: As in TrainingReport; so are the next three.
        baseline: Quality without an adapter.
        candidate: Quality with one.
        probability: That the adapter is better.
        n_bytes: Size of its safetensors file.
        serving: Queries use it.
    """

    version: int
    created_at: datetime | None
    n_pairs: int
    rank: int
    dense_shift: float
    n_judged: int
    baseline: float
    candidate: float
    probability: float
    n_bytes: int
    serving: bool
