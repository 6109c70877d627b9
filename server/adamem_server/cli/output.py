"""How results look: for people, or as JSON with one object a line. Data goes to stdout, messages to stderr."""

import json
import shutil
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import datetime

    from adamem import (
        AdapterVersion,
        DeletionReceipt,
        DuplicatePair,
        Hit,
        Job,
        Namespace,
        PlannedSummary,
        QueryTimings,
        Slot,
        SlotDiff,
        SlotVersion,
        Snapshot,
    )
    from adamem._record import Record


def say(message: str) -> None:
    """A message to the person, on stderr."""
    click.echo(message, err=True)


def print_json(value: "Record | Mapping[str, Any]") -> None:
    """One line of JSON."""
    plain = value if isinstance(value, Mapping) else value.to_dict()
    click.echo(json.dumps(plain, ensure_ascii=False))


def print_fields(record: "Record | Mapping[str, Any]") -> None:
    """One field a line, those that are set, names aligned."""
    plain = record if isinstance(record, Mapping) else record.to_dict()
    shown = {name: value for name, value in plain.items() if value not in (None, "", [], {})}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"{name:<{width}}  {text}")


def print_hits(hits: Iterable["Hit"], *, explain: bool = False) -> None:
    """Score, id and what is known of each hit, its content below; and what the score is the sum of."""
    for rank, hit in enumerate(hits, 1):
        archived = "archived" if hit.slot.archived_at else ""
        tags = (f"#{tag}" for tag in hit.slot.tags)
        about = "  ".join(filter(None, (hit.slot.kind.value, archived, *_scope(hit.slot), *tags)))
        click.echo(click.style(f"{rank}. {hit.score:.4f}", bold=True) + f"  {hit.slot.id}  {about}")
        click.echo(_indented(hit.slot.content))
        if explain and hit.score_parts:
            parts = sorted(hit.score_parts.items(), key=lambda part: -abs(part[1]))
            click.echo("   = " + "  ".join(f"{name} {value:+.2f}" for name, value in parts))


def timings_line(n_hits: int, timings: "QueryTimings") -> str:
    """The server's times of a query, in milliseconds."""
    return (
        f"{n_hits} hit{'' if n_hits == 1 else 's'} in {timings.total_s * 1e3:.1f} ms"
        f" (embed {timings.embed_s * 1e3:.1f}, search {timings.search_s * 1e3:.1f})"
    )


def print_slot_line(slot: "Slot") -> None:
    """A slot on one line, cut to the terminal's width."""
    archived = "archived  " if slot.archived_at else ""
    _print_cut(f"{slot.id}  {_day(slot.created_at)}  {slot.kind.value:<10}  {archived}", slot.content)


def print_pair(pair: "DuplicatePair") -> None:
    """Two slots that are duplicates: how much they are alike, and each on one line, cut to the terminal's width."""
    click.echo(click.style(pair.match.value, bold=True) + f"  cosine {pair.similarity:.3f}")
    for slot_id, slot in ((pair.survivor_id, pair.survivor), (pair.duplicate_id, pair.duplicate)):
        if slot is None:
            click.echo(f"{slot_id}  (deleted)")
        else:
            print_slot_line(slot)


def print_planned(planned: "PlannedSummary") -> None:
    """A summary that would be written: of how many slots, in the place of which, what makes it, and its text."""
    of_them = f"of {len(planned.sources)} slots, {planned.made_by}"
    replaces = f", in the place of {', '.join(planned.replaces)}" if planned.replaces else ""
    click.echo(click.style(of_them, bold=True) + replaces)
    click.echo(_indented(planned.content))


def print_namespace_line(namespace: "Namespace") -> None:
    """A namespace on one line."""
    size = f"{namespace.n_slots:>10,} slots  {namespace.n_bytes / 1e6:>9.1f} MB"
    click.echo(f"{namespace.name:<32}{size}  dim {namespace.dim:<5} {namespace.model or 'external vectors'}")


def print_version_line(version: "AdapterVersion") -> None:
    """A version of an adapter on one line, with what it was found to do; the one that serves is marked."""
    mark = "*" if version.serving else " "
    quality = f"quality {version.baseline:.3f} to {version.candidate:.3f} on {version.n_judged} pairs unseen"
    click.echo(f"{mark} {version.version:>4}  {_day(version.created_at)}  {version.n_pairs:>5} pairs  {quality}")


def print_slot_version_line(version: "SlotVersion") -> None:
    """A version of a slot on one line, cut to the terminal's width: when it was valid, and what ended it."""
    validity = version.validity
    ended = "" if version.ending is None else f"{version.ending.value} {_time(validity.valid_to)}"
    by = f" by {validity.superseded_by}" if validity.superseded_by else ""
    _print_cut(f"{version.version:>4}  {_time(validity.valid_from)}  {ended + by:<31}  ", version.slot.content)


def print_snapshot_line(snapshot: "Snapshot") -> None:
    """A snapshot on one line."""
    click.echo(
        f"{snapshot.name:<32}  {_time(snapshot.created_at)}  {snapshot.n_slots:>10,} slots  {snapshot.description}"
    )


def print_diff_line(diff: "SlotDiff") -> None:
    """A slot that differs on one line, cut to the terminal's width: with the content that is, or was."""
    slot = diff.after or diff.before
    _print_cut(f"{diff.kind.value:<8}{diff.slot_id}  ", slot.content if slot else "")


def print_job_line(job: "Job") -> None:
    """A job on one line."""
    of_all = f" of {job.n_total:,}" if job.n_total else ""
    about = f"{job.n_done:,}{of_all} {job.unit}" if job.error is None else job.error.message
    created = job.created_at.strftime("%Y-%m-%d %H:%M:%S") if job.created_at else ""
    click.echo(f"{job.id}  {created}  {job.state.value:<9}  {job.kind:<12} {job.namespace:<24} {about}")


def print_receipt(receipt: "DeletionReceipt") -> None:
    """What a deletion left: records before and after in each structure, and whether bytes may remain."""
    width = max((len(each.name) for each in receipt.structures), default=0)
    for each in receipt.structures:
        if each.n_before or each.n_after:
            click.echo(f"{each.name:<{width}}  {each.n_before:>12,} -> {each.n_after:,}")
    if receipt.erased_at is None:
        say("bytes of it may remain on disk until their pages are used again; --erase overwrites them")
    else:
        say(
            f"erased at {receipt.erased_at.isoformat(timespec='seconds')}, {receipt.n_bytes_erased:,} bytes overwritten"
        )


def _print_cut(head: str, content: str) -> None:
    width = max(40, shutil.get_terminal_size((160, 24)).columns)
    line = head + " ".join(content.split())
    click.echo(line if len(line) <= width else line[: width - 1] + "…")


def _time(time: "datetime | None") -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S") if time else " " * 19


def _scope(slot: "Slot") -> list[str]:
    named = (("user", slot.user_id), ("agent", slot.agent_id), ("conversation", slot.conversation_id))
    return [f"{name}={value}" for name, value in named if value]


def _day(time: "datetime | None") -> str:
    return time.strftime("%Y-%m-%d") if time else " " * 10


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.splitlines())
