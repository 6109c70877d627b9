"""The edge around the services: health, reflection, TLS, keys, limits of calls, start and stop; on a real server."""

import json
import os
import queue
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # type: ignore[import-untyped]

from adamem.v1 import admin_service_pb2 as admin
from adamem.v1 import memory_service_pb2 as memory
from adamem.v1 import types_pb2 as types
from adamem.v1.admin_service_pb2_grpc import AdminServiceStub
from adamem.v1.memory_service_pb2_grpc import MemoryServiceStub
from tests.integration.conftest import NewServer
from tests.integration.errors import refusal
from tests.integration.process import COMMAND, ServerProcess, run_serve
from tests.patience import PATIENCE_S, wait_until

SERVICES = tuple(
    f"adamem.v1.{name}Service"
    for name in ("Memory", "Admin", "Lifecycle", "Job", "Backup", "Package", "Version", "Archive")
)
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
KEY = "a-key-for-the-tests-of-the-edge"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
INFO = admin.GetServerInfoRequest()


def vector() -> types.Vector:
    return types.Vector(values=np.ones(4, "<f4").tobytes())


def slot(content: str = "text") -> memory.SlotInput:
    return memory.SlotInput(content=content, vector=vector())


def namespace(server: ServerProcess, name: str) -> str:
    server.admin.CreateNamespace(admin.CreateNamespaceRequest(name=name, dim=4, external_vectors=True))
    return name


def failed(call: Callable[[], Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    code = error.code()
    assert isinstance(code, grpc.StatusCode)
    return code


def health(channel: grpc.Channel, service: str = "") -> Any:
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service)).status


def reflected(channel: grpc.Channel, **metadata: str) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="*")
    (answer,) = stub.ServerReflectionInfo(iter([request]), metadata=tuple(metadata.items()))
    return [service.name for service in answer.list_services_response.service]


class Sender:
    """The requests of a bulk stream, sent one by one."""

    def __init__(self) -> None:
        self._queue: queue.Queue[memory.BulkUpdateRequest | None] = queue.Queue()

    def __iter__(self) -> Iterator[memory.BulkUpdateRequest]:
        while (request := self._queue.get()) is not None:
            yield request

    def send(self, namespace: str, *slots: memory.SlotInput) -> None:
        self._queue.put(memory.BulkUpdateRequest(namespace=namespace, slots=slots))

    def end(self) -> None:
        self._queue.put(None)


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender()
    yield sender
    sender.end()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """server.pem and client.pem with their keys, each signing itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client"):
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def tls(certificates: Path) -> dict[str, str]:
    return {
        "ADAMEM_TLS_CERT": str(certificates / "server.pem"),
        "ADAMEM_TLS_KEY": str(certificates / "server.key"),
    }


# Health and reflection


def test_reflection_lists_the_services(server: ServerProcess) -> None:
    assert sorted(reflected(server.channel())) == sorted([*SERVICES, HEALTH, REFLECTION])


def test_reflection_describes_the_services(server: ServerProcess) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel())
    requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=service) for service in SERVICES]
    for answer in stub.ServerReflectionInfo(iter(requests)):
        assert answer.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health(server: ServerProcess, service: str) -> None:
    assert health(server.channel(), service) == SERVING


def test_health_of_an_unknown_service(server: ServerProcess) -> None:
    assert failed(lambda: health(server.channel(), "other.Service")) is grpc.StatusCode.NOT_FOUND


def test_health_says_not_serving_while_the_server_stops(new_server: NewServer) -> None:
    server = new_server().start()
    stub = health_pb2_grpc.HealthStub(server.channel())
    watches = [stub.Watch(health_pb2.HealthCheckRequest(service=service)) for service in ("", *SERVICES)]
    assert [next(watch).status for watch in watches] == [SERVING] * len(watches)
    server.process.send_signal(signal.SIGTERM)
    assert [next(watch).status for watch in watches] == [NOT_SERVING] * len(watches)
    for watch in watches:
        watch.cancel()
    assert server.process.wait(PATIENCE_S) == 0


def test_health_watches_that_come_and_go_hold_up_nothing(server: ServerProcess) -> None:
    def watch_often() -> None:
        with grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for _ in range(100):
                watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
                assert next(watch).status == SERVING
                watch.cancel()

    with ThreadPoolExecutor(4) as pool:
        for watcher in [pool.submit(watch_often) for _ in range(4)]:
            watcher.result()
    assert server.admin.GetServerInfo(INFO, timeout=PATIENCE_S).version


# Calls


def test_request_ids_come_back(server: ServerProcess) -> None:
    _, call = server.admin.GetServerInfo.with_call(INFO, metadata=(("x-request-id", "mine-1"),))
    assert dict(call.trailing_metadata())["x-request-id"] == "mine-1"
    _, call = server.admin.GetServerInfo.with_call(INFO)
    assert dict(call.trailing_metadata())["x-request-id"]
    with pytest.raises(grpc.RpcError) as caught:
        server.memory.Query(memory.QueryRequest(), metadata=(("x-request-id", "mine-2"),))
    error: Any = caught.value
    assert dict(error.trailing_metadata())["x-request-id"] == "mine-2"
    wait_until(lambda: {"mine-1", "mine-2"} <= {line["request_id"] for line in server.events("call")})


def test_the_log_has_calls_and_no_memories(server: ServerProcess) -> None:
    name = namespace(server, "log")
    server.memory.Update(memory.UpdateRequest(namespace=name, slot=slot("the-secret-content")))
    bad = memory.SlotInput(content="the-secret-content", cue="the-secret-content", importance=7)
    failed(lambda: server.memory.Update(memory.UpdateRequest(namespace=name, slot=bad)))
    failed(lambda: server.memory.Query(memory.QueryRequest(namespaces=[name], text="the-secret-content")))
    wait_until(lambda: any(line["code"] == "FAILED_PRECONDITION" for line in server.events("call")))
    line = server.events("call")[-1]
    assert line["method"].startswith("/adamem.v1.")
    assert line["latency_ms"] >= 0
    assert "the-secret-content" not in server.log()


def test_message_too_large(new_server: NewServer) -> None:
    server = new_server(ADAMEM_MAX_MESSAGE_BYTES=str(1 << 20)).start()
    request = memory.BatchUpdateRequest(slots=[memory.SlotInput(content="x" * 60_000)] * 20)
    assert failed(lambda: server.memory.BatchUpdate(request)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert health(server.channel()) == SERVING


def test_deadline(server: ServerProcess, sender: Sender) -> None:
    answers = server.memory.BulkUpdate(iter(sender), timeout=0.2)
    assert failed(lambda: next(answers)) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.admin.GetServerInfo(INFO, timeout=PATIENCE_S).version


def test_unknown_method(server: ServerProcess) -> None:
    call: Any = server.channel().unary_unary("/adamem.v1.MemoryService/Forget")
    assert failed(lambda: call(b"")) is grpc.StatusCode.UNIMPLEMENTED


def test_server_info(server: ServerProcess) -> None:
    info = server.admin.GetServerInfo(INFO)
    assert (info.default_namespace, info.limits.max_top_k) == ("global", 1000)
    assert info.dim > 0
    assert info.model
    assert info.uptime.ToMilliseconds() > 0
    assert info.data_bytes > 0


def test_pages(server: ServerProcess) -> None:
    name = namespace(server, "pages")
    stored = server.memory.BatchUpdate(
        memory.BatchUpdateRequest(namespace=name, slots=[slot(str(i)) for i in range(7)])
    )
    ids = [result.slot_id for result in stored.results]
    found: list[str] = []
    token = ""
    for size in (3, 2, 100):
        page = server.memory.ListSlots(memory.ListSlotsRequest(namespace=name, page_size=size, page_token=token))
        found += [each.id for each in page.slots]
        token = page.next_page_token
    assert (found, token) == (ids, "")
    first = server.memory.ListSlots(memory.ListSlotsRequest(namespace=name, page_size=1))
    elsewhere = memory.ListSlotsRequest(namespace="global", page_token=first.next_page_token)
    assert refusal(lambda: server.memory.ListSlots(elsewhere)).fields.keys() == {"page_token"}


def test_pages_of_large_slots_fit_every_client(server: ServerProcess) -> None:
    name = namespace(server, "large-pages")
    slots = [slot(f"{i} " + "x" * 60_000) for i in range(100)]
    stored = server.memory.BatchUpdate(memory.BatchUpdateRequest(namespace=name, slots=slots))
    found: list[str] = []
    token = ""
    with grpc.insecure_channel(server.address) as channel:
        stub = MemoryServiceStub(channel)
        while True:
            page = stub.ListSlots(memory.ListSlotsRequest(namespace=name, page_token=token))
            found += [each.id for each in page.slots]
            token = page.next_page_token
            if not token:
                break
    assert found == [result.slot_id for result in stored.results]


def test_an_answer_over_the_limit(new_server: NewServer) -> None:
    server = new_server(ADAMEM_MAX_MESSAGE_BYTES=str(1 << 20)).start()
    name = namespace(server, "large")
    for _ in range(4):
        slots = [slot("x" * 60_000) for _ in range(10)]
        server.memory.BatchUpdate(memory.BatchUpdateRequest(namespace=name, slots=slots))
    query = memory.QueryRequest(namespaces=[name], vector=vector(), top_k=40)
    found = refusal(lambda: server.memory.Query(query))
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED")
    assert found.metadata["limit"] == str(1 << 20)


def test_pages_of_namespaces(server: ServerProcess) -> None:
    names = [namespace(server, f"page-{i}") for i in range(5)]
    found: list[str] = []
    token = ""
    while True:
        request = admin.ListNamespacesRequest(prefix="page-", page_size=2, page_token=token)
        page = server.admin.ListNamespaces(request)
        found += [each.name for each in page.namespaces]
        token = page.next_page_token
        if not token:
            break
    assert found == names


# Bulk streams


def test_bulk_answers_each_batch_at_once_and_in_order(server: ServerProcess, sender: Sender) -> None:
    name = namespace(server, "bulk")
    answers = server.memory.BulkUpdate(iter(sender))
    for i in range(3):
        sender.send(name, slot(str(i)), memory.SlotInput())
        answer = next(answers)
        assert answer.sequence == i + 1
        assert [bool(result.slot_id) for result in answer.results] == [True, False]
    for _ in range(40):
        sender.send(name, slot())
    sender.end()
    sequences = [answer.sequence for answer in answers]
    assert sequences == sorted(sequences)
    assert len(sequences) == 40
    assert server.admin.GetNamespace(admin.GetNamespaceRequest(name=name)).namespace.n_slots == 43


def test_a_cancelled_bulk_stream_leaves_whole_batches(server: ServerProcess, sender: Sender) -> None:
    name = namespace(server, "cancel")
    answers = server.memory.BulkUpdate(iter(sender))
    for _ in range(50):
        sender.send(name, *[slot()] * 10)
    next(answers)
    answers.cancel()
    lines = lambda: [line for line in server.events("call") if line["method"].endswith("BulkUpdate")]  # noqa: E731
    wait_until(lambda: any(line["code"] == "CANCELLED" for line in lines()))
    n_slots = server.admin.GetNamespace(admin.GetNamespaceRequest(name=name)).namespace.n_slots
    assert 10 <= n_slots <= 500
    assert n_slots % 10 == 0
    assert not [line for line in lines() if line["level"] == "error"]


def test_bulk_streams_are_limited(new_server: NewServer, sender: Sender) -> None:
    server = new_server(ADAMEM_MAX_BULK_STREAMS="1").start()
    name = namespace(server, "one")
    first = server.memory.BulkUpdate(iter(sender))
    sender.send(name, slot())
    next(first)
    second = iter([memory.BulkUpdateRequest(namespace=name, slots=[slot()])])
    found = refusal(lambda: list(server.memory.BulkUpdate(second)))
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert found.metadata == {"limit": "1"}
    assert found.retry_s
    sender.end()
    assert list(first) == []


def test_a_batch_of_far_too_many_slots_is_not_parsed(server: ServerProcess) -> None:
    """Parsed, 64 MB of empty slots took some 5 GB."""
    path, message = "/adamem.v1.MemoryService/", b"\x12\x00" * 100_000
    calls: tuple[Callable[[], Any], ...] = (
        lambda: server.channel().unary_unary(path + "BatchUpdate")(message),
        lambda: list(server.channel().stream_stream(path + "BulkUpdate")(iter([message]))),
    )
    for call in calls:
        found = refusal(call)
        assert found.code == grpc.StatusCode.INVALID_ARGUMENT
        assert found.fields == {"slots": "has more than 4000 slots, the limit is 1000"}


# Authentication and TLS


def test_api_keys(new_server: NewServer) -> None:
    server = new_server(ADAMEM_API_KEYS=f"another-key-of-ours,{KEY}").start()
    for metadata in ((), (("authorization", "Bearer wrong-key-of-others"),)):
        found = refusal(lambda metadata=metadata: server.admin.GetServerInfo(INFO, metadata=metadata))  # type: ignore[misc]
        assert (found.code, found.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    bearer = f"Bearer {KEY}"
    assert server.admin.GetServerInfo(INFO, metadata=(("authorization", bearer),)).version
    assert health(server.channel()) == SERVING, "probes have no key"
    assert failed(lambda: reflected(server.channel())) is grpc.StatusCode.UNAUTHENTICATED
    assert reflected(server.channel(), authorization=bearer)
    assert KEY not in server.log()


def test_tls_and_a_key_open_a_public_address(new_server: NewServer, certificates: Path) -> None:
    server = new_server(ADAMEM_HOST="0.0.0.0", ADAMEM_API_KEYS=KEY, **tls(certificates)).start()
    trusted = grpc.ssl_channel_credentials((certificates / "server.pem").read_bytes())
    with grpc.secure_channel(f"localhost:{server.port}", trusted) as channel:
        stub = AdminServiceStub(channel)
        assert failed(lambda: stub.GetServerInfo(INFO)) is grpc.StatusCode.UNAUTHENTICATED
        assert stub.GetServerInfo(INFO, metadata=(("authorization", f"Bearer {KEY}"),)).version
    assert failed(lambda: server.admin.GetServerInfo(INFO)) is grpc.StatusCode.UNAVAILABLE, "not in the clear"


def test_client_certificates(new_server: NewServer, certificates: Path) -> None:
    ca = str(certificates / "client.pem")
    server = new_server(ADAMEM_HOST="0.0.0.0", ADAMEM_TLS_CLIENT_CA=ca, **tls(certificates)).start()
    root = (certificates / "server.pem").read_bytes()
    own = (certificates / "client.key").read_bytes(), (certificates / "client.pem").read_bytes()
    with grpc.secure_channel(f"localhost:{server.port}", grpc.ssl_channel_credentials(root, *own)) as channel:
        assert AdminServiceStub(channel).GetServerInfo(INFO).version
    with grpc.secure_channel(f"localhost:{server.port}", grpc.ssl_channel_credentials(root)) as channel:
        assert failed(lambda: AdminServiceStub(channel).GetServerInfo(INFO)) is grpc.StatusCode.UNAVAILABLE


def test_tls_files_that_do_not_fit(certificates: Path, tmp_path: Path) -> None:
    environment = tls(certificates) | {"ADAMEM_TLS_KEY": str(certificates / "client.key")}
    found = run_serve("--port", "0", "--data-dir", str(tmp_path / "data"), **environment)
    assert found.returncode == 1
    assert "cannot listen on 127.0.0.1:0" in found.stderr.splitlines()[-1]


def test_an_insecure_address_when_it_is_meant(new_server: NewServer) -> None:
    server = new_server(ADAMEM_HOST="0.0.0.0", ADAMEM_ALLOW_INSECURE="true").start()
    assert server.admin.GetServerInfo(INFO).version


# Start and stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_nothing_is_lost(new_server: NewServer, number: signal.Signals) -> None:
    server = new_server().start()
    name = namespace(server, "kept")
    slot_id = server.memory.Update(memory.UpdateRequest(namespace=name, slot=slot())).result.slot_id
    assert server.stop(number) == 0
    assert [line["event"] for line in (*server.events("stopping"), *server.events("stopped"))] == [
        "stopping",
        "stopped",
    ]
    server.start()
    get = memory.GetSlotRequest(namespace=name, slot_id=slot_id)
    assert server.memory.GetSlot(get).slot.content == "text"
    assert server.memory.Query(memory.QueryRequest(namespaces=[name], vector=vector())).hits[0].slot.id == slot_id


def test_a_signal_that_comes_before_it_is_ready_stops_it_in_order(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    # What it writes the ready file to holds it until somebody reads.
    written = tmp_path / "ready.json.part"
    os.mkfifo(written)
    environment = os.environ | {"ADAMEM_DATA_DIR": str(tmp_path / "data"), "ADAMEM_HTTP": "false"}
    command = [*COMMAND, "--port", "0", "--ready-file", str(ready)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        with written.open() as reader:
            process.send_signal(signal.SIGTERM)
            assert json.loads(reader.read())["pid"] == process.pid
        assert process.wait(PATIENCE_S) == 0
    assert not ready.exists()


def test_a_killed_server_starts_again(new_server: NewServer) -> None:
    server = new_server().start()
    name = namespace(server, "kept")
    slot_id = server.memory.Update(memory.UpdateRequest(namespace=name, slot=slot())).result.slot_id
    server.kill()
    server.start()
    assert server.memory.GetSlot(memory.GetSlotRequest(namespace=name, slot_id=slot_id)).slot.content == "text"


def test_a_bulk_stream_under_way_is_answered_then_told_to_come_again(new_server: NewServer, sender: Sender) -> None:
    server = new_server().start()
    name = namespace(server, "draining")
    answers = server.memory.BulkUpdate(iter(sender))
    sender.send(name, slot())
    next(answers)
    server.process.send_signal(signal.SIGTERM)
    found = refusal(lambda: list(answers))
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert found.retry_s
    assert server.process.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_it_at_once(new_server: NewServer) -> None:
    server = new_server(ADAMEM_SHUTDOWN_GRACE_S="600").start()
    requests: queue.Queue[Any] = queue.Queue()
    requests.put(reflection_pb2.ServerReflectionRequest(list_services="*"))
    open_call = reflection_pb2_grpc.ServerReflectionStub(server.channel()).ServerReflectionInfo(
        iter(requests.get, None)
    )
    next(open_call)
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: bool(server.events("stopping")))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == -signal.SIGTERM
    requests.put(None)


def test_calls_that_do_not_end_are_cut_off_after_the_grace(new_server: NewServer) -> None:
    server = new_server(ADAMEM_SHUTDOWN_GRACE_S="0.2").start()
    requests: queue.Queue[Any] = queue.Queue()
    requests.put(reflection_pb2.ServerReflectionRequest(list_services="*"))
    open_call = reflection_pb2_grpc.ServerReflectionStub(server.channel()).ServerReflectionInfo(
        iter(requests.get, None)
    )
    next(open_call)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == 0
    requests.put(None)


def test_the_ready_file_is_there_while_it_serves(new_server: NewServer) -> None:
    server = new_server().start()
    ready = server.data_dir.parent / "ready.json"
    assert json.loads(ready.read_text()) == {
        "port": server.port,
        "http_port": server.http_port,
        "pid": server.process.pid,
    }
    server.stop()
    assert not ready.exists()


def test_a_ready_file_that_cannot_be_written(tmp_path: Path) -> None:
    place = tmp_path / "none" / "ready.json"
    result = run_serve("--port", "0", "--ready-file", str(place), ADAMEM_DATA_DIR=str(tmp_path / "data"))
    assert result.returncode == 1
    assert f"cannot write {place}: No such file or directory" in result.stderr
    assert "Traceback" not in result.stderr
