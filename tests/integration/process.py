"""`adamem serve` as a process of its own, on a free port: start, stop, kill, start again on the same data."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc

from adamem.v1.admin_service_pb2_grpc import AdminServiceStub
from adamem.v1.memory_service_pb2_grpc import MemoryServiceStub

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 120
COMMAND = (sys.executable, "-m", "adamem_server.cli", "serve")


class ServerProcess:
    """One data directory and, between `start` and `stop` or `kill`, the process that serves it.

    Args:
        folder: Holds the data directory, the ready file and the log.
        environment: Settings, as variables.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.data_dir = folder / "data"
        self.log_path = folder / "server.log"
        self._ready_path = folder / "ready.json"
        self._environment = {"ADAMEM_DATA_DIR": str(self.data_dir), "ADAMEM_LOG_FORMAT": "json", **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None
        self.port = 0
        self.http_port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def memory(self) -> Any:
        return MemoryServiceStub(self.channel())

    @property
    def admin(self) -> Any:
        return AdminServiceStub(self.channel())

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def channel(self) -> grpc.Channel:
        if self._channel is None:
            options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
            self._channel = grpc.insecure_channel(self.address, options)
        return self._channel

    def start(self, port: int = 0, **environment: str) -> "ServerProcess":
        """Start, and wait until it answers; on a free port unless told."""
        self._ready_path.unlink(missing_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "--port", str(port), "--http-port", "0", "--ready-file", str(self._ready_path)],
                env={**os.environ, **self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready_path.exists():
            assert self._process.poll() is None, f"exit code {self._process.returncode}: {self.log()}"
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        ready = json.loads(self._ready_path.read_text())
        self.port, self.http_port = ready["port"], ready["http_port"] or 0
        return self

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; the exit code."""
        self._close_channel()
        self.process.send_signal(with_signal)
        return self._wait()

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is saved."""
        self._close_channel()
        self.process.kill()
        self._wait()

    def close(self) -> None:
        """End it however it is."""
        if self._process is not None:
            self.kill()

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of the log with this event."""
        # The last one may be half written.
        whole = self.log().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def _wait(self) -> int:
        code = self.process.wait(STOP_TIMEOUT_S)
        self._process = None
        return code

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def run_serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`adamem serve` that is expected to refuse: its exit code and output."""
    return subprocess.run(
        [*COMMAND, *arguments],
        # The port that HTTP has by itself may be taken.
        env={**os.environ, "ADAMEM_HTTP_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
