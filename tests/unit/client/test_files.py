"""Files that clients write and read: what is beside them meanwhile, and what is told of what went wrong with them."""
# ruff: noqa: N802 -- names of RPCs

import asyncio
import errno
import hashlib
import io
import json
import resource
import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

import adamem
from adamem.v1 import backup_service_pb2 as backup_pb
from adamem.v1 import backup_service_pb2_grpc as backup_grpc
from adamem.v1 import package_service_pb2 as package_pb
from adamem.v1 import package_service_pb2_grpc as package_grpc
from tests.patience import PATIENCE_S
from tests.unit.client.conftest import MemoryServer, info, status

DATA = b"data" * 1000
OVERLOADED = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "another backup is under way", info("OVERLOADED"))


class FileServer(backup_grpc.BackupServiceServicer, package_grpc.PackageServiceServicer):
    """One backup at a time, packages of a few bytes. A backup goes on behind its first part once `go_on` is set."""

    def __init__(self) -> None:
        self.is_busy = False
        self.go_on = threading.Event()

    def Backup(self, request, context):
        if self.is_busy:
            self.go_on.set()
            MemoryServer._abort(OVERLOADED, context)
        self.is_busy = True
        context.add_callback(self._end)
        manifest = {
            "created_at": "2026-01-31T09:30:00+00:00",
            "server_version": "0.0",
            "members": [{"n_bytes": 2 * len(DATA), "sha256": hashlib.sha256(DATA + DATA).hexdigest()}],
            "contents": {"namespaces": [{"n_slots": 2}]},
        }
        for _ in range(2):
            yield backup_pb.BackupResponse(member="data.mdb", data=DATA, total_bytes=2 * len(DATA))
            self.go_on.wait(PATIENCE_S)
        yield backup_pb.BackupResponse(member="manifest.json", data=json.dumps(manifest).encode())

    def _end(self) -> None:
        self.is_busy = False

    def ExportNamespace(self, request, context):
        if request.author == "nobody":
            MemoryServer._abort(status(grpc.StatusCode.NOT_FOUND, "no", info("NAMESPACE_NOT_FOUND")), context)
        yield package_pb.ExportNamespaceResponse(package=package_pb.PackageInfo(name="x", n_bytes=2))
        for byte in request.author.encode():
            yield package_pb.ExportNamespaceResponse(chunk=bytes([byte]))

    def ImportNamespace(self, request_iterator, context):
        yield package_pb.ImportNamespaceResponse(progress=package_pb.ImportProgress())
        for _ in request_iterator:
            pass
        yield package_pb.ImportNamespaceResponse(result=package_pb.ImportResult(namespace="x"))


@pytest.fixture
def server() -> FileServer:
    server = FileServer()
    server.go_on.set()
    return server


@pytest.fixture
def endpoint(server) -> Iterator[str]:
    listener = grpc.server(futures.ThreadPoolExecutor(8))
    backup_grpc.add_BackupServiceServicer_to_server(server, listener)
    package_grpc.add_PackageServiceServicer_to_server(server, listener)
    port = listener.add_insecure_port("localhost:0")
    listener.start()
    yield f"localhost:{port}"
    listener.stop(None).wait()


@pytest.fixture
def client(endpoint) -> Iterator[adamem.Client]:
    with adamem.Client(endpoint) as client:
        yield client


def names(folder) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("single_file", [False, True])
def test_a_refused_backup_leaves_another_one_to_the_same_path_alone(client, server, single_file, tmp_path) -> None:
    server.go_on.clear()
    refused: list[adamem.AdaMemError] = []

    def begin_another(n_done, n_total) -> None:
        if not refused:
            with pytest.raises(adamem.OverloadedError) as caught:
                client.backups.save(tmp_path / "backup", single_file=single_file)
            refused.append(caught.value)
            assert len(names(tmp_path)) == 1

    result = client.backups.save(tmp_path / "backup", single_file=single_file, on_progress=begin_another)
    assert (len(refused), result.n_slots) == (1, 2)
    assert names(tmp_path) == ["backup"]


def test_a_refused_backup_of_asyncio_leaves_another_one_alone(endpoint, server, tmp_path) -> None:
    server.go_on.clear()

    async def work() -> None:
        async with adamem.AsyncClient(endpoint) as client:
            begun = asyncio.Event()
            first = asyncio.create_task(
                client.backups.save(tmp_path / "backup", on_progress=lambda n_done, n_total: begun.set())
            )
            await begun.wait()
            with pytest.raises(adamem.OverloadedError):
                await client.backups.save(tmp_path / "backup")
            assert (await first).n_slots == 2

    asyncio.run(work())
    assert names(tmp_path) == ["backup"]


def test_a_cancelled_backup_leaves_nothing(endpoint, tmp_path) -> None:
    async def work() -> None:
        async with adamem.AsyncClient(endpoint) as client:
            task: asyncio.Task[adamem.BackupResult] = asyncio.create_task(
                client.backups.save(tmp_path / "backup", on_progress=lambda n_done, n_total: task.cancel())
            )
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(work())
    assert names(tmp_path) == []


@pytest.mark.parametrize("single_file", [False, True])
def test_a_backup_for_which_the_disk_has_no_room_leaves_nothing(client, single_file, tmp_path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"too large") as caught:
            client.backups.save(tmp_path / "backup", single_file=single_file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert names(tmp_path) == []


def test_the_time_limit_of_a_backup_is_checked_before_anything_is_written(client, tmp_path) -> None:
    with pytest.raises(adamem.InvalidArgumentError, match="timeout_s: a number of seconds is expected, not nan"):
        client.backups.save(tmp_path / "backup", timeout_s=float("nan"))
    assert names(tmp_path) == []


def test_two_exports_to_one_path_do_not_mix(client, endpoint, tmp_path) -> None:
    path = tmp_path / "package.zip"
    inner: list[adamem.PackageInfo] = []

    def begin_another(told) -> None:
        if not inner:
            inner.append(client.packages.export_namespace(path, author="in"))
            assert path.read_bytes() == b"in"

    client.packages.export_namespace(path, author="ab", on_progress=begin_another)
    assert len(inner) == 1
    assert path.read_bytes() == b"ab"
    with pytest.raises(adamem.NamespaceNotFoundError):
        client.packages.export_namespace(path, author="nobody")
    with pytest.raises(adamem.InternalError):
        client.packages.export_namespace(path, author="short")
    assert path.read_bytes() == b"ab"
    assert names(tmp_path) == ["package.zip"]


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "the disk is broken")


def stop(told) -> None:
    raise KeyError(told.stage)


UNREADABLE = [
    (Broken, None, OSError, "the disk is broken"),
    (lambda: io.StringIO("text"), None, adamem.InvalidArgumentError, "file: bytes are expected, not str"),
    (lambda: io.BytesIO(b"zip"), stop, KeyError, "send"),
]


@pytest.mark.parametrize(("source", "on_progress", "error", "told"), UNREADABLE)
def test_what_an_import_cannot_send_is_told_as_it_was(client, source, on_progress, error, told) -> None:
    with pytest.raises(error, match=told):
        client.packages.import_namespace(source(), on_progress=on_progress)


@pytest.mark.parametrize(("source", "on_progress", "error", "told"), UNREADABLE)
def test_what_an_import_of_asyncio_cannot_send_is_told_as_it_was(endpoint, source, on_progress, error, told) -> None:
    async def work() -> None:
        async with adamem.AsyncClient(endpoint) as client:
            with pytest.raises(error, match=told):
                await client.packages.import_namespace(source(), on_progress=on_progress)

    asyncio.run(work())
