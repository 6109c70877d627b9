"""The tour of AdaMem: starts a server, stores real text, asks questions, restarts the server, and asks again.

    python clients/python/examples/demo.py

Everything is real: the server is `adamem serve` with its bundled encoder on a free port, its data in a temporary
directory that is removed at the end, the slots are those of demo_corpus.jsonl beside this file. Exit code 0 says that
each English question found its slot first, and that all answers were the same after the restart. It needs the server
package, and no terminal.
"""
# ruff: noqa: INP001 -- a program, not a package

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import adamem

CORPUS = Path(__file__).with_name("demo_corpus.jsonl")
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
NAMESPACE = "demo"

console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)


@dataclass(frozen=True)
class Question:
    """A question, the words that its slot holds, and whether another first hit is a failure."""

    text: str
    answer: str
    is_required: bool = True


# The bundled encoder was trained on English: Russian is found where words overlap, and is shown, not required.
QUESTIONS = (
    Question("What does Maya drink in the morning?", "green tea"),
    Question("Does Maya have any allergies?", "allergic to peanuts"),
    Question("Why was there an outage in April?", "expired certificate"),
    Question("How can a database survive a crash without losing data?", "write-ahead log"),
    Question("How do I remove limescale from my kettle?", "Descale a kettle"),
    Question("How was the planet Neptune discovered?", "Neptune was found in 1846"),
    Question("Какой чай Майя пьёт по утрам?", "зелёный чай", is_required=False),
    Question("Кто написал роман «Преступление и наказание»?", "Фёдор Достоевский", is_required=False),
    Question("Когда в России отменили крепостное право?", "1861", is_required=False),
)


@contextmanager
def running_server(folder: Path) -> Iterator[adamem.Client]:
    """A server on the folder's data, and a client of it; stopped at the end, as an operator would."""
    ready, log = folder / "ready.json", folder / "server.log"
    command = [sys.executable, "-m", "adamem_server.cli", "serve", "--port", "0", "--http-port", "0"]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--ready-file", str(ready), "--data-dir", str(folder / "data")],
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        port = port_of(process, ready, log)
        with adamem.Client(f"localhost:{port}", namespace=NAMESPACE) as client:
            info = client.wait_until_ready(timeout_s=READY_TIMEOUT_S)
            console.print(
                f"server {info.version} on port {port}, encoder {info.model} ({info.dim} values, {info.simd})"
            )
            yield client
    finally:
        process.terminate()
        try:
            exit_code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            exit_code = process.wait()
        console.print(f"server stopped, exit code {exit_code}\n")


def environment() -> dict[str, str]:
    """This process's environment without settings of a server, so that the demo is the same for everyone."""
    own = ("ADAMEM_", "EMBED_MODEL", "DEFAULT_NS")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}  # noqa: TID251


def port_of(process: subprocess.Popen[bytes], ready: Path, log: Path) -> int:
    """Waits until the server says that it answers; ends the demo with its log if it does not."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.02)
    port: int = json.loads(ready.read_text())["port"]
    return port


def ingest(client: adamem.Client, slots: Sequence[dict[str, Any]]) -> None:
    """Stores the corpus over the bulk stream, with a progress bar."""
    columns = (TextColumn("ingest"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started_at = time.monotonic()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("ingest", total=len(slots))
        result = client.bulk_update(
            slots, batch_size=32, on_progress=lambda state: progress.update(task, completed=state.n_items)
        )
    seconds = time.monotonic() - started_at
    if result.n_created != len(slots):
        sys.exit(f"{result.n_failed} slots were not stored: {result.failures[:3]}")
    console.print(f"stored {result.n_created} slots in {seconds:.2f} s, {result.n_created / seconds:.0f} a second\n")


def ask(client: adamem.Client) -> int:
    """Asks all questions and shows what is found; returns how many required slots were not first."""
    n_missed = 0
    for question in QUESTIONS:
        result = client.query(question.text, top_k=3)
        found = bool(result) and question.answer in result[0].content
        n_missed += question.is_required and not found
        show(question.text, result, mark="" if found else " [red]not first[/]")
    console.print("The bundled encoder was trained on English. For other languages set EMBED_MODEL; see the README.\n")
    return n_missed


def answers(client: adamem.Client) -> list[list[str]]:
    """The ids that each question finds."""
    return [[hit.id for hit in client.query(question.text)] for question in QUESTIONS]


def show(title: str, result: adamem.QueryResult, mark: str = "") -> None:
    """Hits with scores, and the server's times."""
    timings = result.timings
    times = f"{timings.total_s * 1e3:.1f} ms (embed {timings.embed_s * 1e3:.1f}, search {timings.search_s * 1e3:.1f})"
    table = Table(
        title=f"[bold]{escape(title)}[/]{mark}  [dim]{times}[/]", title_justify="left", show_header=False, expand=True
    )
    table.add_column(justify="right", width=6, style="cyan")
    table.add_column(ratio=1)
    table.add_column(justify="right", style="dim")
    for hit in result:
        table.add_row(f"{hit.score:.3f}", escape(hit.content), " ".join((hit.slot.kind, *hit.slot.tags)))
    console.print(table)


def show_filters(client: adamem.Client) -> None:
    """The same question without a filter and with two."""
    text = "What should I know before I make coffee or tea?"
    for condition in (
        None,
        {"user_id": "oleg", "kind": "preference"},
        {"$or": [{"tags": "cooking"}, {"tags": "household"}], "metadata.lang": {"$ne": "ru"}},
    ):
        show(f"{text}  {condition or 'no filter'}", client.query(text, top_k=2, filter=condition))


def main() -> int:
    """Runs the tour; 0 if all went well."""
    slots = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory(prefix="adamem-demo-") as directory:
        console.rule("1. start, store, ask")
        with running_server(Path(directory)) as client:
            ingest(client, slots)
            n_missed = ask(client)
            console.rule("2. filters")
            show_filters(client)
            before = answers(client)
        console.rule("3. restart on the same data, ask again")
        with running_server(Path(directory)) as client:
            namespace = client.get_namespace()
            console.print(f"{namespace.n_slots} slots are still there; nothing was stored again\n")
            show(QUESTIONS[0].text, client.query(QUESTIONS[0].text, top_k=3))
            survived = namespace.n_slots == len(slots) and answers(client) == before
            console.print(f"all {len(QUESTIONS)} answers as before: {survived}")
    if n_missed or not survived:
        console.print(f"[red]failed[/]: {n_missed} required slots were not first; memory survived: {survived}")
        return 1
    console.print("[green]all as it should be[/]: each English question found its slot first, and memory survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
