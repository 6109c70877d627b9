"""Packages through a real server: clients, command line, refusals, a kill; and 100,000 slots out and back."""

import asyncio
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import adamem
from adamem.v1 import package_service_pb2 as pb
from adamem.v1.package_service_pb2_grpc import PackageServiceStub
from adamem_server.packages.manifest import MANIFEST, SLOTS, VECTORS
from adamem_server.types import IndexKind
from tests.integration.process import ServerProcess
from tests.patience import PATIENCE_S, wait_until
from tests.unit.lifecycle.packs import edited_line, pack, sealed, unpack

NewServer = Callable[..., ServerProcess]
BIN = Path(sys.executable).parent
N_MANY = 100_000


@pytest.fixture
def client(server: ServerProcess) -> Any:
    with adamem.Client(server.address, timeout_s=120) as made:
        yield made


def run(server: ServerProcess, *arguments: str, program: str = "adamem") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / program), *arguments],
        env={**os.environ, "MEMORY_ENDPOINT": server.address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def ok(server: ServerProcess, *arguments: str, program: str = "adamem") -> Any:
    done = run(server, *arguments, "--json", program=program)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fill(client: adamem.Client, namespace: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [
        {"content": f"Fact {n} about topic {n % 7}", "user_id": f"u{n % 3}", "tags": ["t"], "metadata": {"n": n}}
        for n in range(60)
    ]
    items[3] |= {"cue": "What is fact three?", "importance": 0.9, "expires_at": "2199-01-01T00:00:00Z"}
    client.batch_update(items, namespace=namespace)
    client.query("fact about topic 3", namespace=namespace)
    return slots(client, namespace)


def slots(client: adamem.Client, namespace: str) -> list[Any]:
    return [
        {name: value for name, value in slot.to_dict().items() if name != "namespace"}
        for slot in client.list_slots(namespace=namespace, include_vectors=True)
    ]


def hits(client: adamem.Client, namespace: str, text: str, **options: Any) -> list[tuple[str, float]]:
    return [(hit.slot.id, hit.score) for hit in client.query(text, namespace=namespace, top_k=20, **options)]


def files(server: ServerProcess) -> list[str]:
    return sorted(path.name for path in (server.data_dir / "packages").iterdir())


def test_out_and_back_by_the_client(server: ServerProcess, client: adamem.Client, tmp_path: Path) -> None:
    fill(client, "there")
    file = tmp_path / "there.zip"
    told: list[adamem.PackageProgress] = []
    info = client.packages.export_namespace(file, namespace="there", author="Ann", tags=["a"], on_progress=told.append)
    assert (info.n_slots, info.author, info.tags, info.n_bytes) == (60, "Ann", ("a",), file.stat().st_size)
    # Use counts were written by the export; the listing before it may not have had them.
    before = slots(client, "there")
    found = hits(client, "there", "topic 3", mode="dense")
    client.delete_namespace("there")
    result = client.packages.import_namespace(file, on_progress=told.append)
    assert (result.namespace, result.n_created, result.n_embedded) == ("there", 60, 0)
    assert hits(client, "there", "topic 3", mode="dense") == found
    after = slots(client, "there")
    uses = [{name: slot.pop(name) for name in ("access_count", "accessed_at")} for slot in after]
    assert sum(use["access_count"] for use in uses) >= 4
    assert after == [{n: v for n, v in slot.items() if not n.startswith("access")} for slot in before]
    assert {each.stage for each in told} == {"read", "receive", "send", "store"}
    assert files(server) == []
    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]
    checked = client.jobs.wait(client.lifecycle.verify("there"), timeout_s=120)
    assert (checked.result["n_slots"], checked.result["n_problems"]) == (60, 0), checked.result


def test_out_and_back_by_the_asynchronous_client(server: ServerProcess, client: adamem.Client) -> None:
    fill(client, "async")

    async def both() -> adamem.ImportResult:
        async with adamem.AsyncClient(server.address) as memory:
            buffer = io.BytesIO()
            await memory.packages.export_namespace(buffer, namespace="async")
            buffer.seek(0)
            told: list[adamem.PackageProgress] = []
            result = await memory.packages.import_namespace(buffer, namespace="async-2", on_progress=told.append)
            assert told
            for _ in range(20):
                # A race once hid the reason behind an internal error.
                buffer.seek(0)
                with pytest.raises(adamem.NamespaceExistsError):
                    await memory.packages.import_namespace(buffer, namespace="async-2")
            with pytest.raises(adamem.NamespaceNotFoundError):
                await memory.packages.export_namespace(io.BytesIO(), namespace="nowhere")
            return result

    assert asyncio.run(both()).n_created == 60
    assert len(slots(client, "async-2")) == 60


def test_merge_and_replace(client: adamem.Client, tmp_path: Path) -> None:
    before = fill(client, "merged")
    file = tmp_path / "merged.zip"
    client.packages.export_namespace(file, namespace="merged")
    client.update("Fact 5, corrected", id=before[5]["id"], namespace="merged")
    client.delete_slots([before[6]["id"]], namespace="merged")
    client.update("Only here", namespace="merged")
    result = client.packages.import_namespace(file, mode="merge")
    assert (result.n_created, result.n_replaced, result.n_kept) == (1, 0, 59)
    assert client.query("Fact 5, corrected", namespace="merged")[0].slot.content == "Fact 5, corrected"
    assert client.query("Fact 6 about topic 6", namespace="merged")[0].slot.content == "Fact 6 about topic 6"
    result = client.packages.import_namespace(file, mode=adamem.ImportMode.REPLACE)
    assert (result.n_created, result.replaced) == (60, True)
    assert client.get_namespace("merged").n_slots == 60


def test_by_the_command_line(server: ServerProcess, client: adamem.Client, tmp_path: Path) -> None:
    fill(client, "cli")
    file, key = str(tmp_path / "cli.zip"), str(tmp_path / "key.pem")
    assert ok(server, "package", "keygen", key)["private_key"] == key
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert run(server, "package", "keygen", key).returncode == 1
    # What is beside the file is left alone, as another export to it may be under way.
    (tmp_path / "cli.zip.partial").write_bytes(b"another one's")
    exported = ok(server, "export", "cli", file, "--author", "Ann", "--license", "CC0-1.0", "--tag", "x", "--sign", key)
    assert (exported["n_slots"], exported["license"]) == (60, "CC0-1.0")
    shown = ok(server, "package", "show", file)
    assert shown["signed_by"] == exported["signed_by"] != ""
    assert ok(server, "package", "verify", file, "--verify-key", f"{key}.pub")["n_slots"] == 60
    # The same command under its other name.
    imported = ok(server, "import", file, "--as", "cli-2", "--verify-key", f"{key}.pub", program="adapmem")
    assert (imported["namespace"], imported["package"]["signed_by"]) == ("cli-2", shown["signed_by"])
    assert ok(server, "import", file, "--as", "cli-2", "--merge")["n_kept"] == 60
    assert ok(server, "import", file, "--as", "cli-2", "--replace")["replaced"] is True
    done = run(server, "import", file, "--as", "cli-2")
    assert (done.returncode, "[NAMESPACE_EXISTS]" in done.stderr) == (1, True)
    ok(server, "package", "keygen", str(tmp_path / "other.pem"))
    for arguments in (("import", file, "--as", "cli-3"), ("package", "verify", file)):
        done = run(server, *arguments, "--verify-key", str(tmp_path / "other.pem.pub"))
        assert (done.returncode, "[PACKAGE_SIGNATURE]" in done.stderr) == (1, True)
    assert run(server, "export", "cli", file, "--sign", f"{key}.pub").returncode == 2
    assert run(server, "export", "nowhere", str(tmp_path / "no.zip")).returncode == 1
    assert (tmp_path / "cli.zip.partial").read_bytes() == b"another one's"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cli.zip",
        "cli.zip.partial",
        "key.pem",
        "key.pem.pub",
        "other.pem",
        "other.pem.pub",
    ]


def test_hostile_packages_are_refused_with_their_reason(
    server: ServerProcess, client: adamem.Client, tmp_path: Path
) -> None:
    fill(client, "sound")
    file = tmp_path / "sound.zip"
    client.packages.export_namespace(file, namespace="sound")
    data, members = file.read_bytes(), unpack(file.read_bytes())
    flipped = bytearray(data)
    flipped[data.find(members[VECTORS]) + 5000] ^= 1
    traversal = io.BytesIO()
    with zipfile.ZipFile(traversal, "w") as archive:
        for name, content in {**members, "../../evil": b"x"}.items():
            archive.writestr(name, content)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, SLOTS: bytes(50 << 20)}.items():
            archive.writestr(name, content)
    newer = pack(sealed(members, lambda manifest: manifest.update(format_version=2)))
    wrong = pack(sealed(members, lambda manifest: manifest.update(n_slots=61)))
    line = pack(edited_line(members, SLOTS, 40, lambda slot: slot.update(kind="dream")))
    many = edited_line(members, SLOTS, 40, lambda slot: slot.update(tags=[str(i) for i in range(65)]))
    for spoilt, error, says in (
        (bytes(flipped), adamem.PackageError, "vectors.npy: fails its CRC-32"),
        (data[: len(data) // 2], adamem.PackageError, "cut short"),
        (traversal.getvalue(), adamem.PackageError, "a path out of the package"),
        (bomb.getvalue(), adamem.PackageError, "more than 200 to 1"),
        (newer, adamem.PackageFormatError, "import it with a newer AdaMem"),
        (wrong, adamem.PackageError, "vectors.npy: holds"),
        (line, adamem.PackageError, "slots.jsonl: line 41: "),
        (pack(many), adamem.PackageError, "slots.jsonl: line 41: tags: has 65 tags, the limit is 64"),
        (b"", adamem.PackageError, "no zip"),
    ):
        with pytest.raises(error, match=says) as caught:
            client.packages.import_namespace(io.BytesIO(spoilt), namespace="hostile")
        assert type(caught.value) is error
        with pytest.raises(adamem.NamespaceNotFoundError):
            client.get_namespace("hostile")
        assert files(server) == []


def test_what_is_wrong_with_a_request(server: ServerProcess, client: adamem.Client) -> None:
    stub = PackageServiceStub(server.channel())
    chunk = pb.ImportNamespaceRequest(chunk=b"x")
    options = pb.ImportNamespaceRequest(options=pb.ImportOptions())
    for requests in ([], [chunk], [options, options]):
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ImportNamespace(iter(requests)))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "options" in str(caught.value.details())
    wrong_imports: list[tuple[dict[str, Any], str]] = [
        ({"namespace": "no name"}, "options.namespace"),
        ({"verify_key": b"short"}, "options.verify_key"),
        ({"mode": "mix"}, "mode"),
    ]
    for arguments, field in wrong_imports:
        with pytest.raises(adamem.InvalidArgumentError) as refused:
            client.packages.import_namespace(io.BytesIO(b"x"), **arguments)
        assert refused.value.field == field
    wrong_exports: list[tuple[dict[str, Any], str]] = [
        ({"author": "x" * 257}, "author"),
        ({"license": "x" * 257}, "license"),
        ({"tags": ["x"] + [str(i) for i in range(64)]}, "tags"),
        ({"tags": [" "]}, "tags[0]"),
        ({"tags": "abc"}, "tags"),
        ({"description": "x" * 4097}, "description"),
    ]
    for arguments, field in wrong_exports:
        with pytest.raises(adamem.InvalidArgumentError) as refused:
            client.packages.export_namespace(io.BytesIO(), **arguments)
        assert refused.value.field == field


def test_who_leaves_leaves_no_files(server: ServerProcess, client: adamem.Client) -> None:
    fill(client, "left")
    stub = PackageServiceStub(server.channel())
    export = stub.ExportNamespace(pb.ExportNamespaceRequest(namespace="left"))
    next(export)
    export.cancel()
    data = io.BytesIO()
    client.packages.export_namespace(data, namespace="left")
    sent, gate = threading.Event(), threading.Event()

    def half() -> Iterator[pb.ImportNamespaceRequest]:
        yield pb.ImportNamespaceRequest(options=pb.ImportOptions(namespace="half"))
        yield pb.ImportNamespaceRequest(chunk=data.getvalue()[: len(data.getvalue()) // 2])
        sent.set()
        gate.wait(PATIENCE_S)

    upload = stub.ImportNamespace(half())
    assert sent.wait(PATIENCE_S)
    upload.cancel()
    gate.set()
    wait_until(lambda: not files(server))
    with pytest.raises(adamem.NamespaceNotFoundError):
        client.get_namespace("half")


def test_a_server_that_is_killed_while_it_imports(new_server: NewServer, tmp_path: Path) -> None:
    server = new_server().start()
    with adamem.Client(server.address) as client:
        client.batch_update([f"Note {n} of many" for n in range(200)], namespace="kept")
        client.packages.export_namespace(tmp_path / "kept.zip", namespace="kept")
        stub = PackageServiceStub(server.channel())
        data = (tmp_path / "kept.zip").read_bytes()
        requests = [
            pb.ImportNamespaceRequest(options=pb.ImportOptions(namespace="cut")),
            pb.ImportNamespaceRequest(chunk=data),
        ]
        answers = stub.ImportNamespace(iter(requests))
        assert next(answers).HasField("progress")
        server.kill()
    server.start()
    with adamem.Client(server.address) as client:
        # Either it was over before the kill, or nothing is there of it.
        names = [namespace.name for namespace in client.list_namespaces()]
        assert files(server) == []
        if "cut" in names:
            assert client.get_namespace("cut").n_slots == 200
            client.delete_namespace("cut")
        client.packages.import_namespace(tmp_path / "kept.zip", namespace="cut")
        assert client.query("Note 7 of many", namespace="cut")[0].slot.content == "Note 7 of many"


@pytest.mark.slow
def test_a_hundred_thousand_slots(new_server: NewServer, tmp_path: Path) -> None:
    from bench.lifecycle.packages import write_package

    random = np.random.default_rng(7)
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "pe", "ro", "su", "ti") for b in ("ban", "dor", "fel", "gim")]
    texts = [f"Note {n}: {' '.join(random.choice(words, 12))}" for n in range(N_MANY)]
    vectors = random.standard_normal((N_MANY, 384), np.float32)
    server = new_server().start()
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    with adamem.Client(server.address, timeout_s=300, namespace="packaged") as client:
        # An exact index: a graph's answers may differ a little from those of the scan before it has grown.
        write_package(first, client.server_info(), texts, vectors, IndexKind.FLAT)
        client.packages.import_namespace(first)
        for _ in range(3):
            client.feedback(texts[5], helped=[client.query(texts[6])[0].slot.id])
        asked = [(text, mode) for text in texts[::9973] for mode in ("dense", "lexical", "hybrid")]
        answers = [hits(client, "packaged", text, mode=mode) for text, mode in asked]
        client.packages.export_namespace(second)
        client.delete_namespace("packaged")
        result = client.packages.import_namespace(second)
        assert (result.n_created, result.n_pairs) == (N_MANY, 3)
        again = [hits(client, "packaged", text, mode=mode) for text, mode in asked]
        client.packages.export_namespace(tmp_path / "third.zip")
    second_members, third_members = unpack(second.read_bytes()), unpack((tmp_path / "third.zip").read_bytes())
    # Byte for byte: every slot, every bit of the vectors, and what was taught.
    assert third_members[VECTORS] == second_members[VECTORS] == unpack(first.read_bytes())[VECTORS]
    uses = ("access_count", "accessed_at")
    for one, other in zip(second_members[SLOTS].splitlines(), third_members[SLOTS].splitlines(), strict=True):
        if one != other:
            kept = [{n: v for n, v in json.loads(line).items() if n not in uses} for line in (one, other)]
            assert kept[0] == kept[1]
    assert set(second_members) == set(third_members)
    assert second_members["pairs.jsonl"] == third_members["pairs.jsonl"]
    assert again == answers
    assert json.loads(second_members[MANIFEST])["n_slots"] == N_MANY
