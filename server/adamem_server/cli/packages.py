"""`adamem export | import` and `adamem package show | verify | keygen`: namespaces as files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, Self

import click

from adamem_server.cli.foreign import FOREIGN, recognised
from adamem_server.cli.ingest import store
from adamem_server.cli.options import json_option, option
from adamem_server.cli.output import print_fields, print_json, say
from adamem_server.cli.progress import Progress
from adamem_server.cli.session import EXIT_FAILED, Failure, Session, pass_session
from adamem_server.cli.sources import Reading, Source
from adamem_server.cli.splitting import DEFAULT_MAX_CHARS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from adamem import ImportResult, PackageProgress
    from adamem_server.packages.reader import Package

PACKAGE: Final = "package"
JSONL: Final = "jsonl"
_ZIP_MAGIC: Final = b"PK\x03\x04"
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_BYTES: Final = frozenset({"receive", "send"})


class PrivateKey(click.ParamType["Ed25519PrivateKey"]):
    """A PEM file with an Ed25519 private key."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Ed25519PrivateKey":
        """The key."""
        from adamem_server.packages.signature import KeyFileError, read_private_key

        try:
            return read_private_key(Path(value))
        except (OSError, KeyFileError) as error:
            self.fail(str(error), param, ctx)


class PublicKey(click.ParamType[bytes]):
    """A PEM file with an Ed25519 public key."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Its 32 bytes."""
        from adamem_server.packages.signature import KeyFileError, read_public_key

        try:
            return value if isinstance(value, bytes) else read_public_key(Path(value))
        except (OSError, KeyFileError) as error:
            self.fail(str(error), param, ctx)


verify_option = option("--verify-key", type=PublicKey(), metavar="FILE", help="Public key that must have signed it.")


@click.command("export")
@click.argument("namespace")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@option("--author", default="", help="Who makes the package.")
@option("--license", default="", help="Of its contents, such as CC-BY-4.0.")
@option("--description", help="Free text; the namespace's unless given.")
@option("--tag", multiple=True, metavar="TAG", help="A label of the package; may be repeated.")
@option("--sign", type=PrivateKey(), metavar="FILE", help="Private key to sign it with; see `adamem package keygen`.")
@json_option
@pass_session
def export(
    session: Session,
    /,
    namespace: str,
    file: Path,
    tag: tuple[str, ...],
    sign: "Ed25519PrivateKey | None",
    **about: Any,
) -> None:
    """Write NAMESPACE, as it is at one moment, into the package FILE: a zip that can be read without AdaMem."""
    # A name of its own: another export to the same file may be under way.
    partial = file.with_name(f".{file.name}.{token_hex(4)}.partial")
    try:
        with session.client() as client, partial.open("xb") as target, _Stages("export") as stages:
            client.packages.export_namespace(target, namespace=namespace, tags=tag, on_progress=stages.tell, **about)
        if sign is not None:
            _sign(partial, sign)
        with _opened(session, partial, None) as package:
            described = _described(package)
        # On the disk before it takes the name, so that a crash leaves the old file or the whole new one.
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(file)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    _show(session, described, f"wrote {described['n_slots']:,} slots, {described['n_bytes'] / 1e6:.1f} MB, to {file}")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@option("--as", metavar="NAME", help="Namespace to import into; the package's own name unless given.")
@option("--merge", is_flag=True, help="Into a namespace that exists: of two slots, the newer one stays.")
@option("--replace", is_flag=True, help="In place of a namespace that exists.")
@option("--keep-vectors", is_flag=True, help="Refuse a package of another encoder instead of embedding it anew.")
@verify_option
@option("--format", type=click.Choice([PACKAGE, JSONL, *FOREIGN]), help="What FILE is; told by itself unless given.")
@json_option
@pass_session
def import_(
    session: Session,
    /,
    file: Path,
    merge: bool,
    replace: bool,
    format: str | None,  # noqa: A002 - the option's name
    **options: Any,
) -> None:
    """Import the package FILE, or what another memory system left there.

    Packages are checked to the last byte before anything of them can be seen. JSONL of texts or slots, a Chroma folder
    or dump, mem0's get_all() or history, and a LangGraph store's items are stored as slots; what has no place there is
    counted.
    """
    if merge and replace:
        raise click.UsageError("--merge or --replace, not both")
    namespace = options.pop("as")
    form = format or _form_of(file)
    if form == PACKAGE:
        if file.is_dir():
            raise click.UsageError(f"{file} is a folder, and a package is a file")
        mode = "merge" if merge else "replace" if replace else "create"
        with session.client() as client, _Stages("import") as stages:
            result = client.packages.import_namespace(
                file, namespace=namespace, mode=mode, on_progress=stages.tell, **options
            )
        _show(session, result.to_dict(), _told(result))
        return
    if merge or replace or any(options.values()):
        raise click.UsageError(f"--merge, --replace, --keep-vectors and --verify-key are for packages, not for {form}")
    session.namespace = namespace or session.namespace
    reading = Reading(max_chars=DEFAULT_MAX_CHARS, by_lines=False, fields={})
    store(session, [Source(file.as_posix(), form, file)], reading)


@click.group("package")
def package_group() -> None:
    """Show and check packages, and make keys to sign them."""


@package_group.command()
@click.argument("file", type=_FILE)
@json_option
@pass_session
def show(session: Session, file: Path) -> None:
    """Show what the package FILE says of itself, once its checksums hold."""
    with _opened(session, file, None) as package:
        described = _described(package)
    (print_json if session.as_json else print_fields)(described)


@package_group.command()
@click.argument("file", type=_FILE)
@verify_option
@json_option
@pass_session
def verify(session: Session, file: Path, verify_key: bytes | None) -> None:
    """Check the package FILE to its last byte, as an import would."""
    from adamem_server.packages.slots import SlotLimits

    with _opened(session, file, verify_key) as package, Progress("verify", 0, "slots") as progress:
        n_slots = 0
        for found in package.slots(SlotLimits()):
            n_slots += len(found.lines)
            progress.update(n_done=n_slots)
        for _ in package.pairs(SlotLimits()):
            pass
        described = _described(package)
    signed = f", signed by {described['signed_by']}" if described["signed_by"] else ", not signed"
    _show(session, described, f"{file} is sound: {n_slots:,} slots{signed}")


@package_group.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@pass_session
def keygen(session: Session, file: Path) -> None:
    """Make an Ed25519 key: the private one in FILE, readable by you alone, the public one in FILE.pub."""
    from adamem_server.packages.signature import generate_key

    try:
        public_key = generate_key(file).hex()
    except OSError as error:
        raise click.ClickException(
            f"no key is made: {error.strerror or 'there is a file at'} {error.filename or error}"
        ) from error
    _show(
        session,
        {"private_key": str(file), "public_key": f"{file}.pub", "id": public_key},
        f"wrote {file} and {file}.pub",
    )


class _Stages:
    """Progress through the stages of a package, one after the other."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._stage = ""
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    def tell(self, told: "PackageProgress") -> None:
        """Show how far it is."""
        of_bytes = told.stage in _BYTES
        if told.stage != self._stage:
            self._end()
            self._stage = told.stage
            self._progress = Progress(
                f"{self._label}: {told.stage}", told.n_total if of_bytes else 0, "" if of_bytes else "slots"
            )
            self._progress.__enter__()
        if self._progress is not None:
            self._progress.update(n_bytes=told.n_done) if of_bytes else self._progress.update(n_done=told.n_done)

    def _end(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None


def _form_of(file: Path) -> str:
    """What a file is."""
    if file.is_file():
        with file.open("rb") as opened:
            if opened.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC:
                return PACKAGE
        if file.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
            return JSONL
    found = recognised(file)
    if found is None:
        raise click.UsageError(f"cannot tell what {file} is: say so with --format")
    return found


def _sign(path: Path, key: "Ed25519PrivateKey") -> None:
    from adamem_server.packages.archive import append_member, read_member
    from adamem_server.packages.manifest import MANIFEST, SIGNATURE
    from adamem_server.packages.signature import sign

    append_member(path, SIGNATURE, sign(read_member(path, MANIFEST), key))


@contextmanager
def _opened(session: Session, file: Path, verify_key: bytes | None) -> "Iterator[Package]":
    """A package of this machine; what is wrong with it ends the command."""
    from adamem_server.errors import AdaMemError
    from adamem_server.packages.reader import Package

    try:
        with Package.open(file, verify_key=verify_key) as package:
            yield package
    except AdaMemError as error:
        raise Failure(error, as_json=session.as_json, exit_code=EXIT_FAILED) from error


def _described(package: "Package") -> dict[str, Any]:
    manifest = package.manifest
    return {
        "name": manifest.name,
        "description": manifest.description,
        "author": manifest.author,
        "license": manifest.license,
        "tags": list(manifest.tags),
        "n_slots": manifest.n_slots,
        "n_cue_vectors": manifest.n_cue_vectors,
        "n_pairs": manifest.learned.n_pairs,
        "adapter_version": 0 if manifest.adapter is None else manifest.adapter.version,
        "model": manifest.model.name,
        "model_fingerprint": manifest.model.fingerprint,
        "dim": manifest.dim,
        "metric": manifest.metric.value,
        "vector_type": manifest.vector_type.value,
        "index_kind": manifest.index.kind.value,
        "format_version": manifest.format_version,
        "package_id": manifest.package_id,
        "exported_at": manifest.exported_at.isoformat(),
        "exported_by": manifest.exported_by,
        "n_bytes": package.n_bytes,
        "signed_by": "" if package.signed_by is None else package.signed_by.hex(),
        "members": {name: member.sha256 for name, member in manifest.members.items()},
    }


def _told(result: "ImportResult") -> str:
    counts = [f"{result.n_created:,} slots are new"]
    if result.n_replaced or result.n_kept:
        counts += [f"{result.n_replaced:,} replaced older ones", f"{result.n_kept:,} were there as new"]
    if result.n_embedded:
        counts.append(f"{result.n_embedded:,} were embedded anew")
    if result.adapter_version:
        counts.append(f"adapter {result.adapter_version} serves")
    if result.replaced:
        counts.append("what was there before is gone")
    return f"imported into {result.namespace}: {', '.join(counts)}"


def _show(session: Session, value: dict[str, Any], message: str) -> None:
    if session.as_json:
        print_json(value)
    else:
        say(message)
