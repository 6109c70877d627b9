"""The protocol's tools: generate its code and a file of its comments, prove that both are current, lint, compare.

    python .ci/proto.py generate | check | lint | breaking

protoc comes with the pinned grpcio-tools and buf with the pinned buf-bin, so nothing is downloaded here. buf reads a
descriptor set made by protoc: google/rpc is found in site-packages that way, not in a remote registry.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(sysconfig.get_path("purelib"))
BIN = Path(sys.executable).parent
OUTPUT = ROOT / "clients/python/src"
# What the comments say, for the description of the HTTP API: generated descriptors have none.
COMMENTS = ROOT / "server/adamem_server/http/comments.json"


def protoc(source: Path, *options: str) -> None:
    """Runs protoc on every file under `source`."""
    files = sorted(str(file.relative_to(source)) for file in source.rglob("*.proto"))
    plugin = f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}"
    command = [sys.executable, "-m", "grpc_tools.protoc", plugin, f"-I{source}", f"-I{SITE}", *options, *files]
    subprocess.run(command, check=True)


def generated() -> dict[Path, bytes]:
    """Relative path and content of every generated file."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"--{name}_out={folder}" for name in ("python", "pyi", "grpc_python")]
        protoc(ROOT / "proto", *outputs, f"--mypy_grpc_out=quiet:{folder}")
        files = {file.relative_to(folder): file.read_bytes() for file in sorted(Path(folder).rglob("*.py*"))}
    # A file of messages only gives a stub without content.
    return {path: content for path, content in files.items() if path.name != "types_pb2_grpc.pyi"}


def comments() -> bytes:
    """The comments of the protocol by the full names of what they are on, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        described = FileDescriptorSet.FromString(Path(image(ROOT / "proto", Path(folder), "now")).read_bytes())
    found: dict[str, str] = {}
    for file in described.file:
        if file.package == "adamem.v1":
            for location in file.source_code_info.location:
                text = re.sub(r"\s*\n\s*", " ", location.leading_comments.strip())
                if text and (name := named(file, list(location.path))):
                    found[f"{file.package}.{name}"] = text
    return json.dumps(found, ensure_ascii=False, indent=0, sort_keys=True).encode() + b"\n"


def named(file: FileDescriptorProto, path: list[int]) -> str:
    """The name of what a path of source_code_info points at, such as `Slot.id`; empty for a syntax or an import."""
    names: list[str] = []
    node: Any = file
    while path:
        field = node.DESCRIPTOR.fields_by_number[path[0]]
        if field.message_type is None or len(path) < 2:
            return ""
        node = getattr(node, field.name)[path[1]]
        names.append(node.name)
        path = path[2:]
    return ".".join(names)


def committed() -> dict[Path, bytes]:
    """Relative path and content of the generated files in the tree."""
    return {
        file.relative_to(OUTPUT): file.read_bytes() for file in (OUTPUT / "adamem/v1").glob("*_pb2*") if file.is_file()
    }


def generate() -> int:
    """Writes what changed, so that an unchanged file keeps its time, and removes what is gone."""
    new, old = generated(), committed()
    for path in old.keys() - new.keys():
        (OUTPUT / path).unlink()
    for path, content in new.items():
        if old.get(path) != content:
            (OUTPUT / path).parent.mkdir(parents=True, exist_ok=True)
            (OUTPUT / path).write_bytes(content)
            print("generated", path)
    described = comments()
    if not COMMENTS.exists() or COMMENTS.read_bytes() != described:
        COMMENTS.write_bytes(described)
        print("generated", COMMENTS.relative_to(ROOT))
    return 0


def check() -> int:
    """Fails when the tree's generated code is not what the protocol gives."""
    new, old = generated(), committed()
    stale = sorted(path for path in new.keys() | old.keys() if new.get(path) != old.get(path))
    files = [OUTPUT / path for path in stale]
    if not COMMENTS.exists() or COMMENTS.read_bytes() != comments():
        files.append(COMMENTS)
    for file in files:
        print(f"{file.relative_to(ROOT)} is not current: run `make proto`", file=sys.stderr)
    return bool(files)


def image(source: Path, folder: Path, name: str) -> str:
    """Compiles a protocol to the descriptor set that buf reads."""
    target = str(folder / f"{name}.binpb")
    protoc(source, "--include_imports", "--include_source_info", f"--descriptor_set_out={target}")
    return target


def buf(*arguments: str) -> int:
    """Runs buf with our rules."""
    return subprocess.run([BIN / "buf", *arguments, "--config", str(ROOT / "proto/buf.yaml")], check=False).returncode


def lint() -> int:
    """Lints with the rules of buf.yaml."""
    with tempfile.TemporaryDirectory() as folder:
        return buf("lint", image(ROOT / "proto", Path(folder), "now"))


def git(*arguments: str) -> bytes | None:
    """What a git command printed, or None when it failed."""
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    return run.stdout if run.returncode == 0 else None


def base() -> str | None:
    """What must stay compatible: $BREAKING_AGAINST, else the newest release, else the last commit on main."""
    if chosen := os.environ.get("BREAKING_AGAINST"):
        return chosen
    if found := git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"):
        return found.decode().strip()
    return next((ref for ref in ("origin/main", "main") if git("rev-parse", "--verify", "--quiet", ref)), None)


def breaking() -> int:
    """Compares with the protocol that others already speak."""
    before = base()
    archive = git("archive", before, "proto") if before else None
    if archive is None:
        print(f"no older protocol to compare with ({before or 'neither a v* tag nor a branch main'})")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        against = image(Path(folder) / "proto", Path(folder), "before")
        print(f"compatible with {before}?", flush=True)
        return buf("breaking", image(ROOT / "proto", Path(folder), "now"), "--against", against)


if __name__ == "__main__":
    sys.exit({"generate": generate, "check": check, "lint": lint, "breaking": breaking}[sys.argv[1]]())
