"""The faces of the Python clients: requests become arguments of their public methods, what these return answers."""

import asyncio
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from math import inf
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import adamem
from adamem.v1.package_service_pb2 import ImportOptions, ImportResult
from tests.contract.canonical import enum_prefix, error_of_client, floats, of_record, with_bytes
from tests.contract.listing import METHODS

_OPERATORS: Final = {"EQ": "$eq", "NE": "$ne", "LT": "$lt", "LE": "$lte", "GT": "$gt", "GE": "$gte", "IN": "$in"}


@dataclass(frozen=True)
class Call:
    """A public method, `path` from the client; arguments that are not called as the protocol's field; its answer.

    `answer` makes of what the method returned the fields of the response. None: the record stands for the response.
    """

    path: str
    renames: Mapping[str, str] = field(default_factory=dict)
    answer: Callable[[Any], dict[str, Any]] | None = None


def _as(call: str, name: str) -> Callable[[Any], dict[str, Any]]:
    """The record is one field of the response."""
    descriptor = METHODS[call].output_type.fields_by_name[name].message_type
    return lambda record: {name: of_record(record, descriptor)}


def _listed(call: str, name: str) -> Callable[[Any], dict[str, Any]]:
    """The records are a repeated field of the response."""
    descriptor = METHODS[call].output_type.fields_by_name[name].message_type
    return lambda records: {name: [of_record(record, descriptor) for record in records]}


def _update(result: adamem.UpdateResult) -> dict[str, Any]:
    return {**_as("Update", "result")(result), "sequence": result.sequence}


def _get_slot(slot: adamem.Slot) -> dict[str, Any]:
    absorbed = METHODS["GetSlot"].output_type.fields_by_name["absorbed"].message_type
    return {
        **_as("GetSlot", "slot")(slot),
        "absorbed": [of_record(each, absorbed) for each in slot.absorbed],
        "summaries": list(slot.summaries),
    }


def _bulk(result: adamem.BulkResult) -> dict[str, Any]:
    counts = {name: getattr(result, name) for name in BULK_COUNTS}
    return {
        **counts,
        "failures": [{"index": each.index, "error": error_of_client(each.error)} for each in result.failures],
    }


def _imported(result: adamem.ImportResult) -> dict[str, Any]:
    return {"result": of_record(result, ImportResult.DESCRIPTOR)}


BULK_COUNTS: Final = ("n_items", "n_created", "n_replaced", "n_failed", "n_duplicates", "sequence")
_JOB: Final = ("job_id", "job")

CALLS: Final[dict[str, Call]] = {
    "Query": Call("query", {"namespaces": "namespace"}),
    "Update": Call("update", {}, _update),
    "BatchUpdate": Call("batch_update", {"slots": "items"}),
    "BulkUpdate": Call("bulk_update", {"slots": "items"}, _bulk),
    "GetSlot": Call("get_slot", {}, _get_slot),
    "ListSlots": Call("list_slots_page"),
    "DeleteSlots": Call("delete_slots"),
    "TouchSlots": Call("touch_slots"),
    "Feedback": Call("feedback", {"helped_slot_ids": "helped", "unhelpful_slot_ids": "unhelpful"}),
    "CreateNamespace": Call("create_namespace", {}, _as("CreateNamespace", "namespace")),
    "GetNamespace": Call("get_namespace", {}, _as("GetNamespace", "namespace")),
    "ListNamespaces": Call("list_namespaces_page"),
    "UpdateNamespace": Call("update_namespace", {}, _as("UpdateNamespace", "namespace")),
    "DeleteNamespace": Call("delete_namespace"),
    "GetAdapter": Call("get_adapter", {}, _as("GetAdapter", "adapter")),
    "ListAdapterVersions": Call("list_adapter_versions", {}, _listed("ListAdapterVersions", "versions")),
    "TrainAdapter": Call("train_adapter", {}, _as("TrainAdapter", "adapter")),
    "RollbackAdapter": Call("rollback_adapter", {}, _as("RollbackAdapter", "adapter")),
    "GetServerInfo": Call("server_info"),
    "VerifyNamespace": Call("lifecycle.verify", {}, _as("VerifyNamespace", "job")),
    "CompactNamespace": Call("lifecycle.compact", {}, _as("CompactNamespace", "job")),
    "ReembedNamespace": Call("lifecycle.reembed", {}, _as("ReembedNamespace", "job")),
    "CompactData": Call("lifecycle.compact_data", {}, _as("CompactData", "job")),
    "ConsolidateNamespace": Call("lifecycle.consolidate", {}, _as("ConsolidateNamespace", "job")),
    "PreviewConsolidation": Call(
        "lifecycle.preview_consolidation",
        {},
        lambda planned: {"summaries": [_as("PreviewConsolidation", "summary")(each)["summary"] for each in planned]},
    ),
    "ReportNamespace": Call("lifecycle.start_report", {}, _as("ReportNamespace", "job")),
    "GetHealthReport": Call("lifecycle.get_report", dict([_JOB]), _as("GetHealthReport", "report")),
    "ListFindingSlots": Call("lifecycle.finding_slots_page"),
    "DeduplicateNamespace": Call("duplicates.merge", {}, _as("DeduplicateNamespace", "job")),
    "UndoDeduplication": Call("duplicates.undo", {}, _as("UndoDeduplication", "job")),
    "ListDuplicatePairs": Call("duplicates.pairs_page"),
    "ListAbsorbedSlots": Call("duplicates.absorbed_page"),
    "ArchiveNamespace": Call("archive.run", {}, _as("ArchiveNamespace", "job")),
    "RestoreArchived": Call("archive.restore"),
    "PinSlots": Call("archive.pin"),
    "ListSlotVersions": Call("history.list_page"),
    "RestoreSlotVersion": Call("history.restore"),
    "CreateSnapshot": Call("snapshots.create", {}, _as("CreateSnapshot", "snapshot")),
    "ListSnapshots": Call("snapshots.list_page"),
    "DiffSnapshots": Call("snapshots.diff_page"),
    "DeleteSnapshot": Call("snapshots.delete", {}, lambda n_versions: {"n_versions": n_versions}),
    "RestoreSnapshot": Call("snapshots.restore", {}, _as("RestoreSnapshot", "job")),
    "CloneNamespace": Call("snapshots.clone", {}, _as("CloneNamespace", "job")),
    "GetJob": Call("jobs.get", dict([_JOB]), _as("GetJob", "job")),
    "ListJobs": Call("jobs.list_page"),
    "CancelJob": Call("jobs.cancel", dict([_JOB]), _as("CancelJob", "job")),
    "WatchJob": Call("jobs.watch", dict([_JOB]), lambda told: _as("WatchJob", "job")(told[-1])),
    # HTTP sends the file alone: what an export says of it is compared when it is imported.
    "ExportNamespace": Call("packages.export_namespace", {}, lambda _: {}),
    "ImportNamespace": Call("packages.import_namespace", {}, _imported),
}


class PythonFace:
    """The client that waits for each answer."""

    name = "python"

    def __init__(self, address: str) -> None:
        self._client: Any = adamem.Client(address)
        self._files: dict[str, bytes] = {}

    def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Carries out a call: {"answer": ...} or {"error": ...}."""
        call = CALLS[name]
        given, target = arguments(name, request), self._file(name, request)
        path = call.path.replace("archive.pin", "archive.unpin") if given.pop("unpin", False) else call.path
        method = self._client
        for part in path.split("."):
            method = getattr(method, part)
        given = {call.renames.get(key, key): value for key, value in given.items()}
        if target is not None:
            given["file"] = target
        try:
            result = self._result(method, given)
        except adamem.AdaMemError as raised:
            return {"error": error_of_client(raised)}
        if name == "ExportNamespace" and target is not None:
            self._files[request["file"]] = target.getvalue()
        answer = call.answer or (lambda record: of_record(record, METHODS[name].output_type))
        return {"answer": answer(result)}

    def _result(self, method: Callable[..., Any], given: dict[str, Any]) -> Any:
        result = method(**given)
        return list(result) if hasattr(result, "__next__") else result

    def _file(self, name: str, request: dict[str, Any]) -> io.BytesIO | None:
        if "file" not in request:
            return None
        return io.BytesIO(self._files[request["file"]] if name == "ImportNamespace" else b"")

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()


class AsyncPythonFace(PythonFace):
    """The client of asyncio, on an event loop of its own."""

    name = "python-async"

    def __init__(self, address: str) -> None:
        self._runner = asyncio.Runner()
        self._client = adamem.AsyncClient(address)
        self._files = {}

    def _result(self, method: Callable[..., Any], given: dict[str, Any]) -> Any:
        async def carried_out() -> Any:
            result = method(**given)
            return [each async for each in result] if hasattr(result, "__anext__") else await result

        return self._runner.run(carried_out())

    def close(self) -> None:
        """Ends the connection and the loop."""
        self._runner.run(self._client.close())
        self._runner.close()


def arguments(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request as arguments of the client."""
    descriptor = ImportOptions.DESCRIPTOR if name == "ImportNamespace" else METHODS[name].input_type
    named = {key: value for key, value in request.items() if key != "file"}
    message = ParseDict(with_bytes(named), GetMessageClass(descriptor)())
    given = _fields(message)
    if name == "Update":
        given |= {"content": "", **given.pop("slot", {})}
    if "request_id" in descriptor.fields_by_name and name != "BulkUpdate":
        # What is left out is random in the client, and none in the protocol.
        given.setdefault("request_id", "")
    if name in ("BatchUpdate", "BulkUpdate"):
        given["slots"] = [{"content": "", **slot} for slot in given.get("slots", ())]
    if name == "RollbackAdapter":
        given.setdefault("version", 0)
    if "index_params" in given:
        given["index_params"] = adamem.IndexParams(**given["index_params"])
    return given


def _fields(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each, value in message.ListFields():
        kind = "" if each.message_type is None else each.message_type.full_name
        match kind:
            case "google.protobuf.Duration":
                found[f"{each.name}_s"] = value.ToNanoseconds() / 1e9
            case "adamem.v1.Scope":
                found |= _fields(value)
            case _ if each.name == "no_expiry":
                found["ttl_s"] = inf
            case _ if each.is_repeated:
                found[each.name] = [_argument(each, item) for item in value]
            case _:
                found[each.name] = _argument(each, value)
    return found


def _argument(each: Any, value: Any) -> Any:
    if each.enum_type is not None:
        short = each.enum_type.values_by_number[value].name.removeprefix(enum_prefix(each)).lower()
        return short.replace("_", "-") if each.name == "index_kind" else short
    match each.message_type and each.message_type.full_name:
        case None:
            return value
        case "google.protobuf.Timestamp":
            return value.ToDatetime(tzinfo=UTC)
        case "google.protobuf.Struct":
            return MessageToDict(value)
        case "adamem.v1.Vector":
            return floats(value.values)
        case "adamem.v1.Filter":
            return filter_of(value)
    return _fields(value)


def filter_of(message: Any) -> dict[str, Any]:
    """A filter as the clients' dictionary."""
    match message.WhichOneof("filter"):
        case "all":
            return {"$and": [filter_of(each) for each in message.all.filters]}
        case "any":
            return {"$or": [filter_of(each) for each in message.any.filters]}
        case "negated":
            return {"$not": filter_of(message.negated)}
        case "condition":
            condition = message.condition
            operator = type(condition).DESCRIPTOR.fields_by_name["operator"].enum_type.values_by_number
            name = operator[condition.operator].name.removeprefix("OPERATOR_")
            value = MessageToDict(condition.value) if condition.HasField("value") else True
            return {condition.field: {_OPERATORS.get(name, "$exists"): value}}
    return {}
