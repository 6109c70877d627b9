"""`adamem serve`: read the settings, build the server, serve until a signal."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from adamem_server import __version__
from adamem_server.config import Settings, SettingsError, bounds_text, default_text, read_settings, variable
from adamem_server.errors import AdaMemError
from adamem_server.telemetry.log import configure

# The settings that are options too, with the option's name.
_OPTIONS: Final = {
    "host": "--host",
    "port": "--port",
    "http_port": "--http-port",
    "data_dir": "--data-dir",
    "embed_model": "--model",
    "models_dir": "--models-dir",
    "durability": "--durability",
    "memory_budget_bytes": "--memory-budget-bytes",
    "log_level": "--log-level",
    "log_format": "--log-format",
}

# A thread that waits for the interpreter takes it from the one that holds it after so long: Python's own 5 ms are the
# time of several queries.
_SWITCH_INTERVAL_S: Final = 0.0005


def _setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each of `_OPTIONS`, checked by Settings, so that they have one set of rules."""
    for name, option in reversed(_OPTIONS.items()):
        bounds = bounds_text(name).replace("`", "")
        default = default_text(name)
        note = "; ".join(part for part in (variable(name), f"default {default}" if default else "", bounds) if part)
        text = f"{Settings.model_fields[name].description}  [{note}]".replace("`", "")
        command = click.option(option, name, metavar="VALUE", allow_from_autoenv=False, help=text)(command)
    return command


def _epilog() -> str:
    rest = "\n".join(f"{variable(name)}: {f.description}" for name, f in Settings.model_fields.items())
    return f"\b\nSettings, as environment variables; options override them:\n{rest}".replace("`", "")


@click.command(epilog=_epilog())
@_setting_options
@click.option(
    "--allow-insecure", is_flag=True, default=None, allow_from_autoenv=False, help="See ADAMEM_ALLOW_INSECURE."
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    allow_from_autoenv=False,
    help="Write a JSON object with port, http_port and pid here, in one step, once the server answers.",
)
def serve(ready_file: Path | None, **options: Any) -> None:
    """Run the server until SIGTERM or SIGINT."""
    try:
        settings = read_settings(options)
    except SettingsError as error:
        for problem in error.problems:
            click.echo(f"adamem serve: {problem}", err=True)
        sys.exit(2)
    configure(settings.log_level, settings.log_format)
    from adamem_server import app

    try:
        server = app.build(settings)
    except AdaMemError as error:
        click.echo(f"adamem serve: {error.message}", err=True)
        sys.exit(1)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # Before anybody can be told that it serves: who stops it then has it stop in order.
    wait_for_signal = app.catch_signals()
    server.start()
    where = f"[{settings.host}]" if ":" in settings.host else settings.host
    model = server.model
    http = "" if server.http_port is None else f" and HTTP on {where}:{server.http_port}"
    click.echo(
        f"AdaMem {__version__} serves gRPC on {where}:{server.port}{http}, encoder {model.name} ({model.dim}"
        f" dimensions), data in {settings.data_dir.absolute()}"
    )
    try:
        if ready_file is not None:
            _write_ready_file(ready_file, server.port, server.http_port)
    except OSError as error:
        click.echo(f"adamem serve: cannot write {ready_file}: {error.strerror}", err=True)
        server.stop()
        sys.exit(1)
    wait_for_signal()
    server.stop()
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


def _write_ready_file(path: Path, port: int, http_port: int | None) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps({"port": port, "http_port": http_port, "pid": os.getpid()}) + "\n")
    part.replace(path)
