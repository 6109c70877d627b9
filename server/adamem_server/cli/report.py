"""`adamem report [NAME]`."""

import click

from adamem_server.cli.job import wait_option
from adamem_server.cli.options import json_option, option, stale_days_option
from adamem_server.cli.output import print_json
from adamem_server.cli.progress import JobProgress
from adamem_server.cli.session import Session, pass_session


@click.command()
@click.argument("name", required=False)
@stale_days_option
@option("--examples", type=int, default=0, metavar="N", help="Show so many slots of each finding, by their ids.")
@wait_option
@json_option
@pass_session
def report(session: Session, name: str | None, stale_days: int | None, examples: int, wait: bool) -> None:
    """Look for what is wrong with namespace NAME, or too much of it, and tell which command mends what.

    Duplicates, recall loops, stale slots, secrets, vectors of another model, sizes. Changes nothing.
    """
    with session.client() as client:
        job = client.lifecycle.start_report(name, stale_days=stale_days, n_examples=examples)
        if not wait:
            print_json(job) if session.as_json else click.echo(job.id)
            return
        with JobProgress(" ".join(filter(None, (job.kind, job.namespace)))) as progress:
            ended = client.jobs.wait(job, on_progress=progress.update)
        found = client.lifecycle.get_report(ended)
    print_json(found) if session.as_json else click.echo(str(found))
