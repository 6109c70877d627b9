"""`adamem version`."""

import click

from adamem_server import __version__
from adamem_server.cli.options import json_option
from adamem_server.cli.output import print_fields, print_json
from adamem_server.cli.session import Session, pass_session

REACH_TIMEOUT_S = 2.0


@click.command()
@json_option
@pass_session
def version(session: Session) -> None:
    """Show the versions of this command and of the server, if one is reached."""
    import adamem

    shown: dict[str, str | None] = {"adamem": __version__, "client": adamem.__version__, "server": None}
    with session.client() as client:
        try:
            server = client.server_info(timeout_s=REACH_TIMEOUT_S)
            shown |= {"server": server.version, "model": server.model, "simd": server.simd}
        except adamem.AdaMemError as error:
            shown |= {"server_error": error.reason}
    (print_json if session.as_json else print_fields)(shown)
