"""Consolidation: how long it takes, and whether the turns that answer a question are still found beside the summaries.

Every conversation of LoCoMo is stored turn by turn and asked its questions in each mode, consolidated, and asked again.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import grpc

import adamem
from bench.ingest import server
from bench.retrieval.datasets import read_locomo
from bench.retrieval.locomo import Stored, ask, store
from bench.retrieval.measures import summary
from bench.retrieval.service import Service

SIZES: Final = {"consolidation_conversations": 1_000}
MODES: Final = ("hybrid", "dense", "lexical")
TIMEOUT_S: Final = 600.0


def figures(sizes: Mapping[str, int], data: Mapping[str, Path]) -> dict[str, float]:
    """Measure on a server of its own; nothing without LoCoMo's file."""
    if "locomo" not in data:
        return {}
    conversations = read_locomo(data["locomo"])[: sizes["consolidation_conversations"]]
    with (
        TemporaryDirectory() as folder,
        server(Path(folder)) as (endpoint, _),
        adamem.Client(endpoint, timeout_s=TIMEOUT_S) as client,
        grpc.insecure_channel(endpoint) as channel,
    ):
        service = Service(client, channel)
        stored = store(service, conversations)
        before = _recall(service, stored)
        started = time.perf_counter()
        results = [client.jobs.wait(client.lifecycle.consolidate(one.namespace)).result for one in stored]
        taken_s = time.perf_counter() - started
        after = _recall(service, stored)
        summaries = [
            slot for one in stored for slot in client.list_slots(namespace=one.namespace, filter={"kind": "summary"})
        ]
    n_turns = sum(len(one.conversation.turns) for one in stored)
    n_chars = sum(len(turn.text) for one in stored for turn in one.conversation.turns)
    values = {
        "consolidation_slots_per_s": n_turns / taken_s,
        "consolidation_summaries": float(sum(result["n_summaries"] for result in results)),
        "consolidation_share_of_text": sum(len(slot.content) for slot in summaries) / n_chars,
    }
    for mode in MODES:
        values |= {f"consolidation_{mode}_{cut}_before": value for cut, value in before[mode].items()}
        values |= {f"consolidation_{mode}_{cut}_after": value for cut, value in after[mode].items()}
    return values


def _recall(service: Service, stored: Sequence[Stored]) -> dict[str, dict[str, float]]:
    """Mean recall of the turns with the evidence at 5 and at 10, by mode."""
    found: dict[str, dict[str, float]] = {}
    for mode in MODES:
        judged = [each for one in stored for each, _ in ask(service, one, one.conversation.answerable, mode)]
        found[mode] = {cut: value for cut, value in summary(judged).items() if cut in ("r5", "r10")}
    return found
