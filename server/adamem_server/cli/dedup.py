"""`adamem dedup [NAME]`, `adamem dedup undo | list`."""

from itertools import islice
from typing import TYPE_CHECKING

import click

from adamem_server.cli.job import finish, wait_option
from adamem_server.cli.options import json_option, namespace_option, option, scope_option
from adamem_server.cli.output import print_json, print_pair, say
from adamem_server.cli.progress import JobProgress
from adamem_server.cli.session import Session, pass_session

if TYPE_CHECKING:
    from adamem import Client, Job


class _RunFirst(click.Group):
    """A group whose first command needs no name: `dedup team-blue` is `dedup run team-blue`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the name in where it is left out."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunFirst)
def dedup() -> None:
    """Merge the duplicates of a namespace, list what would be merged, and undo it."""


@dedup.command()
@click.argument("name", required=False)
@option("--dry-run", is_flag=True, help="Change nothing; print what would be merged.")
@option("--exact-only", is_flag=True, help="Leave near duplicates alone.")
@option("--threshold", type=float, metavar="0..1", help="Least cosine of near ones; the namespace's unless given.")
@scope_option
@wait_option
@json_option
@pass_session
def run(
    session: Session,
    name: str | None,
    dry_run: bool,
    exact_only: bool,
    threshold: float | None,
    duplicate_scope: tuple[str, ...],
    wait: bool,
) -> None:
    """Merge the duplicates of namespace NAME; of the default one where it is left out."""
    with session.client() as client:
        job = client.duplicates.merge(
            name, dry_run=dry_run, exact_only=exact_only, threshold=threshold, scope=duplicate_scope
        )
        if dry_run and wait:
            _print_found(session, client, job)
        else:
            finish(session, client, job, wait=wait)


@dedup.command()
@click.argument("job_or_slot_id")
@wait_option
@namespace_option
@json_option
@pass_session
def undo(session: Session, job_or_slot_id: str, wait: bool) -> None:
    """Bring back all that a job merged, or all that a slot absorbed."""
    with session.client() as client:
        import adamem

        try:
            job = client.duplicates.undo(job_id=job_or_slot_id)
        except adamem.JobNotFoundError:
            job = client.duplicates.undo(slot_id=job_or_slot_id)
        finish(session, client, job, wait=wait)


@dedup.command("list")
@click.argument("job_id")
@option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many; all unless given.")
@namespace_option
@json_option
@pass_session
def list_(session: Session, job_id: str, limit: int | None) -> None:
    """List what a job merged, or would have merged in a dry run."""
    with session.client() as client:
        for pair in islice(client.duplicates.pairs(job_id), limit):
            (print_json if session.as_json else print_pair)(pair)


def _print_found(session: Session, client: "Client", job: "Job") -> None:
    with JobProgress(" ".join(filter(None, (job.kind, job.namespace)))) as progress:
        ended = client.jobs.wait(job, on_progress=progress.update)
    for pair in client.duplicates.pairs(job.id, namespace=job.namespace):
        (print_json if session.as_json else print_pair)(pair)
    found = ended.result
    say(
        f"would merge {found['n_duplicates']:,} of {found['n_slots']:,} slots"
        f" ({found['n_exact']:,} exact, {found['n_near']:,} near); job {job.id}"
    )
