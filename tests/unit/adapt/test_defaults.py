"""The defaults keep the promises that the server makes of them: size, steps that can yield, and that teaching helps."""

import numpy as np

from adamem_server.adapt.adapter import MAX_DENSE_SHIFT, Adapter
from adamem_server.adapt.pairs import DEFAULT_CAPACITY, DEFAULT_NEWEST, Example
from adamem_server.adapt.training import TrainingSettings, train
from adamem_server.adapt.validation import GateSettings
from tests.unit.adapt.worlds import rows, turned, unit

DIM = 384  # of the bundled encoder


def test_a_hundred_pairs_of_a_large_namespace_are_learned() -> None:
    vectors = rows(5000, 1, DIM)
    answers = vectors[:100]
    queries = unit(0.2 * answers + turned(answers))
    pairs = [Example(query=queries[i], positives=answers[i : i + 1], negatives=vectors[500:508]) for i in range(100)]
    n_questions = 0

    def should_stop() -> bool:
        nonlocal n_questions
        n_questions += 1
        return False

    found = train(pairs, vectors, should_stop)
    assert found is not None
    assert n_questions > 200, "steps are too long to yield"
    layer = Adapter(lora_A=found.a, lora_B=found.b, model="m", model_revision="r")
    own = np.arange(100)

    def share(questions: np.ndarray) -> float:
        scores = questions @ vectors[:100].T
        return float(np.mean(np.exp(scores[own, own] / 0.05) / np.exp(scores / 0.05).sum(axis=1)))

    assert share(layer.apply(queries)) > 1.2 * share(queries)
    assert len(layer.to_bytes()) < 200_000


def test_defaults_fit_each_other() -> None:
    gate, training = GateSettings(), TrainingSettings()
    assert all(abs(shift) <= MAX_DENSE_SHIFT for shift in gate.shifts)
    assert len(set(gate.shifts)) == len(gate.shifts)
    assert 0.5 <= gate.confidence <= gate.shift_confidence < 1.0
    assert gate.n_folds <= gate.min_pairs
    assert DEFAULT_NEWEST < DEFAULT_CAPACITY
    assert training.max_steps * training.batch >= DEFAULT_CAPACITY, "each kept pair is seen at least once"
