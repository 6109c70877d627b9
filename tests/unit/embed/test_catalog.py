"""Where encoders come from; the hub is a server in this process."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from adamem_server.embed import catalog
from adamem_server.embed.catalog import ModelEntry
from adamem_server.errors import ModelDownloadError, ModelError, ModelFileMissingError, ModelNotFoundError
from tests.unit.embed.exports import write_export

MODEL = "organisation/e5-small"
COMMIT = "0123456789abcdef" * 2 + "01234567"


class Hub:
    """Serves directories under `root` as the models of a hub, and tells what was asked of it.

    Attributes:
        asked: Method and path of each request.
        cut: Files whose second half is not sent.
        gone: Files that are listed and cannot be had.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[tuple[str, str]] = []
        self.cut: set[str] = set()
        self.gone: set[str] = set()

    def response(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        self.asked.append((method, path))
        model, _, file = path.removeprefix("/").partition(f"/resolve/{COMMIT}/")
        if file and file not in self.gone and (self.root / model / file).is_file():
            body = (self.root / model / file).read_bytes()
            body = body[: len(body) // 2] if method == "GET" and file in self.cut else body
            return 200, {"ETag": '"tag"', "X-Repo-Commit": COMMIT}, body
        if file:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b""
        folder = self.root / model.removeprefix("api/models/")
        if model.startswith("api/models/") and folder.is_dir():
            files = [{"rfilename": str(file.relative_to(folder))} for file in folder.rglob("*") if file.is_file()]
            info = {"id": model.removeprefix("api/models/"), "sha": COMMIT, "siblings": files}
            return 200, {"Content-Type": "application/json"}, json.dumps(info).encode()
        return 404, {"X-Error-Code": "RepoNotFound"}, b""


def point_at(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this the hub; the library fixes the address of files when it is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    endpoint = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + template)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = hub.response(self.command, self.path.partition("?")[0])
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - named by http.server

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
            logging.getLogger("hub").debug(format, *args)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        point_at(server.server_address[1], monkeypatch)
        yield hub
        server.shutdown()
        thread.join()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that refuses connections: a port that is bound and not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        point_at(bound.getsockname()[1], monkeypatch)
        yield


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models"


def left_behind(models: Path) -> list[str]:
    return [str(path.relative_to(models)) for path in models.rglob("*")] if models.exists() else []


# --- without a network -----------------------------------------------------------------------------------------------


def test_bundled_and_pulled_encoders_are_listed(models: Path) -> None:
    bundled = ModelEntry("all-MiniLM-L6-v2", catalog.BUNDLED / "all-MiniLM-L6-v2", True)
    assert catalog.list_models(models) == [bundled]
    write_export(models / "b" / "two")
    write_export(models / "a" / "one")
    (models / "c" / "incomplete").mkdir(parents=True)
    pulled = [ModelEntry(name, models / name, False) for name in ("a/one", "b/two")]
    assert catalog.list_models(models) == [bundled, *pulled]


def test_a_bundled_name_comes_before_a_directory(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: None
) -> None:
    monkeypatch.chdir(tmp_path)
    write_export(tmp_path / "all-MiniLM-L6-v2")
    assert catalog.load("all-MiniLM-L6-v2", models).info.dim == 384


def test_a_directory(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: None) -> None:
    """Its own name decides about prompts, however it was written."""
    folder = write_export(tmp_path / "e5-small")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(folder), ".", "../e5-small", "~/e5-small"):
        info = catalog.load(name, models).info
        assert (info.name, info.query_prompt) == ("e5-small", "query: ")


def test_a_pulled_model_is_found_without_the_hub(models: Path, no_hub: None) -> None:
    write_export(models / MODEL)
    info = catalog.load(MODEL, models).info
    assert (info.name, info.query_prompt) == (MODEL, "query: ")
    assert catalog.pull_model(MODEL, models) == models / MODEL


@pytest.mark.parametrize(
    "name",
    [
        *("unknown", "/no/such/directory", "./a/b", "~/a", "a/b/c", "a/..", "../a", "a/", "/a", "a b/c", "-a/b"),
        *("~nobody-of-this-name/a", "x" * 5000),
    ],
)
def test_what_is_neither_is_not_asked_of_the_hub(models: Path, name: str, hub: Hub) -> None:
    with pytest.raises(ModelNotFoundError, match="neither a directory nor one of all-MiniLM-L6-v2") as caught:
        catalog.load(name, models)
    assert caught.value.metadata == {"model": name}
    with pytest.raises(ModelNotFoundError, match="is not a hub id such as"):
        catalog.pull_model(name, models)
    assert hub.asked == []
    assert not models.exists()


def test_without_the_hub_the_error_says_what_to_do(models: Path, no_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    me, sleep = threading.get_ident(), time.sleep

    def wait(seconds: float) -> None:
        assert threading.get_ident() != me, "it is tried again, which takes 23 s"
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    with pytest.raises(ModelDownloadError, match=r"refused\. Without a network, run `adamem model pull") as caught:
        catalog.load(MODEL, models)
    assert caught.value.metadata == {"model": MODEL, "path": str(models / MODEL)}
    assert left_behind(models) == []


def test_offline_mode_is_respected(models: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelDownloadError, match="offline mode is enabled"):
        catalog.load(MODEL, models)
    assert hub.asked == []


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    write_export(hub.root / MODEL)
    (tmp_path / "file").touch()
    with pytest.raises(ModelDownloadError, match=r"File exists|Not a directory"):
        catalog.pull_model(MODEL, tmp_path / "file")


def test_a_cache_that_cannot_be_looked_into_matters_to_its_own_models_alone(tmp_path: Path, no_hub: None) -> None:
    """As the home of another user; every look at a name that is too long fails like that, also for root."""
    models = tmp_path / ("x" * 300)
    assert catalog.load("all-MiniLM-L6-v2", models).info.dim == 384
    assert catalog.load(str(write_export(tmp_path / "e5-small")), models).info.name == "e5-small"
    with pytest.raises(ModelDownloadError, match="too long"):
        catalog.load(MODEL, models)


# --- with a hub ------------------------------------------------------------------------------------------------------


def test_a_model_is_pulled_once(models: Path, hub: Hub) -> None:
    wanted = {
        "1_Pooling/config.json": {"pooling_mode": "cls"},
        "config_sentence_transformers.json": {"prompts": {"query": "w1 "}},
        "onnx/model.onnx_data": "weights beside the graph",
    }
    unwanted: dict[str, object] = {"pytorch_model.json": {}, "onnx/config.json": {}}
    write_export(hub.root / MODEL, graph="onnx/model.onnx", files=wanted | unwanted)
    seen: list[tuple[str, int, int]] = []
    path = catalog.pull_model(MODEL, models, lambda *progress: seen.append(progress))
    assert path == models / MODEL
    expected = {"onnx/model.onnx", "tokenizer.json", *wanted}
    assert {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()} == expected
    assert all((path / file).read_bytes() == (hub.root / MODEL / file).read_bytes() for file in expected)
    assert sorted(name for name, _, _ in seen[:-1]) == sorted(expected)
    assert [(done, n) for _, done, n in seen] == [(done, len(expected)) for done in range(len(expected) + 1)]
    assert [child.name for child in models.iterdir()] == ["organisation"]
    n_asked = len(hub.asked)
    info = catalog.load(MODEL, models).info
    assert (info.pooling, info.query_prompt) == ("cls", "w1 ")
    assert len(hub.asked) == n_asked


def test_a_pulled_model_is_readable_by_others(models: Path, hub: Hub) -> None:
    """Guards against the mode of the temporary directory it was downloaded to."""
    write_export(hub.root / MODEL)
    path = catalog.pull_model(MODEL, models)
    assert path.stat().st_mode == path.parent.stat().st_mode


def test_load_pulls(models: Path, hub: Hub) -> None:
    write_export(hub.root / MODEL)
    assert catalog.load(MODEL, models).info.name == MODEL
    assert [entry.name for entry in catalog.list_models(models)] == ["all-MiniLM-L6-v2", MODEL]


@pytest.mark.parametrize("model", ["organisation/none", "organisation/two--dashes"])
def test_a_model_that_the_hub_has_not(models: Path, hub: Hub, model: str) -> None:
    with pytest.raises(ModelNotFoundError, match=f"no public model '{model}'"):
        catalog.load(model, models)
    assert left_behind(models) == []


@pytest.mark.parametrize(("file", "missing"), [("model.onnx", "ONNX export"), ("tokenizer.json", "tokenizer.json")])
def test_a_model_without_an_export(models: Path, hub: Hub, file: str, missing: str) -> None:
    (write_export(hub.root / MODEL) / file).unlink()
    with pytest.raises(ModelNotFoundError, match=f"has no {missing}") as caught:
        catalog.load(MODEL, models)
    assert caught.value.metadata == {"model": MODEL, "missing": missing}
    assert left_behind(models) == []


def test_a_file_that_comes_short_leaves_nothing(models: Path, hub: Hub) -> None:
    write_export(hub.root / MODEL)
    hub.cut.add("tokenizer.json")
    with pytest.raises(ModelDownloadError, match="Consistency check failed"):
        catalog.load(MODEL, models)
    assert left_behind(models) == []
    hub.cut.clear()
    assert catalog.load(MODEL, models).info.name == MODEL


def test_a_file_that_vanishes_leaves_nothing(models: Path, hub: Hub) -> None:
    write_export(hub.root / MODEL)
    hub.gone.add("tokenizer.json")
    with pytest.raises(ModelDownloadError, match="404"):
        catalog.load(MODEL, models)
    assert left_behind(models) == []


def test_an_interrupted_pull_leaves_nothing(models: Path, hub: Hub) -> None:
    write_export(hub.root / MODEL)

    def interrupt(file: str, done: int, total: int) -> None:
        if done:
            assert (next(models.glob(".pull-*")) / "model" / "model.onnx").is_file()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.pull_model(MODEL, models, interrupt)
    assert left_behind(models) == []


def test_an_unusable_model_is_not_kept(models: Path, hub: Hub) -> None:
    write_export(hub.root / MODEL, files={"1_Pooling/config.json": {"pooling_mode": "max"}})
    with pytest.raises(ModelError, match="pooling max is not supported"):
        catalog.load(MODEL, models)
    assert left_behind(models) == []


def test_an_incomplete_directory_is_neither_used_nor_removed(models: Path, hub: Hub) -> None:
    write_export(hub.root / MODEL)
    (write_export(models / MODEL) / "tokenizer.json").unlink()
    with pytest.raises(ModelFileMissingError, match=r"lacks tokenizer\.json; remove it") as caught:
        catalog.load(MODEL, models)
    assert caught.value.metadata["path"] == str(models / MODEL)
    assert (models / MODEL / "model.onnx").is_file()
    assert hub.asked == []


def test_the_second_of_two_pulls_takes_the_first_ones(models: Path, hub: Hub) -> None:
    write_export(hub.root / MODEL)
    inode = 0

    def overtake(file: str, done: int, total: int) -> None:
        nonlocal inode
        if not file:
            inode = catalog.pull_model(MODEL, models).stat().st_ino

    assert catalog.pull_model(MODEL, models, overtake).stat().st_ino == inode
    assert [child.name for child in models.iterdir()] == ["organisation"]
