"""The groups of calls of `AsyncClient`, each made when it is first asked for: in the event loop, as its channel is."""

from functools import cached_property
from typing import TYPE_CHECKING, cast

from adamem._archive import AsyncArchive
from adamem._backups import AsyncBackups
from adamem._duplicates import AsyncDuplicates
from adamem._history import AsyncHistory
from adamem._jobs import AsyncJobs
from adamem._lifecycle import AsyncLifecycle
from adamem._packages import AsyncPackages
from adamem._snapshots import AsyncSnapshots

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient


class AsyncGroups:
    """A parent of `AsyncClient`."""

    @cached_property
    def jobs(self) -> AsyncJobs:
        """Long work of the server: `get`, `list`, `cancel`, `watch`, `wait`."""
        return AsyncJobs(cast("AsyncClient", self))

    @cached_property
    def lifecycle(self) -> AsyncLifecycle:
        """What starts it: `verify`, `compact`, `compact_data`, `reembed`, `consolidate`, `report`."""
        return AsyncLifecycle(cast("AsyncClient", self))

    @cached_property
    def history(self) -> AsyncHistory:
        """Former versions of slots: `list`, `restore`."""
        return AsyncHistory(cast("AsyncClient", self))

    @cached_property
    def snapshots(self) -> AsyncSnapshots:
        """Named states of a namespace: `create`, `list`, `diff`, `restore`, `delete`; `clone`."""
        return AsyncSnapshots(cast("AsyncClient", self))

    @cached_property
    def archive(self) -> AsyncArchive:
        """What a namespace keeps found: `run`, `restore`, `pin`, `unpin`."""
        return AsyncArchive(cast("AsyncClient", self))

    @cached_property
    def duplicates(self) -> AsyncDuplicates:
        """Of a namespace: `merge`, `undo`, `pairs`, `absorbed`."""
        return AsyncDuplicates(cast("AsyncClient", self))

    @cached_property
    def backups(self) -> AsyncBackups:
        """Backups of the whole server: `save`."""
        return AsyncBackups(cast("AsyncClient", self))

    @cached_property
    def packages(self) -> AsyncPackages:
        """A namespace as one file, and back: `export_namespace`, `import_namespace`."""
        return AsyncPackages(cast("AsyncClient", self))
