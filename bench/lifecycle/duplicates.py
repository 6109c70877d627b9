"""Duplicates: how many are found, what is merged that should not be, and what it costs.

Every turn of LoCoMo is stored twice, once reworded in case and punctuation, and so is every sentence of XQuAD where it
is given; a pair is right when both slots are of one turn. Pairs that look alike and are not are stored beside. Then
many slots with vectors of their own, half of them copies.
"""

import json
import random
import re
import string
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

import adamem
from bench.ingest import server
from bench.retrieval.datasets import read_locomo

SEED: Final = 20
SIZES: Final = {"duplicates_slots": 100_000}
# Turns that are made where no file is given.
N_MADE: Final = 2_000
N_TRIES: Final = 300
DIM: Final = 384
BATCH_SIZE: Final = 256
TIMEOUT_S: Final = 600.0

_DELETED = str.maketrans("", "", string.punctuation)
_SPACED = str.maketrans(string.punctuation, " " * len(string.punctuation))
REWORDINGS: Final[tuple[Callable[[str], str], ...]] = (
    str.upper,
    str.lower,
    str.swapcase,
    str.title,
    lambda text: text.lower().translate(_DELETED),
    lambda text: text.translate(_SPACED),
    lambda text: text.replace(",", "").rstrip(".!?") + "!!!",
    lambda text: f'"{text.lower()}"'.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
)
# Two texts of two turns each: the words differ where it counts, or one speaker says the same at two times.
HARD: Final = (
    ("It costs $5 a month", "It costs $50 a month"),
    ("I met Ann on 5 May", "I met Ann on 6 May"),
    ("I met Ann in Riga", "I met Anna in Riga"),
    ("We will go there on Monday", "We will go there on Sunday"),
    ("I do like the new flat", "I don't like the new flat"),
    ("He can come to the party", "He can't come to the party"),
    ("Ann is taller than Bob", "Bob is taller than Ann"),
    ("I have learned C for years", "I have learned C++ for years"),
    ("It was -5 degrees outside", "It was 5 degrees outside"),
    ("The train leaves at 10:30", "The train leaves at 10:50"),
    ("Я встретил Анну пятого мая", "Я встретил Анну шестого мая"),
    ("Встреча в 10:30 в офисе", "Встреча в 11:30 в офисе"),
    ("Мне нравится эта квартира", "Мне не нравится эта квартира"),
    ("Thanks!", "Thanks!"),
    ("Yes.", "yes"),
    ("Sounds good, see you tomorrow then", "Sounds good - see you tomorrow, then!"),
)


def figures(sizes: Mapping[str, int], data: Mapping[str, Path]) -> dict[str, float]:
    """Measure on a server of its own. `data` may have LoCoMo's file, without which turns are made, and one of XQuAD."""
    n_slots = sizes["duplicates_slots"]
    with (
        TemporaryDirectory() as folder,
        server(Path(folder)) as (endpoint, _),
        adamem.Client(endpoint, timeout_s=TIMEOUT_S) as client,
    ):
        turns = _turns(data["locomo"]) if "locomo" in data else _made(N_MADE)
        found = _found(client, "turns", list(turns))
        if "xquad" in data:
            sentences = _found(client, "sentences", list(_sentences(data["xquad"])))
            found |= {f"xquad_{name}": value for name, value in sentences.items()}
        others = _hard(client) | _latency(client) | _large(client, n_slots)
        return found | {f"duplicates_{name}": value for name, value in others.items()}


def _made(n_turns: int) -> Iterator[dict[str, Any]]:
    for place in range(n_turns):
        text = f"Person {place} met person {place * 7 % 1009} in town {place % 97}."
        yield {"content": text, "kind": "message", "conversation_id": f"c{place % 10}"}


def _turns(path: Path) -> Iterator[dict[str, Any]]:
    for conversation in read_locomo(path):
        for turn in conversation.turns:
            yield {
                "content": turn.text,
                "kind": "message",
                "conversation_id": conversation.id,
                "created_at": turn.said_at,
                "metadata": {"dia_id": turn.dia_id},
            }


def _sentences(path: Path) -> Iterator[dict[str, Any]]:
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for sentence in re.split(r"(?<=[.!?])\s+", paragraph["context"]):
                if len(sentence.split()) > 1:
                    yield {"content": sentence, "kind": "document"}


def _found(client: adamem.Client, namespace: str, items: list[dict[str, Any]]) -> dict[str, float]:
    """The share of texts whose copy was found, and pairs of two different texts."""
    rng = random.Random(SEED)
    places: dict[str, int] = {}
    copies = [item | {"content": rng.choice(REWORDINGS)(item["content"])} for item in items]
    for slots in (items, copies):
        places |= {slot_id: place for place, slot_id in enumerate(_store(client, namespace, slots))}
    merged = [(places[pair.survivor_id], places[pair.duplicate_id]) for pair in _merged(client, namespace)]
    right = {survivor for survivor, duplicate in merged if survivor == duplicate}
    return {
        "near_duplicates_found": len(right) / len(items),
        "false_merges": float(sum(survivor != duplicate for survivor, duplicate in merged)),
    }


def _hard(client: adamem.Client) -> dict[str, float]:
    """Pairs that look alike and are not, said by one speaker in one conversation a day apart, and at once by two."""
    days = ("2024-05-07T10:00:00Z", "2024-05-08T10:00:00Z")
    for place, texts in enumerate(HARD):
        said = {"kind": "message", "conversation_id": f"c{place}"}
        slots = [said | {"content": text, "created_at": day} for text, day in zip(texts, days, strict=True)]
        slots += [slots[0] | {"user_id": user} for user in ("ann", "bob")]
        list(_store(client, "hard", slots))
    return {"hard_negatives_merged": float(len(_merged(client, "hard")))}


def _large(client: adamem.Client, n_slots: int) -> dict[str, float]:
    """Seconds of a dry run, a change of the policy, a run and its undo on many slots."""
    client.create_namespace("large", dim=DIM, external_vectors=True)
    vectors = np.random.default_rng(SEED).standard_normal((n_slots // 2, DIM)).astype(np.float32)
    texts = [turn["content"] for turn in _made(len(vectors))]
    for reword in (str, str.upper):
        slots = ({"content": reword(text), "vector": vector} for text, vector in zip(texts, vectors, strict=True))
        client.bulk_update(slots, namespace="large", batch_size=BATCH_SIZE)
    seconds, job = _timed(client, client.duplicates.merge("large", dry_run=True))
    figures = {"dry_run_s": seconds, "found": job.result["n_duplicates"] / len(vectors)}
    started = time.perf_counter()
    client.update_namespace("large", duplicates={"on_duplicate": "skip"}, timeout_s=TIMEOUT_S)
    figures["policy_s"] = time.perf_counter() - started
    seconds, job = _timed(client, client.duplicates.merge("large"))
    figures["merge_s"] = seconds
    figures["undo_s"], _ = _timed(client, client.duplicates.undo(job_id=job.id, namespace="large"))
    return figures


def _latency(client: adamem.Client) -> dict[str, float]:
    """Of an update without a policy and with one, in turn, so that what else the machine does meets both."""
    taken: dict[str, list[float]] = {"keep": [], "skip": [], "merge": []}
    vectors = np.random.default_rng(SEED).standard_normal((N_TRIES, DIM)).astype(np.float32)
    for action in taken:
        client.create_namespace(action, dim=DIM, external_vectors=True, duplicates={"on_duplicate": action})
        client.bulk_update(
            [{"content": f"Old thought {n}", "vector": v} for n, v in enumerate(vectors)], namespace=action
        )
    for place, vector in enumerate(vectors):
        for action, seconds in taken.items():
            started = time.perf_counter()
            client.update(f"A new thought, number {place}", vector=vector, namespace=action)
            seconds.append(time.perf_counter() - started)
    return {f"update_{action}_p50_ms": median(seconds) * 1e3 for action, seconds in taken.items()}


def _store(client: adamem.Client, namespace: str, slots: Sequence[dict[str, Any]]) -> Iterator[str]:
    for start in range(0, len(slots), BATCH_SIZE):
        results = client.batch_update(slots[start : start + BATCH_SIZE], namespace=namespace)
        assert not results.failures, results.failures[:3]
        yield from (result.slot_id for result in results)


def _merged(client: adamem.Client, namespace: str) -> list[adamem.DuplicatePair]:
    _, job = _timed(client, client.duplicates.merge(namespace))
    return list(client.duplicates.pairs(job.id, namespace=namespace))


def _timed(client: adamem.Client, job: adamem.Job) -> tuple[float, adamem.Job]:
    started = time.perf_counter()
    ended = client.jobs.wait(job)
    return time.perf_counter() - started, ended
