"""The stored form of records: read back as written, old files stay readable, damage is an error."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from adamem_server.store import archive_codec, codec, history_codec, job_codec, summaries
from adamem_server.store.snapshot_types import Snapshot
from adamem_server.store.version_types import Ending, SlotVersion
from adamem_server.types import (
    Access,
    AdapterVersion,
    IndexKind,
    IndexParams,
    Job,
    JobState,
    Metric,
    Namespace,
    Scope,
    Slot,
    SlotKind,
    TaughtPair,
    Validity,
    VectorType,
)
from tests.unit.store.strategies import slots

GOLDEN = Path(__file__).parents[2] / "compat" / "records"

SLOT = Slot(
    id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    content="Анна пьёт чай without sugar",
    cue="What does Anna drink?",
    kind=SlotKind.PREFERENCE,
    scope=Scope("anna", "barista", "c-7"),
    role="user",
    tags=("drinks", "чай"),
    metadata={"price": 2.5, "nested": {"list": [1.0, "two", None, True]}},
    importance=0.75,
    created_at=1_700_000_000_000_001,
    updated_at=1_700_000_000_000_002,
    expires_at=1_900_000_000_000_000,
    vector_supplied=True,
    language="ru",
    recalled_from="01ARZ3NDEKTSV4RRFFQ69G5FAW",
    ttl=3_600_000_000,
    sources=("01ARZ3NDEKTSV4RRFFQ69G5FAX", "01ARZ3NDEKTSV4RRFFQ69G5FAY"),
    archived_at=1_800_000_000_000_000,
    pinned=True,
)
NAMESPACE = Namespace(
    number=7,
    name="team/anna",
    description="Что знает команда",
    dim=384,
    metric=Metric.COSINE,
    index_kind=IndexKind.HNSW,
    index_params=IndexParams(m=16, ef_construction=128, ef_search=64),
    vector_type=VectorType.FLOAT16,
    model="all-MiniLM-L6-v2",
    model_fingerprint="ab" * 32,
    created_at=1_700_000_000_000_000,
    ranking={"recency": 0.5},
    adapter_enabled=False,
    adapter_version=3,
    duplicates=DuplicatePolicy(
        on_duplicate=DuplicateAction.MERGE,
        on_recalled=RecalledAction.SKIP,
        threshold=0.875,
        scope=(ScopeField.USER_ID, ScopeField.TIME),
    ),
    default_ttl=86_400_000_000,
    space=12,
    history_versions=4,
    supersede=True,
    consolidation=ConsolidationPolicy(
        after_slots=200, every=3_600_000_000, method=ConsolidationMethod.LLM, max_chars=700, threshold=0.625
    ),
    archive=ArchivePolicy(max_slots=1000, max_bytes=70_000, min_importance=0.25, half_life=86_400_000_000),
)
GENERATIONS = codec.Generations(
    next=codec.Generation(12, "intfloat/multilingual-e5-base", "ab", 768, 0, 9, 4, 0, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    former=codec.Generation(3, "all-MiniLM-L6-v2", "cd", 384, 2, 7, 1, 1_700_000_000_000_000),
)
VERSION = SlotVersion(
    number=5,
    slot=SLOT,
    validity=Validity(1_700_000_000_000_001, 1_700_000_000_000_009, "01ARZ3NDEKTSV4RRFFQ69G5FAW"),
    ending=Ending.SUPERSEDED,
    row=70_000,
    sequence=9,
    held=True,
    space="ab" * 8,
)
SNAPSHOT = Snapshot(
    name="before",
    description="до переезда",
    created_at=1_700_000_000_000_000,
    sequence=9,
    next_row=4,
    n_slots=2,
    n_bytes=1234,
    n_cues=1,
    model_fingerprint="ab" * 32,
    hidden=True,
    deleting=True,
)
HISTORY = history_codec.History(3, 4567, 1, ((9, 4), (12, 7)), 2, "01ARZ3NDEKTSV4RRFFQ69G5FAX", (1, 2, 3))
PAIR = TaughtPair(
    query="Что пьёт Anna?",
    helped=(1, 300),
    unhelpful=(70_000,),
    time=1_700_000_000_000_000,
    weight=0.5,
    is_cue=True,
    vector=np.array([0.6, -0.8], np.float32),
)
LEARNING = codec.Learning(9, 7, 4, 8, "promoted", 1_700_000_000_000_000, 2.5, 1.5, 7, 6, 0.25, 0.5, 0.75, 3)
ADAPTER = AdapterVersion(
    version=3,
    created_at=1_700_000_000_000_000,
    n_pairs=7,
    rank=32,
    dense_shift=0.1,
    n_judged=6,
    baseline=0.25,
    candidate=0.5,
    probability=0.75,
    n_bytes=11,
)


JOB = Job(
    id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    kind="verify",
    namespace="team/anna",
    namespace_number=7,
    state=JobState.FAILED,
    params={"dry_run": True},
    checkpoint={"row": 300, "problems": ["slot 1 (row 2): it has no vector"]},
    n_done=3,
    n_total=5,
    unit="slots",
    result={"n_slots": 5},
    error_reason="STORAGE_FULL",
    error_message="диск полон",
    error_metadata={"limit": "9"},
    cancelling=True,
    created_at=1_700_000_000_000_000,
    started_at=1_700_000_000_000_001,
    finished_at=1_700_000_000_000_002,
    n_resumes=2,
)
REQUEST = codec.Request(1, b"f", 2, ("01ARZ3NDEKTSV4RRFFQ69G5FAV",), (False,), 3, 4, 5, "job", (True,), 6, 7)


def same_pair(left: TaughtPair, right: TaughtPair) -> bool:
    assert left.vector is not None
    assert right.vector is not None
    return left == right and np.allclose(left.vector, right.vector, rtol=1e-3)


FOUND = replace(SLOT, archived_at=0, pinned=False)
UNLINKED = replace(FOUND, sources=())
RECORDS = {
    "slot": (codec.encode_slot(SLOT), lambda data: codec.decode_slot(data) == SLOT),
    "namespace": (codec.encode_namespace(NAMESPACE), lambda data: codec.decode_namespace(7, data) == NAMESPACE),
    "archive_count": (
        archive_codec.encode_archive_count(archive_codec.ArchiveCount(3, 70_000, 2)),
        lambda data: archive_codec.decode_archive_count(data) == archive_codec.ArchiveCount(3, 70_000, 2),
    ),
    "head": (
        codec.encode_head(codec.Head(9, 4, 2, 1234, 5, 1)),
        lambda data: codec.decode_head(data) == codec.Head(9, 4, 2, 1234, 5, 1),
    ),
    "change": (
        codec.encode_change(codec.Change(1, (2, 3), (4,), (5, 70_000))),
        lambda data: codec.decode_change(data) == codec.Change(1, (2, 3), (4,), (5, 70_000)),
    ),
    "request": (
        codec.encode_request(REQUEST),
        lambda data: codec.decode_request(data) == REQUEST,
    ),
    "pair": (codec.encode_pair(PAIR), lambda data: same_pair(codec.decode_pair(data), PAIR)),
    "learning": (codec.encode_learning(LEARNING), lambda data: codec.decode_learning(data) == LEARNING),
    "adapter": (
        codec.encode_adapter(ADAPTER, b"safetensors"),
        lambda data: codec.decode_adapter(3, data) == (ADAPTER, b"safetensors"),
    ),
    "staging": (
        codec.encode_staging(codec.Staging(7, 300, 200, 60, 40)),
        lambda data: codec.decode_staging(data) == codec.Staging(7, 300, 200, 60, 40),
    ),
    "job": (job_codec.encode_job(JOB), lambda data: job_codec.decode_job(JOB.id, data) == JOB),
    "version": (
        history_codec.encode_version(VERSION, (GOLDEN / "slot.v1.2.bin").read_bytes()),
        lambda data: (
            history_codec.decode_version(5, 9, data)
            == replace(VERSION, slot=replace(UNLINKED, recalled_from="", ttl=0))
            and history_codec.slot_record_of(data) == (GOLDEN / "slot.v1.2.bin").read_bytes()
        ),
    ),
    "snapshot": (
        history_codec.encode_snapshot(SNAPSHOT),
        lambda data: history_codec.decode_snapshot("before", data) == SNAPSHOT,
    ),
    "history": (history_codec.encode_history(HISTORY), lambda data: history_codec.decode_history(data) == HISTORY),
    "generations": (
        codec.encode_generations(GENERATIONS),
        lambda data: codec.decode_generations(data) == GENERATIONS,
    ),
    "consolidated": (
        summaries.encode_consolidated(summaries.Consolidated(1_700_000_000_000_000, 70_000, 9)),
        lambda data: summaries.decode_consolidated(data) == summaries.Consolidated(1_700_000_000_000_000, 70_000, 9),
    ),
    "access": (codec.encode_access(Access(3, 4)), lambda data: codec.decode_access(data) == Access(3, 4)),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_version_1_stay_as_they_are(name: str) -> None:
    encoded, reads_back = RECORDS[name]
    newest = max(GOLDEN.glob(f"{name}.v1*.bin"), key=lambda path: (len(path.name), path.name))
    assert encoded == newest.read_bytes(), "the stored form changed: append fields and a golden file, or a new version"
    assert reads_back(newest.read_bytes())


def test_records_with_fewer_fields_are_read() -> None:
    slot = (GOLDEN / "slot.v1.bin").read_bytes()
    assert codec.decode_slot(slot) == replace(UNLINKED, language="", recalled_from="", ttl=0)
    slot = (GOLDEN / "slot.v1.2.bin").read_bytes()
    assert codec.decode_slot(slot) == replace(UNLINKED, recalled_from="", ttl=0)
    slot = (GOLDEN / "slot.v1.3.bin").read_bytes()
    assert codec.decode_slot(slot) == replace(UNLINKED, ttl=0)
    assert codec.decode_slot((GOLDEN / "slot.v1.4.bin").read_bytes()) == UNLINKED
    assert codec.decode_slot((GOLDEN / "slot.v1.5.bin").read_bytes()) == FOUND
    assert codec.decode_change((GOLDEN / "change.v1.bin").read_bytes()) == codec.Change(1, (2, 3), (4,))
    namespace = (GOLDEN / "namespace.v1.bin").read_bytes()
    unlimited = replace(NAMESPACE, archive=NO_ARCHIVE_POLICY)
    assert codec.decode_namespace(7, (GOLDEN / "namespace.v1.8.bin").read_bytes()) == unlimited
    unsummed = replace(unlimited, consolidation=NO_CONSOLIDATION)
    assert codec.decode_namespace(7, (GOLDEN / "namespace.v1.7.bin").read_bytes()) == unsummed
    unkept = replace(unsummed, history_versions=10, supersede=False)
    ungenerated = replace(unkept, space=0)
    undecided = replace(ungenerated, duplicates=NO_DUPLICATE_POLICY, default_ttl=0)
    unadapted = replace(undecided, adapter_enabled=True, adapter_version=0)
    assert codec.decode_namespace(7, namespace) == replace(unadapted, ranking={})
    namespace = (GOLDEN / "namespace.v1.2.bin").read_bytes()
    assert codec.decode_namespace(7, namespace) == unadapted
    namespace = (GOLDEN / "namespace.v1.3.bin").read_bytes()
    assert codec.decode_namespace(7, namespace) == undecided
    namespace = (GOLDEN / "namespace.v1.4.bin").read_bytes()
    assert codec.decode_namespace(7, namespace) == replace(ungenerated, default_ttl=0)
    namespace = (GOLDEN / "namespace.v1.5.bin").read_bytes()
    assert codec.decode_namespace(7, namespace) == ungenerated
    namespace = (GOLDEN / "namespace.v1.6.bin").read_bytes()
    assert codec.decode_namespace(7, namespace) == unkept
    assert codec.decode_request((GOLDEN / "request.v1.4.bin").read_bytes()).n_touched == 0
    assert codec.decode_request((GOLDEN / "request.v1.3.bin").read_bytes()).duplicates == ()
    assert codec.decode_request((GOLDEN / "request.v1.bin").read_bytes()).n_taught == 0
    assert codec.decode_request((GOLDEN / "request.v1.2.bin").read_bytes()).job_id == ""
    assert codec.decode_head((GOLDEN / "head.v1.bin").read_bytes()) == codec.Head(9, 4, 2, 1234, 5)


@given(slots())
def test_slots_are_read_back(slot: Slot) -> None:
    assert codec.decode_slot(codec.encode_slot(slot)) == slot


def test_unknown_version_and_cut_records_are_errors() -> None:
    data = codec.encode_slot(SLOT)
    with pytest.raises(DataCorruptError, match="version"):
        codec.decode_slot(b"\x09" + data[1:])
    for length in range(len(data)):
        with pytest.raises(DataCorruptError):
            codec.decode_slot(data[:length])


def test_vectors_keep_their_values() -> None:
    vector = np.array([0.5, -1.25, 3e-5], np.float32)
    exact = codec.encode_vector(vector, VectorType.FLOAT32)
    assert np.array_equal(codec.decode_vectors([exact], 3, VectorType.FLOAT32)[0], vector)
    half = codec.decode_vectors([codec.encode_vector(vector, VectorType.FLOAT16)], 3, VectorType.FLOAT16)
    assert half.dtype == np.float32
    assert np.allclose(half[0], vector, rtol=1e-3)
    with pytest.raises(DataCorruptError):
        codec.decode_vectors([exact[:-1]], 3, VectorType.FLOAT32)


def test_float16_refuses_what_it_cannot_hold() -> None:
    assert not codec.vector_fits(np.array([1e6, 0], np.float32), VectorType.FLOAT16)
    assert not codec.vector_fits(np.array([1e-9, 0], np.float32), VectorType.FLOAT16)
    assert codec.vector_fits(np.array([1e6, 0], np.float32), VectorType.FLOAT32)


def test_a_pair_without_a_vector_is_read_back() -> None:
    bare = replace(PAIR, vector=None)
    assert codec.decode_pair(codec.encode_pair(bare)).vector is None


@given(st.lists(st.integers(0, 9)), st.integers(0, 5))
def test_numbers_of_pairs_are_never_used_again(removed: list[int], n: int) -> None:
    learning = codec.Learning()
    taken = []
    for _ in range(n):
        taken.append(learning.next_pair)
        learning = learning.with_pairs(1)
        if removed and removed.pop() % 2:
            learning = learning.with_pairs(-1)
    assert taken == list(range(1, n + 1))
