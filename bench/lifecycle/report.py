"""A report on the health of a namespace: how many slots a second it looks through, and what of them it finds."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

import adamem
from bench.ingest import server

SEED: Final = 20
SIZES: Final = {"report_slots": 100_000}
DIM: Final = 384
# Every so many slots repeat one that is there, or hold the number of a bank card.
COPY_EVERY: Final = 10
CARD_EVERY: Final = 100
CARD: Final = "4539 1488 0343 6467"
TIMEOUT_S: Final = 600.0


def figures(sizes: Mapping[str, int]) -> dict[str, float]:
    """Measure on a server of its own, with the part of a core that jobs have unless told otherwise."""
    n_slots = sizes["report_slots"]
    with (
        TemporaryDirectory() as folder,
        server(Path(folder)) as (endpoint, _),
        adamem.Client(endpoint, namespace="report", timeout_s=TIMEOUT_S) as client,
    ):
        client.create_namespace("report", dim=DIM, external_vectors=True)
        client.bulk_update(_slots(n_slots))
        started = time.perf_counter()
        report = client.lifecycle.report()
        seconds = time.perf_counter() - started
    counted = {finding.kind: finding.n for finding in report.findings}
    n_copies, n_cards = n_slots // COPY_EVERY, n_slots // CARD_EVERY
    return {
        "report_s": seconds,
        "report_slots_per_s": n_slots / seconds,
        "report_duplicates_found": counted.get(adamem.FindingKind.EXACT_DUPLICATES, 0) / max(n_copies, 1),
        "report_secrets_found": counted.get(adamem.FindingKind.SECRETS, 0) / max(n_cards, 1),
    }


def _slots(n_slots: int) -> Iterator[dict[str, Any]]:
    vectors = np.random.default_rng(SEED).standard_normal((n_slots, DIM)).astype(np.float32)
    for place, vector in enumerate(vectors):
        of = place - 1 if place % COPY_EVERY == COPY_EVERY - 1 else place
        said = f"Person {of} met person {of * 7 % 1009} in town {of % 97}."
        yield {"content": f"{said} {CARD}" if place % CARD_EVERY == 0 else said, "vector": vector}
