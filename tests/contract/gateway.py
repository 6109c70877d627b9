"""The face of HTTP: JSON over http.client, on the paths under /v1."""

import base64
import http.client
import json
from typing import Any, Final
from urllib.parse import quote, urlencode

import grpc

from tests.contract.canonical import bulk_totals, error, floats

PATHS: Final[dict[str, tuple[str, str]]] = {
    "Query": ("POST", "/v1/query"),
    "Update": ("POST", "/v1/update"),
    "BatchUpdate": ("POST", "/v1/batch_update"),
    "BulkUpdate": ("POST", "/v1/bulk_update"),
    "GetSlot": ("GET", "/v1/slots/{slot_id}"),
    "ListSlots": ("GET", "/v1/slots"),
    "DeleteSlots": ("POST", "/v1/delete_slots"),
    "TouchSlots": ("POST", "/v1/touch_slots"),
    "Feedback": ("POST", "/v1/feedback"),
    "CreateNamespace": ("POST", "/v1/namespaces"),
    "GetNamespace": ("GET", "/v1/namespaces/{name}"),
    "ListNamespaces": ("GET", "/v1/namespaces"),
    "UpdateNamespace": ("PATCH", "/v1/namespaces/{name}"),
    "DeleteNamespace": ("DELETE", "/v1/namespaces/{name}"),
    "GetAdapter": ("GET", "/v1/adapter"),
    "ListAdapterVersions": ("GET", "/v1/adapter/versions"),
    "TrainAdapter": ("POST", "/v1/adapter/train"),
    "RollbackAdapter": ("POST", "/v1/adapter/rollback"),
    "GetServerInfo": ("GET", "/v1/server_info"),
    "VerifyNamespace": ("POST", "/v1/verify_namespace"),
    "CompactNamespace": ("POST", "/v1/compact_namespace"),
    "ReembedNamespace": ("POST", "/v1/reembed_namespace"),
    "CompactData": ("POST", "/v1/compact_data"),
    "ConsolidateNamespace": ("POST", "/v1/consolidate_namespace"),
    "PreviewConsolidation": ("GET", "/v1/preview_consolidation"),
    "ReportNamespace": ("POST", "/v1/report_namespace"),
    "GetHealthReport": ("GET", "/v1/jobs/{job_id}/health_report"),
    "ListFindingSlots": ("GET", "/v1/finding_slots"),
    "DeduplicateNamespace": ("POST", "/v1/deduplicate_namespace"),
    "UndoDeduplication": ("POST", "/v1/undo_deduplication"),
    "ListDuplicatePairs": ("GET", "/v1/duplicate_pairs"),
    "ListAbsorbedSlots": ("GET", "/v1/slots/{slot_id}/absorbed"),
    "ArchiveNamespace": ("POST", "/v1/archive_namespace"),
    "RestoreArchived": ("POST", "/v1/restore_archived"),
    "PinSlots": ("POST", "/v1/pin_slots"),
    "ListSlotVersions": ("GET", "/v1/slots/{slot_id}/versions"),
    "RestoreSlotVersion": ("POST", "/v1/slots/{slot_id}/restore"),
    "CreateSnapshot": ("POST", "/v1/snapshots"),
    "ListSnapshots": ("GET", "/v1/snapshots"),
    "DiffSnapshots": ("GET", "/v1/snapshots/{name}/diff"),
    "DeleteSnapshot": ("DELETE", "/v1/snapshots/{name}"),
    "RestoreSnapshot": ("POST", "/v1/snapshots/{name}/restore"),
    "CloneNamespace": ("POST", "/v1/clone_namespace"),
    "GetJob": ("GET", "/v1/jobs/{job_id}"),
    "ListJobs": ("GET", "/v1/jobs"),
    "CancelJob": ("POST", "/v1/jobs/{job_id}/cancel"),
    "WatchJob": ("GET", "/v1/jobs/{job_id}/watch"),
    "ExportNamespace": ("GET", "/v1/export_namespace"),
    "ImportNamespace": ("POST", "/v1/import_namespace"),
}
# The HTTP status of each code; where there is a reason for another one, it is named.
_STATUSES: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 413,
}
_TIMEOUT_S: Final = 60.0
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_LINES: Final = "application/x-ndjson"
_STREAMS: Final = frozenset({"BulkUpdate", "WatchJob", "PreviewConsolidation"})


class HttpFace:
    """HTTP, as somebody would speak it who has no client."""

    name = "http"

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        self._files: dict[str, bytes] = {}

    def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Carries out a call: {"answer": ...} or {"error": ...}."""
        verb, path = PATHS[name]
        given = dict(request)
        file = given.pop("file", None)
        for field in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
            path = path.replace(f"{{{field}}}", quote(given.pop(field), safe=""))
        headers, body = {"accept": _LINES} if name in _STREAMS else {}, None
        if name == "ImportNamespace":
            headers["content-type"], body = "application/zip", self._files[file]
        elif name == "BulkUpdate":
            headers["content-type"], body = _LINES, json.dumps(given).encode() + b"\n"
        elif verb in ("POST", "PATCH"):
            headers["content-type"], body = "application/json", json.dumps(given).encode()
        if given and (verb in ("GET", "DELETE") or name == "ImportNamespace"):
            path += "?" + urlencode([(key, text) for key, value in given.items() for text in _texts(value)])
        self._connection.request(verb, path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            return {"error": _error(response, content)}
        if name == "ExportNamespace":
            self._files[file] = content
            return {"answer": {}}
        return _answered(name, [_plain(json.loads(line)) for line in content.splitlines() if line.strip()])

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def _answered(name: str, lines: list[Any]) -> dict[str, Any]:
    """The answer of a call whose messages are lines; of most there is one."""
    if lines and "problem" in lines[-1]:
        return {"error": _of_problem(lines[-1]["problem"])}
    match name:
        case "BulkUpdate":
            return {"answer": bulk_totals(lines)}
        case "PreviewConsolidation":
            return {"answer": {"summaries": [line["summary"] for line in lines]}}
    return {"answer": lines[-1]}


def _error(response: http.client.HTTPResponse, content: bytes) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json", content
    problem = json.loads(content)
    assert problem["request_id"] == response.headers["x-request-id"]
    found = _of_problem(problem)
    assert problem["status"] == response.status == _STATUSES[found["code"]], problem
    return found


def _of_problem(problem: dict[str, Any]) -> dict[str, Any]:
    fields = [each["field"] for each in problem.get("violations", ())]
    return error(problem["code"], problem["reason"], fields, problem["metadata"])


def _texts(value: Any) -> list[str]:
    """A field of a query string: texts as they are, lists as several, the rest as JSON."""
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value if isinstance(value, str) else json.dumps(value)]


def _plain(value: Any, key: str = "") -> Any:
    """An answer in the canonical form: vectors as numbers, statuses as errors; the caller's own JSON as it is."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict) or key == "metadata":
        return value
    if key == "vector":
        return floats(base64.b64decode(value["values"]))
    if key in ("status", "error") and "details" in value:
        return _of_status(value)
    return {name: _plain(each, name) for name, each in value.items()}


def _of_status(status: dict[str, Any]) -> dict[str, Any]:
    found = error(_CODES[status["code"]], "", [], {})
    for detail in status["details"]:
        match detail["@type"].rpartition(".")[2]:
            case "ErrorInfo":
                found |= {"reason": detail["reason"], "metadata": detail.get("metadata", {})}
            case "BadRequest":
                found["fields"] = [each["field"] for each in detail["field_violations"]]
    return found
