"""The protocol's tools: generate Python and Go code and a file of its comments, prove that they are current, lint.

    python .ci/proto.py generate [python] | check | lint | breaking

protoc comes with the pinned grpcio-tools and buf with the pinned buf-bin, so nothing is downloaded for Python. buf
reads a descriptor set made by protoc: google/rpc is found in site-packages that way, not in a remote registry. The
plugins for Go are tools of clients/go/go.mod, pinned by its go.sum; without Go its code is left as it is.
"""

import json
import os
import re
import shutil
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
GO_MODULE = ROOT / "clients/go"
GO_PACKAGE = "github.com/adamem/adamem/clients/go/gen/adamem/v1;adamemv1"
# Where generated files are, by language, and how their names end.
OUTPUTS = {"python": ROOT / "clients/python/src", "go": GO_MODULE / "gen"}
PATTERNS = {"python": ("adamem/v1/*_pb2*", "adamem/_google/rpc/*_pb2.py"), "go": ("adamem/v1/*.pb.go",)}
# Messages of errors, which the Python client has a copy of, so that it needs no package for them.
ERRORS = ("google/rpc/error_details.proto", "google/rpc/status.proto")
# What the comments say, for the description of the HTTP API: generated descriptors have none.
COMMENTS = ROOT / "server/adamem_server/http/comments.json"


def protoc(source: Path, *options: str, only: tuple[str, ...] = ()) -> None:
    """Runs protoc on every file under `source`, or on some."""
    files = only or sorted(str(file.relative_to(source)) for file in source.rglob("*.proto"))
    plugin = f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}"
    command = [sys.executable, "-m", "grpc_tools.protoc", plugin, f"-I{source}", f"-I{SITE}", *options, *files]
    subprocess.run(command, check=True)


def python_options(folder: str) -> list[str]:
    """What makes protoc write Python into a folder."""
    outputs = [f"--{name}_out={folder}" for name in ("python", "pyi", "grpc_python")]
    return [*outputs, f"--mypy_grpc_out=quiet:{folder}"]


def go_options(folder: str) -> list[str]:
    """What makes protoc write Go into a folder. The package is said here, so that the protocol names no language."""
    options = []
    for plugin in ("go", "go-grpc"):
        command = ["go", "tool", "-n", f"protoc-gen-{plugin}"]
        path = subprocess.run(command, cwd=GO_MODULE, check=True, capture_output=True, text=True).stdout.strip()
        options += [
            f"--plugin=protoc-gen-{plugin}={path}",
            f"--{plugin}_out={folder}",
            f"--{plugin}_opt=paths=source_relative",
        ]
        files = (file.relative_to(ROOT / "proto") for file in sorted((ROOT / "proto").rglob("*.proto")))
        options += [f"--{plugin}_opt=M{file}={GO_PACKAGE}" for file in files]
    return options


def languages() -> list[str]:
    """Those whose code can be made here."""
    # In the module's folder it fails where it is older than go.mod asks for.
    version = ["go", "version"]
    if shutil.which("go") and not subprocess.run(version, cwd=GO_MODULE, check=False, capture_output=True).returncode:
        return ["python", "go"]
    print("no Go of the version in clients/go/go.mod here: its generated code is left as it is")
    return ["python"]


def generated(language: str) -> dict[Path, bytes]:
    """Path in the tree and content of every generated file."""
    with tempfile.TemporaryDirectory() as folder:
        protoc(ROOT / "proto", *(go_options(folder) if language == "go" else python_options(folder)))
        if language == "python":
            (Path(folder) / "adamem/_google").mkdir()
            protoc(SITE, f"--python_out={folder}", only=ERRORS)
            (Path(folder) / "google/rpc").rename(Path(folder) / "adamem/_google/rpc")
        found = sorted(file for pattern in PATTERNS[language] for file in Path(folder).glob(pattern))
        files = {OUTPUTS[language] / file.relative_to(folder): file.read_bytes() for file in found}
    for path, content in files.items():
        if path.suffix == ".py":
            files[path] = content.replace(b"from google.rpc import", b"from adamem._google import")
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


def committed(language: str) -> dict[Path, bytes]:
    """Path and content of the generated files in the tree."""
    found = (file for pattern in PATTERNS[language] for file in OUTPUTS[language].glob(pattern))
    return {file: file.read_bytes() for file in found if file.is_file()}


def generate(*only: str) -> int:
    """Writes what changed, so that an unchanged file keeps its time, and removes what is gone."""
    for language in only or languages():
        new, old = generated(language), committed(language)
        for path in old.keys() - new.keys():
            path.unlink()
        for path, content in new.items():
            if old.get(path) != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                print("generated", path.relative_to(ROOT))
    described = comments()
    if not COMMENTS.exists() or COMMENTS.read_bytes() != described:
        COMMENTS.write_bytes(described)
        print("generated", COMMENTS.relative_to(ROOT))
    return 0


def check() -> int:
    """Fails when the tree's generated code is not what the protocol gives."""
    stale = []
    for language in languages():
        new, old = generated(language), committed(language)
        stale += sorted(path for path in new.keys() | old.keys() if new.get(path) != old.get(path))
    if not COMMENTS.exists() or COMMENTS.read_bytes() != comments():
        stale.append(COMMENTS)
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not current: run `make proto`", file=sys.stderr)
    return bool(stale)


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
    sys.exit({"generate": generate, "check": check, "lint": lint, "breaking": breaking}[sys.argv[1]](*sys.argv[2:]))
