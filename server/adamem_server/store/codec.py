"""The stored form of records: one byte of format version, then a msgpack array whose fields are only ever appended.

Old records stay readable: a decoder fills fields that a record lacks with their defaults. A change that cannot be made
by appending gets a new version byte. Golden files in tests/compat hold one record of each version.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from adamem_server.archive_types import NO_ARCHIVE_POLICY, ArchivePolicy
from adamem_server.errors import DataCorruptError
from adamem_server.policies import (
    NO_CONSOLIDATION,
    NO_DUPLICATE_POLICY,
    ConsolidationMethod,
    ConsolidationPolicy,
    DuplicateAction,
    DuplicatePolicy,
    RecalledAction,
    ScopeField,
)
from adamem_server.types import (
    DEFAULT_HISTORY_VERSIONS,
    Access,
    AdapterVersion,
    FloatVector,
    IndexKind,
    IndexParams,
    Metric,
    Namespace,
    Scope,
    Slot,
    SlotKind,
    TaughtPair,
    TrainingOutcome,
    TrainingReport,
    VectorType,
)

_T = TypeVar("_T")
_VERSION: Final = b"\x01"
# A ULID's digits (Crockford's base 32) as those of Python's, and all pairs of them, for 10 bits at a time. By hand:
# ids are read and written several times for each slot, and the package takes ten times as long.
_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_PYTHON: Final = str.maketrans(_DIGITS, "0123456789abcdefghijklmnopqrstuv")
_PAIRS: Final = [high + low for high in _DIGITS for low in _DIGITS]
_SHIFTS: Final = range(120, -1, -10)
_KINDS: Final = (SlotKind.FACT, SlotKind.MESSAGE, SlotKind.PREFERENCE, SlotKind.DOCUMENT, SlotKind.SUMMARY)
_KIND_CODES: Final = {kind: code for code, kind in enumerate(_KINDS)}
_DTYPES: Final[dict[VectorType, np.dtype[np.floating[Any]]]] = {
    VectorType.FLOAT32: np.dtype("<f4"),
    VectorType.FLOAT16: np.dtype("<f2"),
}


class _SlotRecord(msgspec.Struct, array_like=True):
    id: bytes
    content: str
    cue: str
    kind: int
    user_id: str
    agent_id: str
    conversation_id: str
    role: str
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    importance: float
    created_at: int
    updated_at: int
    expires_at: int
    vector_supplied: bool
    language: str = ""
    # Empty, or 16 bytes.
    recalled_from: bytes = b""
    ttl: int = 0
    # 16 bytes each.
    sources: bytes = b""
    archived_at: int = 0
    pinned: bool = False


class _ConsolidationRecord(msgspec.Struct, array_like=True, frozen=True):
    after_slots: int = NO_CONSOLIDATION.after_slots
    every: int = NO_CONSOLIDATION.every
    method: ConsolidationMethod = NO_CONSOLIDATION.method
    max_chars: int = NO_CONSOLIDATION.max_chars
    threshold: float = NO_CONSOLIDATION.threshold


class _NamespaceRecord(msgspec.Struct, array_like=True):
    name: str
    description: str
    dim: int
    metric: Metric
    index_kind: IndexKind
    m: int
    ef_construction: int
    ef_search: int
    vector_type: VectorType
    model: str
    model_fingerprint: str
    created_at: int
    ranking: dict[str, float] = {}
    adapter_enabled: bool = True
    adapter_version: int = 0
    on_duplicate: DuplicateAction = DuplicateAction.KEEP
    on_recalled: RecalledAction = RecalledAction.MARK
    duplicate_threshold: float = NO_DUPLICATE_POLICY.threshold
    duplicate_scope: tuple[ScopeField, ...] = NO_DUPLICATE_POLICY.scope
    default_ttl: int = 0
    space: int = 0
    history_versions: int = DEFAULT_HISTORY_VERSIONS
    supersede: bool = False
    consolidation: _ConsolidationRecord = _ConsolidationRecord()
    archive_max_slots: int = 0
    archive_max_bytes: int = 0
    archive_min_importance: float = 0.0
    importance_half_life: int = NO_ARCHIVE_POLICY.half_life


class _PairRecord(msgspec.Struct, array_like=True):
    query: str
    helped: tuple[int, ...]
    unhelpful: tuple[int, ...]
    time: int
    weight: float
    is_cue: bool
    # float16, little endian; empty until it is made.
    vector: bytes


class _AdapterRecord(msgspec.Struct, array_like=True):
    created_at: int
    n_pairs: int
    rank: int
    dense_shift: float
    n_judged: int
    baseline: float
    candidate: float
    probability: float
    data: bytes


class Head(msgspec.Struct, array_like=True, frozen=True):
    """The moving state of a namespace, rewritten by every write to it.

    `sequence` numbers its newest change, `checkpoint` the newest change that is no longer in the journal. `n_cues` is
    the number of slots whose cue has a vector.
    """

    sequence: int = 0
    next_row: int = 1
    n_slots: int = 0
    n_bytes: int = 0
    checkpoint: int = 0
    n_cues: int = 0

    def saved_upto(self, sequence: int) -> "Head":
        """The same with another checkpoint."""
        return msgspec.structs.replace(self, checkpoint=sequence)

    def at(self, sequence: int) -> "Head":
        """The same with another newest change."""
        return msgspec.structs.replace(self, sequence=sequence)

    def with_next_row(self, next_row: int) -> "Head":
        """The same with another row for the next slot."""
        return msgspec.structs.replace(self, next_row=next_row)

    def with_slots(self, n_slots: int, n_bytes: int, n_cues: int) -> "Head":
        """The same with other counts."""
        return msgspec.structs.replace(self, n_slots=n_slots, n_bytes=n_bytes, n_cues=n_cues)


class Change(msgspec.Struct, array_like=True, frozen=True):
    """One journal entry: the rows that one write stored or deleted, at a time in microseconds.

    `touched` rows kept their texts and vectors: no index has to be told of them.
    """

    time: int
    stored: tuple[int, ...] = ()
    deleted: tuple[int, ...] = ()
    touched: tuple[int, ...] = ()


class Request(msgspec.Struct, array_like=True, frozen=True):
    """An idempotent request that was carried out: what it was, and what its answer needs."""

    time: int
    fingerprint: bytes
    sequence: int = 0
    slot_ids: tuple[str, ...] = ()
    created: tuple[bool, ...] = ()
    n_deleted: int = 0
    n_not_found: int = 0
    n_taught: int = 0
    job_id: str = ""
    duplicates: tuple[bool, ...] = ()
    n_touched: int = 0
    n_unchanged: int = 0


class Staging(msgspec.Struct, array_like=True, frozen=True):
    """What becomes of slots that are stored and not shown yet.

    `target` 0: they are still coming, and go if the server ends. Else the namespace that they are being merged into,
    whatever happens: up to `row` they are, of which so many were new there, were newer, or were not.
    """

    target: int = 0
    row: int = 0
    n_created: int = 0
    n_replaced: int = 0
    n_kept: int = 0


class Learning(msgspec.Struct, array_like=True, frozen=True):
    """What a namespace was taught, and how its last training ended: `TrainingReport` field by field.

    Pairs up to the number `trained_to` were there when the last training began; `outcome` is empty before the first.
    """

    next_pair: int = 1
    n_pairs: int = 0
    next_version: int = 1
    trained_to: int = 0
    outcome: str = ""
    finished_at: int = 0
    duration_s: float = 0.0
    cpu_s: float = 0.0
    n_trained: int = 0
    n_judged: int = 0
    baseline: float = 0.0
    candidate: float = 0.0
    probability: float = 0.0
    version: int = 0

    def report(self) -> TrainingReport | None:
        """The last training.

        Raises:
            DataCorruptError: It ended as no training ends.
        """
        if not self.outcome:
            return None
        if self.outcome not in tuple(TrainingOutcome):
            raise DataCorruptError(f"a stored record has the unknown outcome {self.outcome!r} of a training")
        return TrainingReport(
            outcome=TrainingOutcome(self.outcome),
            finished_at=self.finished_at,
            duration_s=self.duration_s,
            cpu_s=self.cpu_s,
            n_pairs=self.n_trained,
            n_judged=self.n_judged,
            baseline=self.baseline,
            candidate=self.candidate,
            probability=self.probability,
            version=self.version,
        )

    def trained(self, report: TrainingReport, trained_to: int) -> "Learning":
        """After a training."""
        return msgspec.structs.replace(
            self,
            trained_to=max(self.trained_to, trained_to),
            outcome=str(report.outcome),
            finished_at=report.finished_at,
            duration_s=report.duration_s,
            cpu_s=report.cpu_s,
            n_trained=report.n_pairs,
            n_judged=report.n_judged,
            baseline=report.baseline,
            candidate=report.candidate,
            probability=report.probability,
            version=report.version,
            next_version=max(self.next_version, report.version + 1),
        )

    def untrained(self) -> "Learning":
        """The same with all pairs to be learned from again."""
        return msgspec.structs.replace(self, trained_to=0)

    def with_pairs(self, n_more: int) -> "Learning":
        """After pairs were added (each takes a number) or removed."""
        taken = max(n_more, 0)
        return msgspec.structs.replace(self, next_pair=self.next_pair + taken, n_pairs=self.n_pairs + n_more)


class Generation(msgspec.Struct, array_like=True, frozen=True):
    """The vectors of a namespace that one model made: a space that does not serve, being made or kept.

    Queries alone pass through adapters: `adapter_version` is the one that served with them, 0 for none, and no vector
    depends on it. `n_vectors` and `n_cues` are those that are there and of the slots' present texts. `expires_at` is
    when a former one goes, microseconds; `job_id` of the job that makes it.
    """

    space: int
    model: str
    model_fingerprint: str
    dim: int
    adapter_version: int = 0
    n_vectors: int = 0
    n_cues: int = 0
    expires_at: int = 0
    job_id: str = ""

    def kept_until(self, time: int) -> "Generation":
        """The same, kept until a time at least."""
        return msgspec.structs.replace(self, expires_at=max(self.expires_at, time))


class Generations(msgspec.Struct, array_like=True, frozen=True):
    """The generations of a namespace beside the one that serves."""

    next: Generation | None = None
    former: Generation | None = None


_encode = msgspec.msgpack.Encoder().encode
_slot_decoder: Final = msgspec.msgpack.Decoder(_SlotRecord)
_namespace_decoder: Final = msgspec.msgpack.Decoder(_NamespaceRecord)
_head_decoder: Final = msgspec.msgpack.Decoder(Head)
_change_decoder: Final = msgspec.msgpack.Decoder(Change)
_request_decoder: Final = msgspec.msgpack.Decoder(Request)
_pair_decoder: Final = msgspec.msgpack.Decoder(_PairRecord)
_learning_decoder: Final = msgspec.msgpack.Decoder(Learning)
_adapter_decoder: Final = msgspec.msgpack.Decoder(_AdapterRecord)
_staging_decoder: Final = msgspec.msgpack.Decoder(Staging)
_generations_decoder: Final = msgspec.msgpack.Decoder(Generations)
_access_decoder: Final = msgspec.msgpack.Decoder(tuple[int, int])


def slot_id_bytes(slot_id: str) -> bytes:
    """The 16 bytes of a ULID; the text was checked at the border."""
    return int(slot_id.translate(_TO_PYTHON), 32).to_bytes(16, "big")


def slot_id_text(raw: bytes) -> str:
    """The inverse of `slot_id_bytes`: ten bits at a time."""
    number = int.from_bytes(raw, "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def encode_slot(slot: Slot) -> bytes:
    """A slot as stored."""
    scope = slot.scope
    return _VERSION + _encode(
        _SlotRecord(
            slot_id_bytes(slot.id),
            slot.content,
            slot.cue,
            _KIND_CODES[slot.kind],
            scope.user_id,
            scope.agent_id,
            scope.conversation_id,
            slot.role,
            slot.tags,
            slot.metadata,
            slot.importance,
            slot.created_at,
            slot.updated_at,
            slot.expires_at,
            slot.vector_supplied,
            slot.language,
            slot_id_bytes(slot.recalled_from) if slot.recalled_from else b"",
            slot.ttl,
            b"".join(map(slot_id_bytes, slot.sources)),
            slot.archived_at,
            slot.pinned,
        )
    )


def decode_slot(data: bytes) -> Slot:
    """The inverse of `encode_slot`."""
    record = decode_record(_slot_decoder, data)
    return Slot(
        id=slot_id_text(record.id),
        content=record.content,
        cue=record.cue,
        kind=_KINDS[record.kind],
        scope=Scope(record.user_id, record.agent_id, record.conversation_id),
        role=record.role,
        tags=record.tags,
        metadata=record.metadata,
        importance=record.importance,
        created_at=record.created_at,
        updated_at=record.updated_at,
        expires_at=record.expires_at,
        vector_supplied=record.vector_supplied,
        language=record.language,
        recalled_from=slot_id_text(record.recalled_from) if record.recalled_from else "",
        ttl=record.ttl,
        sources=_ids(record.sources),
        archived_at=record.archived_at,
        pinned=record.pinned,
    )


def encode_namespace(namespace: Namespace) -> bytes:
    """A namespace's properties as stored; its number is the key."""
    params = namespace.index_params
    return _VERSION + _encode(
        _NamespaceRecord(
            namespace.name,
            namespace.description,
            namespace.dim,
            namespace.metric,
            namespace.index_kind,
            params.m,
            params.ef_construction,
            params.ef_search,
            namespace.vector_type,
            namespace.model,
            namespace.model_fingerprint,
            namespace.created_at,
            dict(namespace.ranking),
            namespace.adapter_enabled,
            namespace.adapter_version,
            namespace.duplicates.on_duplicate,
            namespace.duplicates.on_recalled,
            namespace.duplicates.threshold,
            namespace.duplicates.scope,
            namespace.default_ttl,
            namespace.space,
            namespace.history_versions,
            namespace.supersede,
            _ConsolidationRecord(
                namespace.consolidation.after_slots,
                namespace.consolidation.every,
                namespace.consolidation.method,
                namespace.consolidation.max_chars,
                namespace.consolidation.threshold,
            ),
            namespace.archive.max_slots,
            namespace.archive.max_bytes,
            namespace.archive.min_importance,
            namespace.archive.half_life,
        )
    )


def decode_namespace(number: int, data: bytes) -> Namespace:
    """The inverse of `encode_namespace`."""
    record = decode_record(_namespace_decoder, data)
    return Namespace(
        number=number,
        name=record.name,
        description=record.description,
        dim=record.dim,
        metric=record.metric,
        index_kind=record.index_kind,
        index_params=IndexParams(m=record.m, ef_construction=record.ef_construction, ef_search=record.ef_search),
        vector_type=record.vector_type,
        model=record.model,
        model_fingerprint=record.model_fingerprint,
        created_at=record.created_at,
        ranking=record.ranking,
        adapter_enabled=record.adapter_enabled,
        adapter_version=record.adapter_version,
        duplicates=DuplicatePolicy(
            on_duplicate=record.on_duplicate,
            on_recalled=record.on_recalled,
            threshold=record.duplicate_threshold,
            scope=record.duplicate_scope,
        ),
        default_ttl=record.default_ttl,
        space=record.space,
        history_versions=record.history_versions,
        supersede=record.supersede,
        consolidation=ConsolidationPolicy(
            **{name: getattr(record.consolidation, name) for name in _ConsolidationRecord.__struct_fields__}
        ),
        archive=ArchivePolicy(
            max_slots=record.archive_max_slots,
            max_bytes=record.archive_max_bytes,
            min_importance=record.archive_min_importance,
            half_life=record.importance_half_life,
        ),
    )


def encode_head(head: Head) -> bytes:
    """A head as stored."""
    return _VERSION + _encode(head)


def decode_head(data: bytes) -> Head:
    """The inverse of `encode_head`."""
    return decode_record(_head_decoder, data)


def encode_change(change: Change) -> bytes:
    """A journal entry as stored."""
    return _VERSION + _encode(change)


def decode_change(data: bytes) -> Change:
    """The inverse of `encode_change`."""
    return decode_record(_change_decoder, data)


def encode_request(request: Request) -> bytes:
    """A carried-out request as stored."""
    return _VERSION + _encode(request)


def decode_request(data: bytes) -> Request:
    """The inverse of `encode_request`."""
    return decode_record(_request_decoder, data)


def encode_access(access: Access) -> bytes:
    """A slot's use as stored."""
    return _VERSION + _encode((access.count, access.accessed_at))


def decode_access(data: bytes) -> Access:
    """The inverse of `encode_access`."""
    return Access(*decode_record(_access_decoder, data))


def encode_staging(staging: Staging) -> bytes:
    """What becomes of hidden slots, as stored."""
    return _VERSION + _encode(staging)


def decode_staging(data: bytes) -> Staging:
    """The inverse of `encode_staging`."""
    return decode_record(_staging_decoder, data)


def encode_learning(learning: Learning) -> bytes:
    """What a namespace was taught, as stored."""
    return _VERSION + _encode(learning)


def decode_learning(data: bytes) -> Learning:
    """The inverse of `encode_learning`."""
    return decode_record(_learning_decoder, data)


def encode_pair(pair: TaughtPair) -> bytes:
    """A taught pair as stored; its vector rounds to float16."""
    vector = b"" if pair.vector is None else encode_vector(pair.vector, VectorType.FLOAT16)
    return _VERSION + _encode(
        _PairRecord(pair.query, pair.helped, pair.unhelpful, pair.time, pair.weight, pair.is_cue, vector)
    )


def decode_pair(data: bytes) -> TaughtPair:
    """The inverse of `encode_pair`."""
    record = decode_record(_pair_decoder, data)
    n_values = len(record.vector) // _DTYPES[VectorType.FLOAT16].itemsize
    vector = decode_vectors([record.vector], n_values, VectorType.FLOAT16)[0] if n_values else None
    return TaughtPair(
        query=record.query,
        helped=record.helped,
        unhelpful=record.unhelpful,
        time=record.time,
        weight=record.weight,
        is_cue=record.is_cue,
        vector=vector,
    )


def encode_adapter(version: AdapterVersion, data: bytes) -> bytes:
    """A version of an adapter as stored; `data` is its safetensors file, the version is the key."""
    return _VERSION + _encode(
        _AdapterRecord(
            version.created_at,
            version.n_pairs,
            version.rank,
            version.dense_shift,
            version.n_judged,
            version.baseline,
            version.candidate,
            version.probability,
            data,
        )
    )


def decode_adapter(version: int, data: bytes) -> tuple[AdapterVersion, bytes]:
    """The inverse of `encode_adapter`."""
    record = decode_record(_adapter_decoder, data)
    found = AdapterVersion(
        version=version,
        created_at=record.created_at,
        n_pairs=record.n_pairs,
        rank=record.rank,
        dense_shift=record.dense_shift,
        n_judged=record.n_judged,
        baseline=record.baseline,
        candidate=record.candidate,
        probability=record.probability,
        n_bytes=len(record.data),
    )
    return found, record.data


def encode_generations(generations: Generations) -> bytes:
    """The generations beside the one that serves, as stored."""
    return _VERSION + _encode(generations)


def decode_generations(data: bytes) -> Generations:
    """The inverse of `encode_generations`."""
    return decode_record(_generations_decoder, data)


def encode_vector(vector: FloatVector, vector_type: VectorType) -> bytes:
    """A vector as stored, little endian; float16 rounds to nearest even."""
    return bytes(vector.astype(_DTYPES[vector_type], copy=False).tobytes())


def vector_bytes(dim: int, vector_type: VectorType) -> int:
    """Size of a stored vector."""
    return dim * _DTYPES[vector_type].itemsize


def vector_fits(vector: FloatVector, vector_type: VectorType) -> bool:
    """Whether storing a vector keeps it finite and not all zero (float16 has a range of 6e-8 to 65504)."""
    with np.errstate(over="ignore", under="ignore"):
        stored = vector.astype(_DTYPES[vector_type])
    return bool(np.isfinite(stored).all() and stored.any())


def decode_vectors(values: Sequence[bytes], dim: int, vector_type: VectorType) -> FloatVector:
    """Stored vectors as float32 [n, dim], C order."""
    dtype = _DTYPES[vector_type]
    if any(len(value) != dim * dtype.itemsize for value in values):
        raise DataCorruptError("a stored vector has the wrong length", dim=str(dim), vector_type=vector_type)
    return np.frombuffer(b"".join(values), dtype).reshape(len(values), dim).astype(np.float32)


def decode_record(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    """A record of version 1.

    Raises:
        DataCorruptError: It has another version, or cannot be read.
    """
    if data[:1] != _VERSION:
        raise DataCorruptError(f"a stored record has the unknown version {data[:1].hex()}")
    try:
        return decoder.decode(memoryview(data)[1:])
    except msgspec.MsgspecError as error:
        raise DataCorruptError(f"a stored record cannot be read: {error}") from error


def _ids(joined: bytes) -> tuple[str, ...]:
    if not joined:
        return ()
    return tuple(slot_id_text(joined[start : start + 16]) for start in range(0, len(joined), 16))
