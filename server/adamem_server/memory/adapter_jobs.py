"""What the writer carries out for learning: feedback, the end of a training, a change of the version that serves.

Queries read from the store which adapter serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from adamem_server.adapt.adapter import Adapter
from adamem_server.errors import (
    AbortedError,
    AdapterVersionNotFoundError,
    FailedPreconditionError,
    GenerationChangedError,
    NamespaceNotFoundError,
)
from adamem_server.memory.jobs import known_request, remember
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.writer import UnseenJob
from adamem_server.store.codec import Request
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.store.teaching import put_adapter, put_learning, read_adapter, read_learning, teach
from adamem_server.types import (
    AdapterVersion,
    FeedbackResult,
    Namespace,
    RequestKey,
    TaughtPair,
    TrainingOutcome,
    TrainingReport,
)


class FeedbackJob(UnseenJob):
    """Store which slots helped with a question, and which did not."""

    def __init__(
        self,
        namespace: Namespace,
        query: str,
        helped: Sequence[str],
        unhelpful: Sequence[str],
        now: int,
        request: RequestKey | None,
    ) -> None:
        self._namespace = namespace
        self._query = query
        self._helped = helped
        self._unhelpful = unhelpful
        self._now = now
        self._request = request

    def run(self, batch: WriteBatch) -> FeedbackResult:
        """See `Job.run`."""
        number = self._namespace.number
        if batch.namespace(number) is None:
            raise NamespaceNotFoundError(self._namespace.name)
        if (known := known_feedback(batch, number, self._request)) is not None:
            return known
        helped, unhelpful = self._rows(batch, self._helped), self._rows(batch, self._unhelpful)
        n_taught = len(helped) + len(unhelpful)
        if n_taught:
            pair = TaughtPair(query=self._query, helped=helped, unhelpful=unhelpful, time=self._now)
            teach(batch, number, pair)
        result = FeedbackResult(n_taught, len(self._helped) + len(self._unhelpful) - n_taught)
        if self._request is not None:
            request = Request(
                self._now,
                self._request.fingerprint,
                slot_ids=(*self._helped, *self._unhelpful),
                n_not_found=result.n_not_found,
                n_taught=result.n_taught,
            )
            remember(batch, number, self._request, request)
        return result

    def _rows(self, batch: WriteBatch, slot_ids: Sequence[str]) -> tuple[int, ...]:
        rows = (batch.row(self._namespace.number, slot_id) for slot_id in slot_ids)
        return tuple(row for row in rows if row is not None)


@dataclass(frozen=True, slots=True)
class NewAdapter:
    """An adapter that shall serve, and its safetensors file."""

    version: AdapterVersion
    data: bytes


class TrainedJob(UnseenJob):
    """Store how a training ended: its new version serves, or the one that served before does no longer, or neither."""

    def __init__(
        self, namespace: Namespace, report: TrainingReport, trained_to: int, adapter: NewAdapter | None, *, most: int
    ) -> None:
        self._namespace = namespace
        self._report = report
        self._trained_to = trained_to
        self._adapter = adapter
        self._most = most

    def run(self, batch: WriteBatch) -> Namespace:
        """See `Job.run`. Returns the namespace as it is after it."""
        number = self._namespace.number
        namespace = batch.namespace(number)
        if namespace is None:
            raise NamespaceNotFoundError(self._namespace.name)
        if namespace.vector_space != self._namespace.vector_space:
            raise GenerationChangedError(namespace.name)
        if namespace.adapter_version != self._namespace.adapter_version:
            raise AbortedError("another version of the adapter was made to serve during the training")
        put_learning(batch, number, read_learning(batch, number).trained(self._report, self._trained_to))
        changed = namespace
        if self._adapter is not None:
            version = self._adapter.version
            put_adapter(batch, number, version, self._adapter.data, self._most, keep=version.version)
            changed = replace(namespace, adapter_version=version.version)
        elif self._report.outcome is TrainingOutcome.WITHDRAWN:
            changed = replace(namespace, adapter_version=0)
        if changed is not namespace:
            batch.put_namespace(changed)
        return changed


class RollbackJob(UnseenJob):
    """Make another version serve, or none (0)."""

    def __init__(self, name: str, version: int) -> None:
        self._name = name
        self._version = version

    def run(self, batch: WriteBatch) -> Namespace:
        """See `Job.run`. Returns the namespace as it is after it."""
        namespace = find_namespace(batch, self._name)
        if self._version:
            stored = read_adapter(batch, namespace.number, self._version)
            if stored is None:
                raise AdapterVersionNotFoundError(self._name, self._version)
            if Adapter.from_bytes(stored[1]).model_revision != namespace.model_fingerprint:
                raise FailedPreconditionError(
                    f"version: {self._version} of the adapter of namespace {self._name!r} belongs to another model than"
                    f" {namespace.model!r}, which has embedded it since",
                    version=str(self._version),
                )
        changed = replace(namespace, adapter_version=self._version)
        batch.put_namespace(changed)
        return changed


def known_feedback(view: ReadView, number: int, request: RequestKey | None) -> FeedbackResult | None:
    """The answer to feedback that was taken before under the same request id."""
    known = known_request(view, number, request)
    return None if known is None else FeedbackResult(known.n_taught, known.n_not_found)
