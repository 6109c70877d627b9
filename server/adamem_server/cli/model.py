"""`adamem model list | pull`: encoders on this machine. They need no server."""

from pathlib import Path

import click

from adamem_server.cli.options import json_option, option
from adamem_server.cli.output import print_json, say
from adamem_server.cli.session import EXIT_FAILED, Failure, Session, pass_session
from adamem_server.config import default_text, variable
from adamem_server.errors import AdaMemError

models_dir_option = option(
    "--models-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=variable("models_dir"),
    default=default_text("models_dir"),
    help="Folder of downloaded encoders, the same as the server's.",
)


@click.group()
def model() -> None:
    """List encoders and download them ahead."""


@model.command("list")
@models_dir_option
@json_option
@pass_session
def list_(session: Session, models_dir: Path) -> None:
    """List the encoders that can be used without a network."""
    from adamem_server.embed.catalog import list_models

    for entry in list_models(models_dir.expanduser()):
        if session.as_json:
            print_json({"name": entry.name, "path": str(entry.path), "bundled": entry.bundled})
        else:
            click.echo(f"{entry.name:<40}  {'bundled' if entry.bundled else entry.path}")


@model.command()
@click.argument("hub_id")
@models_dir_option
@json_option
@pass_session
def pull(session: Session, hub_id: str, models_dir: Path) -> None:
    """Download HUB_ID, such as intfloat/multilingual-e5-base, for machines without a network."""
    from adamem_server.embed.catalog import pull_model

    try:
        path = pull_model(hub_id, models_dir.expanduser(), progress=_tell)
    except AdaMemError as error:
        raise Failure(error, as_json=session.as_json, exit_code=EXIT_FAILED) from error
    if session.as_json:
        print_json({"name": hub_id, "path": str(path)})
    else:
        click.echo(path)


def _tell(file: str, n_done: int, n_files: int) -> None:
    say(f"[{n_done + 1}/{n_files}] {file}" if n_done < n_files else "checking it")
