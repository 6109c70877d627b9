"""Packages made wrong on purpose, byte by byte: what no writer of zips would write."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adamem_server.packages.manifest import (
    MANIFEST,
    PAIR_VECTORS,
    PAIRS,
    SIGNATURE,
    SLOTS,
)
from tests.unit.lifecycle.packs import (
    MAX_PACKAGE_BYTES,
    Members,
    edited_line,
    pack,
    sealed,
    with_signature,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def set_to(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda fields: fields.__setitem__(name, value)


def add_to(fields: dict[str, Any], name: str, n: int) -> None:
    fields[name] += n


def without(members: Members, name: str) -> Members:
    return {other: content for other, content in members.items() if other != name}


def resealed(members: Members, name: str, content: bytes) -> bytes:
    return pack(sealed({**members, name: content}))


def zipped(members: Members, method: int = zipfile.ZIP_STORED, *, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.comment = comment
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def twice(members: Members, name: str) -> bytes:
    import warnings

    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as file:
        warnings.simplefilter("ignore")
        for other, content in [*members.items(), (name, members[name])]:
            file.writestr(other, content)
    return buffer.getvalue()


def with_mode(members: Members, mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (mode if name == SLOTS else 0o100644) << 16
            file.writestr(info, content)
    return buffer.getvalue()


def central(members: Members, offset: int, value: int, size: int = 2) -> bytes:
    """With another value in the first entry of the directory."""
    data = bytearray(pack(members))
    at = data.find(b"PK\x01\x02") + offset
    data[at : at + size] = value.to_bytes(size, "little")
    return bytes(data)


def ending(members: Members, *changes: int) -> bytes:
    """With other values (offset, value, ...) in the record at the end."""
    data = bytearray(pack(members))
    at = data.rfind(b"PK\x05\x06")
    for offset, value in zip(changes[::2], changes[1::2], strict=True):
        data[at + offset : at + offset + 2] = value.to_bytes(2, "little")
    return bytes(data)


def other_name(members: Members) -> bytes:
    data = bytearray(pack(members))
    at = data.rfind(SLOTS.encode(), 0, data.find(members[SLOTS]))
    data[at + len(SLOTS) - 1] = ord("x")
    return bytes(data)


def between(members: Members) -> bytes:
    data = pack(members)
    at = data.find(b"PK\x03\x04", 4)
    out = bytearray(data[:at] + b"hidden" + data[at:])
    place = out.find(b"PK\x01\x02")
    while place >= 0:
        offset = int.from_bytes(out[place + 42 : place + 46], "little")
        if offset >= at:
            out[place + 42 : place + 46] = (offset + 6).to_bytes(4, "little")
        place = out.find(b"PK\x01\x02", place + 4)
    end = out.rfind(b"PK\x05\x06")
    start = int.from_bytes(out[end + 16 : end + 20], "little")
    out[end + 16 : end + 20] = (start + 6).to_bytes(4, "little")
    return bytes(out)


def overlapping(members: Members) -> bytes:
    """All entries of the directory point at one place, as a bomb of overlapping files does."""
    data = bytearray(pack(members))
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 42 : place + 46] = bytes(4)
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(data)


def lying(members: Members, n: int) -> bytes:
    """A deflated member with another size in its headers, and in the manifest."""
    name = SLOTS
    said = sealed(members, lambda manifest: add_to(manifest["members"][name], "n_bytes", n))
    data = bytearray(zipped(said, zipfile.ZIP_DEFLATED))
    size = len(members[name])
    old, new = struct.pack("<I", size), struct.pack("<I", size + n)
    return bytes(data.replace(old, new))


def no_deflate(members: Members) -> bytes:
    data = bytearray(zipped(members, zipfile.ZIP_DEFLATED))
    at = data.find(SLOTS.encode()) + len(SLOTS)
    data[at : at + 40] = b"\xff" * 40
    return bytes(data)


def deflate_goes_on(members: Members) -> bytes:
    """A deflated stream that ends before its bytes do."""
    packed = zlib.compress(members[MANIFEST])[2:-4] + b"behind it"
    name = MANIFEST.encode()
    crc, size = zlib.crc32(members[MANIFEST]), len(members[MANIFEST])
    local = (
        struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 33, crc, len(packed), size, len(name), 0) + name + packed
    )
    entry = (
        struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, crc, len(packed), size, len(name), 0, 0, 0, 0, 0, 0
        )
        + name
    )
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end


def unlisted(members: Members) -> bytes:
    """Pairs in the zip of which the manifest knows nothing."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["learned"] = {"next_version": 9}
        del manifest["members"][PAIRS], manifest["members"][PAIR_VECTORS]

    return pack(sealed(members, edit))


def same_id(members: Members) -> bytes:
    first = json.loads(members[SLOTS].split(b"\n")[2])["id"]
    return pack(edited_line(members, SLOTS, 20, set_to("id", first)))


def changed(members: Members, name: str, edit: Callable[[Any], Any]) -> bytes:
    def edited(values: Any) -> Any:
        values = values.copy()
        edit(values)
        return values

    return replaced(members, name, edited)


def replaced(members: Members, name: str, edit: Callable[[Any], Any]) -> bytes:
    values = np.load(io.BytesIO(members[name]))
    buffer = io.BytesIO()
    np.save(buffer, edit(values), allow_pickle=True)
    return resealed(members, name, buffer.getvalue())


def long_header(content: bytes) -> bytes:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }" + b" " * 60_000 + b"\n"
    return content[:8] + struct.pack("<H", len(header)) + header


def signature_with(members: Members, name: str, value: str) -> Members:
    signed = with_signature(members, KEY)
    return {**signed, SIGNATURE: json.dumps({**json.loads(signed[SIGNATURE]), name: value}).encode()}


def large(members: Members) -> bytes:
    """Fits as it is sent, and not when it is unpacked."""
    import random

    text = random.Random(1).randbytes(30_000).hex().encode()
    return zipped({**members, PAIRS: text * (1 + MAX_PACKAGE_BYTES // len(text))}, zipfile.ZIP_DEFLATED)
