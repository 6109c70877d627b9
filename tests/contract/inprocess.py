"""The face of the engine in this process: messages of the protocol go to the services as objects, no byte is sent."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from adamem.v1.package_service_pb2 import ImportNamespaceRequest
from adamem_server import __version__
from adamem_server.app import open_engine
from adamem_server.config import Settings
from adamem_server.errors import AdaMemError
from adamem_server.rpc.admin_service import AdminService
from adamem_server.rpc.archive_service import ArchiveService
from adamem_server.rpc.convert import RequestDecoder
from adamem_server.rpc.errors import error_status
from adamem_server.rpc.job_service import JobService
from adamem_server.rpc.lifecycle_service import LifecycleService
from adamem_server.rpc.memory_service import MemoryService
from adamem_server.rpc.package_service import PackageService
from adamem_server.rpc.version_service import VersionService
from adamem_server.rpc.waits import Waits
from tests.contract.canonical import bulk_totals, error_of_status, of_message, with_bytes
from tests.contract.listing import METHODS

_CHUNK: Final = 1 << 16


class Caller:
    """Of grpc.ServicerContext what services ask: somebody waits for the answer, however long it takes."""

    def time_remaining(self) -> None:
        return None

    def is_active(self) -> bool:
        return True

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return True


class EngineFace:
    """An engine, the work on its memories, and the services over both."""

    name = "engine"

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=folder, archive_interval_s=0)
        self._resources = ExitStack()
        engine, lifecycle = open_engine(settings, self._resources)
        decoder = RequestDecoder(settings.limits(), settings.default_namespace)
        waits = Waits(settings.n_rpc_threads - settings.max_bulk_streams)
        self._memory = MemoryService(engine, decoder, lifecycle.erasure, waits)
        admin = AdminService(
            engine,
            decoder,
            lifecycle.erasure,
            waits,
            limits=settings.limits(),
            default_namespace=settings.default_namespace,
            version=__version__,
        )
        self._services = {
            "MemoryService": self._memory,
            "AdminService": admin,
            "LifecycleService": LifecycleService(lifecycle, decoder),
            "JobService": JobService(lifecycle.jobs),
            "PackageService": PackageService(lifecycle.packages, decoder),
            "VersionService": VersionService(engine, lifecycle, decoder),
            "ArchiveService": ArchiveService(engine, lifecycle, decoder),
        }
        self._files: dict[str, bytes] = {}

    def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Carries out a call: {"answer": ...} or {"error": ...}."""
        method = METHODS[name]
        carry_out = getattr(self._services[method.containing_service.name], name)
        given = dict(request)
        file = given.pop("file", "")
        try:
            match name:
                case "ImportNamespace":
                    answers = carry_out(self._upload(given, file), Caller())
                case "BulkUpdate":
                    answers = carry_out(iter([_message(name, given)]), Caller())
                case _:
                    answers = carry_out(_message(name, given), Caller())
            told = list(answers) if method.server_streaming else [answers]
        except AdaMemError as raised:
            return {"error": error_of_status(error_status(raised))}
        match name:
            case "ExportNamespace":
                self._files[file] = b"".join(each.chunk for each in told)
                return {"answer": {}}
            case "BulkUpdate":
                return {"answer": bulk_totals([of_message(each) for each in told])}
            case "PreviewConsolidation":
                return {"answer": {"summaries": [of_message(each.summary) for each in told]}}
        return {"answer": of_message(told[-1])}

    def _upload(self, options: dict[str, Any], file: str) -> Iterator[ImportNamespaceRequest]:
        yield ParseDict({"options": options}, ImportNamespaceRequest())
        content = self._files[file]
        for start in range(0, len(content), _CHUNK):
            yield ImportNamespaceRequest(chunk=content[start : start + _CHUNK])

    def close(self) -> None:
        """Ends everything."""
        self._memory.drain()
        self._memory.join()
        self._resources.close()


def _message(name: str, request: dict[str, Any]) -> Any:
    return ParseDict(with_bytes(request), GetMessageClass(METHODS[name].input_type)())
