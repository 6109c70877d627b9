"""Vectors of the model that serves for facts that newer ones superseded: so that they come back when these go.

Not for those that a snapshot holds: it has the vectors of its own model.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.memory.generations import texts_of
from adamem_server.memory.jobs import StoreJob
from adamem_server.memory.parts import EngineParts
from adamem_server.store.codec import encode_vector
from adamem_server.store.history import all_superseded, superseded_version
from adamem_server.store.history_codec import space_of
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.store.version_types import SlotVersion
from adamem_server.types import Namespace

# Facts that are embedded together: some 100 ms of a core.
_CHUNK: Final = 32


def embed_superseded(parts: EngineParts, namespace: Namespace, encoder: EmbedBatcher, pace: Callable[[], None]) -> None:
    """Embed the superseded facts of a namespace that have vectors of another model than its own, by its encoder.

    Cost: that of embedding them; memory for their ids. `pace` is called between steps; what it raises ends it.
    """
    with parts.store.read() as view:
        ids = iter(list(all_superseded(view, namespace.number)))
    while some := list(islice(ids, _CHUNK)):
        pace()
        with parts.store.read() as view:
            versions = [found for slot_id in some if (found := _foreign(view, namespace, slot_id)) is not None]
        if versions:
            values = _values(namespace, encoder, versions)

            def put(batch: WriteBatch, versions: list[SlotVersion] = versions, values: list[bytes] = values) -> bool:
                present = batch.namespace(namespace.number)
                if present is not None and present.vector_space == namespace.vector_space:
                    for version, new in zip(versions, values, strict=True):
                        # It may be there again, or gone, since it was read.
                        if superseded_version(batch, namespace.number, version.slot.id) == version:
                            batch.trail(namespace.number).embedded(version, new)
                return True

            parts.writer.submit(StoreJob(put, frees=False)).result()


def _foreign(view: ReadView, namespace: Namespace, slot_id: str) -> SlotVersion | None:
    version = superseded_version(view, namespace.number, slot_id)
    is_foreign = version is not None and version.space != space_of(namespace.model_fingerprint)
    return version if is_foreign else None


def _values(namespace: Namespace, encoder: EmbedBatcher, versions: Sequence[SlotVersion]) -> list[bytes]:
    """The values of each version's vector, and of its cue's behind them, as they are stored."""
    slots = [version.slot for version in versions]
    vectors = iter(encoder.embed_documents(texts_of(slots)))
    return [b"".join(encode_vector(next(vectors), namespace.vector_type) for _ in texts_of([slot])) for slot in slots]
