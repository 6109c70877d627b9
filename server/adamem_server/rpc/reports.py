"""Reports on the health of namespaces, to and from messages."""

from collections.abc import Iterable
from typing import Final

from adamem.v1 import lifecycle_service_pb2 as pb
from adamem.v1 import reports_pb2
from adamem_server.errors import InvalidArgumentError
from adamem_server.lifecycle.findings import (
    DEFAULT_EXAMPLES,
    DEFAULT_STALE_DAYS,
    LISTED,
    MAX_EXAMPLES,
    MAX_STALE_DAYS,
    FindingKind,
)
from adamem_server.rpc.checks import check_enum, check_range
from adamem_server.rpc.slots import encode_time
from adamem_server.types import Job, JsonObject

_KIND_NUMBERS: Final = {
    FindingKind.EXACT_DUPLICATES: reports_pb2.FINDING_KIND_EXACT_DUPLICATES,
    FindingKind.NEAR_DUPLICATES: reports_pb2.FINDING_KIND_NEAR_DUPLICATES,
    FindingKind.RECALL_LOOPS: reports_pb2.FINDING_KIND_RECALL_LOOPS,
    FindingKind.STALE: reports_pb2.FINDING_KIND_STALE,
    FindingKind.NEVER_USED: reports_pb2.FINDING_KIND_NEVER_USED,
    FindingKind.SECRETS: reports_pb2.FINDING_KIND_SECRETS,
    FindingKind.EXPIRED: reports_pb2.FINDING_KIND_EXPIRED,
    FindingKind.SUPERSEDED: reports_pb2.FINDING_KIND_SUPERSEDED,
    FindingKind.OTHER_MODEL: reports_pb2.FINDING_KIND_OTHER_MODEL,
    FindingKind.OTHER_MODEL_SNAPSHOTS: reports_pb2.FINDING_KIND_OTHER_MODEL_SNAPSHOTS,
    FindingKind.OLD_SNAPSHOTS: reports_pb2.FINDING_KIND_OLD_SNAPSHOTS,
    FindingKind.DELETED_IN_INDEX: reports_pb2.FINDING_KIND_DELETED_IN_INDEX,
    FindingKind.FREE_PAGES: reports_pb2.FINDING_KIND_FREE_PAGES,
}
_KINDS: Final = {number: kind for kind, number in _KIND_NUMBERS.items()}


def decode_report_params(message: pb.ReportNamespaceRequest) -> JsonObject:
    """The parameters of a job "report".

    Raises:
        InvalidArgumentError: The first value found that is out of range.
    """
    n_examples = DEFAULT_EXAMPLES
    if message.HasField("n_examples"):
        n_examples = check_range(message.n_examples, "n_examples", 0, MAX_EXAMPLES)
    return {"stale_days": decode_stale_days(message), "n_examples": n_examples}


def decode_stale_days(message: pb.ReportNamespaceRequest | pb.ListFindingSlotsRequest) -> int:
    """After how many days something is stale.

    Raises:
        InvalidArgumentError: It is out of range.
    """
    if not message.HasField("stale_days"):
        return DEFAULT_STALE_DAYS
    return check_range(message.stale_days, "stale_days", 1, MAX_STALE_DAYS)


def decode_kind(number: reports_pb2.FindingKind) -> FindingKind:
    """A kind of finding whose slots can be listed.

    Raises:
        InvalidArgumentError: It is unknown, or has no slots that a listing tells.
    """
    kind = check_enum(number, "kind", _KINDS)
    if kind not in LISTED:
        raise InvalidArgumentError("kind", f"{kind} lists no slots; those that do are {', '.join(LISTED)}")
    return kind


def encode_examples(found: Iterable[tuple[str, str]]) -> list[reports_pb2.FindingExample]:
    """(id, note) of what was found."""
    return [reports_pb2.FindingExample(id=each, note=note) for each, note in found]


def encode_report(job: Job) -> reports_pb2.HealthReport:
    """The report that a job made."""
    result = job.result
    return reports_pb2.HealthReport(
        namespace=job.namespace,
        job_id=job.id,
        created_at=encode_time(int(result["created_at"])),
        stale_days=int(result["stale_days"]),
        n_slots=int(result["n_slots"]),
        findings=[_encode_finding(found) for found in result["findings"]],
        sizes=[reports_pb2.StructureSize(**size) for size in result["sizes"]],
        data_file=reports_pb2.DataFileSize(**result["data_file"]),
    )


def _encode_finding(found: JsonObject) -> reports_pb2.Finding:
    return reports_pb2.Finding(
        kind=_KIND_NUMBERS[FindingKind(found["kind"])],
        n=found["n"],
        share=found["share"],
        n_bytes=found["n_bytes"],
        examples=encode_examples((each["id"], each["note"]) for each in found["examples"]),
        command=found["command"],
        detail=found["detail"],
    )
