"""docs/recipes/air-gapped.md, with the wheels that `make wheels` left in dist; run by `make check-wheels`."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks
from tests.docs.session import Session

PAGE = "docs/recipes/air-gapped.md"
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"
# Brings up the loopback of a new network namespace (SIOCSIFFLAGS, IFF_UP and IFF_RUNNING), says so, and waits.
LOOPBACK = """
import fcntl, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
print("up", flush=True)
sys.stdin.read()
"""


@contextmanager
def no_network() -> Iterator[list[str]]:
    """What commands begin with to have the loopback alone; nothing where this is not permitted."""
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", LOOPBACK]
    if not shutil.which("nsenter"):
        yield []
        return
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        is_up = holder.stdout.readline() == "up\n"
        target = ["nsenter", "--preserve-credentials", "--user", "--net", "--target", str(holder.pid)]
        yield target if is_up else []


@pytest.mark.wheels
@pytest.mark.timeout(600)
def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    shutil.copytree(ROOT / "dist", tmp_path / "dist")
    page = blocks(PAGE)
    (carried,) = [number for number, block in enumerate(page) if "tar -cf adamem.tar" in block.text]

    with Session(tmp_path) as first:
        first.play(page[: carried + 1])
    second = tmp_path / "second"
    second.mkdir()
    (tmp_path / "adamem.tar").rename(second / "adamem.tar")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    with no_network() as prefix, Session(second, prefix=prefix) as other:
        other.play(page[carried + 1 :])
        if prefix:
            interfaces = [*prefix, sys.executable, "-c", "import socket; print(*(n for _, n in socket.if_nameindex()))"]
            assert subprocess.run(interfaces, check=True, capture_output=True, text=True).stdout.strip() == "lo"
