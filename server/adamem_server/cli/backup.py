"""`adamem backup | verify | restore | compact`: the data of the whole server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adamem_server.cli.job import finish, wait_option
from adamem_server.cli.options import json_option, option
from adamem_server.cli.output import print_fields, print_json, say
from adamem_server.cli.progress import Progress
from adamem_server.cli.session import EXIT_FAILED, Failure, Session, pass_session
from adamem_server.errors import AdaMemError

if TYPE_CHECKING:
    from adamem_server.store.manifest import Manifest

_SOURCE = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("dest", type=click.Path(path_type=Path))
@option("--single-file", is_flag=True, help="Write one file; else a folder.")
@json_option
@pass_session
def backup(session: Session, dest: Path, single_file: bool) -> None:
    """Copy the whole server to DEST, which must not exist, while it runs; it may run elsewhere."""
    try:
        with session.client() as client, Progress("backup", 0) as progress:
            result = client.backups.save(
                dest,
                single_file=single_file,
                on_progress=lambda n_done, n_total: progress.update(n_bytes=n_done, total_bytes=n_total),
            )
            progress.update(n_bytes=result.n_bytes, total_bytes=result.n_bytes)
    except OSError as error:
        raise click.ClickException(f"cannot write {dest}: {error.strerror}") from error
    (print_json if session.as_json else print_fields)(result)


@click.command()
@click.argument("source", type=_SOURCE)
@json_option
@pass_session
def verify(session: Session, source: Path) -> None:
    """Check that the backup SOURCE is whole: its checksums, every record, and what the manifest counts."""
    from adamem_server.store.backup import verify_backup

    with _told(session), Progress("verify", 0) as progress:
        manifest, n_records = verify_backup(source, progress.tell)
    _print(session, manifest, n_records)


@click.command()
@click.argument("source", type=_SOURCE)
@option("--data-dir", required=True, type=click.Path(path_type=Path), help="Made of it; missing or empty.")
@option("--force", is_flag=True, help="Replace the data in it, once the backup has proved to be whole.")
@json_option
@pass_session
def restore(session: Session, source: Path, data_dir: Path, force: bool) -> None:
    """Make a data directory of the backup SOURCE, for `adamem serve --data-dir`."""
    from adamem_server.store.backup import restore_backup

    with _told(session), Progress("restore", 0) as progress:
        manifest, n_records = restore_backup(source, data_dir, force=force, progress=progress.tell)
    if not session.as_json:
        say(f"restored into {data_dir.absolute()}")
    _print(session, manifest, n_records)


@click.command()
@wait_option
@json_option
@pass_session
def compact(session: Session, wait: bool) -> None:
    """Write the server's data file anew, without the pages that deletions freed; writes wait meanwhile."""
    with session.client() as client:
        finish(session, client, client.lifecycle.compact_data(), wait=wait)


@contextmanager
def _told(session: Session) -> Iterator[None]:
    try:
        yield
    except AdaMemError as error:
        raise Failure(error, as_json=session.as_json, exit_code=EXIT_FAILED) from error


def _print(session: Session, manifest: "Manifest", n_records: int) -> None:
    shown = {
        "created_at": manifest.created_at,
        "server_version": manifest.server_version,
        "model": manifest.model,
        "n_namespaces": len(manifest.contents.namespaces),
        "n_slots": manifest.n_slots,
        "n_records": n_records,
        "n_bytes": manifest.data.n_bytes,
        "sha256": manifest.data.sha256,
    }
    (print_json if session.as_json else print_fields)(shown)
