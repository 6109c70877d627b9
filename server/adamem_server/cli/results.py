"""What a job that has ended did, in a line or a few that a person reads; `adamem job show` has the whole."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from adamem import Job

_Result: TypeAlias = Mapping[str, Any]


def result_lines(job: "Job") -> list[str]:
    """The result of a job that has succeeded."""
    told = _TOLD.get(job.kind)
    if told is not None:
        return [*told(job.result), f"job {job.id}"]
    plain = ", ".join(f"{name} {value}" for name, value in job.result.items())
    return [f"{job.kind} {job.state.value}" + (f": {plain}" if plain else ""), f"job {job.id}"]


def _archive(result: _Result) -> list[str]:
    would = "would archive" if result["dry_run"] else "archived"
    lines = [f"{would} {result['n_archived']:,} of {result['n_slots']:,} slots, {_size(result['archived_bytes'])}"]
    if not result["limits_met"]:
        lines.append(f"{result['n_pinned']:,} pinned slots leave the limits passed")
    return lines


def _clone(result: _Result) -> list[str]:
    return [f"made {result['namespace']} with {result['n_slots']:,} slots, {_size(result['n_bytes'])}"]


def _compact(result: _Result) -> list[str]:
    dead, memory = result["n_tombstones"], result["memory_bytes"]
    return [
        (
            f"deleted slots in the index: {dead['before']:,} before, {dead['after']:,} after;"
            f" memory {_size(memory['before'])} before, {_size(memory['after'])} after"
        )
    ]


def _compact_data(result: _Result) -> list[str]:
    size = result["data_bytes"]
    return [f"data file: {_size(size['before'])} before, {_size(size['after'])} after"]


def _consolidate(result: _Result) -> list[str]:
    n_summaries, n_replaced = result["n_summaries"], result["n_replaced"]
    lines = [
        (
            f"wrote {n_summaries:,} summaries of {result['n_slots']:,} slots looked at, in the place of {n_replaced:,}"
            f"; {result['n_left_out']:,} groups left out"
        )
    ]
    if result["n_fallbacks"]:
        problem = result["language_model_problem"]
        lines.append(f"{result['n_fallbacks']:,} of sentences, as the language model failed: {problem}")
    return lines


def _deduplicate(result: _Result) -> list[str]:
    would = "would merge" if result["dry_run"] else "merged"
    return [
        (
            f"{would} {result['n_duplicates']:,} of {result['n_slots']:,} slots"
            f" ({result['n_exact']:,} exact, {result['n_near']:,} near)"
        )
    ]


def _reembed(result: _Result) -> list[str]:
    former = result["former_model"]
    lines = [f"{result['n_slots']:,} slots have vectors of {result['model']}, dim {result['dim']}"]
    return [*lines, f"those of {former} are kept for {result['former_kept_s'] / 3600:.1f} hours"] if former else lines


def _restore_snapshot(result: _Result) -> list[str]:
    return [f"{result['n_added']:,} slots added, {result['n_changed']:,} changed, {result['n_removed']:,} removed"]


def _undo_deduplicate(result: _Result) -> list[str]:
    left_out = result["n_left_out"]
    return [f"brought {result['n_restored']:,} slots back" + (f", {left_out:,} left out" if left_out else "")]


def _verify(result: _Result) -> list[str]:
    return [f"{result['n_slots']:,} slots, {result['n_problems']:,} problems", *result["problems"]]


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"


_TOLD: Final[Mapping[str, Callable[[_Result], list[str]]]] = {
    "archive": _archive,
    "clone": _clone,
    "compact": _compact,
    "compact-data": _compact_data,
    "consolidate": _consolidate,
    "deduplicate": _deduplicate,
    "reembed": _reembed,
    "restore_snapshot": _restore_snapshot,
    "undo_deduplicate": _undo_deduplicate,
    "verify": _verify,
}
