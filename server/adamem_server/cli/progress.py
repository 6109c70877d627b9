"""How far a long command is: a bar on a terminal, a line every few seconds elsewhere. Always on stderr."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from adamem_server.cli.output import say

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from adamem import Job

LINE_EVERY_S: Final = 5.0


class Progress:
    """Progress through bytes (read, downloaded) with a count of things done.

    Args:
        label: What is going on, such as "ingest".
        total_bytes: All of them. 0: not known.
        unit: What is counted, such as "slots". "": nothing is.
    """

    def __init__(self, label: str, total_bytes: int, unit: str = "") -> None:
        self._label = label
        self._total_bytes = total_bytes
        self._unit = unit
        self._n_bytes = self._n_done = 0
        self._started_at = self._printed_at = time.monotonic()
        self._bar = self._make_bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task(label, total=total_bytes or None, count="") if self._bar else None

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._started_at

    def __enter__(self) -> Self:
        """Shows the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes it to its end."""
        if self._bar:
            self._show()
            self._bar.stop()
        elif kind is None:
            self._print()

    def tell(self, step: str, n_done: int, n_total: int) -> None:
        """How far a step of the work is: in bytes, but for the step "records", which has them."""
        self._label = step
        if step == "records":
            self._unit = step
            self.update(n_done=n_done)
        else:
            self.update(n_bytes=n_done, total_bytes=n_total)

    def update(self, *, n_bytes: int | None = None, n_done: int | None = None, total_bytes: int | None = None) -> None:
        """Tells how far it is."""
        self._total_bytes = self._total_bytes if total_bytes is None else total_bytes
        self._n_bytes = self._n_bytes if n_bytes is None else n_bytes
        self._n_done = self._n_done if n_done is None else n_done
        if self._bar:
            self._show()
        elif time.monotonic() - self._printed_at >= LINE_EVERY_S:
            self._print()

    def _show(self) -> None:
        if self._bar and self._task is not None:
            self._bar.update(
                self._task,
                description=self._label,
                completed=self._n_bytes,
                total=self._total_bytes or None,
                count=self._counted(),
            )

    def _print(self) -> None:
        self._printed_at = time.monotonic()
        share = f" {100 * self._n_bytes / self._total_bytes:3.0f}%" if self._total_bytes else ""
        say(f"{self._label}:{share} {self._counted() or f'{self._n_bytes / 1e6:.1f} MB'}{self._eta()}")

    def _counted(self) -> str:
        if not self._unit:
            return ""
        return f"{self._n_done:,} {self._unit}, {self._n_done / max(self.elapsed_s, 1e-3):,.0f}/s"

    def _eta(self) -> str:
        if not 0 < self._n_bytes < self._total_bytes:
            return ""
        return f", {self.elapsed_s * (self._total_bytes / self._n_bytes - 1):.0f} s left"

    @staticmethod
    def _make_bar() -> "Bar":
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(),
        )
        return Bar(*columns, console=Console(stderr=True), transient=False)


class JobProgress:
    """How far a job of the server is: its units done, of all that are known."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._printed_at = time.monotonic()
        self._job: Job | None = None
        self._bar = self._make_bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task(label, total=None, state="", unit="") if self._bar else None

    def __enter__(self) -> Self:
        """Shows the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Leaves the bar as it was last."""
        if self._bar:
            self._bar.stop()

    def update(self, job: "Job") -> None:
        """Tells how far it is."""
        changed = self._job is None or self._job.state != job.state
        self._job = job
        if self._bar and self._task is not None:
            total = job.n_total or (1 if job.ended else None)
            done = total if job.state == "succeeded" and total else job.n_done
            self._bar.update(self._task, completed=done, total=total, state=job.state.value, unit=job.unit)
        elif changed or time.monotonic() - self._printed_at >= LINE_EVERY_S:
            self._printed_at = time.monotonic()
            of_all = f" of {job.n_total:,}" if job.n_total else ""
            say(f"{self._label}: {job.state.value}, {job.n_done:,}{of_all} {job.unit}")

    @staticmethod
    def _make_bar() -> "Bar":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
        )
        return Bar(*columns, console=Console(stderr=True), transient=False)
