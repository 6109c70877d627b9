"""What can be done to a namespace's memories: each operation starts a job, or does its work at once."""

from typing import Final

from adamem_server.errors import FailedPreconditionError, NamespaceExistsError
from adamem_server.lifecycle.archive import ArchiveSlots
from adamem_server.lifecycle.archive_keeper import ArchiveKeeper
from adamem_server.lifecycle.backup import Backups
from adamem_server.lifecycle.clone import Clone
from adamem_server.lifecycle.compact import Compact
from adamem_server.lifecycle.compact_data import CompactData
from adamem_server.lifecycle.consolidate import Consolidate, params_of
from adamem_server.lifecycle.deduplicate import Deduplicate
from adamem_server.lifecycle.duplicates import Duplicates
from adamem_server.lifecycle.erasure import Erasure
from adamem_server.lifecycle.job_runner import JobRunner
from adamem_server.lifecycle.jobs import JobKind, JobSettings
from adamem_server.lifecycle.language_model import LanguageModel
from adamem_server.lifecycle.packaging import Packages
from adamem_server.lifecycle.reembed import Reembed
from adamem_server.lifecycle.report import Report, Reports
from adamem_server.lifecycle.restore_snapshot import RestoreSnapshot, check_model
from adamem_server.lifecycle.schedule import Schedule
from adamem_server.lifecycle.slot_history import SlotHistory
from adamem_server.lifecycle.snapshots import Snapshots
from adamem_server.lifecycle.undo_deduplicate import UndoDeduplicate
from adamem_server.lifecycle.verify import Verify
from adamem_server.memory.engine import MemoryEngine
from adamem_server.memory.jobs import known_request
from adamem_server.memory.reading import find_namespace
from adamem_server.policies import ConsolidationPolicyChange
from adamem_server.types import Job, JsonObject, Namespace, RequestKey


class Lifecycle:
    """The operations on one engine, the runner of their jobs, and the packages. Thread-safe.

    `keep_former_s` is how long vectors are kept that were replaced by those of another model, `archive_interval_s` how
    often it is looked which namespaces are beyond their limits (0: never). `language_model` writes summaries, None:
    there is none; these have `max_content_bytes` at most.

    Every operation that starts a job raises what `JobRunner.submit` raises.
    """

    def __init__(
        self,
        engine: MemoryEngine,
        settings: JobSettings,
        packages: Packages,
        *,
        server_version: str,
        keep_former_s: float = 7 * 86_400.0,
        language_model: LanguageModel | None = None,
        max_content_bytes: int = 1 << 16,
        archive_interval_s: float = 0.0,
    ) -> None:
        parts = engine.parts
        self._parts: Final = parts
        self._reembed: Final = Reembed(parts, keep_former_s)
        self.consolidation: Final = Consolidate(parts, language_model, max_content_bytes)
        self.packages: Final = packages
        self.snapshots: Final = Snapshots(parts)
        self.slot_history: Final = SlotHistory(parts)
        kinds: list[JobKind] = [
            Verify(parts.store),
            Compact(parts.registry, parts.maintenance.save),
            Deduplicate(parts.store, parts.writer, parts.registry, parts.now),
            UndoDeduplicate(parts.store, parts.writer, parts.registry, parts.encoders, parts.now),
            CompactData(parts.store, parts.writer),
            RestoreSnapshot(parts),
            Clone(parts, self.snapshots),
            self._reembed,
            Report(parts.store, parts.registry, parts.encoders, parts.now),
            ArchiveSlots(parts),
            self.consolidation,
        ]
        self.jobs: Final = JobRunner(parts.store, parts.writer, kinds, parts.activity, settings, now=parts.now)
        self._archive_keeper: Final = ArchiveKeeper(parts.store, self.jobs, archive_interval_s, parts.now)
        self._schedule: Final = Schedule(parts.store, parts.activity, self._consolidate_by_itself, now=parts.now)
        self.duplicates: Final = Duplicates(parts.store, self.jobs.get)
        self.reports: Final = Reports(parts, self.jobs.get)
        self.erasure: Final = Erasure(engine)
        self.backups: Final = Backups(parts.store, parts.encoder.info, server_version, parts.now)

    def start(self) -> None:
        """Take up unfinished jobs, erasures, merges, and deletions of snapshots that were cut short."""
        self.erasure.start()
        self.packages.start()
        self.snapshots.resume()
        self.jobs.start()
        self._archive_keeper.start()
        self._schedule.start()

    def close(self) -> None:
        """Stop the jobs and erasures; the engine is still open."""
        self._schedule.close()
        self._archive_keeper.close()
        self.erasure.close()
        self.jobs.close()
        self.packages.close()

    def verify(self, namespace: str, *, request: RequestKey | None = None) -> Job:
        """Check what is stored of a namespace."""
        return self.jobs.submit(Verify.name, namespace=namespace, request=request)

    def compact(self, namespace: str, *, request: RequestKey | None = None) -> Job:
        """Take deleted slots out of a namespace's index."""
        return self.jobs.submit(Compact.name, namespace=namespace, request=request)

    def report(self, namespace: str, params: JsonObject, *, request: RequestKey | None = None) -> Job:
        """Look for what is wrong with a namespace, or too much of it; `params` are `stale_days` and `n_examples`."""
        return self.jobs.submit(Report.name, namespace=namespace, params=params, request=request)

    def deduplicate(self, namespace: str, params: JsonObject, *, request: RequestKey | None = None) -> Job:
        """Merge the duplicates of a namespace, or list what would be merged.

        Args:
            namespace: Its name.
            params: `dry_run`, `exact_only`, `threshold` and `scope`; the namespace's policy has those that are missing.
            request: See `JobRunner.submit`.
        """
        return self.jobs.submit(Deduplicate.name, namespace=namespace, params=params, request=request)

    def archive(self, namespace: str, *, dry_run: bool = False, request: RequestKey | None = None) -> Job:
        """Take what falls under the limits of a namespace out of its indexes, or tell what would be.

        Raises:
            FailedPreconditionError: The namespace has no limits.
        """
        target, is_known = self._look(namespace, request)
        if not is_known and not target.archive.has_limits:
            raise FailedPreconditionError(
                f"namespace {namespace!r} has no limits, so that nothing is archived: set archive.max_slots,"
                " archive.max_bytes or archive.min_importance",
                namespace=namespace,
            )
        params: JsonObject = {"dry_run": dry_run}
        return self.jobs.submit(ArchiveSlots.name, namespace=namespace, params=params, request=request)

    def undo_deduplicate(
        self, namespace: str, *, job_id: str = "", slot_id: str = "", request: RequestKey | None = None
    ) -> Job:
        """Bring back what a job merged, or what a slot absorbed; one of both ids is given.

        Raises:
            JobNotFoundError: Of a job that merged nothing here, or nothing that is still merged.
            SlotNotFoundError, FailedPreconditionError: There is no such slot, or it has absorbed nothing.
        """
        params = {"job_id": job_id} if job_id else {"slot_id": slot_id}
        self.duplicates.check_undo(namespace, job_id=job_id, slot_id=slot_id, request=request)
        return self.jobs.submit(UndoDeduplicate.name, namespace=namespace, params=params, request=request)

    def consolidate(
        self, namespace: str, change: ConsolidationPolicyChange, *, request: RequestKey | None = None
    ) -> Job:
        """Write summaries of slots that belong together; `change` overrides the namespace's policy for this time.

        Raises:
            FailedPreconditionError, ModelMismatchError: See `Consolidate.check`.
        """
        _, is_known = self._look(namespace, request)
        if not is_known:
            self.consolidation.check(namespace, change)
        return self.jobs.submit(Consolidate.name, namespace=namespace, params=params_of(change), request=request)

    def compact_data(self, *, request: RequestKey | None = None) -> Job:
        """Give the free pages of the data file back to the disk."""
        return self.jobs.submit(CompactData.name, request=request)

    def restore_snapshot(self, namespace: str, name: str, *, request: RequestKey | None = None) -> Job:
        """Make a namespace what it was at a snapshot.

        Raises:
            SnapshotNotFoundError: It has none of this name.
        """
        _, is_known = self._look(namespace, request)
        if not is_known:
            check_model(*self.snapshots.get(namespace, name))
        params: JsonObject = {"snapshot": name}
        return self.jobs.submit(RestoreSnapshot.name, namespace=namespace, params=params, request=request)

    def clone(self, namespace: str, target: str, *, snapshot: str = "", request: RequestKey | None = None) -> Job:
        """Make a new namespace `target` with what a namespace has now, or had at a snapshot.

        Raises:
            SnapshotNotFoundError: It has none of this name.
            NamespaceExistsError: There is a namespace of the name `target`.
        """
        _, is_known = self._look(namespace, request)
        if not is_known:
            if snapshot:
                check_model(*self.snapshots.get(namespace, snapshot))
            with self._parts.store.read() as view:
                if view.find_namespace(target) is not None:
                    raise NamespaceExistsError(target)
        params: JsonObject = {"target": target, "snapshot": snapshot}
        return self.jobs.submit(Clone.name, namespace=namespace, params=params, request=request)

    def reembed(
        self, namespace: str, *, model: str = "", rollback: bool = False, request: RequestKey | None = None
    ) -> Job:
        """Give a namespace the vectors of another model ("": the server's), or of the former one.

        Raises:
            ModelNotFoundError, ModelFileMissingError, ModelError: The model is not on this machine.
            FailedPreconditionError: The vectors are the clients', that model has made them, or none are kept.
            ModelMismatchError: The former model is not on this machine.
        """
        _, is_known = self._look(namespace, request)
        if not is_known:
            self._reembed.check(namespace, model, rollback=rollback)
        params: JsonObject = {"model": model, "rollback": rollback}
        return self.jobs.submit(Reembed.name, namespace=namespace, params=params, request=request)

    def _look(self, namespace: str, request: RequestKey | None) -> tuple[Namespace, bool]:
        """A namespace, and whether a request was carried out before: then it is answered with its job, unchecked."""
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
            return target, known_request(view, target.number, request) is not None

    def _consolidate_by_itself(self, namespace: str) -> Job:
        return self.consolidate(namespace, ConsolidationPolicyChange())
