"""Namespaces whose records are damaged: work on all namespaces leaves them out, and tells of each once."""

import structlog

from adamem_server.errors import DataCorruptError
from adamem_server.store.slot_store import ReadView
from adamem_server.types import Namespace

_log = structlog.get_logger(__name__)


class Damage:
    """What one thread has met of it. A callable, by which it hears of it.

    Args:
        work: What leaves the records out, for the log.
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._told: set[int] = set()

    def __call__(self, view: ReadView, number: int, error: DataCorruptError) -> None:
        """Log, once for each namespace, that records of it are damaged."""
        if number in self._told:
            return
        self._told.add(number)
        # By the names, as the namespace's own record may be the one that is damaged.
        names = (name for name in view.namespace_names("", "") if view.namespace_number(name) == number)
        _log.warning("record_damaged", work=self._work, namespace=next(names, ""), number=number, problem=error.message)

    def namespace(self, view: ReadView, number: int) -> Namespace | None:
        """A namespace's properties; None when it does not exist, or its record is damaged."""
        try:
            return view.namespace(number)
        except DataCorruptError as error:
            self(view, number, error)
            return None
