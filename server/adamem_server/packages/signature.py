"""Ed25519 signatures: `manifest.sig` signs the bytes of `manifest.json`, which names all else by SHA-256."""

import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from adamem_server.errors import PackageSignatureError

MAX_SIGNATURE_BYTES: Final = 4096
KEY_BYTES: Final = 32
# The same key signs nothing else by this: a signature is of these bytes before the manifest's.
_PURPOSE: Final = b"adamem-package-v1\0"


class KeyFileError(ValueError):
    """A file holds no key of the sort that is needed."""


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    algorithm: str
    public_key: str
    signature: str


def generate_key(path: Path) -> bytes:
    """Write a new private key to `path` (PEM, readable by its owner alone) and the public one to `path`.pub.

    Returns:
        The public key, 32 bytes.

    Raises:
        FileExistsError: One of them is there.
    """
    key = Ed25519PrivateKey.generate()
    public_path = path.with_name(path.name + ".pub")
    if public_path.exists():
        raise FileExistsError(str(public_path))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public_path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key.public_key().public_bytes_raw()


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The key of a PEM file.

    Raises:
        KeyFileError: It holds no Ed25519 private key without a password.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no private key that can be read: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds a private key that is not Ed25519")
    return key


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of the key of a PEM file.

    Raises:
        KeyFileError: It holds no Ed25519 public key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no public key that can be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path} holds a public key that is not Ed25519")
    return key.public_bytes_raw()


def sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """`manifest.sig` for the bytes of a manifest."""
    value = _Signature(
        "ed25519",
        b64encode(key.public_key().public_bytes_raw()).decode(),
        b64encode(key.sign(_PURPOSE + manifest)).decode(),
    )
    return msgspec.json.encode(value) + b"\n"


def check_signature(manifest: bytes, signature: bytes | None, wanted: bytes | None) -> bytes | None:
    """Whether a package is signed as it must be.

    Args:
        manifest: The bytes of manifest.json.
        signature: Those of manifest.sig, None where there is none.
        wanted: The public key that must have signed it. None: any or nobody, but one that is there must be good.

    Returns:
        The public key that signed it, None for nobody.

    Raises:
        PackageSignatureError: It is not.
    """
    if signature is None:
        if wanted is not None:
            raise PackageSignatureError("the package is not signed")
        return None
    try:
        value = msgspec.json.decode(signature, type=_Signature)
        public_key, signed = b64decode(value.public_key, validate=True), b64decode(value.signature, validate=True)
    except (msgspec.MsgspecError, Base64Error, ValueError, RecursionError) as error:
        raise PackageSignatureError(f"cannot be read: {error}") from error
    if value.algorithm != "ed25519" or len(public_key) != KEY_BYTES:
        raise PackageSignatureError(f"is of the algorithm {value.algorithm[:40]!a}; ed25519 is known")
    if wanted is not None and public_key != wanted:
        raise PackageSignatureError("the package is signed by another key than the one given")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signed, _PURPOSE + manifest)
    except (InvalidSignature, ValueError) as error:
        raise PackageSignatureError("does not fit: the manifest was changed after it was signed") from error
    return public_key
