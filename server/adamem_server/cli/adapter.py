"""`adamem feedback` and `adamem adapter show | versions | train | rollback | on | off`."""

import click

from adamem_server.cli.options import json_option, namespace_option, option
from adamem_server.cli.output import print_fields, print_json, print_version_line, say
from adamem_server.cli.session import Session, pass_session


@click.command()
@click.argument("query")
@option("--helped", multiple=True, metavar="ID", help="A slot that answers QUERY; may be repeated.")
@option("--unhelpful", multiple=True, metavar="ID", help="A slot that was found and does not; may be repeated.")
@option("--request-id", metavar="ID", help="Makes the command repeatable for 24 hours.")
@namespace_option
@json_option
@pass_session
def feedback(
    session: Session, query: str, helped: tuple[str, ...], unhelpful: tuple[str, ...], request_id: str | None
) -> None:
    """Tell which slots helped with QUERY and which did not."""
    with session.client() as client:
        result = client.feedback(query, helped=helped, unhelpful=unhelpful, request_id=request_id)
    if session.as_json:
        print_json(result)
    else:
        unknown = f", {result.n_not_found} unknown" if result.n_not_found else ""
        say(f"taught {result.n_taught} slot(s){unknown}")


@click.group()
def adapter() -> None:
    """Show, train and choose what a namespace has learned from feedback and cues."""


@adapter.command()
@click.argument("name", required=False)
@namespace_option
@json_option
@pass_session
def show(session: Session, name: str | None) -> None:
    """Show what namespace NAME has learned and which version serves; the default one where NAME is left out."""
    with session.client() as client:
        status = client.get_adapter(namespace=name)
    (print_json if session.as_json else print_fields)(status)


@adapter.command()
@click.argument("name", required=False)
@namespace_option
@json_option
@pass_session
def versions(session: Session, name: str | None) -> None:
    """List the versions that are kept, oldest first."""
    with session.client() as client:
        found = client.list_adapter_versions(namespace=name)
    for each in found:
        (print_json if session.as_json else print_version_line)(each)


@adapter.command()
@click.argument("name", required=False)
@option("--wait/--no-wait", default=True, help="Wait for its end.")
@namespace_option
@json_option
@pass_session
def train(session: Session, name: str | None, wait: bool) -> None:
    """Start a training now."""
    with session.client() as client:
        status = client.train_adapter(namespace=name, wait=wait)
    (print_json if session.as_json else print_fields)(status)


@adapter.command()
@click.argument("version", type=click.IntRange(min=0))
@namespace_option
@json_option
@pass_session
def rollback(session: Session, version: int) -> None:
    """Make VERSION serve; 0: none."""
    with session.client() as client:
        status = client.rollback_adapter(version)
    (print_json if session.as_json else print_fields)(status)


@adapter.command()
@click.argument("name", required=False)
@namespace_option
@json_option
@pass_session
def on(session: Session, name: str | None) -> None:
    """Let queries use what was learned, and trainings start by themselves."""
    _enable(session, name, True)


@adapter.command()
@click.argument("name", required=False)
@namespace_option
@json_option
@pass_session
def off(session: Session, name: str | None) -> None:
    """Let queries go by the encoder alone; nothing that was learned is lost."""
    _enable(session, name, False)


def _enable(session: Session, name: str | None, enabled: bool) -> None:
    with session.client() as client:
        status = client.get_adapter(namespace=name)
        changed = client.update_namespace(status.namespace, adapter_enabled=enabled)
    if session.as_json:
        print_json({"name": changed.name, "adapter_enabled": changed.adapter_enabled})
    else:
        say(f"the adapter of {changed.name} is {'on' if changed.adapter_enabled else 'off'}")
