"""The use cases of learning: feedback, trainings, and which version of an adapter serves."""

from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError

from adamem_server.adapt.adapter import Adapter
from adamem_server.errors import DataCorruptError, DeadlineExceededError
from adamem_server.memory.adapter_jobs import FeedbackJob, RollbackJob, known_feedback
from adamem_server.memory.learning import Learner
from adamem_server.memory.models import Models
from adamem_server.memory.reading import find_namespace, remaining_s
from adamem_server.memory.writer import Writer
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.store.teaching import read_adapter, read_adapters, read_learning
from adamem_server.types import AdapterStatus, AdapterVersion, FeedbackResult, Namespace, RequestKey


class Adaptation:
    """What an engine does for learning, over its parts. Thread-safe."""

    def __init__(
        self, store: SlotStore, writer: Writer, learner: Learner, models: Models, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._writer = writer
        self._learner = learner
        self._models = models
        self._now = now

    def feedback(
        self,
        namespace: str,
        query: str,
        *,
        helped: Sequence[str] = (),
        unhelpful: Sequence[str] = (),
        request: RequestKey | None = None,
    ) -> FeedbackResult:
        """Store which slots helped with a question and which did not; learning from it happens in the background.

        Raises:
            NamespaceNotFoundError, ModelMismatchError, RequestIdReusedError, StorageFullError.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            known = known_feedback(view, target.number, request)
        if known is not None:
            return known
        self._check_model(target)
        job = FeedbackJob(
            target, query, tuple(dict.fromkeys(helped)), tuple(dict.fromkeys(unhelpful)), self._now(), request
        )
        result = self._writer.submit(job).result()
        self._learner.notice(target.number)
        return result

    def get_adapter(self, namespace: str) -> AdapterStatus:
        """What a namespace has learned.

        Raises:
            NamespaceNotFoundError.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            learning = read_learning(view, target.number)
            weights = _learned_weights(view, target)
        return AdapterStatus(
            namespace=target.name,
            enabled=target.adapter_enabled,
            version=target.adapter_version,
            n_pairs=learning.n_pairs,
            n_new_pairs=min(learning.next_pair - 1 - learning.trained_to, learning.n_pairs),
            training=self._learner.is_training(target.number),
            last=learning.report(),
            learned_weights=weights,
        )

    def list_adapter_versions(self, namespace: str) -> tuple[list[AdapterVersion], int]:
        """The versions of a namespace's adapter that are kept, oldest first, and the one that serves (0: none).

        Raises:
            NamespaceNotFoundError.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            return [version for version, _ in read_adapters(view, target.number)], target.adapter_version

    def train_adapter(self, namespace: str, *, wait: bool, deadline_s: float | None = None) -> AdapterStatus:
        """Start a training, and wait for its end if that is wanted.

        Raises:
            NamespaceNotFoundError, ModelMismatchError, ShuttingDownError.
            AbortedError: Another version was made to serve meanwhile.
            DeadlineExceededError: The training goes on.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
        self._check_model(target)
        training = self._learner.train(target.number)
        if wait:
            try:
                training.result(remaining_s(deadline_s))
            except FutureTimeoutError as error:
                raise DeadlineExceededError("the deadline passed during the training, which goes on") from error
        return self.get_adapter(namespace)

    def rollback_adapter(self, namespace: str, version: int) -> AdapterStatus:
        """Make another version serve, or none (0).

        Raises:
            NamespaceNotFoundError, AdapterVersionNotFoundError, StorageFullError.
        """
        self._writer.submit(RollbackJob(namespace, version)).result()
        return self.get_adapter(namespace)

    def _check_model(self, namespace: Namespace) -> None:
        """Questions of a namespace can be embedded only by the encoder that made its vectors."""
        self._models.of(namespace)


def _learned_weights(view: ReadView, namespace: Namespace) -> dict[str, float]:
    """Of the adapter that serves; none where it is damaged, as it does not serve then."""
    try:
        stored = read_adapter(view, namespace.number, namespace.adapter_version)
        ranker = None if stored is None else Adapter.from_bytes(stored[1]).ranker
    except DataCorruptError:
        return {}
    return {} if ranker is None else ranker.named()
