"""A reader who goes through a page: runs its blocks in order, in a folder, before a server."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from tests.docs.blocks import ROOT, Block
from tests.docs.hosts import is_host_file, start_host

BIN: Final = Path(sys.executable).parent
TIMEOUT_S: Final = 120
_SERVES: Final = re.compile(r"serves gRPC on (\S+:\d+) and HTTP on (\S+:\d+),")
_SERVES_MCP: Final = re.compile(r"serves MCP on http://(\S+:\d+)/")


class Session:
    """What was run of a page, and the servers that it started.

    Args:
        folder: Where its commands run.
        grpc: The address in the place of localhost:50051, which is also that of MEMORY_ENDPOINT.
        http: The address in the place of localhost:9000.
        prefix: What every command begins with.
    """

    def __init__(
        self,
        folder: Path,
        grpc: str = "localhost:50051",
        http: str = "localhost:9000",
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._addresses = {"localhost:9000": http, "localhost:50051": grpc, "~/adamem": str(ROOT)}
        self.printed = ""
        self._prefix = prefix
        self._beside: list[subprocess.Popen[bytes]] = []
        # curl is to fail where the server refuses, and to show why.
        (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")

    def play(self, blocks: Iterable[Block]) -> None:
        """Runs all of them."""
        for block in blocks:
            if block.is_run:
                self._play(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what still runs."""
        for process in self._beside:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(TIMEOUT_S)

    def _play(self, block: Block) -> None:
        text = self._with_addresses(block.text)
        if block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if block.language == "json" and is_host_file(text):
            self._use_as_host(block, text)
        elif block.title:
            pass
        elif block.mark == "serves":
            self._start(block, text)
        elif block.language == "bash":
            self._run(block, ["bash", "-euo", "pipefail", "-c", text])
        elif block.language == "python":
            self._run(block, [sys.executable, "-W", "error", "-c", text])
        elif block.language == "text":
            assert re.fullmatch(pattern(text), spaced(self.printed)), f"{block.place}: printed was\n{self.printed}"
        elif block.language == "json":
            assert_same(json.loads(text), json.loads(self.printed), block.place)

    def _use_as_host(self, block: Block, text: str) -> None:
        """Starts what the settings name.

        They are those that the block before printed, but for the command's folder and for --endpoint, which is printed
        because the reader's server is not at the usual address.
        """
        if self.printed.startswith("{"):
            printed = re.sub(r'"--endpoint",\s+"[^"]+",\s+', "", self.printed)
            assert_same(json.loads(with_any_folder(block.text)), json.loads(printed), block.place)
        start_host(text, self._environment(), self.folder)

    def _run(self, block: Block, command: list[str]) -> None:
        expected = int(block.value) if block.mark == "exit code" else 0
        done = subprocess.run(
            [*self._prefix, *command],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == expected, f"{block.place}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.printed = done.stdout

    def _start(self, block: Block, text: str) -> None:
        """Starts a server and waits for what it says when it is ready; an AdaMem server is the page's from then on."""
        log = self.folder / f"server-{len(self._beside)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._prefix, "bash", "-euo", "pipefail", "-c", text.replace("--port 8765", "--port 0")],
                cwd=self.folder,
                env=self._environment() | {"ADAMEM_PORT": "0", "ADAMEM_HTTP_PORT": "0"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._beside.append(process)
        deadline = time.monotonic() + TIMEOUT_S
        while block.value not in (said := log.read_text(encoding="utf-8")):
            assert process.poll() is None, f"{block.place}: it ended\n{said}"
            assert time.monotonic() < deadline, f"{block.place}: it does not say {block.value!r}\n{said}"
            time.sleep(0.01)
        if found := _SERVES.search(said):
            self._addresses |= {"localhost:50051": found[1], "localhost:9000": found[2]}
        if found := _SERVES_MCP.search(said):
            self._addresses["127.0.0.1:8765"] = found[1]

    def _with_addresses(self, text: str) -> str:
        for shown, real in self._addresses.items():
            text = text.replace(shown, real)
        return text

    def _environment(self) -> dict[str, str]:
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {
            "MEMORY_ENDPOINT": self._addresses["localhost:50051"],
            "PATH": path,
            "CURL_HOME": str(self.folder),
        }


def with_any_folder(settings: str) -> str:
    """Settings of a host whose commands may be anywhere."""
    return re.sub(r'"command": "[^"]*/adamem"', '"command": "..."', settings)


def spaced(text: str) -> str:
    """The lines of a text without what no reader sees: trailing white space, and how wide columns are."""
    return "".join(f"{' '.join(line.split())}\n" for line in text.strip().splitlines())


def pattern(shown: str) -> str:
    """What shown output matches, spaced; `...` stands for anything in its line, alone for any lines."""
    words = (".*".join(re.escape(part) for part in line.split("...")) for line in spaced(shown).splitlines())
    return "".join(r"(?:.*\n)*?" if line == ".*" else rf"{line}\n" for line in words)


def assert_same(shown: Any, real: Any, place: str) -> None:
    """A shown answer is the real one but for values that are "..."."""
    if shown == "...":
        return
    if isinstance(shown, dict) and isinstance(real, dict):
        assert shown.keys() == real.keys(), f"{place}: {real}"
        for name, value in shown.items():
            assert_same(value, real[name], f"{place}: {name}")
    elif isinstance(shown, list) and isinstance(real, list):
        assert len(shown) == len(real), f"{place}: {real}"
        for one, other in zip(shown, real, strict=True):
            assert_same(one, other, place)
    else:
        assert shown == real, f"{place}: {real}"
