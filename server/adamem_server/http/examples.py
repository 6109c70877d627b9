"""An example of each operation, for the description of the API. A test sends them, in this order, to a new server.

`JOB` and `DEDUPLICATION` stand for ids that a server makes; the test puts those that it got in their place. `MODEL` is
one that the server has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SLOT: Final = "01JD8Z5T7Q9V3W1X2Y4Z6A8B0C"
OTHER_SLOT: Final = "01JD8Z5T7Q9V3W1X2Y4Z6A8B0D"
LAST_SLOT: Final = "01JD8Z5T7Q9V3W1X2Y4Z6A8B0E"
JOB: Final = "01JD8Z5T7Q9V3W1X2Y4Z6A8B0F"
DEDUPLICATION: Final = "01JD8Z5T7Q9V3W1X2Y4Z6A8B0G"

MODEL: Final = "intfloat/multilingual-e5-base"


@dataclass(frozen=True, slots=True)
class Example:
    """A request: parameters of the path and of the query string by name, and the body.

    A body is an object, a list of objects for lines of JSON, or None; `file` is the path of the earlier example whose
    answer is the body of an upload.
    """

    verb: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    file: str = ""


EXAMPLES: Final = (
    Example("POST", "/update", body={"q": "What can Ann not eat?", "a": "Ann is allergic to peanuts", "ns": "friends"}),
    Example("POST", "/query", body={"query": "Is there food Ann should avoid?", "top_k": 3, "ns": "friends"}),
    Example("GET", "/admin/namespaces"),
    Example(
        "POST",
        "/v1/namespaces",
        body={
            "name": "team",
            "description": "What the team knows",
            "supersede": False,
            "archive": {"max_slots": 100000},
        },
    ),
    Example("GET", "/v1/namespaces", {"prefix": "te", "page_size": "10"}),
    Example("GET", "/v1/namespaces/{name}", {"name": "team"}),
    Example("PATCH", "/v1/namespaces/{name}", {"name": "team"}, {"ranking": {"recency": 0.5, "half_life_days": 14}}),
    Example(
        "POST",
        "/v1/update",
        body={
            "namespace": "team",
            "slot": {
                "id": SLOT,
                "content": "Standup is at 9:30 in the blue room",
                "cue": "When is standup?",
                "tags": ["meeting"],
                "metadata": {"source": "calendar", "floor": 3},
                "importance": 0.8,
            },
            "request_id": "update-1",
        },
    ),
    Example(
        "POST",
        "/v1/batch_update",
        body={
            "namespace": "team",
            "slots": [
                {"id": OTHER_SLOT, "content": "The gate code is 4711", "tags": ["house"]},
                {"id": LAST_SLOT, "content": "the gate code is 4711!", "tags": ["house"], "ttl": "86400s"},
            ],
        },
    ),
    Example(
        "POST",
        "/v1/bulk_update",
        body=[
            {"namespace": "team", "slots": [{"content": "Mona runs the release"}], "request_id": "bulk-1"},
            {"namespace": "team", "slots": [{"content": "Releases are on Tuesdays"}], "request_id": "bulk-2"},
        ],
    ),
    Example(
        "POST",
        "/v1/query",
        body={
            "namespaces": ["team"],
            "text": "How do I open the gate?",
            "top_k": 2,
            "filter": {"condition": {"field": "tags", "operator": "OPERATOR_EQ", "value": "house"}},
        },
    ),
    Example("GET", "/v1/slots", {"namespace": "team", "page_size": "2"}),
    Example(
        "POST",
        "/v1/list_slots",
        body={
            "namespace": "team",
            "filter": {
                "any": {
                    "filters": [
                        {"condition": {"field": "tags", "operator": "OPERATOR_EQ", "value": "meeting"}},
                        {"condition": {"field": "metadata.floor", "operator": "OPERATOR_GE", "value": 2}},
                    ]
                }
            },
        },
    ),
    Example("GET", "/v1/slots/{slot_id}", {"slot_id": SLOT, "namespace": "team"}),
    Example("POST", "/v1/touch_slots", body={"namespace": "team", "slot_ids": [LAST_SLOT], "ttl": "3600s"}),
    Example("POST", "/v1/feedback", body={"namespace": "team", "text": "gate pin", "helped_slot_ids": [OTHER_SLOT]}),
    Example("GET", "/v1/adapter", {"namespace": "team"}),
    Example("POST", "/v1/adapter/train", body={"namespace": "team", "wait": True}),
    Example("GET", "/v1/adapter/versions", {"namespace": "team"}),
    Example("POST", "/v1/adapter/rollback", body={"namespace": "team", "version": 0}),
    Example("GET", "/v1/server_info"),
    Example("POST", "/v1/snapshots", body={"namespace": "team", "name": "monday"}),
    Example("GET", "/v1/snapshots", {"namespace": "team"}),
    Example("POST", "/v1/deduplicate_namespace", body={"namespace": "team", "exact_only": True}),
    Example("GET", "/v1/duplicate_pairs", {"namespace": "team", "job_id": DEDUPLICATION}),
    Example("GET", "/v1/slots/{slot_id}/absorbed", {"slot_id": OTHER_SLOT, "namespace": "team"}),
    Example("POST", "/v1/pin_slots", body={"namespace": "team", "slot_ids": [LAST_SLOT]}),
    Example("POST", "/v1/archive_namespace", body={"namespace": "team", "dry_run": True}),
    Example("POST", "/v1/restore_archived", body={"namespace": "team", "slot_ids": [LAST_SLOT]}),
    Example("GET", "/v1/snapshots/{name}/diff", {"name": "monday", "namespace": "team"}),
    Example("POST", "/v1/undo_deduplication", body={"namespace": "team", "job_id": DEDUPLICATION}),
    Example("GET", "/v1/preview_consolidation", {"namespace": "team", "max_chars": "400"}),
    Example("POST", "/v1/consolidate_namespace", body={"namespace": "team"}),
    Example("POST", "/v1/report_namespace", body={"namespace": "team", "stale_days": 30}),
    Example("GET", "/v1/jobs/{job_id}/health_report", {"job_id": JOB}),
    Example("GET", "/v1/finding_slots", {"namespace": "team", "kind": "FINDING_KIND_SECRETS"}),
    Example("POST", "/v1/verify_namespace", body={"namespace": "team"}),
    Example("GET", "/v1/jobs/{job_id}", {"job_id": JOB}),
    Example("GET", "/v1/jobs/{job_id}/watch", {"job_id": JOB}),
    Example("POST", "/v1/jobs/{job_id}/cancel", {"job_id": JOB}),
    Example("GET", "/v1/jobs", {"namespace": "team", "states": "JOB_STATE_SUCCEEDED"}),
    Example("POST", "/v1/compact_namespace", body={"namespace": "team"}),
    Example("POST", "/v1/snapshots/{name}/restore", {"name": "monday"}, {"namespace": "team"}),
    Example("DELETE", "/v1/snapshots/{name}", {"name": "monday", "namespace": "team"}),
    Example("POST", "/v1/clone_namespace", body={"namespace": "team", "target": "team-copy"}),
    Example("GET", "/v1/export_namespace", {"namespace": "team", "license": "CC-BY-4.0"}),
    Example("POST", "/v1/import_namespace", {"namespace": "team-green"}, file="/v1/export_namespace"),
    Example("GET", "/v1/backup"),
    Example("POST", "/v1/delete_slots", body={"namespace": "team", "slot_ids": [SLOT], "keep_history": True}),
    Example("GET", "/v1/slots/{slot_id}/versions", {"slot_id": SLOT, "namespace": "team"}),
    Example("POST", "/v1/slots/{slot_id}/restore", {"slot_id": SLOT}, {"namespace": "team"}),
    Example("DELETE", "/v1/slots/{slot_ids}", {"slot_ids": SLOT, "namespace": "team"}),
    Example("DELETE", "/v1/namespaces/{name}", {"name": "team-copy", "erase": "true"}),
    Example("POST", "/v1/reembed_namespace", body={"namespace": "team", "model": MODEL, "request_id": "reembed-1"}),
    Example("POST", "/admin/reembed", body={"ns": "friends", "model": MODEL}),
    Example("POST", "/v1/compact_data", body={"request_id": "compact-1"}),
)
