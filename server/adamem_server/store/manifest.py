"""The manifest of a backup: what a copy of the whole store holds, with checksums. Golden files are in tests/compat.

A backup is a folder of `data.mdb` and `manifest.json`, or one file:

    data.mdb | manifest.json | length of the manifest u64, big endian | "adamem-backup-1" and a new line

`checksum` is the SHA-256 of the manifest without that field, as JSON with sorted keys and no spaces.
"""

import json
from hashlib import sha256
from struct import Struct
from typing import Any, Final

import msgspec

from adamem_server.errors import BackupInvalidError

BACKUP_FORMAT: Final = 1
DATA_MEMBER: Final = "data.mdb"
MANIFEST_MEMBER: Final = "manifest.json"
MAGIC: Final = b"adamem-backup-1\n"
TRAILER: Final = Struct(">Q16s")
_KIND: Final = "adamem-backup"


class CopiedNamespace(msgspec.Struct, frozen=True):
    """A namespace as it was copied; sizes are those of its head."""

    name: str
    number: int
    n_slots: int
    n_bytes: int
    sequence: int
    dim: int
    model: str
    model_fingerprint: str


class Contents(msgspec.Struct, frozen=True):
    """What a read view of the store holds: the format of the data, namespaces by name, and records of each table."""

    data_format: int
    namespaces: tuple[CopiedNamespace, ...]
    tables: dict[str, int]


class Member(msgspec.Struct, frozen=True):
    """A file of the backup; `sha256` is hexadecimal."""

    name: str
    n_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds. `created_at` is RFC 3339; `model` is the encoder that served, not that of each namespace."""

    kind: str
    format: int
    server_version: str
    created_at: str
    model: str
    model_fingerprint: str
    dim: int
    contents: Contents
    members: tuple[Member, ...]

    @property
    def n_slots(self) -> int:
        """Slots of all namespaces."""
        return sum(namespace.n_slots for namespace in self.contents.namespaces)

    @property
    def data(self) -> Member:
        """The copy of the database."""
        return self.members[0]


def new_manifest(
    contents: Contents,
    data: Member,
    *,
    server_version: str,
    created_at: str,
    model: str,
    model_fingerprint: str,
    dim: int,
) -> Manifest:
    """The manifest of a copy that was just made."""
    return Manifest(_KIND, BACKUP_FORMAT, server_version, created_at, model, model_fingerprint, dim, contents, (data,))


def encode_manifest(manifest: Manifest) -> bytes:
    """`manifest.json`."""
    plain: dict[str, Any] = msgspec.to_builtins(manifest)
    plain["checksum"] = _checksum(plain)
    return (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode()


def decode_manifest(data: bytes) -> Manifest:
    """The inverse of `encode_manifest`.

    Raises:
        BackupInvalidError: It is damaged, of something else, or of a newer version.
    """
    try:
        plain = json.loads(data)
        if not isinstance(plain, dict) or plain.get("kind") != _KIND:
            raise BackupInvalidError(MANIFEST_MEMBER, "is not that of a backup")
        if plain.get("format") != BACKUP_FORMAT:
            raise BackupInvalidError(
                MANIFEST_MEMBER,
                f"has format {plain.get('format')}, this version reads format {BACKUP_FORMAT}",
                format=str(plain.get("format")),
                supported=str(BACKUP_FORMAT),
            )
        if plain.pop("checksum", None) != _checksum(plain):
            raise BackupInvalidError(MANIFEST_MEMBER, "does not have its checksum: it was changed or damaged")
        manifest = msgspec.convert(plain, Manifest)
    except (ValueError, RecursionError) as error:
        # Of msgspec too: its ValidationError is a ValueError.
        raise BackupInvalidError(MANIFEST_MEMBER, f"cannot be read: {error}") from error
    if [member.name for member in manifest.members] != [DATA_MEMBER]:
        raise BackupInvalidError(MANIFEST_MEMBER, f"must list {DATA_MEMBER} and nothing else")
    return manifest


def _checksum(plain: dict[str, Any]) -> str:
    return sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
