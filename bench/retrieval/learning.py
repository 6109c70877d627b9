"""What an adapter costs among many slots: added to a query, and to those that are asked while it is trained."""

import threading
import time
from collections.abc import Sequence

import numpy as np

from bench.datasets import exact
from bench.retrieval.service import Question, Service
from bench.retrieval.speed import NAMESPACE, TOP_K, Base, alternate, load, timed_ms

ADAPTED = "adapted"
STEPS = (100, 400)
"""Questions taught in all when an adapter is trained; the second time only where none serves after the first."""
N_PROBES = 100
MIN_QUERIES = 100


def run(service: Service, base: Base) -> dict[str, float]:
    """Times in milliseconds, those of a training in seconds; what an adapter adds only when one came to serve.

    Two namespaces hold the same slots, and one of them learns a rule that an adapter of rank one can follow: what helps
    is nearest to the question's mirror image along the questions' principal component.
    """
    load(service, base, ADAPTED)
    ids = [slot.id for slot in service.client.list_slots(namespace=ADAPTED, page_size=1000)]
    before = _scores(service, base.queries[:N_PROBES])
    quiet = [timed_ms(service, Question(text, ADAPTED, "hybrid", TOP_K))[0] for text in base.queries]
    vectors = np.asarray(base.query_vectors[: STEPS[-1]], np.float32)
    nearest = exact(np.asarray(base.vectors, np.float32), mirrored(vectors), 1)[:, 0].tolist()
    helped = [ids[row] for row in nearest]
    values: dict[str, float] = {}
    known = 0
    for step in STEPS:
        for text, slot_id in zip(base.queries[known:step], helped[known:step], strict=True):
            service.feedback(ADAPTED, text, [slot_id])
        known = step
        trained_s, cpu_s, meanwhile = _train(service, base.queries)
        if step == STEPS[0]:
            values |= {"adapter_train_100_s": trained_s, "adapter_train_100_cpu_s": cpu_s}
            if len(meanwhile) >= MIN_QUERIES:
                values["training_p99_ratio"] = float(np.percentile(meanwhile, 99) / np.percentile(quiet, 99))
        if _scores(service, base.queries[:N_PROBES]) != before:
            ways = {"plain": (NAMESPACE, "hybrid"), "adapted": (ADAPTED, "hybrid")}
            times = alternate(service, base.queries, ways)
            plain, adapted = (float(np.median(times[way][0])) for way in ways)
            return values | {"adapted_ms_p50": adapted, "adapter_extra_ms_p50": adapted - plain}
    return values


def mirrored(vectors: np.ndarray) -> np.ndarray:
    """Rows with their share of the principal component turned round: float32 [n, dim], norms kept."""
    component = np.linalg.svd(vectors, full_matrices=False)[2][0]
    return np.asarray(vectors - 2 * np.outer(vectors @ component, component))


def _train(service: Service, texts: Sequence[str]) -> tuple[float, float, list[float]]:
    """Seconds until the adapter is trained, those of a core that it took, and times of the queries asked meanwhile."""
    failures: list[BaseException] = []
    ended: list[tuple[float, float]] = []

    def train() -> None:
        try:
            cpu = service.train(ADAPTED).last_training.cpu_time
            ended.append((time.perf_counter(), cpu.ToNanoseconds() / 1e9))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=train)
    started = time.perf_counter()
    thread.start()
    meanwhile: list[float] = []
    while thread.is_alive():
        text = texts[len(meanwhile) % len(texts)]
        meanwhile.append(timed_ms(service, Question(text, ADAPTED, "hybrid", TOP_K))[0])
    thread.join()
    if failures:
        raise failures[0]
    at, cpu_s = ended[0]
    return at - started, cpu_s, meanwhile


def _scores(service: Service, texts: Sequence[str]) -> list[list[float]]:
    asked = (Question(text, ADAPTED, "hybrid", TOP_K) for text in texts)
    return [[hit.score for hit in service.query(question).hits] for question in asked]
