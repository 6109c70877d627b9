"""`manifest.json`: what a package says of itself. It is the first member, and names every other with size and SHA-256.

The signature covers its bytes, and through them the whole package.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from adamem_server.archive_types import NO_ARCHIVE_POLICY
from adamem_server.errors import PackageError, PackageFormatError
from adamem_server.policies import ConsolidationMethod, DuplicateAction, RecalledAction, ScopeField
from adamem_server.types import (
    DEFAULT_HISTORY_VERSIONS,
    MAX_AFTER_SLOTS,
    MAX_EVERY_US,
    MAX_HISTORY_VERSIONS,
    MAX_SUMMARY_CHARS,
    MIN_SUMMARY_CHARS,
    IndexKind,
    Metric,
    TrainingOutcome,
    VectorType,
)

FORMAT: Final = "adamem-package"
FORMAT_VERSION: Final = 1
MAX_MANIFEST_BYTES: Final = 1 << 20

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
SLOTS: Final = "slots.jsonl"
VECTORS: Final = "vectors.npy"
CUE_VECTORS: Final = "cue_vectors.npy"
ADAPTER: Final = "adapter.safetensors"
PAIRS: Final = "pairs.jsonl"
PAIR_VECTORS: Final = "pair_vectors.npy"
# In the order in which they are written; the first three are in every package.
MEMBERS: Final = (SLOTS, VECTORS, CUE_VECTORS, ADAPTER, PAIRS, PAIR_VECTORS)
REQUIRED: Final = (SLOTS, VECTORS, CUE_VECTORS)

Count = Annotated[int, Meta(ge=0, le=2**53)]
Versions = Annotated[int, Meta(ge=0, le=MAX_HISTORY_VERSIONS)]
Share = Annotated[float, Meta(ge=0, le=1)]
# Whole microseconds, which a float holds exactly up to here.
Seconds = Annotated[float, Meta(ge=0, le=2**53 / 1e6)]
Time = Annotated[datetime, Meta(tz=True)]
Label = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(max_length=4096)]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The encoder that made the vectors; both empty: the clients supplied them."""

    name: Label
    fingerprint: Annotated[str, Meta(max_length=128)]


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vector index of the namespace."""

    kind: IndexKind
    m: Count = 0
    ef_construction: Count = 0
    ef_search: Count = 0


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the last training ended, field by field as `types.TrainingReport`."""

    outcome: TrainingOutcome
    finished_at: Time
    duration_s: Annotated[float, Meta(ge=0)]
    cpu_s: Annotated[float, Meta(ge=0)]
    n_pairs: Count
    n_judged: Count
    baseline: Share
    candidate: Share
    probability: Share
    version: Count


class Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was taught: pairs, how many of the first had been trained on, and the number of the next adapter."""

    n_pairs: Count = 0
    n_pair_vectors: Count = 0
    n_trained: Count = 0
    next_version: Annotated[int, Meta(ge=1, le=2**32 - 1)] = 1
    last_training: Training | None = None


class AdapterInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The adapter that serves, field by field as `types.AdapterVersion`."""

    version: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    created_at: Time
    n_pairs: Count
    rank: Count
    dense_shift: Annotated[float, Meta(ge=-1, le=1)]
    n_judged: Count
    baseline: Share
    candidate: Share
    probability: Share


class Duplicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the namespace does with duplicates, field by field as `types.DuplicatePolicy`."""

    on_duplicate: DuplicateAction
    on_recalled: RecalledAction
    threshold: Annotated[float, Meta(ge=0, le=1)]
    scope: Annotated[tuple[ScopeField, ...], Meta(min_length=1, max_length=len(ScopeField))]


class Consolidation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the namespace is consolidated by itself, and how, as `types.ConsolidationPolicy`; `every_s` in seconds."""

    after_slots: Annotated[int, Meta(ge=0, le=MAX_AFTER_SLOTS)]
    every_s: Annotated[float, Meta(ge=0, le=MAX_EVERY_US / 1e6)]
    method: ConsolidationMethod
    max_chars: Annotated[int, Meta(ge=MIN_SUMMARY_CHARS, le=MAX_SUMMARY_CHARS)]
    threshold: Annotated[float, Meta(ge=0, le=1)]


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the namespace keeps found, field by field as `types.ArchivePolicy`."""

    max_slots: Count = 0
    max_bytes: Count = 0
    min_importance: Share = 0.0
    half_life_s: Seconds = NO_ARCHIVE_POLICY.half_life / 1e6


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the package, unpacked."""

    n_bytes: Annotated[int, Meta(ge=0, le=2**62)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known of a package before its members are read."""

    format: str
    format_version: int
    package_id: Annotated[str, Meta(pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
    exported_at: Time
    exported_by: Label
    name: Annotated[str, Meta(max_length=128)]
    description: Text = ""
    author: Label = ""
    license: Label = ""
    tags: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()
    created_at: Time
    n_slots: Count
    n_cue_vectors: Count = 0
    model: Model
    dim: Annotated[int, Meta(ge=1, le=4096)]
    metric: Metric
    vector_type: VectorType
    index: Index
    ranking: dict[str, Annotated[float, Meta(ge=-1e6, le=1e6)]] = {}
    adapter_enabled: bool = True
    duplicates: Duplicates | None = None
    default_ttl_s: Seconds = 0.0
    history_versions: Versions = DEFAULT_HISTORY_VERSIONS
    supersede: bool = False
    consolidation: Consolidation | None = None
    archive: Archive | None = None
    adapter: AdapterInfo | None = None
    learned: Learned = Learned()
    members: dict[str, Member]


class _Version(msgspec.Struct):
    format: str = ""
    format_version: int = 0


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Manifest)
_version_decoder: Final = msgspec.json.Decoder(_Version)


def encode_manifest(manifest: Manifest) -> bytes:
    """The member's bytes, indented for readers."""
    return msgspec.json.format(_encoder.encode(manifest), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """The inverse, checked field by field.

    Raises:
        PackageFormatError: A newer version wrote it.
        PackageError: It is no manifest, or a field is wrong.
    """
    try:
        stated = _version_decoder.decode(data)
        if stated.format == FORMAT and stated.format_version > FORMAT_VERSION:
            raise PackageFormatError(stated.format_version, FORMAT_VERSION)
        if (stated.format, stated.format_version) != (FORMAT, FORMAT_VERSION):
            raise PackageError(MANIFEST, f"says format {stated.format!r} {stated.format_version}, not {FORMAT!r} 1")
        manifest = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PackageError(MANIFEST, f"cannot be read: {error}") from error
    _agrees(manifest)
    return manifest


def _agrees(manifest: Manifest) -> None:
    """Whether the parts of a manifest fit each other."""
    expected = set(REQUIRED)
    if manifest.adapter is not None:
        expected.add(ADAPTER)
    if manifest.learned.n_pairs:
        expected |= {PAIRS, PAIR_VECTORS}
    if set(manifest.members) != expected:
        names = ", ".join(sorted(expected ^ set(manifest.members)))
        raise PackageError(MANIFEST, f"members: lists too many or too few for its counts: {names}")
    if manifest.n_cue_vectors > manifest.n_slots:
        raise PackageError(MANIFEST, f"n_cue_vectors: is {manifest.n_cue_vectors}, more than the slots")
    if manifest.learned.n_pair_vectors > manifest.learned.n_pairs:
        raise PackageError(MANIFEST, f"learned.n_pair_vectors: is {manifest.learned.n_pair_vectors}, more than pairs")
    if manifest.learned.n_trained > manifest.learned.n_pairs:
        raise PackageError(MANIFEST, f"learned.n_trained: is {manifest.learned.n_trained}, more than pairs")
    if bool(manifest.model.name) != bool(manifest.model.fingerprint):
        raise PackageError(MANIFEST, "model: has a name or a fingerprint without the other")
    if manifest.adapter is not None and manifest.adapter.version >= manifest.learned.next_version:
        raise PackageError(MANIFEST, "adapter.version: is not below learned.next_version")
