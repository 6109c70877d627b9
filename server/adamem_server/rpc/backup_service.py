"""BackupService: the parts of a backup as they come."""

from collections.abc import Callable, Iterator

import grpc

from adamem.v1 import backup_service_pb2 as pb
from adamem.v1.backup_service_pb2_grpc import BackupServiceServicer
from adamem_server.lifecycle.backup import Backups


class BackupService(BackupServiceServicer):
    """The service over the backups of a store. Thread-safe."""

    def __init__(self, backups: Backups) -> None:
        self._backups = backups

    def Backup(self, request: pb.BackupRequest, context: grpc.ServicerContext) -> Iterator[pb.BackupResponse]:  # noqa: ARG002
        """Copy the whole server."""

        def is_wanted(stop: Callable[[], None]) -> bool:
            return bool(context.add_callback(stop))

        for part in self._backups.stream(is_wanted, context.cancel):
            yield pb.BackupResponse(member=part.member, data=part.data, total_bytes=part.total_bytes)

    def drain(self) -> None:
        """End the backup under way: the server is shutting down."""
        self._backups.drain()
