"""One training of one namespace's adapter: from what was taught to a verdict, and an adapter where that is good."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from adamem_server.adapt.adapter import Adapter
from adamem_server.adapt.pairs import Example, Feedback, Pair, examples, pairs_from_feedback
from adamem_server.adapt.ranker import Ranker, Seen, Told, cross_validated, learn
from adamem_server.adapt.training import TrainingSettings, train
from adamem_server.adapt.validation import GateSettings, Verdict, chosen, cross_validate, folds, judge
from adamem_server.memory.adapter_jobs import NewAdapter
from adamem_server.memory.shard import Shard
from adamem_server.memory.signals import SIGNALS
from adamem_server.memory.taught import OnDamage, taught_pairs
from adamem_server.memory.trial import Trial, TrialStoppedError
from adamem_server.store.slot_store import SlotStore
from adamem_server.store.teaching import read_adapter, read_learning
from adamem_server.types import AdapterVersion, FloatVector, Namespace, TaughtPair, TrainingOutcome, TrainingReport

# No more pairs than these newest are judged: older ones are learned from by every candidate.
MAX_JUDGED: Final = 200
# Nearest slots that do not answer a question, of each pair and of all together.
_HARD: Final = 8
_MAX_HARD: Final = 1_024
_MAX_SAMPLED: Final = 1_024
# How sure the ranking must be better without the adapter that serves, on pairs younger than it, to withdraw it.
_WITHDRAWAL_CONFIDENCE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training ended; `adapter` is the new version, None where none was promoted."""

    report: TrainingReport
    trained_to: int
    adapter: NewAdapter | None


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What a namespace was taught, in vectors: pairs, the example of each, and a sample of the other slots.

    The last `n_judged` pairs, by age, tell how good an adapter is. Cues do not: a slot is found by its own cue whatever
    adapter serves.
    """

    pairs: list[Pair]
    examples: list[Example]
    slots: FloatVector
    n_judged: int


@dataclass(frozen=True, slots=True)
class _Way:
    """Whether queries are moved besides the ranking, and what the judged pairs told of its signals then."""

    moves: bool
    told: list[Told]


class Training:
    """A training of an open shard on the calling thread, in small steps.

    Args:
        store: Where pairs and vectors are; every pair has its vector.
        shard: Of the namespace; kept open by the caller.
        namespace: As stored at the start.
        n_tokens: Tokens of a text, by the encoder.
        should_stop: Asked between steps of some milliseconds; may wait.
        now: The wall clock in microseconds.
        on_damage: Hears of pairs that are damaged; the others are learned from.
        elsewhere: What other namespaces saw of the ranking's signals; None for nothing.
    """

    def __init__(
        self,
        store: SlotStore,
        shard: Shard,
        namespace: Namespace,
        *,
        n_tokens: Callable[[str], int],
        should_stop: Callable[[], bool],
        now: Callable[[], int],
        on_damage: OnDamage,
        elsewhere: Seen | None = None,
    ) -> None:
        self._store = store
        self._shard = shard
        self._namespace = namespace
        self._n_tokens = n_tokens
        self._should_stop = should_stop
        self._now = now
        self._on_damage = on_damage
        self._settings = TrainingSettings(rank=min(TrainingSettings().rank, namespace.dim))
        self._gate = GateSettings()
        self._elsewhere = elsewhere or Seen.nothing(len(SIGNALS))

    def run(self) -> Trained | None:
        """Train, judge, and make the new version if it is good; None if it was stopped. Writes nothing."""
        started, cpu = time.perf_counter(), time.thread_time()
        with self._store.read() as view:
            learning = read_learning(view, self._namespace.number)
            numbered = taught_pairs(view, self._namespace.number, self._on_damage)
        stored = [pair for _, pair in numbered]
        # Pairs that came behind those that were given vectors for this training are learned by the next.
        trained_to = min((number for number, pair in numbered if pair.vector is None), default=learning.next_pair) - 1
        feedback = list(map(_feedback, [pair for pair in stored if pair.vector is not None]))
        cues = {pair.query for pair in stored if pair.is_cue}
        lesson = self._lesson(feedback, cues)
        try:
            judged = self._judged(lesson)
            if judged is None:
                return None
            verdict, way = judged
            # An adapter of the same pairs would be the same, and push an older version out.
            is_known = self._namespace.adapter_version > 0 and learning.trained_to == learning.next_pair - 1
            promote = verdict.promote and not is_known
            fitted = self._fitted(lesson, verdict, way) if promote else None
            if promote and fitted is None:
                return None
            outcome = TrainingOutcome.NOT_BETTER if verdict.promote and is_known else self._outcome(lesson, verdict)
        except TrialStoppedError:
            return None
        report = TrainingReport(
            outcome=outcome,
            finished_at=self._now(),
            duration_s=time.perf_counter() - started,
            cpu_s=time.thread_time() - cpu,
            n_pairs=len(lesson.pairs),
            n_judged=verdict.n_pairs,
            baseline=verdict.baseline,
            candidate=verdict.candidate,
            probability=verdict.probability,
            version=0 if fitted is None else learning.next_version,
        )
        adapter = None if fitted is None else _new_adapter(fitted, verdict, report)
        return Trained(report, trained_to, adapter)

    def _lesson(self, feedback: Sequence[Feedback], cues: Collection[str]) -> _Lesson:
        pairs = sorted(pairs_from_feedback(feedback), key=lambda pair: (pair.text not in cues, pair.time_us))
        named = sorted({int(row) for pair in pairs for row in (*pair.positives, *pair.negatives)})
        vectors = self._vectors(named)
        pairs = [pair for pair in pairs if any(row in vectors for row in pair.positives)]
        n_hard = min(_HARD, _MAX_HARD // max(len(pairs), 1))
        pairs = [self._with_hard_negatives(pair, n_hard) for pair in pairs]
        missing = {int(row) for pair in pairs for row in pair.negatives if row not in vectors}
        vectors |= self._vectors(sorted(missing))
        n_judged = min(sum(pair.text not in cues for pair in pairs), MAX_JUDGED)
        return _Lesson(pairs, examples(pairs, vectors), self._sample(), n_judged)

    def _with_hard_negatives(self, pair: Pair, n_hard: int) -> Pair:
        """A pair with the nearest slots that are not known to answer it among its negatives."""
        if self._should_stop() or n_hard == 0:
            return pair
        wanted = n_hard + len(pair.positives)
        nearest, _ = self._shard.search(pair.query, wanted, condition=None, ef_search=None)
        others = [str(row) for row in nearest if str(row) not in pair.positives][:n_hard]
        return replace(pair, negatives=tuple(dict.fromkeys([*pair.negatives, *others])))

    def _vectors(self, rows: Sequence[int]) -> dict[str, FloatVector]:
        """Unit vectors of those rows that exist, by decimal row."""
        with self._store.read() as view:
            found, vectors = view.vectors(self._namespace, rows)
        return {str(row): vector for row, vector in zip(found, _unit(vectors), strict=True)}

    def _sample(self) -> FloatVector:
        """Vectors of at most `_MAX_SAMPLED` slots, uniformly drawn."""
        with self._store.read() as view:
            head = view.head(self._namespace.number)
            numbers = np.arange(1, head.next_row)
            if head.n_slots > _MAX_SAMPLED:
                # Enough of all rows ever used that as many are left as wanted, where not too many were deleted.
                n_drawn = min(len(numbers), 2 * _MAX_SAMPLED * len(numbers) // head.n_slots)
                numbers = np.random.default_rng(head.sequence).choice(numbers, n_drawn, replace=False)
            _, vectors = view.vectors(self._namespace, numbers.tolist())
        return _unit(vectors[:_MAX_SAMPLED])

    def _judged(self, lesson: _Lesson) -> tuple[Verdict, _Way] | None:
        """The verdict on the better way of learning; None if it was stopped."""
        older = len(lesson.pairs) - lesson.n_judged
        trial = self._trial(lesson.pairs[older:])
        taught = range(older)
        told: dict[bool, dict[int, Told]] = {False: {}, True: {}}

        def fit(numbers: Sequence[int]) -> Adapter | None:
            return self._fit(lesson, [*taught, *(older + number for number in numbers)])

        def observe(adapter: Adapter | None, numbers: Sequence[int]) -> None:
            told[adapter is not None].update(zip(numbers, trial.told(adapter, numbers), strict=True))

        verdict = cross_validate(lesson.n_judged, fit, trial.evaluate, _shifted, self._gate, observe)
        if verdict is None:
            return None
        ways = [_Way(moves, [found[i] for i in sorted(found)]) for moves, found in told.items()]
        if not ways[0].told:
            return verdict, ways[0]
        nothing = np.zeros(len(SIGNALS), np.float32)
        baseline = np.array([each.quality(nothing) for each in ways[0].told])
        parts = folds(lesson.n_judged, self._gate.n_folds, self._gate.seed)
        alone, moved = (
            cross_validated(way.told, len(SIGNALS), self._elsewhere, parts, self._should_stop) for way in ways
        )
        if alone is None or moved is None:
            return None
        # Moved queries unless the ranker alone is likely to be better.
        if chosen(moved, alone, self._gate):
            return judge(baseline, alone, self._gate), ways[0]
        return judge(baseline, moved, self._gate, dense_shift=self._gate.shifts[0]), ways[1]

    def _fitted(self, lesson: _Lesson, verdict: Verdict, way: _Way) -> Adapter | None:
        """An adapter of all pairs; None if it was stopped."""
        found = learn(way.told, len(SIGNALS), self._elsewhere, self._should_stop)
        if found is None:
            return None
        adapter = self._fit(lesson, range(len(lesson.pairs)))
        if adapter is None:
            return None
        if not way.moves:
            adapter = replace(adapter, lora_A=np.zeros_like(adapter.lora_A), lora_B=np.zeros_like(adapter.lora_B))
        return replace(adapter, dense_shift=verdict.dense_shift, ranker=Ranker(SIGNALS, *found))

    def _outcome(self, lesson: _Lesson, verdict: Verdict) -> TrainingOutcome:
        if verdict.promote:
            return TrainingOutcome.PROMOTED
        if self._harms(lesson):
            return TrainingOutcome.WITHDRAWN
        enough = verdict.n_pairs >= max(self._gate.min_pairs, self._gate.n_folds)
        return TrainingOutcome.NOT_BETTER if enough else TrainingOutcome.TOO_FEW_PAIRS

    def _harms(self, lesson: _Lesson) -> bool:
        """Whether the adapter that serves makes the ranking worse on pairs that are younger than it."""
        serving = self._shard.adapter(self._namespace.adapter_version)
        if serving is None:
            return False
        with self._store.read() as view:
            stored = read_adapter(view, self._namespace.number, serving.version)
        since = 0 if stored is None else stored[0].created_at
        judged = lesson.pairs[len(lesson.pairs) - lesson.n_judged :]
        younger = [pair for pair in judged if pair.time_us > since]
        trial, numbers = self._trial(younger), range(len(younger))
        settings = replace(self._gate, confidence=_WITHDRAWAL_CONFIDENCE)
        return judge(trial.evaluate(serving, numbers), trial.evaluate(None, numbers), settings).promote

    def _trial(self, pairs: Sequence[Pair]) -> Trial:
        return Trial(self._shard, self._namespace, pairs, self._n_tokens, self._should_stop)

    def _fit(self, lesson: _Lesson, numbers: Sequence[int]) -> Adapter | None:
        taught = [lesson.examples[number] for number in numbers]
        found = train(taught, lesson.slots, self._should_stop, self._settings)
        if found is None:
            return None
        return Adapter(
            lora_A=found.a,
            lora_B=found.b,
            model=self._namespace.model,
            model_revision=self._namespace.model_fingerprint,
            n_pairs=len(taught),
        )


def _feedback(pair: TaughtPair) -> Feedback:
    assert pair.vector is not None
    return Feedback(
        query=pair.vector / np.linalg.norm(pair.vector),
        helped=tuple(map(str, pair.helped)),
        not_helped=tuple(map(str, pair.unhelpful)),
        weight=pair.weight,
        time_us=pair.time,
        text=pair.query,
    )


def _shifted(adapter: Adapter, shift: float) -> Adapter:
    return replace(adapter, dense_shift=shift)


def _new_adapter(fitted: Adapter, verdict: Verdict, report: TrainingReport) -> NewAdapter:
    data = replace(fitted, version=report.version).to_bytes()
    version = AdapterVersion(
        version=report.version,
        created_at=report.finished_at,
        n_pairs=report.n_pairs,
        rank=fitted.rank,
        dense_shift=verdict.dense_shift,
        n_judged=report.n_judged,
        baseline=report.baseline,
        candidate=report.candidate,
        probability=report.probability,
        n_bytes=len(data),
    )
    return NewAdapter(version, data)


def _unit(vectors: FloatVector) -> FloatVector:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)
