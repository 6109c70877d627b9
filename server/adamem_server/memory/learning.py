"""The learning thread: which namespace is trained when; keeps its pairs to a bound and gives them their vectors.

One thread at a low OS priority that waits while queries run. What it does can be cut short at any point: pairs are
stored before it hears of them, and a training writes nothing before it is done.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Event, Thread
from typing import Final

import structlog

from adamem_server.adapt.pairs import retained
from adamem_server.adapt.ranker import Seen
from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.errors import (
    AdaMemError,
    DataCorruptError,
    GenerationChangedError,
    NamespaceNotFoundError,
    ShuttingDownError,
)
from adamem_server.memory.adapter_jobs import TrainedJob
from adamem_server.memory.damage import Damage
from adamem_server.memory.elsewhere import seen_elsewhere
from adamem_server.memory.jobs import StoreJob
from adamem_server.memory.models import Models
from adamem_server.memory.pacing import Activity, Pacer, lower_priority
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.taught import taught_pairs
from adamem_server.memory.training import Trained, Training
from adamem_server.memory.writer import Writer
from adamem_server.store.codec import Learning
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.store.teaching import put_pair_vector, read_learning, taught_namespaces, unteach
from adamem_server.types import FloatVector, Namespace, TaughtPair, TrainingOutcome, TrainingReport

# Texts that are embedded together: some 20 ms of a core, behind whatever else is asked of the encoder.
_EMBEDDED_AT_ONCE: Final = 8
# Pairs are cut back to their bound when they pass it by this part.
_SLACK: Final = 0.25
# A training starts by itself when so great a part of what is kept is new.
_NEW_PART: Final = 0.25

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSettings:
    """When and how much is learned.

    Attributes:
        auto_pairs: New pairs that start a training by themselves; where many are kept, a quarter of them must be new.
            0: only when asked.
        cpu_share: Of one core that learning may take, above 0 to 1.
        max_feedback: Pairs of feedback that a namespace keeps.
        max_cues: Pairs of cues that it keeps besides.
        max_versions: Versions of its adapter that it keeps, at least 1.
        across_namespaces: Whether the weights of the ranking's signals are learned from what other namespaces saw too.
    """

    auto_pairs: int = 32
    cpu_share: float = 0.8
    max_feedback: int = 1000
    max_cues: int = 250
    max_versions: int = 8
    across_namespaces: bool = True


class Learner:
    """The thread, from `start` to `close`. Thread-safe."""

    def __init__(
        self,
        store: SlotStore,
        writer: Writer,
        registry: ShardRegistry,
        models: Models,
        activity: Activity,
        settings: LearningSettings,
        *,
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._models = models
        self._activity = activity
        self._settings = settings
        self._now = now
        self._wake = Condition()
        self._stop = Event()
        # Namespaces to look at; those with a future are trained whatever they were taught.
        self._queue: OrderedDict[int, Future[TrainingReport] | None] = OrderedDict()
        self._training = 0
        self._damage = Damage("learning")
        self._thread = Thread(target=self._loop, name="learning", daemon=True)

    def start(self) -> None:
        """Learn from now on, first what was taught before the last stop."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the step under way, once or again; what is asked for and not done fails with ShuttingDownError."""
        with self._wake:
            self._stop.set()
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()
        while self._queue:
            _, future = self._queue.popitem()
            if future is not None:
                future.set_exception(ShuttingDownError())

    def notice(self, number: int) -> None:
        """A namespace was taught something."""
        with self._wake:
            self._queue.setdefault(number, None)
            self._wake.notify()

    def train(self, number: int) -> "Future[TrainingReport]":
        """Train a namespace as soon as that is possible.

        Raises:
            ShuttingDownError: The learner is closed.
        """
        with self._wake:
            if self._stop.is_set():
                raise ShuttingDownError
            future = self._queue.get(number)
            if future is None:
                future = self._queue[number] = Future()
            self._wake.notify()
            return future

    def is_training(self, number: int) -> bool:
        """Whether a training of a namespace is under way or was asked for."""
        with self._wake:
            return self._training == number or self._queue.get(number) is not None

    def _loop(self) -> None:
        lower_priority()
        self._look_back()
        while not self._stop.is_set():
            with self._wake:
                while not self._queue and not self._stop.is_set():
                    self._wake.wait()
                if self._stop.is_set():
                    return
                number, future = self._queue.popitem(last=False)
                if future is not None:
                    self._training = number
            self._look_at(number, future)
            with self._wake:
                self._training = 0

    def _look_back(self) -> None:
        """What was taught and not learned before the last stop."""
        with self._store.read() as view:
            for number in taught_namespaces(view):
                try:
                    if self._is_due(read_learning(view, number)):
                        self.notice(number)
                except DataCorruptError as error:
                    self._damage(view, number, error)

    def _is_due(self, learning: Learning) -> bool:
        n_new = min(learning.next_pair - 1 - learning.trained_to, learning.n_pairs)
        return 0 < self._settings.auto_pairs <= n_new and n_new >= _NEW_PART * learning.n_pairs

    def _look_at(self, number: int, asked: "Future[TrainingReport] | None") -> None:
        try:
            report = self._learn(number, asked=asked is not None)
        except Exception as error:  # noqa: BLE001 - the thread must live on
            if isinstance(error, AdaMemError):
                _log.warning("learning_delayed", number=number, problem=error.message)
            else:
                _log.exception("learning_failed", number=number)
            if asked is not None:
                asked.set_exception(error)
            return
        if asked is not None and report is not None:
            asked.set_result(report)
        elif asked is not None:
            asked.set_exception(ShuttingDownError())

    def _learn(self, number: int, *, asked: bool) -> TrainingReport | None:
        """Keep the pairs of a namespace in order, and train it if it is time; None where nothing came of it."""
        with self._store.read() as view:
            namespace = view.namespace(number)
            learning = read_learning(view, number)
        if namespace is None:
            if asked:
                raise NamespaceNotFoundError(str(number))
            return None
        if learning.n_pairs > (1.0 + _SLACK) * (self._settings.max_feedback + self._settings.max_cues):
            self._forget(number)
        if not asked and not (namespace.adapter_enabled and self._is_due(learning)):
            return None
        with self._wake:
            self._training = number
        return self._train(namespace, learning)

    def _train(self, namespace: Namespace, learning: Learning) -> TrainingReport | None:
        number = namespace.number
        pacer = Pacer(self._activity, self._settings.cpu_share, self._stop)
        encoder = self._models.of(namespace)
        self._forget(number)
        try:
            if not self._embed(namespace, encoder, pacer):
                return None
            with self._registry.use(namespace) as shard:
                shard.check_generation(namespace)
                training = Training(
                    self._store,
                    shard,
                    namespace,
                    n_tokens=encoder.n_tokens,
                    should_stop=pacer,
                    now=self._now,
                    on_damage=self._damage,
                    elsewhere=self._seen_elsewhere(number),
                )
                trained = training.run()
            if trained is None:
                return None
        except AdaMemError:
            raise
        except Exception:  # noqa: BLE001 - it is told, and not tried again until more is taught
            _log.exception("training_failed", namespace=namespace.name)
            report = TrainingReport(outcome=TrainingOutcome.FAILED, finished_at=self._now())
            trained = Trained(report, learning.next_pair - 1, None)
        report = trained.report
        job = TrainedJob(namespace, report, trained.trained_to, trained.adapter, most=self._settings.max_versions)
        self._writer.submit(job).result()
        _log.info(
            "trained",
            namespace=namespace.name,
            outcome=str(report.outcome),
            version=report.version,
            n_pairs=report.n_pairs,
            baseline=round(report.baseline, 4),
            candidate=round(report.candidate, 4),
            cpu_s=round(report.cpu_s, 2),
        )
        return report

    def _seen_elsewhere(self, number: int) -> Seen | None:
        """What other namespaces tell, if that is wanted."""
        if not self._settings.across_namespaces:
            return None
        with self._store.read() as view:
            return seen_elsewhere(view, number, self._damage)

    def _forget(self, number: int) -> None:
        """Cut the pairs of a namespace back to their bounds; feedback and cues have one each."""
        with self._store.read() as view:
            stored = taught_pairs(view, number, self._damage)
        gone: list[int] = []
        for most, is_cue in ((self._settings.max_feedback, False), (self._settings.max_cues, True)):
            pairs = [(pair, value) for pair, value in stored if value.is_cue == is_cue]
            if len(pairs) <= most:
                continue
            kept = set(
                retained([(value.time, _identity(value)) for _, value in pairs], capacity=most, newest=most // 4)
            )
            gone += [pair for place, (pair, _) in enumerate(pairs) if place not in kept]
        if gone:

            def work(batch: WriteBatch) -> None:
                for pair in gone:
                    unteach(batch, number, pair)

            self._writer.submit(StoreJob(work, frees=True)).result()

    def _embed(self, namespace: Namespace, encoder: EmbedBatcher, should_stop: Callable[[], bool]) -> bool:
        """Give the pairs their vectors that have none yet; False if it was stopped."""
        with self._store.read() as view:
            pairs = taught_pairs(view, namespace.number, self._damage)
        lacking = [(pair, value.query) for pair, value in pairs if value.vector is None]
        for start in range(0, len(lacking), _EMBEDDED_AT_ONCE):
            if should_stop():
                return False
            some = lacking[start : start + _EMBEDDED_AT_ONCE]
            self._put_vectors(namespace, some, encoder.submit_queries([query for _, query in some]).result())
        return True

    def _put_vectors(self, namespace: Namespace, pairs: Sequence[tuple[int, str]], vectors: FloatVector) -> None:
        number = namespace.number

        def work(batch: WriteBatch) -> None:
            present = batch.namespace(number)
            if present is not None and present.vector_space != namespace.vector_space:
                raise GenerationChangedError(namespace.name)
            for (pair, query), vector in zip(pairs, vectors, strict=True):
                put_pair_vector(batch, number, pair, query, vector)

        self._writer.submit(StoreJob(work, frees=False)).result()


def _identity(pair: TaughtPair) -> bytes:
    return f"{pair.helped} {pair.unhelpful} {pair.query}".encode()
