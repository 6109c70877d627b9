"""Which verb and path call which method of the protocol: the one table, from which routing and OpenAPI are made.

A new method gets its route by one line here. Names in braces are fields of the request; with GET and DELETE the other
fields come from the query string, with POST and PATCH from the body.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

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
from adamem_server.errors import InvalidArgumentError
from adamem_server.http.problems import MethodNotAllowedError, PathNotFoundError

Verb: TypeAlias = Literal["GET", "POST", "PATCH", "DELETE"]
# How a stream goes over HTTP: as events or lines, as the bytes of a file down, or up.
Form: TypeAlias = Literal["messages", "download", "upload"]

FILES: Final = (
    memory_service_pb2,
    admin_service_pb2,
    lifecycle_service_pb2,
    job_service_pb2,
    backup_service_pb2,
    package_service_pb2,
    version_service_pb2,
    archive_service_pb2,
)
_PACKAGE: Final = "adamem.v1."


@dataclass(frozen=True, slots=True)
class Route:
    """One verb and path.

    `renames` are other names of fields, with the paths that they stand for; `inner` is the field whose own fields may
    be given beside those of the request.
    """

    verb: Verb
    path: str
    method: str
    form: Form = "messages"
    renames: Mapping[str, str] = field(default_factory=dict)
    inner: str = ""

    @property
    def full_method(self) -> str:
        """The name of the method, such as `adamem.v1.MemoryService.Query`."""
        return _PACKAGE + self.method

    @property
    def descriptor(self) -> MethodDescriptor:
        """The method's descriptor."""
        service, name = self.full_method.rsplit(".", 1)
        return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The fields in the path, in its order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def has_body(self) -> bool:
        """Whether fields come from the body."""
        return self.verb in ("POST", "PATCH")

    @property
    def request(self) -> Descriptor:
        """What the fields given are those of: for an upload the options, as the file is the body."""
        request = self.descriptor.input_type
        if self.form != "upload":
            return request
        options = request.fields_by_name["options"].message_type
        assert options is not None
        return options

    @property
    def inner_type(self) -> Descriptor | None:
        """What `inner` is."""
        return self.request.fields_by_name[self.inner].message_type if self.inner else None


_SHORT: Final = {"ns": "namespace"}

ROUTES: Final = (
    Route("POST", "/v1/query", "MemoryService.Query"),
    Route("POST", "/v1/update", "MemoryService.Update"),
    Route("POST", "/v1/batch_update", "MemoryService.BatchUpdate"),
    Route("POST", "/v1/bulk_update", "MemoryService.BulkUpdate"),
    Route("GET", "/v1/slots", "MemoryService.ListSlots"),
    Route("POST", "/v1/list_slots", "MemoryService.ListSlots"),
    Route("GET", "/v1/slots/{slot_id}", "MemoryService.GetSlot"),
    Route("DELETE", "/v1/slots/{slot_ids}", "MemoryService.DeleteSlots"),
    Route("POST", "/v1/delete_slots", "MemoryService.DeleteSlots"),
    Route("POST", "/v1/touch_slots", "MemoryService.TouchSlots"),
    Route("POST", "/v1/feedback", "MemoryService.Feedback"),
    Route("GET", "/v1/namespaces", "AdminService.ListNamespaces"),
    Route("POST", "/v1/namespaces", "AdminService.CreateNamespace"),
    Route("GET", "/v1/namespaces/{name}", "AdminService.GetNamespace"),
    Route("PATCH", "/v1/namespaces/{name}", "AdminService.UpdateNamespace"),
    Route("DELETE", "/v1/namespaces/{name}", "AdminService.DeleteNamespace"),
    Route("GET", "/v1/adapter", "AdminService.GetAdapter"),
    Route("GET", "/v1/adapter/versions", "AdminService.ListAdapterVersions"),
    Route("POST", "/v1/adapter/train", "AdminService.TrainAdapter"),
    Route("POST", "/v1/adapter/rollback", "AdminService.RollbackAdapter"),
    Route("GET", "/v1/server_info", "AdminService.GetServerInfo"),
    Route("POST", "/v1/verify_namespace", "LifecycleService.VerifyNamespace"),
    Route("POST", "/v1/compact_namespace", "LifecycleService.CompactNamespace"),
    Route("POST", "/v1/reembed_namespace", "LifecycleService.ReembedNamespace"),
    Route("POST", "/v1/deduplicate_namespace", "LifecycleService.DeduplicateNamespace"),
    Route("POST", "/v1/undo_deduplication", "LifecycleService.UndoDeduplication"),
    Route("GET", "/v1/duplicate_pairs", "LifecycleService.ListDuplicatePairs"),
    Route("GET", "/v1/slots/{slot_id}/absorbed", "LifecycleService.ListAbsorbedSlots"),
    Route("POST", "/v1/compact_data", "LifecycleService.CompactData"),
    Route("POST", "/v1/consolidate_namespace", "LifecycleService.ConsolidateNamespace"),
    Route("GET", "/v1/preview_consolidation", "LifecycleService.PreviewConsolidation"),
    Route("POST", "/v1/report_namespace", "LifecycleService.ReportNamespace"),
    Route("GET", "/v1/jobs/{job_id}/health_report", "LifecycleService.GetHealthReport"),
    Route("GET", "/v1/finding_slots", "LifecycleService.ListFindingSlots"),
    Route("POST", "/v1/archive_namespace", "ArchiveService.ArchiveNamespace"),
    Route("POST", "/v1/restore_archived", "ArchiveService.RestoreArchived"),
    Route("POST", "/v1/pin_slots", "ArchiveService.PinSlots"),
    Route("GET", "/v1/slots/{slot_id}/versions", "VersionService.ListSlotVersions"),
    Route("POST", "/v1/slots/{slot_id}/restore", "VersionService.RestoreSlotVersion"),
    Route("GET", "/v1/snapshots", "VersionService.ListSnapshots"),
    Route("POST", "/v1/snapshots", "VersionService.CreateSnapshot"),
    Route("DELETE", "/v1/snapshots/{name}", "VersionService.DeleteSnapshot"),
    Route("GET", "/v1/snapshots/{name}/diff", "VersionService.DiffSnapshots"),
    Route("POST", "/v1/snapshots/{name}/restore", "VersionService.RestoreSnapshot"),
    Route("POST", "/v1/clone_namespace", "VersionService.CloneNamespace"),
    Route("GET", "/v1/jobs", "JobService.ListJobs"),
    Route("GET", "/v1/jobs/{job_id}", "JobService.GetJob"),
    Route("POST", "/v1/jobs/{job_id}/cancel", "JobService.CancelJob"),
    Route("GET", "/v1/jobs/{job_id}/watch", "JobService.WatchJob"),
    Route("GET", "/v1/backup", "BackupService.Backup", form="download"),
    Route("GET", "/v1/export_namespace", "PackageService.ExportNamespace", form="download"),
    Route("POST", "/v1/import_namespace", "PackageService.ImportNamespace", form="upload"),
    # Short ways for a person with curl.
    Route("POST", "/query", "MemoryService.Query", renames={"query": "text", "ns": "namespaces"}),
    Route(
        "POST",
        "/update",
        "MemoryService.Update",
        renames={**_SHORT, "q": "slot.cue", "a": "slot.content"},
        inner="slot",
    ),
    Route("GET", "/admin/namespaces", "AdminService.ListNamespaces"),
    Route("POST", "/admin/reembed", "LifecycleService.ReembedNamespace", renames=_SHORT),
)


class Router:
    """Finds the route of a request. Cost: as the path is long, however many routes there are."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._tree: dict[str, object] = {}
        for route in routes:
            node = self._tree
            for part in route.path.split("/")[1:]:
                node = node.setdefault("{}" if part.startswith("{") else part, {})  # type: ignore[assignment]
            verbs: dict[str, Route] = node.setdefault("/", {})  # type: ignore[assignment]
            if route.verb in verbs:
                raise ValueError(f"{route.verb} {route.path} is there twice")
            verbs[route.verb] = route

    def verbs(self, raw_path: bytes) -> tuple[dict[str, Route], list[str]]:
        """The routes of a path by verb, and the parts that stand for fields, decoded.

        Raises:
            PathNotFoundError: No route has this path.
            InvalidArgumentError: A part is no UTF-8.
        """
        if not raw_path.startswith(b"/"):
            raise PathNotFoundError("a path begins with a slash")
        node, values = self._tree, []
        # Parts are split before they are decoded: a name may hold slashes, as %2F.
        for part in raw_path.split(b"/")[1:]:
            name = part.decode("ascii", "replace")
            found = node.get(name) if name not in ("{}", "") else None
            if found is None:
                found = node.get("{}") if part else None
                values.append(part)
            if found is None:
                raise PathNotFoundError("there is nothing at this path; /docs lists what there is")
            node = found  # type: ignore[assignment]
        verbs = node.get("/")
        if verbs is None:
            raise PathNotFoundError("there is nothing at this path; /docs lists what there is")
        return verbs, [_decoded(part) for part in values]  # type: ignore[return-value]

    def find(self, verb: str, raw_path: bytes) -> tuple[Route, list[str]]:
        """The route of a verb and path, and the values of its parameters.

        Raises:
            MethodNotAllowedError: The path has other verbs.
            PathNotFoundError, InvalidArgumentError: As `verbs`.
        """
        verbs, values = self.verbs(raw_path)
        route = verbs.get(verb)
        if route is None:
            allowed = ", ".join(sorted((*verbs, "OPTIONS")))
            raise MethodNotAllowedError(f"this path takes {allowed}", headers={"allow": allowed}, allowed=allowed)
        return route, values


def _decoded(part: bytes) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise InvalidArgumentError("path", "is not UTF-8") from None
