"""What is said of consolidation; `adamem.types` has these names too."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from adamem._record import Record


class ConsolidationMethod(StrEnum):
    """What writes summaries."""

    AUTO = "auto"
    """The language model where the server has one, else sentences."""
    EXTRACTIVE = "extractive"
    """Sentences of the sources, as they are."""
    LLM = "llm"
    """The server's language model; sentences where it fails."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class ConsolidationPolicy(Record):
    """When a namespace is consolidated by itself, and how whenever it is. What is None stays as it is.

    Attributes:
        after_slots: After so many new slots; 0 (of a new namespace): not for that reason.
        every_s: After so many seconds, if anything was changed; 0 (of a new namespace): not for that reason.
        method: auto (of a new namespace), extractive or llm.
        max_chars: Most characters of a summary, 100..10000; of a new namespace 1000.
        threshold: Least cosine, 0..1, of a slot that is in no conversation to the mean of those that it is summed up
            with; of a new namespace 0.5.
    """

    after_slots: int | None = None
    every_s: float | None = None
    method: ConsolidationMethod | str | None = None
    max_chars: int | None = None
    threshold: float | None = None


ConsolidationPolicyLike: TypeAlias = ConsolidationPolicy | Mapping[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class PlannedSummary(Record):
    """A summary that a consolidation would write now.

    Attributes:
        content: Its text.
        made_by: "extractive", or the name of the language model.
        sources: The ids of the slots that it sums up, in the order of time.
        replaces: The ids of the summaries whose place it takes.
        problem: Why the language model did not write it. "": it did, or was not to.
    """

    content: str
    made_by: str
    sources: tuple[str, ...]
    replaces: tuple[str, ...]
    problem: str
