"""Which encoder embeds the texts of a namespace: the one that made its vectors, where that is at hand."""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.encoders import Encoders
from adamem_server.errors import FailedPreconditionError, GenerationChangedError, ModelMismatchError
from adamem_server.memory.shard import checked_params
from adamem_server.types import Namespace, NamespaceSpec

_MAX_ANEW: Final = 1_000
_ANEW_S: Final = 0.002

_T = TypeVar("_T")


def anew(work: Callable[[], _T]) -> _T:
    """What `work` returns; it is done again where a namespace is embedded by another model since it was read."""
    for _ in range(_MAX_ANEW):
        try:
            return work()
        except GenerationChangedError:
            # The shards follow the store in an instant.
            time.sleep(_ANEW_S)
    return work()


class Models:
    """The encoders of namespaces. Thread-safe."""

    def __init__(self, encoders: Encoders) -> None:
        self.serving: Final = encoders.serving
        self._encoders = encoders

    def find(self, namespace: Namespace) -> EmbedBatcher | None:
        """The encoder of a namespace; None where clients supply its vectors, or it is not on this machine."""
        return self._encoders.of(namespace.model, namespace.model_fingerprint) if namespace.model else None

    def of(self, namespace: Namespace) -> EmbedBatcher:
        """The same.

        Raises:
            ModelMismatchError: There is none.
        """
        found = self.find(namespace)
        if found is None:
            raise self.mismatch(namespace)
        return found

    def of_all(self, namespaces: Sequence[Namespace]) -> EmbedBatcher:
        """The one encoder of namespaces that are queried together.

        Raises:
            ModelMismatchError: There is none.
            FailedPreconditionError: There are several.
        """
        found = {self.of(namespace).info.fingerprint: self.of(namespace) for namespace in namespaces}
        if len(found) > 1:
            raise FailedPreconditionError(
                "namespaces: different models have embedded them, so their scores cannot be compared: query each alone,"
                " or embed them anew with one (`adamem namespace reembed`)"
            )
        return next(iter(found.values()))

    def of_documents(self, namespace: Namespace) -> EmbedBatcher:
        """The encoder of a namespace, or any where it has none: then all vectors are supplied, and no text is left."""
        return self.find(namespace) or self.serving

    def mismatch(self, namespace: Namespace) -> ModelMismatchError:
        """What is said of a text that cannot be embedded."""
        return ModelMismatchError(namespace.name, namespace.model, self.serving.info.name)

    def planned(self, spec: NamespaceSpec, now: int) -> Namespace:
        """The namespace that a specification describes, with the number 0: it does not exist yet."""
        model = self.serving.info
        external = spec.external_vectors or (spec.dim not in (0, model.dim))
        dim = spec.dim or model.dim
        params = checked_params(dim, spec.index_params, spec.index_kind)
        return Namespace(
            number=0,
            name=spec.name,
            description=spec.description,
            dim=dim,
            metric=spec.metric,
            index_kind=spec.index_kind,
            index_params=params,
            vector_type=spec.vector_type,
            model="" if external else model.name,
            model_fingerprint="" if external else model.fingerprint,
            created_at=now,
            duplicates=spec.duplicates,
            default_ttl=spec.default_ttl,
            history_versions=spec.history_versions,
            supersede=spec.supersede,
            consolidation=spec.consolidation,
            archive=spec.archive,
        )
