"""What an import will do, decided from the manifest alone: into which namespace, and whether it is embedded anew."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from adamem_server.adapt.adapter import Adapter
from adamem_server.archive_types import NO_ARCHIVE_POLICY, ArchivePolicy
from adamem_server.embed.base import ModelInfo
from adamem_server.errors import (
    DataCorruptError,
    InvalidArgumentError,
    ModelMismatchError,
    NamespaceExistsError,
    PackageError,
    PackageModelError,
)
from adamem_server.memory.shard import checked_params
from adamem_server.memory.weights import WEIGHTS, check_weight
from adamem_server.packages.manifest import ADAPTER, MANIFEST, Manifest
from adamem_server.packages.slots import duration_of, microseconds
from adamem_server.policies import NO_CONSOLIDATION, NO_DUPLICATE_POLICY, ConsolidationPolicy, DuplicatePolicy
from adamem_server.types import NAMESPACE_NAME_PATTERN, AdapterVersion, IndexParams, Namespace

_NAME: Final = re.compile(NAMESPACE_NAME_PATTERN.removesuffix("$"))


class ImportMode(StrEnum):
    """What is done where a namespace of the name exists: it is refused, merged into, or replaced."""

    CREATE = "create"
    MERGE = "merge"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSpec:
    """How to import. `name` empty: that of the package; `verify_key`: the 32 bytes that must have signed it."""

    name: str = ""
    mode: ImportMode = ImportMode.CREATE
    keep_vectors: bool = False
    verify_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`namespace` is the one to store: a new one, with number 0, or the one merged into."""

    namespace: Namespace
    mode: ImportMode
    embed: bool

    @property
    def merges(self) -> bool:
        """Whether the slots go into a namespace that is there."""
        return self.namespace.number > 0


def plan_import(manifest: Manifest, spec: ImportSpec, existing: Namespace | None, serving: ModelInfo) -> Plan:
    """Decide; `existing` has the name that the import is for.

    Raises:
        NamespaceExistsError: It is there, and the spec says neither to merge nor to replace.
        PackageError: What the manifest says of the namespace cannot be.
        PackageModelError: The vectors do not fit, and cannot be made anew, or shall be kept.
        ModelMismatchError: The namespace merged into is of an encoder that does not serve.
    """
    if existing is not None and spec.mode is ImportMode.CREATE:
        raise NamespaceExistsError(existing.name)
    merges = existing is not None and spec.mode is ImportMode.MERGE
    base = existing if existing is not None and merges else _described(manifest, import_name(manifest, spec), serving)
    embed = _embeds(manifest, base, serving)
    if embed and spec.keep_vectors:
        raise PackageModelError(manifest.model.name, base.model)
    return Plan(base, spec.mode, embed)


def import_name(manifest: Manifest, spec: ImportSpec) -> str:
    """The namespace's name.

    Raises:
        PackageError: The package's own cannot be one.
    """
    if spec.name:
        return spec.name
    if _NAME.fullmatch(manifest.name) is None:
        raise PackageError(MANIFEST, f"name: {manifest.name!a} is no name of a namespace; give another one")
    return manifest.name


def read_adapter(manifest: Manifest, data: bytes | None) -> tuple[AdapterVersion, bytes] | None:
    """The adapter of a package.

    Raises:
        PackageError: It is none, or not the one that the manifest describes.
    """
    info = manifest.adapter
    if info is None or data is None:
        return None
    try:
        adapter = Adapter.from_bytes(data)
    except DataCorruptError as error:
        raise PackageError(ADAPTER, error.message) from error
    found = (adapter.dim, adapter.rank, adapter.version, adapter.model_revision)
    if found != (manifest.dim, info.rank, info.version, manifest.model.fingerprint):
        raise PackageError(ADAPTER, "has another dimension, rank, version or encoder than the manifest says")
    version = AdapterVersion(
        version=info.version,
        created_at=microseconds(info.created_at),
        n_pairs=info.n_pairs,
        rank=info.rank,
        dense_shift=info.dense_shift,
        n_judged=info.n_judged,
        baseline=info.baseline,
        candidate=info.candidate,
        probability=info.probability,
        n_bytes=len(data),
    )
    return version, data


def _embeds(manifest: Manifest, base: Namespace, serving: ModelInfo) -> bool:
    """Whether the texts get new vectors."""
    if manifest.model.fingerprint == base.model_fingerprint:
        if manifest.dim != base.dim:
            where = f"namespace {base.name!r}" if base.number else f"encoder {serving.name!r}"
            raise PackageError(MANIFEST, f"dim: is {manifest.dim}, that of {where} is {base.dim}")
        return False
    if not manifest.model.name or not base.model:
        raise PackageModelError(manifest.model.name, base.model)
    if base.model_fingerprint != serving.fingerprint:
        raise ModelMismatchError(base.name, base.model, serving.name)
    return True


def _described(manifest: Manifest, name: str, serving: ModelInfo) -> Namespace:
    """The namespace of a package; one of another encoder becomes one of ours."""
    external = not manifest.model.name
    params = IndexParams(
        m=manifest.index.m, ef_construction=manifest.index.ef_construction, ef_search=manifest.index.ef_search
    )
    adapter_version = 0 if manifest.adapter is None else manifest.adapter.version
    namespace = Namespace(
        number=0,
        name=name,
        description=manifest.description,
        dim=manifest.dim if external else serving.dim,
        metric=manifest.metric,
        index_kind=manifest.index.kind,
        index_params=params,
        vector_type=manifest.vector_type,
        model="" if external else serving.name,
        model_fingerprint="" if external else serving.fingerprint,
        created_at=microseconds(manifest.created_at),
        ranking=_ranking(manifest),
        adapter_enabled=manifest.adapter_enabled,
        duplicates=_duplicates(manifest),
        default_ttl=duration_of(manifest.default_ttl_s),
        history_versions=manifest.history_versions,
        supersede=manifest.supersede,
        consolidation=_consolidation(manifest),
        archive=_archive(manifest),
        adapter_version=adapter_version if manifest.model.fingerprint == serving.fingerprint else 0,
    )
    try:
        return replace(namespace, index_params=checked_params(namespace.dim, params, namespace.index_kind))
    except (InvalidArgumentError, OverflowError) as error:
        raise PackageError(MANIFEST, f"index: {error}") from error


def _duplicates(manifest: Manifest) -> DuplicatePolicy:
    told = manifest.duplicates
    if told is None:
        return NO_DUPLICATE_POLICY
    return DuplicatePolicy(
        on_duplicate=told.on_duplicate, on_recalled=told.on_recalled, threshold=told.threshold, scope=told.scope
    )


def _consolidation(manifest: Manifest) -> ConsolidationPolicy:
    told = manifest.consolidation
    if told is None:
        return NO_CONSOLIDATION
    return ConsolidationPolicy(
        after_slots=told.after_slots,
        every=duration_of(told.every_s),
        method=told.method,
        max_chars=told.max_chars,
        threshold=told.threshold,
    )


def _archive(manifest: Manifest) -> ArchivePolicy:
    told = manifest.archive
    if told is None:
        return NO_ARCHIVE_POLICY
    return ArchivePolicy(
        max_slots=told.max_slots,
        max_bytes=told.max_bytes,
        min_importance=told.min_importance,
        half_life=duration_of(told.half_life_s),
    )


def _ranking(manifest: Manifest) -> dict[str, float]:
    if unknown := set(manifest.ranking) - set(WEIGHTS):
        raise PackageError(MANIFEST, f"ranking: has no weight {min(unknown)!a}")
    try:
        return {name: check_weight(value, f"ranking.{name}", name) for name, value in manifest.ranking.items()}
    except InvalidArgumentError as error:
        raise PackageError(MANIFEST, error.message) from error
