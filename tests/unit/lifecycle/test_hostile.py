"""Packages that lie, are damaged or attack: each is refused with its reason, and leaves nothing behind."""

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adamem_server.adapt.adapter import Adapter
from adamem_server.errors import (
    AdaMemError,
    PackageError,
    PackageFormatError,
    PackageSignatureError,
    PackageTooLargeError,
)
from adamem_server.packages.manifest import (
    ADAPTER,
    CUE_VECTORS,
    MANIFEST,
    MEMBERS,
    PAIR_VECTORS,
    PAIRS,
    SIGNATURE,
    SLOTS,
    VECTORS,
)
from tests.unit.lifecycle.hostile_bytes import (
    KEY,
    add_to,
    between,
    central,
    changed,
    deflate_goes_on,
    ending,
    large,
    long_header,
    lying,
    no_deflate,
    other_name,
    overlapping,
    replaced,
    resealed,
    same_id,
    set_to,
    signature_with,
    twice,
    unlisted,
    with_mode,
    without,
    zipped,
)
from tests.unit.lifecycle.packs import (
    LIMITS,
    Members,
    Packer,
    edited_line,
    fill,
    mentions,
    pack,
    sealed,
    unpack,
    with_signature,
)
from tests.unit.memory.engines import WORD_DIM

OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
PUBLIC_KEY = KEY.public_key().public_bytes_raw()
N_FLIPS = 6


@dataclass
class Case:
    """How a sound package is spoilt, and what is said of it."""

    name: str
    make: Callable[[Members], bytes]
    says: str
    error: type[AdaMemError] = PackageError
    options: dict[str, Any] = field(default_factory=dict)


def cases() -> Iterator[Case]:
    yield from flipped()
    yield from cut()
    yield from structures()
    yield from manifests()
    yield from lines()
    yield from pairs()
    yield from arrays()
    yield from adapters()
    yield from signatures()
    yield Case("unpacked too large", large, "more than", PackageTooLargeError)
    yield Case("no bytes", lambda members: b"", "no zip")


# The bytes


def flipped() -> Iterator[Case]:
    """One bit in each member, at several places."""
    for name in (MANIFEST, *MEMBERS):
        for part in range(N_FLIPS):

            def make(members: Members, name: str = name, part: int = part) -> bytes:
                data = bytearray(pack(members))
                start = data.find(members[name])
                at = start + (len(members[name]) - 1) * part // (N_FLIPS - 1)
                data[at] ^= 1 << (part % 8)
                return bytes(data)

            yield Case(f"flip {name} {part}", make, "CRC-32|was changed|cannot be read")

            def sealed_too(members: Members, name: str = name, part: int = part) -> bytes:
                content = bytearray(members[name])
                content[(len(content) - 1) * part // (N_FLIPS - 1)] ^= 1 << (part % 8)
                return pack({**members, name: bytes(content)})

            if name != MANIFEST:
                # The zip's own checksum fits: the manifest's does not.
                yield Case(f"flip {name} {part}, CRC made anew", sealed_too, "SHA-256")


def cut() -> Iterator[Case]:
    for part in range(24):
        yield Case(
            f"cut at {part}/24",
            lambda members, part=part: pack(members)[: len(pack(members)) * part // 24],
            "cut short|no zip",
        )
    for n in (1, 4, 21, 22, 23, 60):
        yield Case(f"cut {n} before the end", lambda members, n=n: pack(members)[:-n], "cut short|no zip|zip64")


def structures() -> Iterator[Case]:
    """What a zip can hide."""
    for name in (
        "../slots.jsonl",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "C:\\slots.jsonl",
        "..\\slots.jsonl",
        ".hidden",
        "slots.jsonl/",
        "./slots.jsonl",
    ):
        yield Case(
            f"member {name}", lambda members, name=name: zipped({**members, name: b"x"}), "a path out of the package"
        )
    for name in ("SLOTS.JSONL", "extra.txt", "слоты", "x" * 5000, "slots.jsonl "):
        yield Case(
            f"member {name[:12]}", lambda members, name=name: zipped({**members, name: b"x"}), "which no package has"
        )
    yield Case("many members", lambda members: zipped({**members, **{f"n{i}": b"" for i in range(300)}}), "members")
    yield Case("member twice", lambda members: twice(members, SLOTS), "twice")
    yield Case("manifest twice", lambda members: twice(members, MANIFEST), "twice")
    for mode, kind in ((0o120777, "link"), (0o040755, "folder"), (0o020666, "device"), (0o010666, "pipe")):
        yield Case(f"{kind}", lambda members, mode=mode: with_mode(members, mode), "no file but a link")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield Case(f"method {method}", lambda members, method=method: zipped(members, method), "packed by method")
    yield Case("encrypted", lambda members: central(members, 8, 1), "encrypted")
    yield Case("strongly encrypted", lambda members: central(members, 8, 0x2041), "encrypted")
    yield Case("unknown method", lambda members: central(members, 10, 99), "packed by method 99")
    yield Case("bytes in front", lambda members: b"#!/bin/sh\n" + pack(members), "directory is not where|before it")
    yield Case("bytes behind", lambda members: pack(members) + b"\0", "no zip|cut short")
    yield Case("bytes between", between, "none's|no member's")
    yield Case("a comment", lambda members: zipped(members, comment=b"hello"), "no zip|cut short")
    yield Case("a bomb", lambda members: zipped({**members, SLOTS: bytes(3 << 20)}, zipfile.ZIP_DEFLATED), "to 1")
    yield Case(
        "a bomb of lines", lambda members: zipped({**members, SLOTS: b"{}\n" * (1 << 20)}, zipfile.ZIP_DEFLATED), "to 1"
    )
    yield Case("all members in one place", overlapping, "overlaps")
    yield Case("longer than it says", lambda members: lying(members, -1), "longer than|disagrees|is no deflated")
    yield Case("shorter than it says", lambda members: lying(members, 1), "it says|disagrees")
    yield Case(
        "stored with two sizes",
        lambda members: central(members, 24, len(members[MANIFEST]) + 1, 4),
        "is stored, but says|overlaps|none's",
    )
    yield Case("no deflated data", no_deflate, "no deflated data")
    yield Case("deflated data that goes on", deflate_goes_on, "no deflated data|disagrees")
    yield Case("another name in front", other_name, "disagrees")
    yield Case("of several disks", lambda members: ending(members, 4, 1), "several files")
    yield Case("fewer entries than there are", lambda members: ending(members, 8, 3, 10, 3), "longer than its entries")
    yield Case(
        "more entries than there are", lambda members: ending(members, 8, 11, 10, 11), "cut short|damaged|at most"
    )
    yield Case("a directory elsewhere", lambda members: ending(members, 16, 5), "not where it says")
    yield Case("text", lambda members: b"this is no package" * 10, "no zip")
    yield Case("a gzip", lambda members: zlib.compress(b"x" * 1000), "no zip")
    yield Case("an empty zip", lambda members: zipped({}), "manifest.json: is missing")
    for name in (MANIFEST, SLOTS, VECTORS, CUE_VECTORS, ADAPTER, PAIRS, PAIR_VECTORS):
        yield Case(f"without {name}", lambda members, name=name: pack(without(members, name)), "missing")
    yield Case("not in the manifest", unlisted, "members|not in the manifest")


# The manifest


def manifests() -> Iterator[Case]:
    def case(name: str, edit: Callable[[dict[str, Any]], None], says: str, **more: Any) -> Case:
        return Case(f"manifest: {name}", lambda members: pack(sealed(members, edit)), says, **more)

    for version in (2, 3, 1000, 2**40):
        yield case(f"version {version}", set_to("format_version", version), "newer AdaMem", error=PackageFormatError)
    newer = {"format_version": 2, "unheard": {"of": 1}}
    yield case("newer, with new fields", lambda manifest: manifest.update(newer), "newer", error=PackageFormatError)
    for version in (0, -1):
        yield case(f"version {version}", set_to("format_version", version), "says format")
    yield case("another format", set_to("format", "zip"), "says format")
    fields = (
        "format",
        "format_version",
        "package_id",
        "exported_at",
        "exported_by",
        "name",
        "created_at",
        "n_slots",
        "model",
        "dim",
        "metric",
        "vector_type",
        "index",
        "members",
    )
    for name in fields:
        yield case(f"without {name}", lambda manifest, name=name: manifest.pop(name), "says format|missing required")
        yield case(f"{name} of another type", set_to(name, [1.5]), "cannot be read")
        yield case(f"{name} null", set_to(name, None), "cannot be read")
    yield case("unknown field", set_to("hello", 1), "unknown field")
    wrong: dict[str, tuple[Any, ...]] = {
        "package_id": ("", "x" * 26, "01arz3ndektsv4rrffq69g5fav"),
        "exported_at": ("yesterday", "2026-01-01T00:00:00"),
        "n_slots": (-1, 2**60, 1.5, "3"),
        "dim": (0, -1, 5000, 2**40),
        "metric": ("hamming",),
        "vector_type": ("float64", "object"),
        "index": ({"kind": "none"}, {"kind": "hnsw", "m": -1}, {"kind": "hnsw", "surprise": 1}),
        "ranking": ({"recency": 1e9}, {"recency": "1"}),
        "tags": ("abc", ["x"] * 65, ["x" * 257]),
        "author": ("x" * 257,),
        "description": ("x" * 5000,),
        "adapter_enabled": ("yes",),
        "duplicates": ({"threshold": 2}, {"on_duplicate": "burn"}, {"scope": []}),
        "archive": ({"max_slots": -1}, {"min_importance": 2}, {"half_life_s": -1}, {"max": 1}),
        "learned": ({"n_pairs": -1}, {"next_version": 0}),
    }
    for name, values in wrong.items():
        for i, value in enumerate(values):
            yield case(f"{name} wrong {i}", set_to(name, value), "cannot be read")
    yield case("too few slots", lambda manifest: add_to(manifest, "n_slots", -1), "not fill|not <f4|holds")
    yield case("too many slots", lambda manifest: add_to(manifest, "n_slots", 1), "not fill|not <f4|holds")
    yield case("another dimension", lambda manifest: add_to(manifest, "dim", 1), "dim: is")
    yield case("another metric's index", lambda manifest: manifest["index"].update(m=100_000), "index")
    yield case("index too wide", lambda manifest: manifest["index"].update(m=2**50), "index")
    yield case("other cue count", lambda manifest: add_to(manifest, "n_cue_vectors", 1), "holds|not fill")
    yield case("more cues than slots", set_to("n_cue_vectors", 10**6), "more than the slots")
    yield case("float16 said", set_to("vector_type", "float16"), "holds <f4")
    yield case(
        "a model without fingerprint", lambda manifest: manifest["model"].update(fingerprint=""), "without the other"
    )
    yield case("a fingerprint without model", lambda manifest: manifest["model"].update(name=""), "without the other")
    yield case("unknown weight", set_to("ranking", {"magic": 1.0}), "no weight")
    yield case("weight out of range", set_to("ranking", {"recency": 11.0}), "the range is")
    yield case("no name for a namespace", set_to("name", "../etc"), "no name of a namespace", options={"name": ""})
    yield case("an empty name", set_to("name", ""), "no name of a namespace", options={"name": ""})
    yield case(
        "an adapter's version",
        lambda manifest: manifest["adapter"].update(version=2),
        "another dimension, rank, version",
    )
    yield case(
        "an adapter's rank", lambda manifest: manifest["adapter"].update(rank=5), "another dimension, rank, version"
    )
    yield case("an adapter of the future", lambda manifest: manifest["adapter"].update(version=99), "next_version")
    yield case("no adapter said", set_to("adapter", None), "too many or too few")
    yield case("more pairs said", lambda manifest: add_to(manifest["learned"], "n_pairs", 1), "has 4 lines")
    yield case(
        "more pair vectors said", lambda manifest: manifest["learned"].update(n_pair_vectors=3), "holds|not fill"
    )
    yield case(
        "more pair vectors than pairs", lambda manifest: manifest["learned"].update(n_pair_vectors=9), "more than pairs"
    )
    yield case("more trained than pairs", lambda manifest: manifest["learned"].update(n_trained=9), "more than pairs")
    yield case("no pairs said", lambda manifest: manifest.update(learned={"next_version": 9}), "too many or too few")
    for name in (SLOTS, VECTORS, ADAPTER):
        yield case(
            f"size of {name}",
            lambda manifest, name=name: add_to(manifest["members"][name], "n_bytes", 1),
            "the manifest says",
        )
        yield case(
            f"sum of {name}", lambda manifest, name=name: manifest["members"][name].update(sha256="0" * 64), "SHA-256"
        )
        yield case(
            f"no sum of {name}",
            lambda manifest, name=name: manifest["members"][name].update(sha256="x"),
            "cannot be read",
        )
        yield case(
            f"{name} not listed", lambda manifest, name=name: manifest["members"].pop(name), "too many or too few"
        )
    yield case(
        "a path listed",
        lambda manifest: manifest["members"].update({"../x": manifest["members"][SLOTS]}),
        "too many or too few",
    )
    yield Case("manifest: no JSON", lambda members: pack({**members, MANIFEST: b"hello"}), "cannot be read")
    yield Case("manifest: a list", lambda members: pack({**members, MANIFEST: b"[]"}), "cannot be read")
    yield Case("manifest: deep", lambda members: pack({**members, MANIFEST: b"[" * 100_000}), "cannot be read")
    yield Case("manifest: large", lambda members: pack({**members, MANIFEST: b" " * ((1 << 20) + 1)}), "the limit is")
    yield Case(
        "manifest: no UTF-8", lambda members: pack({**members, MANIFEST: b'{"format": "\xff"}'}), "cannot be read"
    )


# Slots


def lines() -> Iterator[Case]:
    def case(name: str, edit: Callable[[dict[str, Any]], Any], says: str, line: int = 4) -> Case:
        return Case(
            f"slot: {name}",
            lambda members: pack(edited_line(members, SLOTS, line, edit)),
            f"line {line + 1}: .*({says})",
        )

    deep: Any = "deep"
    for _ in range(16):
        deep = {"x": deep}
    wrong: dict[str, list[tuple[Any, str]]] = {
        "id": [
            ("", "regex"),
            ("01arz3ndektsv4rrffq69g5fav", "regex"),
            ("8" + "Z" * 25, "regex"),
            ("../x", "regex"),
            (5, "str"),
            (None, "str"),
        ],
        "content": [
            ("", "empty"),
            (" \n\t", "empty"),
            ("x" * (LIMITS.max_content_bytes + 1), "limit"),
            ("я" * 1500, "limit"),
            (None, "str"),
            (5, "str"),
        ],
        "cue": [(" ", "empty"), ("x" * (LIMITS.max_content_bytes + 1), "limit")],
        "kind": [("dream", "Invalid enum"), (1, "str|enum")],
        "user_id": [("x" * 257, "limit"), ("ю" * 129, "limit"), (["a"], "str")],
        "agent_id": [("x" * 257, "limit")],
        "conversation_id": [("x" * 257, "limit")],
        "role": [("x" * 257, "limit")],
        "tags": [
            (["a"] * 2, "twice"),
            ([str(i) for i in range(9)], "limit"),
            ([""], "empty"),
            (["x" * 257], "limit"),
            ("abc", "array"),
            ([1], "str"),
        ],
        "metadata": [
            ({"x": "y" * 1000}, "limit"),
            ({"x": deep}, "deeper"),
            ({"x": 2**60}, "2\\*\\*53"),
            ({"x": [1, {"y": -(2**60)}]}, "2\\*\\*53"),
            ([], "object"),
            ("x", "object"),
        ],
        "importance": [(1.01, "<="), (-0.1, ">="), ("1", "float")],
        "created_at": [
            ("yesterday", "RFC3339"),
            ("2026-01-01T00:00:00", "timezone"),
            ("1969-12-31T23:59:59Z", "1970"),
            ("99999-01-01T00:00:00Z", "RFC3339"),
            (0, "timezone|datetime"),
            (None, "datetime"),
        ],
        "updated_at": [("1960-01-01T00:00:00Z", "1970"), ("2026-13-01T00:00:00Z", "RFC3339")],
        "expires_at": [("1960-01-01T00:00:00Z", "1970"), ("", "RFC3339")],
        "access_count": [(-1, ">="), (2**60, "<="), (1.5, "int"), (3, "without the other")],
        "accessed_at": [("2026-01-01T00:00:00Z", "without the other"), ("1960-01-01T00:00:00Z", "1970")],
        "vector_supplied": [("no", "bool")],
        "language": [("english", "two letters"), ("EN", "two letters"), ("é1", "two letters")],
        "cue_embedded": [(True, "there is no cue")],
        "recalled_from": [("x", "regex")],
        "sources": [(["x"], "regex"), ("x", "array"), (["01ARZ3NDEKTSV4RRFFQ69G5FAV"], "has none")],
        "archived_at": [("1960-01-01T00:00:00Z", "1970"), ("", "RFC3339"), (1, "datetime|timezone")],
        "pinned": [(1, "bool"), ("yes", "bool")],
        "surprise": [(1, "unknown field")],
    }
    for name, values in wrong.items():
        for i, (value, says) in enumerate(values):
            yield case(f"{name} {i}", set_to(name, value), says)
    for name in ("id", "content", "created_at", "updated_at"):
        yield case(f"without {name}", lambda slot, name=name: slot.pop(name) and None, "missing required")
    yield case("an array", lambda slot: [1], "object")
    yield case("a text", lambda slot: "text", "object")
    for what, old, new, says in (
        ("no JSON", b'"content"', b"content", "line 1"),
        ("NaN", b'"importance":0.75', b'"importance":NaN', "line 1"),
        ("infinity", b'"importance":0.75', b'"importance":1e999', "line 1"),
        ("no UTF-8", b"plain fact 1", b"plain f\xff\xfe 1", "line 3.*utf-8"),
        ("half a surrogate", b"plain fact 1", b"plain f\\ud800 1", "line 3.*surrogate"),
        ("an empty line", b"\n", b"\n\n", "line 2"),
        ("two objects a line", b"}\n", b"}", "line 1"),
    ):
        yield Case(
            f"slot: {what}",
            lambda members, old=old, new=new: pack(sealed({**members, SLOTS: members[SLOTS].replace(old, new, 1)})),
            says,
        )
    yield Case(
        "slot: one missing",
        lambda members: resealed(members, SLOTS, members[SLOTS].rpartition(b"{")[0]),
        "has 31 lines|has 30 lines|lines and",
    )
    yield Case(
        "slot: one too many",
        lambda members: resealed(members, SLOTS, members[SLOTS] * 2),
        "more lines|embeds more|id: is that",
    )
    yield Case(
        "slot: a line without end",
        lambda members: resealed(members, SLOTS, b'{"content":"' + b"x" * (1 << 20)),
        "line 1",
    )
    yield Case("slot: nothing", lambda members: resealed(members, SLOTS, b""), "has 0 lines")
    yield Case("slot: an id twice", same_id, "id: is that of line")


def pairs() -> Iterator[Case]:
    def case(name: str, edit: Callable[[dict[str, Any]], Any], says: str) -> Case:
        return Case(f"pair: {name}", lambda members: pack(edited_line(members, PAIRS, 0, edit)), f"line 1: .*({says})")

    unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    yield case("of an unknown slot", set_to("helped", [unknown]), "not in the package")
    yield case("without a slot", lambda pair: pair.update(helped=[], unhelpful=[]), "names no slot")
    yield case("without a question", set_to("query", " "), "empty")
    yield case("with a long question", set_to("query", "x" * 2001), "limit")
    yield case("of another time", set_to("time", "1960-01-01T00:00:00Z"), "1970")
    yield case("of negative weight", set_to("weight", -1), ">=")
    yield case("of a wrong id", set_to("helped", ["../x"]), "regex")
    yield case("unknown field", set_to("more", 1), "unknown field")
    yield Case(
        "pair: too many", lambda members: resealed(members, PAIRS, members[PAIRS] * 2), "embeds more|has 8 lines"
    )
    yield Case("pair: none", lambda members: resealed(members, PAIRS, b""), "has 0 lines")


# Arrays


def arrays() -> Iterator[Case]:
    for name, dtype in ((VECTORS, "<f4"), (CUE_VECTORS, "<f4"), (PAIR_VECTORS, "<f2")):
        for what, value in (("NaN", np.nan), ("infinity", np.inf), ("minus infinity", -np.inf)):
            yield Case(
                f"{name}: {what}",
                lambda members, name=name, value=value: changed(members, name, lambda a: a.__setitem__((1, 3), value)),
                "row 1: holds NaN or infinity",
            )
        yield Case(
            f"{name}: zero",
            lambda members, name=name: changed(members, name, lambda a: a.__setitem__(1, 0)),
            "row 1: is all zero",
        )
        yield Case(
            f"{name}: one row less", lambda members, name=name: replaced(members, name, lambda a: a[:-1]), "holds"
        )
        yield Case(
            f"{name}: flat", lambda members, name=name: replaced(members, name, lambda a: a.reshape(-1)), "holds"
        )
        yield Case(
            f"{name}: float64",
            lambda members, name=name: replaced(members, name, lambda a: a.astype("<f8")),
            "holds <f8",
        )
        yield Case(
            f"{name}: big endian",
            lambda members, name=name, dtype=dtype: replaced(
                members, name, lambda a: a.astype(dtype.replace("<", ">"))
            ),
            "holds >",
        )
        yield Case(
            f"{name}: objects",
            lambda members, name=name: replaced(members, name, lambda a: a.astype(object)),
            "no .npy file|holds",
        )
        yield Case(
            f"{name}: Fortran order",
            lambda members, name=name: replaced(members, name, np.asfortranarray),
            "Fortran order",
        )
        yield Case(
            f"{name}: version 3",
            lambda members, name=name: resealed(members, name, members[name][:6] + b"\x03" + members[name][7:]),
            "version",
        )
        yield Case(
            f"{name}: no header", lambda members, name=name: resealed(members, name, members[name][16:]), "no .npy file"
        )
        yield Case(
            f"{name}: a long header",
            lambda members, name=name: resealed(members, name, long_header(members[name])),
            "the limit is",
        )
        yield Case(
            f"{name}: code in the header",
            lambda members, name=name: resealed(members, name, members[name].replace(b"False", b"f() #", 1)),
            "no .npy file",
        )
        yield Case(
            f"{name}: bytes behind",
            lambda members, name=name: resealed(members, name, members[name] + b"\0"),
            "not fill",
        )
        yield Case(f"{name}: empty", lambda members, name=name: resealed(members, name, b""), "no .npy file")


def adapters() -> Iterator[Case]:
    def made(edit: Callable[[dict[str, Any]], None]) -> Callable[[Members], bytes]:
        def make(members: Members) -> bytes:
            adapter = Adapter.from_bytes(members[ADAPTER])
            given = {
                name: getattr(adapter, name)
                for name in ("lora_A", "lora_B", "model", "model_revision", "version", "n_pairs", "dense_shift")
            }
            edit(given)
            return resealed(members, ADAPTER, Adapter(**given).to_bytes())

        return make

    yield Case(
        "adapter: of another encoder",
        made(set_to("model_revision", "other")),
        "another dimension, rank, version or encoder",
    )
    yield Case("adapter: of another version", made(set_to("version", 4)), "another dimension, rank, version")
    yield Case(
        "adapter: of another dimension",
        made(lambda given: given.update(lora_A=given["lora_A"][:, :8].copy(), lora_B=given["lora_B"][:8].copy())),
        "another dimension",
    )
    yield Case(
        "adapter: NaN",
        lambda members: resealed(members, ADAPTER, members[ADAPTER][:-4] + struct.pack("<f", np.nan)),
        "finite",
    )
    yield Case(
        "adapter: a great length",
        lambda members: resealed(members, ADAPTER, b"\xff" * 8 + members[ADAPTER][8:]),
        "not an adapter",
    )
    yield Case("adapter: a pickle", lambda members: resealed(members, ADAPTER, b"\x80\x04K\x01."), "not an adapter")
    yield Case("adapter: empty", lambda members: resealed(members, ADAPTER, b""), "not an adapter")


def signatures() -> Iterator[Case]:
    def case(name: str, make: Callable[[Members], Members], says: str, key: bytes | None = PUBLIC_KEY) -> Case:
        return Case(
            f"signature: {name}", lambda members: pack(make(members)), says, PackageSignatureError, {"verify_key": key}
        )

    yield case("none", lambda members: members, "not signed")
    yield case("by another", lambda members: with_signature(members, OTHER_KEY), "another key")
    for key in (PUBLIC_KEY, None):
        asked = "" if key else ", key not asked"
        yield case(
            f"changed after{asked}",
            lambda members: {**with_signature(members, KEY), MANIFEST: members[MANIFEST] + b" "},
            "changed after",
            key,
        )
        yield case(f"no JSON{asked}", lambda members: {**members, SIGNATURE: b"hello"}, "cannot be read", key)
        for name, value, says in (
            ("algorithm", "none", "algorithm"),
            ("public_key", "AAAA", "algorithm|another key"),
            ("signature", "AAAA", "changed after"),
            ("signature", "?", "cannot be read"),
            ("more", "x", "cannot be read"),
        ):
            yield case(
                f"{name} {value}{asked}",
                lambda members, name=name, value=value: signature_with(members, name, value),
                says,
                key,
            )
    yield Case("signature: large", lambda members: pack({**members, SIGNATURE: b" " * 5000}), "the limit is")


@pytest.fixture(scope="module")
def packer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packer]:
    made = Packer(tmp_path_factory.mktemp("hostile"))
    fill(made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sound(packer: Packer) -> Members:
    members = unpack(packer.export())
    packer.load(pack(members), "sound")
    packer.lab.engine.delete_namespace("sound")
    packer.load(pack(with_signature(members, KEY)), "sound", verify_key=PUBLIC_KEY)
    packer.lab.engine.delete_namespace("sound")
    return members


CASES = list(cases())


def test_there_are_as_many_as_promised() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 200
    assert WORD_DIM < 4096


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused_with_its_reason_and_nothing_left(packer: Packer, sound: Members, case: Case) -> None:
    before = packer.left_behind()
    data = case.make(sound)
    with pytest.raises(case.error) as caught:
        packer.load(data, **{"name": f"hostile-{CASES.index(case)}", **case.options})
    assert type(caught.value) is case.error
    assert mentions(caught.value.message, case.says), caught.value.message
    assert packer.left_behind() == before
