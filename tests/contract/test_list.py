"""The list itself: it can be replayed as it stands, and has every call of the protocol."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

from adamem.v1.package_service_pb2 import ImportOptions
from tests.contract.canonical import with_bytes
from tests.contract.clients import CALLS
from tests.contract.gateway import PATHS
from tests.contract.listing import FOLDER, METHODS, Case, CaseFile, parts, read_files
from tests.contract.matching import MATCHERS, PRESENT, filled

FILES: Final = read_files()
CASES: Final = [(file, case) for file in FILES for case in file.cases]
# Calls that no case carries out, and why.
LEFT_OUT: Final = {"Backup": "it copies the whole server, and what it sends differs from one to the next"}
# Calls that are refused alone, and why.
REFUSED: Final = {"ReembedNamespace": "there is one model on the machine"}
# Fields of requests that no case sets, and why.
UNSET: Final = {"adamem.v1.BulkUpdateRequest.request_id": "the clients make one for each batch"}
_N_CASES: Final = 200

_FILE_KEYS: Final = {"about", "templates", "cases"}
_CASE_KEYS: Final = {"name", "call", "request", "answer", "error"}
_ERROR_KEYS: Final = {"code", "reason", "fields", "metadata"}
_CODES: Final = {code.name for code in StatusCode}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_file_has_the_form(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content.keys() <= _FILE_KEYS
    assert content["about"].endswith(".")
    for case in content["cases"]:
        assert case.keys() <= _CASE_KEYS, case
        assert case["name"]
        assert case["call"] in METHODS, case
        assert ("answer" in case) != ("error" in case), case
        error = case.get("error", {"code": "OK", "reason": "OK"})
        assert error.keys() <= _ERROR_KEYS, case
        assert error["code"] in _CODES, case
        assert error["reason"].replace("_", "").isupper(), case
        assert error.get("fields") != [], case


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len(CASES) >= _N_CASES
    names = Counter((file.name, case.name) for file, case in CASES)
    assert not [name for name, n in names.items() if n > 1]
    assert sum(case.error is not None for _, case in CASES) >= _N_CASES / 4


def test_every_call_of_the_protocol_occurs() -> None:
    called = {case.call for _, case in CASES}
    assert METHODS.keys() - called == LEFT_OUT.keys()
    assert CALLS.keys() == PATHS.keys() == METHODS.keys() - LEFT_OUT.keys()


def test_every_field_of_every_request_occurs() -> None:
    told: set[str] = set()
    known: set[str] = set()
    for _, case in CASES:
        _walk(_message(case), told)
        _every_field(_request_type(case), known)
    assert known - told == UNSET.keys()


def test_every_call_is_answered() -> None:
    answered = {case.call for _, case in CASES if case.answer is not None}
    assert METHODS.keys() - answered == LEFT_OUT.keys() | REFUSED.keys()


@pytest.mark.parametrize(("file", "case"), CASES, ids=[f"{file.name}: {case.name}" for file, case in CASES])
def test_a_case_is_sound(file: CaseFile, case: Case) -> None:
    """Its request is a message of the protocol, in a namespace of its file, and it refers to what was bound before."""
    known = _bound_before(file, case)
    for part in parts([case.request, case.answer, case.error]):
        if isinstance(part, dict) and any(key.startswith("$") for key in part):
            (name,) = part
            assert name in MATCHERS | {"$repeat"}, part
            if name == "$ref":
                assert part[name] in known | _names([case.answer]), part
    for name in _namespaces(case):
        assert name.startswith(file.prefix) or _is_its_own(file, name), name
    for field in sorted({"slot_id", "job_id", "name"} & case.request.keys()):
        assert case.request[field] != "", "cannot be said by HTTP, whose path it is in"
    _message(case)


def _message(case: Case) -> Any:
    return ParseDict(with_bytes(_plain(case)), GetMessageClass(_request_type(case))())


def _walk(message: Any, told: set[str]) -> None:
    """Notes the fields that a message sets, and those in it."""
    for field, value in message.ListFields():
        told.add(field.full_name)
        if field.message_type is not None and field.message_type.full_name.startswith("adamem."):
            for each in value if field.is_repeated else [value]:
                _walk(each, told)


def _every_field(message: Descriptor, known: set[str]) -> None:
    for field in message.fields:
        if field.full_name not in known:
            known.add(field.full_name)
            if field.message_type is not None and field.message_type.full_name.startswith("adamem."):
                _every_field(field.message_type, known)


def _names(values: list[Any]) -> set[str]:
    return {part["$bind"] for part in parts(values) if isinstance(part, dict) and "$bind" in part}


def _bound_before(file: CaseFile, case: Case) -> set[str]:
    before = file.cases[: file.cases.index(case)]
    return _names([each.answer for each in before])


def _namespaces(case: Case) -> list[str]:
    """The names that the request gives, as far as they could be those of namespaces."""
    request = case.request
    named = [request.get("namespace"), *request.get("namespaces", ()), request.get("target")]
    if case.call.endswith("Namespace") and case.call[:3] in ("Cre", "Get", "Upd", "Del"):
        named.append(request.get("name"))
    return [name for name in named if isinstance(name, str)] if case.error is None else []


def _is_its_own(file: CaseFile, name: str) -> bool:
    return file.name == "server" and name == "global"


def _request_type(case: Case) -> Any:
    return ImportOptions.DESCRIPTOR if case.call == "ImportNamespace" else METHODS[case.call].input_type


def _plain(case: Case) -> Any:
    """The request with something for what is bound only when it is replayed."""
    times = {"as_of", "asked_at"}
    variables = {part["$ref"]: "x" for part in parts(case.request) if isinstance(part, dict) and "$ref" in part}
    request = filled(case.request, variables)
    return {key: value for key, value in request.items() if key != "file" and not (key in times and value == "x")}


def test_what_can_be_present_with_its_default_value_is_compared_so() -> None:
    """The names of optional scalars of answers; no field of the same name may be without presence."""
    optional, plain = set(), set()
    seen: set[str] = set()

    def walk(message: Descriptor) -> None:
        if message.full_name in seen or message.full_name.startswith("google."):
            return
        seen.add(message.full_name)
        for field in message.fields:
            if field.message_type is not None:
                walk(field.message_type)
            elif field.has_presence and field.containing_oneof is not None and len(field.containing_oneof.fields) == 1:
                optional.add(field.name)
            elif field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
                plain.add(field.name)

    for method in METHODS.values():
        walk(method.output_type)
    # A weight of the ranking may be absent; a slot's importance never is, and 0 of it is left out as any other 0.
    assert optional - {"importance"} == PRESENT
    assert not PRESENT & plain
