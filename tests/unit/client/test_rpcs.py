"""Every RPC of the protocol is reached by a public method of both clients; which one, says the table here."""

import asyncio
import importlib
import inspect
import io
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

import adamem
import adamem.v1
from adamem.v1 import job_service_pb2 as job_pb

CALLS: dict[str, Callable[[Any], Any]] = {
    "AdminService.CreateNamespace": lambda client: client.create_namespace("n"),
    "AdminService.DeleteNamespace": lambda client: client.delete_namespace("n"),
    "AdminService.GetAdapter": lambda client: client.get_adapter(),
    "AdminService.GetNamespace": lambda client: client.get_namespace("n"),
    "AdminService.GetServerInfo": lambda client: client.server_info(),
    "AdminService.ListAdapterVersions": lambda client: client.list_adapter_versions(),
    "AdminService.ListNamespaces": lambda client: client.list_namespaces(),
    "AdminService.RollbackAdapter": lambda client: client.rollback_adapter(1),
    "AdminService.TrainAdapter": lambda client: client.train_adapter(),
    "AdminService.UpdateNamespace": lambda client: client.update_namespace("n"),
    "ArchiveService.ArchiveNamespace": lambda client: client.archive.run(),
    "ArchiveService.PinSlots": lambda client: client.archive.pin("x"),
    "ArchiveService.RestoreArchived": lambda client: client.archive.restore("x"),
    "BackupService.Backup": lambda client: client.backups.save("/nowhere/backup"),
    "JobService.CancelJob": lambda client: client.jobs.cancel("x"),
    "JobService.GetJob": lambda client: client.jobs.get("x"),
    "JobService.ListJobs": lambda client: client.jobs.list(),
    "JobService.WatchJob": lambda client: client.jobs.watch("x"),
    "LifecycleService.CompactData": lambda client: client.lifecycle.compact_data(),
    "LifecycleService.CompactNamespace": lambda client: client.lifecycle.compact(),
    "LifecycleService.ConsolidateNamespace": lambda client: client.lifecycle.consolidate(),
    "LifecycleService.DeduplicateNamespace": lambda client: client.duplicates.merge(),
    "LifecycleService.GetHealthReport": lambda client: client.lifecycle.get_report("x"),
    "LifecycleService.ListAbsorbedSlots": lambda client: client.duplicates.absorbed("x"),
    "LifecycleService.ListDuplicatePairs": lambda client: client.duplicates.pairs("x"),
    "LifecycleService.ListFindingSlots": lambda client: client.lifecycle.finding_slots("stale"),
    "LifecycleService.PreviewConsolidation": lambda client: client.lifecycle.preview_consolidation(),
    "LifecycleService.ReembedNamespace": lambda client: client.lifecycle.reembed(),
    "LifecycleService.ReportNamespace": lambda client: client.lifecycle.start_report(),
    "LifecycleService.UndoDeduplication": lambda client: client.duplicates.undo(job_id="x"),
    "LifecycleService.VerifyNamespace": lambda client: client.lifecycle.verify(),
    "MemoryService.BatchUpdate": lambda client: client.batch_update(["x"]),
    "MemoryService.BulkUpdate": lambda client: client.bulk_update(["x"]),
    "MemoryService.DeleteSlots": lambda client: client.delete_slots("x"),
    "MemoryService.Feedback": lambda client: client.feedback("x", helped="y"),
    "MemoryService.GetSlot": lambda client: client.get_slot("x"),
    "MemoryService.ListSlots": lambda client: client.list_slots(),
    "MemoryService.Query": lambda client: client.query("x"),
    "MemoryService.TouchSlots": lambda client: client.touch_slots("x"),
    "MemoryService.Update": lambda client: client.update("x"),
    "PackageService.ExportNamespace": lambda client: client.packages.export_namespace(io.BytesIO()),
    "PackageService.ImportNamespace": lambda client: client.packages.import_namespace(io.BytesIO(b"x")),
    "VersionService.CloneNamespace": lambda client: client.snapshots.clone("x"),
    "VersionService.CreateSnapshot": lambda client: client.snapshots.create("x"),
    "VersionService.DeleteSnapshot": lambda client: client.snapshots.delete("x"),
    "VersionService.DiffSnapshots": lambda client: client.snapshots.diff("x"),
    "VersionService.ListSlotVersions": lambda client: client.history.list("x"),
    "VersionService.ListSnapshots": lambda client: client.snapshots.list(),
    "VersionService.RestoreSlotVersion": lambda client: client.history.restore("x", 1),
    "VersionService.RestoreSnapshot": lambda client: client.snapshots.restore("x"),
}
# Streams that are not as agreed with the empty answers here: refused by the client, after the call was made.
REFUSED = {"BackupService.Backup", "PackageService.ExportNamespace", "PackageService.ImportNamespace"} | {
    "MemoryService.BulkUpdate"
}


def methods() -> dict[str, MethodDescriptor]:
    names = [each.name for each in pkgutil.iter_modules(adamem.v1.__path__) if each.name.endswith("_pb2")]
    modules = [importlib.import_module(f"adamem.v1.{name}") for name in names]
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    return {f"{service.name}.{method.name}": method for service in services for method in service.methods}


class Recording(grpc.GenericRpcHandler):
    """Answers each call of the protocol with empty messages; `seen` are the names of those called."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._methods = methods()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        name = handler_call_details.method.removeprefix("/adamem.v1.").replace("/", ".")
        method = self._methods[name]
        self.seen.append(name)
        message = GetMessageClass(method.output_type)()
        if isinstance(message, job_pb.WatchJobResponse):
            message.job.state = job_pb.JOB_STATE_SUCCEEDED
            message.job.finished_at.GetCurrentTime()
        answer = message.SerializeToString()
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(lambda requests, _: iter([next(requests) and answer]))
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(lambda _, __: iter([answer]))
        return grpc.unary_unary_rpc_method_handler(lambda _, __: answer)


@pytest.fixture(scope="module")
def recording() -> Iterator[tuple[Recording, str]]:
    handler = Recording()
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(None).wait()


def plainly(endpoint: str, call: Callable[[Any], Any]) -> None:
    with adamem.Client(endpoint, max_attempts=1) as client:
        answer = call(client)
        if inspect.isgenerator(answer):
            list(answer)


def asynchronously(endpoint: str, call: Callable[[Any], Any]) -> None:
    async def work() -> None:
        async with adamem.AsyncClient(endpoint, max_attempts=1) as client:
            answer = call(client)
            if isinstance(answer, AsyncIterator):
                async for _ in answer:
                    pass
            else:
                await answer

    asyncio.run(work())


def test_the_table_has_every_rpc() -> None:
    assert sorted(CALLS) == sorted(methods())


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("carry_out", [plainly, asynchronously])
def test_a_public_method_reaches_it(recording: tuple[Recording, str], tmp_path, carry_out, name: str) -> None:
    handler, endpoint = recording
    handler.seen.clear()
    call = CALLS[name]
    if name == "BackupService.Backup":
        call = lambda client: client.backups.save(tmp_path / "backup")  # noqa: E731
    if name in REFUSED:
        with pytest.raises(adamem.AdaMemError):
            carry_out(endpoint, call)
    else:
        carry_out(endpoint, call)
    assert handler.seen == [name]
