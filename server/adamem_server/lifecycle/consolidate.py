"""The job "consolidate": writes summaries of slots that belong together, linked to them; and the same as a preview.

Every group's summary is one transaction, in which it takes the place of those that its sources had. What is there tells
what is still to be done, so a run that was cut short begins anew and writes nothing twice. Sources are never changed.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from ulid import ULID

from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.errors import FailedPreconditionError, GenerationChangedError, ModelMismatchError
from adamem_server.lifecycle.grouping import MADE, Scan, Tell
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.lifecycle.language_model import LanguageModel
from adamem_server.lifecycle.summarising import Planned, Summariser
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.parts import EngineParts
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.summaries import PutSummaryJob
from adamem_server.policies import ConsolidationMethod, ConsolidationPolicy, ConsolidationPolicyChange
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.summaries import Consolidated, put_consolidated
from adamem_server.types import FloatVector, JsonObject, Namespace, Slot, SlotKind

# A character takes so many bytes at most.
_CHAR_BYTES: Final = 4


class Consolidate:
    """Writes summaries, or tells what they would be.

    Args:
        parts: Of the engine.
        model: The server's language model; None: there is none.
        max_content_bytes: Limit of a summary, as of any slot's content.
    """

    name = "consolidate"
    unit = "slots"

    def __init__(self, parts: EngineParts, model: LanguageModel | None, max_content_bytes: int) -> None:
        self._parts = parts
        self._model = model
        self._max_chars = max(1, max_content_bytes // _CHAR_BYTES)

    def check(self, namespace: str, change: ConsolidationPolicyChange) -> None:
        """Refuse what cannot be done.

        Raises:
            NamespaceNotFoundError.
            FailedPreconditionError: Clients supply the vectors, or the server has no language model that is asked for.
            ModelMismatchError: The model that embedded the namespace is not on this machine.
        """
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
        self._encoder(target)
        if change.method is ConsolidationMethod.LLM and self._model is None:
            raise FailedPreconditionError(
                "method: the server has no language model: set ADAMEM_LLM_URL and ADAMEM_LLM_MODEL", field="method"
            )

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        assert job.namespace is not None
        namespace, parts = job.namespace, self._parts
        policy = change_of(job.params).of(namespace.consolidation)
        with parts.store.read() as view:
            head = view.head(namespace.number)
        scan = Scan(parts.store, namespace, parts.now(), job.id, job.progress)
        summariser = self._summariser(namespace, policy, job.pace)
        n_replaced = n_left_out = n_fallbacks = 0
        problem = ""
        n_written = scan.n_written
        for planned in summariser.planned(scan):
            if self._put(namespace, planned, job.id):
                n_written += 1
                n_replaced += len(planned.replaced)
                n_fallbacks += bool(planned.problem)
                problem = planned.problem or problem
            else:
                n_left_out += 1
            job.progress(scan.n_slots, scan.n_slots)
        n_now = n_written - scan.n_written
        seen = Consolidated(parts.now(), head.next_row + n_now, head.sequence + n_now)
        write(parts.writer, lambda batch: _note(batch, namespace.number, seen))
        return {
            "n_slots": scan.n_slots,
            "n_summaries": n_written,
            "n_replaced": n_replaced,
            "n_left_out": n_left_out + summariser.n_left_out,
            "n_fallbacks": n_fallbacks,
            "language_model_problem": problem,
        }

    def preview(self, namespace: str, change: ConsolidationPolicyChange, pace: Callable[[], None]) -> Iterator[Planned]:
        """The summaries that a job would write now. `pace` is called between steps; what it raises ends it.

        Raises:
            As `check`.
        """
        self.check(namespace, change)
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
        tell: Tell = lambda n_done, n_total: pace()  # noqa: ARG005, E731
        scan = Scan(self._parts.store, target, self._parts.now(), "", tell)
        yield from self._summariser(target, change.of(target.consolidation), pace).planned(scan)

    def _summariser(self, namespace: Namespace, policy: ConsolidationPolicy, pace: Callable[[], None]) -> Summariser:
        policy = replace(policy, max_chars=min(policy.max_chars, self._max_chars))
        encoder = self._encoder(namespace)
        return Summariser(self._parts.store, namespace, encoder, policy, self._model, pace, self._parts.now())

    def _encoder(self, namespace: Namespace) -> EmbedBatcher:
        if not namespace.model:
            raise FailedPreconditionError(
                f"namespace {namespace.name!r}: clients supply its vectors, so that no sentence can be embedded for it",
                namespace=namespace.name,
            )
        found = self._parts.encoders.of(namespace.model, namespace.model_fingerprint)
        if found is None:
            raise ModelMismatchError(namespace.name, namespace.model, self._parts.encoder.info.name)
        return found

    def _put(self, namespace: Namespace, planned: Planned, job_id: str) -> bool:
        """Store a summary; False where its sources are not what they were."""
        parts = self._parts
        while True:
            with parts.store.read() as view:
                present = find_namespace(view, namespace.name)
            vector = self._encoder(present).embed_documents([planned.text])[0]
            summary = summary_of(planned, job_id, parts.now())
            job = _put_job(parts, present, summary, vector, planned)
            try:
                return parts.writer.submit(job).result().stored
            except GenerationChangedError:
                # It is embedded by another model since it was read.
                continue


def _put_job(
    parts: EngineParts, namespace: Namespace, summary: Slot, vector: FloatVector, planned: Planned
) -> PutSummaryJob:
    return PutSummaryJob(parts.registry, namespace, summary, vector, planned.sources, planned.replaced, parts.now())


def summary_of(planned: Planned, job_id: str, now: int) -> Slot:
    """The slot of a summary: of the time of its last source, expiring with the first of them that does."""
    sources = planned.sources
    languages = {slot.language for slot in sources}
    return Slot(
        id=str(ULID()),
        content=planned.text,
        cue="",
        kind=SlotKind.SUMMARY,
        scope=sources[0].scope,
        role="",
        tags=sources[0].tags,
        metadata={MADE: {"made_by": planned.made_by, "job_id": job_id}},
        importance=sum(slot.importance for slot in sources) / len(sources),
        created_at=max(slot.created_at for slot in sources),
        updated_at=now,
        expires_at=min((slot.expires_at for slot in sources if slot.expires_at), default=0),
        vector_supplied=False,
        language=languages.pop() if len(languages) == 1 else "",
        sources=tuple(slot.id for slot in sources),
    )


def change_of(params: JsonObject) -> ConsolidationPolicyChange:
    """The parameters of a job as what to change of the namespace's policy."""
    method = params.get("method")
    return ConsolidationPolicyChange(
        method=None if method is None else ConsolidationMethod(method),
        max_chars=params.get("max_chars"),
        threshold=params.get("threshold"),
    )


def params_of(change: ConsolidationPolicyChange) -> JsonObject:
    """The inverse of `change_of`."""
    given = {
        "method": change.method and str(change.method),
        "max_chars": change.max_chars,
        "threshold": change.threshold,
    }
    return {name: value for name, value in given.items() if value is not None}


def _note(batch: WriteBatch, number: int, seen: Consolidated) -> None:
    if batch.namespace(number) is not None:
        put_consolidated(batch, number, seen)
