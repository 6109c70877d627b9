"""The list of calls and expected answers; README.md says how it is written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor

from adamem.v1 import (
    admin_service_pb2,
    archive_service_pb2,
    backup_service_pb2,
    job_service_pb2,
    lifecycle_service_pb2,
    memory_service_pb2,
    package_service_pb2,
    version_service_pb2,
)

FOLDER: Final = Path(__file__).parent / "cases"
_FILES: Final = (
    memory_service_pb2,
    admin_service_pb2,
    lifecycle_service_pb2,
    job_service_pb2,
    backup_service_pb2,
    package_service_pb2,
    version_service_pb2,
    archive_service_pb2,
)
# All calls of the protocol by their names, which are unique over its services.
METHODS: Final[dict[str, MethodDescriptor]] = {
    method.name: method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@dataclass(frozen=True)
class Case:
    """One call; exactly one of `answer` and `error` is expected."""

    name: str
    call: str
    request: dict[str, Any]
    answer: dict[str, Any] | None
    error: dict[str, Any] | None


@dataclass(frozen=True)
class CaseFile:
    """Cases that are carried out in order, in namespaces whose names begin with `prefix`."""

    name: str
    about: str
    cases: tuple[Case, ...]

    @property
    def prefix(self) -> str:
        return f"{self.name}/"


def read_files() -> list[CaseFile]:
    """All files, in the order of their names."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def _read(path: Path) -> CaseFile:
    content = json.loads(path.read_text(encoding="utf-8"))
    cases = _expanded(content["cases"], content.get("templates", {}))
    return CaseFile(path.stem, content["about"], tuple(map(_case, cases)))


def _expanded(value: Any, templates: dict[str, Any]) -> Any:
    """The value with the fields of templates where it names them."""
    if isinstance(value, dict):
        own = {key: _expanded(each, templates) for key, each in value.items() if key != "$like"}
        return {**templates[value["$like"]], **own} if "$like" in value else own
    return [_expanded(each, templates) for each in value] if isinstance(value, list) else value


def _case(item: dict[str, Any]) -> Case:
    return Case(item["name"], item["call"], item.get("request", {}), item.get("answer"), item.get("error"))


def parts(value: Any) -> Iterator[Any]:
    """A JSON value and all that is in it."""
    yield value
    if isinstance(value, dict):
        for each in value.values():
            yield from parts(each)
    elif isinstance(value, list):
        for each in value:
            yield from parts(each)
