"""`adamem mcp`: memory for agents that speak the Model Context Protocol; `adamem mcp config` writes their settings."""

import shutil
import signal
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from adamem_server.cli.options import json_option, namespace_option, option
from adamem_server.cli.output import print_json, say
from adamem_server.cli.session import EXIT_FAILED, EXIT_USAGE, Session, pass_session, told
from adamem_server.mcp.hosts import HOSTS, claude_command, configuration, encoded, http_configuration

if TYPE_CHECKING:
    from socket import socket

_DEFAULT_ENDPOINT: Final = "localhost:50051"
_DEFAULT_PORT: Final = 8765


def _http_options(command: Any) -> Any:
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    for each in (
        option("--allow-insecure", is_flag=True, help="Serve beyond this machine without TLS, as behind a proxy."),
        option("--tls-key", type=file, help="HTTP: PEM file of the certificate's key."),
        option("--tls-cert", type=file, help="HTTP: PEM file of the certificate; speaks TLS."),
        option(
            "--allowed-host",
            multiple=True,
            metavar="NAME",
            help="HTTP: a name that hosts reach it by, beside those of this machine; may be repeated.",
        ),
        option("--token", metavar="TOKEN", help="HTTP: the bearer token of hosts; the API key unless given."),
        option("--port", type=click.IntRange(0, 65535), default=_DEFAULT_PORT, help="HTTP: 0 takes a free one."),
        option("--host", default="127.0.0.1", metavar="ADDRESS", help="HTTP: the address to listen on."),
    ):
        command = each(command)
    return command


@click.group("mcp", invoke_without_command=True)
@option("--user-id", default="", help="Read and write the memories of this person alone.")
@option("--agent-id", default="", help="Read and write the memories of this agent alone.")
@option("--read-only", is_flag=True, help="Only the tools that change nothing.")
@option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Serve this data directory itself, instead of asking a server that runs.",
)
@option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", help="How hosts reach it.")
@_http_options
@namespace_option
@pass_session
@click.pass_context
def mcp(context: click.Context, session: Session, /, **given: Any) -> None:
    """Give agents memory by the Model Context Protocol.

    Hosts start `adamem mcp` themselves (stdio), or reach it by URL (http). Namespace, user and agent are what is given
    here: no tool can choose others. `adamem mcp [OPTIONS] config HOST` prints a host's settings for these options.
    """
    if given["data_dir"] and session.endpoint:
        raise click.UsageError("--data-dir starts a server, --endpoint or MEMORY_ENDPOINT names one: give one of them")
    _check_scope(session, given)
    if context.invoked_subcommand is None:
        _run(session, given)


@mcp.command("config")
@click.argument("host", type=click.Choice(list(HOSTS)))
@json_option
@pass_session
@click.pass_context
def config(context: click.Context, session: Session, /, host: str) -> None:
    """Print the settings of a host for the options before `config`."""
    assert context.parent
    given = context.parent.params
    chosen = HOSTS[host]
    if given["transport"] == "http":
        if chosen.http_fields is None:
            raise click.UsageError(
                f"{chosen.title} takes no URL in its file: use stdio, or add it as a connector there"
            )
        scheme = "https" if given["tls_cert"] else "http"
        name = given["allowed_host"][0] if given["allowed_host"] else given["host"]
        url = f"{scheme}://{f'[{name}]' if ':' in name else name}:{given['port']}/mcp"
        _print(session, http_configuration(chosen, url, given["token"] or session.api_key or ""))
    else:
        command, arguments = _command()
        arguments += _arguments(session, given)
        environment = {"MEMORY_API_KEY": session.api_key} if session.api_key else {}
        _print(session, configuration(chosen, command, arguments, environment))
        if host == "claude-code":
            say(f"or for all projects: {claude_command(command, arguments, environment)}")
    say(f"goes into {chosen.file}")


def _print(session: Session, configured: dict[str, Any]) -> None:
    (print_json if session.as_json else lambda each: click.echo(encoded(each)))(configured)


def _command() -> tuple[str, list[str]]:
    """How a host starts this very command: hosts know neither our PATH nor our folder."""
    called = shutil.which(sys.argv[0])
    if called and Path(called).stem in ("adamem", "adapmem"):
        return str(Path(called).absolute()), []
    return sys.executable, ["-m", "adamem_server.cli"]


def _arguments(session: Session, given: dict[str, Any]) -> list[str]:
    files = {
        "--ca-cert": session.ca_cert,
        "--client-cert": session.client_cert,
        "--client-key": session.client_key,
        "--data-dir": given["data_dir"],
    }
    paths = {name: str(Path(path).absolute()) for name, path in files.items() if path}
    before = {"--endpoint": session.endpoint, "--namespace": session.namespace}
    before |= {name: path for name, path in paths.items() if name != "--data-dir"}
    after = {name: given[key] for name, key in (("--user-id", "user_id"), ("--agent-id", "agent_id"))}
    after["--data-dir"] = paths.get("--data-dir")
    words = [word for name, value in before.items() if value for word in (name, value)]
    words += ["mcp", *(word for name, value in after.items() if value for word in (name, value))]
    return [*words, "--read-only"] if given["read_only"] else words


def _run(session: Session, given: dict[str, Any]) -> None:
    if find_spec("mcp") is None:
        _end("needs the package mcp: pip install 'adamem-server[mcp]'", EXIT_FAILED)
    if given["transport"] == "http":
        _check_address(given, token=given["token"] or session.api_key)
    with _reached(session, given["data_dir"]) as reached:
        _serve(reached, given)


def _serve(session: Session, given: dict[str, Any]) -> None:
    """Serves until the host or a signal ends it."""
    import anyio

    import adamem
    from adamem_server.mcp import transports
    from adamem_server.mcp.memories import MemoryScope, ScopedMemories
    from adamem_server.mcp.server import MemoryServer

    scope = MemoryScope(session.namespace, given["user_id"], given["agent_id"])

    async def serve() -> None:
        async with adamem.AsyncClient(session.endpoint, **session.connection()) as client:
            memories = ScopedMemories(client, scope)
            endpoint = session.endpoint or _DEFAULT_ENDPOINT
            protocol = MemoryServer(memories, endpoint, read_only=given["read_only"]).protocol()
            if given["transport"] == "stdio":
                await transports.serve_stdio(protocol)
                return
            options = transports.HttpOptions(
                token=given["token"] or session.api_key or "",
                allowed_hosts=given["allowed_host"],
                tls_cert=given["tls_cert"],
                tls_key=given["tls_key"],
            )
            server = transports.http_server(transports.http_app(protocol, options), options)
            for number in (signal.SIGTERM, signal.SIGINT):
                # Also before it serves; then it raises them again, which must not skip what is closed here.
                signal.signal(number, server.handle_exit)
            with _listening(given["host"], given["port"]) as listener:
                click.echo(f"AdaMem serves MCP on {transports.url(listener, options)}, {scope}")
                await server.serve(sockets=[listener])

    try:
        anyio.run(serve)
    except adamem.InvalidArgumentError as error:
        _end(told(error), EXIT_USAGE)


def _listening(host: str, port: int) -> "socket":
    from adamem_server.mcp.transports import listening_socket

    try:
        return listening_socket(host, port)
    except OSError as error:
        _end(f"cannot listen on {host}:{port}: {error.strerror or error}", EXIT_FAILED)


@contextmanager
def _reached(session: Session, data_dir: Path | None) -> Iterator[Session]:
    """The session, for a server of our own where there is a data directory to serve."""
    if data_dir is None:
        yield session
        return
    from adamem_server import app
    from adamem_server.config import SettingsError, read_settings
    from adamem_server.errors import AdaMemError
    from adamem_server.telemetry.log import configure

    try:
        settings = read_settings({"data_dir": data_dir, "host": "127.0.0.1", "port": 0, "http": False})
        configure(settings.log_level, settings.log_format)
        server = app.build(settings)
    except SettingsError as error:
        _end("; ".join(error.problems), EXIT_USAGE)
    except AdaMemError as error:
        hint = "where a server has it already, leave out --data-dir and give --endpoint"
        _end(f"{error.message}; {hint}", EXIT_FAILED)
    server.start()
    try:
        # Its own server speaks no TLS.
        yield replace(session, endpoint=f"127.0.0.1:{server.port}", ca_cert=None, client_cert=None, client_key=None)
    finally:
        server.stop()


def _check_scope(session: Session, given: dict[str, Any]) -> None:
    """Refuse what would fail with each call, long after the host has started this."""
    from adamem_server.errors import InvalidArgumentError
    from adamem_server.rpc.checks import check_bytes, check_namespace
    from adamem_server.types import MAX_LABEL_BYTES

    try:
        if session.namespace:
            check_namespace(session.namespace, "--namespace")
        check_bytes(given["user_id"], "--user-id", MAX_LABEL_BYTES)
        check_bytes(given["agent_id"], "--agent-id", MAX_LABEL_BYTES)
    except InvalidArgumentError as error:
        raise click.UsageError(error.message) from error


def _check_address(given: dict[str, Any], *, token: str | None) -> None:
    """Refuse to serve beyond this machine to everyone or in the clear."""
    if (given["tls_cert"] is None) != (given["tls_key"] is None):
        raise click.UsageError("--tls-cert and --tls-key are given together")
    if given["tls_cert"] is not None:
        _check_pair(given["tls_cert"], given["tls_key"])
    if token and not (token.isascii() and token.isprintable()):
        raise click.UsageError("--token: holds characters that cannot be sent; tokens are printable ASCII")
    if _is_loopback(given["host"]):
        return
    missing = [] if token else ["--token"]
    if given["tls_cert"] is None and not given["allow_insecure"]:
        missing.append("--tls-cert and --tls-key (or --allow-insecure)")
    if not given["allowed_host"]:
        missing.append("--allowed-host")
    if missing:
        raise click.UsageError(f"to listen on {given['host']}, beyond this machine, also give {', '.join(missing)}")


def _check_pair(certificate: Path, key: Path) -> None:
    try:
        # A key that needs a password would be asked for in vain: there may be nobody.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError) as error:
        raise click.UsageError(f"--tls-key: {key} is no key of {certificate}: {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _end(problem: str, exit_code: int) -> NoReturn:
    say(f"adamem mcp: {problem}")
    raise click.exceptions.Exit(exit_code)
