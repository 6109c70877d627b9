"""`adamem job list | show | cancel | watch`, and how commands that start a job wait for its end."""

from itertools import islice
from typing import TYPE_CHECKING

import click

from adamem_server.cli.options import json_option, option
from adamem_server.cli.output import print_fields, print_job_line, print_json
from adamem_server.cli.progress import JobProgress
from adamem_server.cli.results import result_lines
from adamem_server.cli.session import Session, pass_session

if TYPE_CHECKING:
    from adamem import Client, Job

STATES = ("queued", "running", "succeeded", "failed", "cancelled")

wait_option = option("--wait/--no-wait", default=True, help="Wait for its end; else print the job and leave it to run.")


def finish(session: Session, client: "Client", job: "Job", *, wait: bool) -> None:
    """Wait for a job that a command has started, showing how far it is, and print what it did; else print its id."""
    if not wait:
        print_json(job) if session.as_json else click.echo(job.id)
        return
    follow(session, client, job)


def follow(session: Session, client: "Client", job: "Job | str") -> None:
    """Show how far a job is until it has ended, then print what it did; one that did not succeed ends with 1."""
    label = job if isinstance(job, str) else " ".join(filter(None, (job.kind, job.namespace)))
    with JobProgress(label) as progress:
        ended = client.jobs.wait(job, on_progress=progress.update)
    if session.as_json:
        print_json(ended)
    else:
        for line in result_lines(ended):
            click.echo(line)


@click.group()
def job() -> None:
    """List, show, watch and cancel long work of the server."""


@job.command("list")
@option("-n", "--namespace", default="", metavar="NAME", help="Of this namespace; of all unless given.")
@option("--kind", default="", help="Of this kind.")
@option("--state", multiple=True, type=click.Choice(STATES), help="In this state; may be repeated.")
@option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many; all unless given.")
@json_option
@pass_session
def list_(session: Session, namespace: str, kind: str, state: tuple[str, ...], limit: int | None) -> None:
    """List jobs, the newest first."""
    show_one = print_json if session.as_json else print_job_line
    with session.client() as client:
        for each in islice(client.jobs.list(namespace=namespace, kind=kind, states=state), limit):
            show_one(each)


@job.command()
@click.argument("job_id")
@json_option
@pass_session
def show(session: Session, job_id: str) -> None:
    """Show one job."""
    with session.client() as client:
        found = client.jobs.get(job_id)
    (print_json if session.as_json else print_fields)(found)


@job.command()
@click.argument("job_id")
@json_option
@pass_session
def cancel(session: Session, job_id: str) -> None:
    """Ask a job to stop; it leaves what it did."""
    with session.client() as client:
        asked = client.jobs.cancel(job_id)
    (print_json if session.as_json else print_job_line)(asked)


@job.command()
@click.argument("job_id")
@json_option
@pass_session
def watch(session: Session, job_id: str) -> None:
    """Show how far a job is until it has ended."""
    with session.client() as client:
        follow(session, client, job_id)
