"""`adamem model list | pull`: encoders on this machine. They need no server."""

from pathlib import Path

import click

from adamem_server.cli.options import option

models_dir_option = option(
    "--models-dir", type=click.Path(file_okay=False, path_type=Path), help="Where downloaded encoders are kept."
)


@click.group()
def model() -> None:
    """List encoders and download them ahead."""
