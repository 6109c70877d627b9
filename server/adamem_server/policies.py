"""What a namespace does by itself: with duplicates that are written, and with slots that can be summed up."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class ScopeField(StrEnum):
    """What must agree between duplicates; `memory/duplicates.py` says how SOURCE and TIME do. NAMESPACE always does."""

    NAMESPACE = "namespace"
    USER_ID = "user_id"
    AGENT_ID = "agent_id"
    CONVERSATION_ID = "conversation_id"
    KIND = "kind"
    ROLE = "role"
    SOURCE = "source"
    TIME = "time"


DEFAULT_DUPLICATE_SCOPE: Final = tuple(field for field in ScopeField if field is not ScopeField.NAMESPACE)


class DuplicateAction(StrEnum):
    """What a write does with a duplicate of a stored slot: store it too, leave it out, or let the stored absorb it."""

    KEEP = "keep"
    SKIP = "skip"
    MERGE = "merge"


class RecalledAction(StrEnum):
    """What a write does with what a query returned a short while ago: store it with a mark, or leave it out."""

    MARK = "mark"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicatePolicy:
    """What a namespace does with duplicates. `threshold` is the least cosine of near ones."""

    on_duplicate: DuplicateAction = DuplicateAction.KEEP
    on_recalled: RecalledAction = RecalledAction.MARK
    threshold: float = 0.7
    scope: tuple[ScopeField, ...] = DEFAULT_DUPLICATE_SCOPE


NO_DUPLICATE_POLICY: Final = DuplicatePolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicatePolicyChange:
    """What to change of a policy; None keeps a value."""

    on_duplicate: DuplicateAction | None = None
    on_recalled: RecalledAction | None = None
    threshold: float | None = None
    scope: tuple[ScopeField, ...] | None = None

    def of(self, policy: DuplicatePolicy) -> DuplicatePolicy:
        """The policy after it."""
        names = ("on_duplicate", "on_recalled", "threshold", "scope")
        return replace(policy, **{name: value for name in names if (value := getattr(self, name)) is not None})


class ConsolidationMethod(StrEnum):
    """What writes summaries: sentences taken from the sources, or a language model, sentences where it fails."""

    AUTO = "auto"
    EXTRACTIVE = "extractive"
    LLM = "llm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidationPolicy:
    """When a namespace is consolidated by itself, and how.

    After `after_slots` new ones, or `every` microseconds when anything was changed; 0: not for that reason.
    `method` AUTO is the language model where the server has one. A summary has `max_chars` characters at most. Slots
    outside of conversations are summed up together from the cosine `threshold` on.
    """

    after_slots: int = 0
    every: int = 0
    method: ConsolidationMethod = ConsolidationMethod.AUTO
    max_chars: int = 1_000
    threshold: float = 0.5

    @property
    def is_scheduled(self) -> bool:
        """Whether it happens by itself."""
        return bool(self.after_slots or self.every)


NO_CONSOLIDATION: Final = ConsolidationPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidationPolicyChange:
    """What to change of a policy; None keeps a value."""

    after_slots: int | None = None
    every: int | None = None
    method: ConsolidationMethod | None = None
    max_chars: int | None = None
    threshold: float | None = None

    def of(self, policy: ConsolidationPolicy) -> ConsolidationPolicy:
        """The policy after it."""
        names = ("after_slots", "every", "method", "max_chars", "threshold")
        return replace(policy, **{name: value for name in names if (value := getattr(self, name)) is not None})
