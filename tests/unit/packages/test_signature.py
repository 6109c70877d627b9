"""Keys in files, and signatures of manifests."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from adamem_server.errors import PackageSignatureError
from adamem_server.packages.signature import (
    KeyFileError,
    check_signature,
    generate_key,
    read_private_key,
    read_public_key,
    sign,
)


def test_a_key_that_is_made_signs_and_verifies(tmp_path: Path) -> None:
    path = tmp_path / "mine.pem"
    public_key = generate_key(path)
    assert read_public_key(tmp_path / "mine.pem.pub") == public_key
    signature = sign(b"manifest", read_private_key(path))
    assert check_signature(b"manifest", signature, public_key) == public_key
    assert check_signature(b"manifest", signature, None) == public_key
    assert check_signature(b"manifest", None, None) is None
    with pytest.raises(PackageSignatureError):
        check_signature(b"manifesto", signature, public_key)


def test_no_key_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.pem"
    generate_key(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        generate_key(path)
    (tmp_path / "other.pem").write_text("mine")
    with pytest.raises(FileExistsError):
        generate_key(tmp_path / "other.pem")
    assert path.read_bytes() == before
    assert not (tmp_path / "other.pem.pub").exists()


def test_files_that_hold_another_key_or_none(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1())
    private, public, none = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    private.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    none.write_bytes(b"hello")
    for path in (private, public, none):
        with pytest.raises(KeyFileError, match=str(path)):
            read_private_key(path)
        with pytest.raises(KeyFileError, match=str(path)):
            read_public_key(path)
