"""The Python client with a real server that is killed, started again, slow to answer, or reached over a bad line."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import adamem
from adamem import frames
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess
from tests.integration.proxy import Proxy
from tests.integration.test_edge import certificates, tls  # noqa: F401 - a fixture
from tests.patience import PATIENCE_S, wait_until

ROOT = Path(__file__).resolve().parents[2]
TWINS = pytest.mark.parametrize("twin", ["plain", "async"])


class Twin:
    """Either client, used the same way: an AsyncClient lives in an event loop of its own thread."""

    def __init__(self, twin: str, endpoint: str, **options: Any) -> None:
        self._runner = asyncio.Runner() if twin == "async" else None
        self._client: Any = (adamem.AsyncClient if self._runner else adamem.Client)(endpoint, **options)

    def do(self, call: Callable[[Any], Any]) -> Any:
        if self._runner is None:
            return call(self._client)
        return self._runner.run(_awaited(call, self._client))

    def close(self) -> None:
        self.do(lambda client: client.close())
        if self._runner is not None:
            self._runner.close()


async def _awaited(call: Callable[[Any], Awaitable[Any]], client: Any) -> Any:
    return await call(client)


@pytest.fixture
def new_twin() -> Iterator[Callable[..., Twin]]:
    made: list[Twin] = []

    def make(*arguments: Any, **options: Any) -> Twin:
        made.append(Twin(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def n_slots(server: ServerProcess, namespace: str) -> int:
    with adamem.Client(server.address) as client:
        try:
            return client.get_namespace(namespace).n_slots
        except adamem.NamespaceNotFoundError:
            return 0


@TWINS
def test_it_goes_on_with_a_server_that_was_killed_and_started_again(new_server: NewServer, new_twin, twin: str) -> None:
    server = new_server().start()
    port = server.port
    client = new_twin(twin, server.address, namespace="n", timeout_s=PATIENCE_S, max_attempts=1)
    for n in range(2):
        client.do(lambda client, n=n: client.update(f"The code of gate {n} is {n}{n}{n}{n}"))
        server.kill()
        with pytest.raises(adamem.UnavailableError):
            client.do(lambda client: client.update("Nobody hears this"))
        with pytest.raises(adamem.UnavailableError, match="is the server running"):
            client.do(lambda client: client.query("gate"))
        server.start(port)
        client.do(lambda client: client.wait_until_ready())
        found = client.do(lambda client, n=n: client.query(f"code of gate {n}", top_k=1))
        assert found[0].content == f"The code of gate {n} is {n}{n}{n}{n}"
        # The groups of calls share the connection.
        assert client.do(lambda client: client.jobs.list_page()).jobs == ()
    assert n_slots(server, "n") == 2


@TWINS
def test_calls_outlast_a_restart_by_retries(new_server: NewServer, new_twin, twin: str) -> None:
    server = new_server().start()
    port = server.port
    client = new_twin(twin, server.address, namespace="n", timeout_s=PATIENCE_S, max_attempts=100)
    client.do(lambda client: client.update("first"))
    server.kill()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(server.start, port)
        client.do(lambda client: client.update("second"))
        started.result()
    assert [each.content for each in client.do(lambda client: client.list_slots_page()).slots] == ["first", "second"]


@TWINS
def test_a_load_outlasts_a_restart_and_stores_all_once(new_server: NewServer, new_twin, twin: str) -> None:
    server = new_server().start()
    port = server.port
    client = new_twin(twin, server.address, namespace="n")
    vectors = np.random.default_rng(7).normal(size=(1500, 4))
    client.do(lambda client: client.create_namespace("n", dim=4, external_vectors=True))
    frame = pd.DataFrame({"content": [f"text {n}" for n in range(1500)], "vector": list(vectors)})
    killed = False

    def progress(state: adamem.BulkResult) -> None:
        nonlocal killed
        if state.n_items >= 500 and not killed:
            killed = True
            server.kill()
            server.start(port)

    done = client.do(lambda client: client.bulk_update(frame, batch_size=50, on_progress=progress))
    assert killed
    assert (done.n_items, done.n_failed) == (1500, 0)
    with adamem.Client(server.address, namespace="n") as other:
        stored = frames.to_pandas(other.list_slots(include_vectors=True))
    assert stored.content.tolist() == frame.content.tolist()
    np.testing.assert_allclose(np.stack(stored.vector.tolist()), vectors, rtol=1e-6)


@TWINS
def test_a_mutation_whose_answer_is_lost_is_carried_out_once(server: ServerProcess, new_twin, twin: str) -> None:
    namespace = f"lost-{twin}"
    with Proxy(server.port) as proxy, ThreadPoolExecutor(1) as pool:
        client = new_twin(twin, f"127.0.0.1:{proxy.port}", namespace=namespace, timeout_s=PATIENCE_S)
        client.do(lambda client: client.server_info())
        proxy.hold_answers()
        answer = pool.submit(client.do, lambda client: client.update("told once"))
        wait_until(lambda: n_slots(server, namespace) == 1)
        proxy.disconnect()
        result = answer.result(PATIENCE_S)
        assert proxy.n_connections == 2
    with adamem.Client(server.address, namespace=namespace) as other:
        assert [each.id for each in other.list_slots()] == [result.slot_id]


@TWINS
def test_what_is_not_safe_to_repeat_is_not(server: ServerProcess, new_twin, twin: str) -> None:
    namespace = f"unsafe-{twin}"
    with Proxy(server.port) as proxy, ThreadPoolExecutor(1) as pool:
        client = new_twin(twin, f"127.0.0.1:{proxy.port}", namespace=namespace, timeout_s=PATIENCE_S)
        client.do(lambda client: client.server_info())
        proxy.hold_answers()
        answer = pool.submit(client.do, lambda client: client.update("told once", request_id=""))
        wait_until(lambda: n_slots(server, namespace) == 1)
        proxy.disconnect()
        with pytest.raises(adamem.UnavailableError):
            answer.result(PATIENCE_S)
        assert n_slots(server, namespace) == 1

        client.do(lambda client: client.server_info())
        proxy.hold_answers()
        answer = pool.submit(client.do, lambda client: client.delete_namespace(namespace))
        wait_until(lambda: n_slots(server, namespace) == 0)
        proxy.disconnect()
        with pytest.raises(adamem.UnavailableError):
            answer.result(PATIENCE_S)


@TWINS
def test_all_calls_share_one_connection(server: ServerProcess, new_twin, twin: str) -> None:
    with Proxy(server.port) as proxy:
        client = new_twin(twin, f"127.0.0.1:{proxy.port}", namespace=f"one-{twin}")
        for n in range(20):
            client.do(lambda client, n=n: client.update(f"text {n}"))
            client.do(lambda client: client.query("text"))
        client.do(lambda client: client.bulk_update(["a", "b"]))
        job = client.do(lambda client: client.lifecycle.verify())
        client.do(lambda client: client.jobs.wait(job))
        client.do(lambda client: client.snapshots.create("s"))
        client.do(lambda client: client.archive.pin(filter={"kind": "fact"}))
        client.do(lambda client: client.duplicates.absorbed_page(client_slot(server, f"one-{twin}")))
        assert proxy.n_connections == 1


def client_slot(server: ServerProcess, namespace: str) -> str:
    with adamem.Client(server.address, namespace=namespace) as other:
        return next(iter(other.list_slots())).id


@TWINS
def test_a_deadline_holds_and_the_client_goes_on(server: ServerProcess, new_twin, twin: str) -> None:
    with Proxy(server.port) as proxy:
        client = new_twin(twin, f"127.0.0.1:{proxy.port}", namespace="n", timeout_s=0.3)
        client.do(lambda client: client.wait_until_ready())
        proxy.hold_answers()
        calls: list[Callable[[Any], Any]] = [
            lambda client: client.server_info(),
            lambda client: client.update("x", timeout_s=0.2),
            lambda client: client.jobs.list_page(timeout_s=0.2),
            lambda client: client.bulk_update(["x"], timeout_s=0.2),
        ]
        for call in calls:
            with pytest.raises(adamem.DeadlineExceededError):
                client.do(call)
        proxy.release_answers()
        assert client.do(lambda client: client.server_info(timeout_s=PATIENCE_S)).version == adamem.__version__


@TWINS
def test_a_server_that_asks_for_a_certificate_and_a_key(
    new_server: NewServer,
    new_twin,
    certificates: Path,  # noqa: F811 - the fixture
    twin: str,
) -> None:
    key = "a-key-for-the-tests-of-the-client"
    environment = tls(certificates) | {"ADAMEM_TLS_CLIENT_CA": str(certificates / "client.pem"), "ADAMEM_API_KEYS": key}
    server = new_server(**environment).start()
    files = {
        "ca_cert": certificates / "server.pem",
        "client_cert": certificates / "client.pem",
        "client_key": certificates / "client.key",
    }
    client = new_twin(twin, server.address, api_key=key, **files)
    assert client.do(lambda client: client.server_info()).version == adamem.__version__
    with pytest.raises(adamem.UnauthenticatedError):
        new_twin(twin, server.address, **files).do(lambda client: client.server_info())
    without = new_twin(twin, server.address, api_key=key, ca_cert=files["ca_cert"], max_attempts=1)
    with pytest.raises(adamem.UnavailableError, match="give client_cert and client_key"):
        without.do(lambda client: client.server_info())
    options = [word for name, file in files.items() for word in (f"--{name.replace('_', '-')}", str(file))]
    command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address, "--api-key", key, *options]
    done = subprocess.run([*command, "namespace", "list"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    plain = new_twin(twin, server.address, api_key=key, max_attempts=1)
    with pytest.raises(adamem.UnavailableError, match="begin the endpoint with https://"):
        plain.do(lambda client: client.server_info())


def test_frames_there_and_back(server: ServerProcess) -> None:
    matrix = np.asfortranarray(np.random.default_rng(3).normal(size=(300, 8)))
    frame = pd.DataFrame(
        {
            "content": [f"text {n}" for n in range(300)],
            "cue": [None if n % 2 else f"What is {n}?" for n in range(300)],
            "kind": ["message" if n % 3 else "fact" for n in range(300)],
            "user_id": [f"u{n % 5}" for n in range(300)],
            "tags": [[f"t{n % 4}"] for n in range(300)],
            "metadata.n": range(300),
            "importance": np.linspace(0, 1, 300, dtype="f4"),
            "created_at": pd.date_range("2026-01-01", periods=300, freq="h", tz="Europe/Riga"),
            "vector": list(matrix),
        }
    )
    with adamem.Client(server.address, namespace="frames") as memory:
        memory.create_namespace("frames", dim=8, external_vectors=True)
        done = memory.bulk_update(frame)
        assert (done.n_created, done.n_failed) == (300, 0)
        back = frames.to_pandas(memory.list_slots(include_vectors=True))
        for name in ("content", "user_id", "kind"):
            assert back[name].tolist() == frame[name].tolist()
        assert back.cue.tolist() == [each or "" for each in frame.cue.where(frame.cue.notna(), "")]
        assert back.tags.tolist() == frame.tags.tolist()
        assert [each["n"] for each in back.metadata] == list(range(300))
        assert (back.created_at == frame.created_at.dt.tz_convert("UTC")).all()
        np.testing.assert_allclose(back.importance, frame.importance, atol=1e-6)
        np.testing.assert_allclose(frames.vectors(memory.list_slots(include_vectors=True)), matrix, rtol=1e-6)
        found = memory.query(vector=matrix[7], top_k=5, include_vectors=True)
        assert found.to_pandas().content[0] == "text 7"
        np.testing.assert_allclose(frames.vectors(found)[0], matrix[7], rtol=1e-6)
        assert memory.query(vector=matrix[7], filter={"user_id": "nobody"}).to_pandas().empty
        wrong = pd.DataFrame({"content": ["a", "b"], "vector": [[1.0] * 8, [1.0] * 7]})
        (failure,) = memory.bulk_update(wrong).failures
        assert failure.index == 1
        assert isinstance(failure.error, adamem.DimensionMismatchError)
    assert frames.to_pandas([memory_namespace(server, "frames")]).n_slots.tolist() == [301]


def memory_namespace(server: ServerProcess, name: str) -> adamem.Namespace:
    with adamem.Client(server.address) as memory:
        return memory.get_namespace(name)


def locked(lock: Path, names: tuple[str, ...]) -> str:
    """What a lock file says of some packages, with their hashes."""
    blocks = re.findall(r"^[a-z][^\n]*(?:\n    [^\n]*)*", lock.read_text(encoding="utf-8"), re.MULTILINE)
    found = [block for block in blocks if re.split(r"[=\[ ]", block)[0] in names]
    assert len(found) == len(names), names
    return "\n".join(found)


ALONE = """
import asyncio, importlib, pkgutil, sys
import adamem, adamem.integrations.mem0

for module in pkgutil.walk_packages(adamem.__path__, "adamem."):
    if not module.name.startswith("adamem.integrations."):
        importlib.import_module(module.name)
assert all(hasattr(adamem, name) for name in adamem.__all__)
for extra in ("numpy", "pandas", "google.rpc"):
    try:
        importlib.import_module(extra)
        raise SystemExit(f"{extra} is there")
    except ModuleNotFoundError:
        pass

endpoint = sys.argv[1]
with adamem.Client(endpoint, namespace="alone") as memory:
    memory.update("Ann is allergic to peanuts", user_id="ann", metadata={"n": 1}, tags=["food"])
    assert memory.bulk_update(["The gate code is 4711", "Tea without sugar", ""]).n_failed == 1
    assert memory.query("What can Ann not eat?", include_vectors=True)[0].content == "Ann is allergic to peanuts"
    assert len(next(iter(memory.list_slots(include_vectors=True))).vector) == memory.server_info().dim
    job = memory.jobs.wait(memory.lifecycle.verify())
    assert job.result["n_problems"] == 0
    try:
        memory.get_slot("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    except adamem.SlotNotFoundError as error:
        assert error.reason == "SLOT_NOT_FOUND"
    try:
        memory.list_slots_page().to_pandas()
    except ModuleNotFoundError as error:
        assert "adamem-client[pandas]" in str(error)


async def work():
    async with adamem.AsyncClient(endpoint, namespace="alone") as memory:
        return [slot.content async for slot in memory.list_slots()]


print(len(asyncio.run(work())))
"""


@pytest.mark.slow  # a fresh environment, from the package index
def test_the_wheel_works_with_grpcio_and_protobuf_alone(server: ServerProcess, tmp_path: Path) -> None:
    pip = ["pip", "--disable-pip-version-check", "--quiet"]
    build = [sys.executable, "-m", *pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*build, str(ROOT / "clients/python")], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv/bin/python")
    # grpcio needs typing-extensions.
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(locked(ROOT / "requirements.lock", ("grpcio", "protobuf", "typing-extensions")))
    install = [python, "-m", *pip, "install", "--only-binary", ":all:"]
    subprocess.run([*install, "--require-hashes", "-r", str(requirements)], check=True)
    (wheel,) = tmp_path.glob("adamem_client-*.whl")
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
    subprocess.run([python, "-m", *pip, "check"], check=True)
    done = subprocess.run(
        [python, "-I", "-W", "error", "-c", ALONE, server.address],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
