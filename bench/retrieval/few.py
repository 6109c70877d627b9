"""Memories of a few slots: whether confidence tells a question that they answer from one that they do not."""

from collections.abc import Sequence

import numpy as np

from bench.retrieval.measures import auc
from bench.retrieval.service import Question, Service

SIZES = (1, 3, 10)
N_QUESTIONS = 100
SURE = 0.3
"""Confidence from which an answer counts as one."""
SEED = 1


def run(
    service: Service, name: str, collections: Sequence[tuple[Sequence[str], Sequence[tuple[str, Sequence[int]]]]]
) -> dict[str, float]:
    """Figures by size: questions that one of the slots answers, and others, with the share of each that gets SURE.

    Args:
        service: Namespaces are added to it, one for each question and size.
        name: Begins the figures' names.
        collections: Texts, and questions with the positions of the texts that answer them, at least one.
    """
    chosen = np.random.default_rng(SEED)
    asked = [(texts, questions, at) for texts, questions in collections for at in range(len(questions))]
    taken = [asked[i] for i in chosen.permutation(len(asked))[:N_QUESTIONS]]
    values: dict[str, float] = {}
    for size in SIZES:
        answered: list[float] = []
        unanswered: list[float] = []
        for number, (texts, questions, at) in enumerate(taken):
            question, evidence = questions[at]
            others = [i for i in chosen.permutation(len(texts)).tolist() if i not in evidence][: size - 1]
            slots = [evidence[0], *others]
            namespace = f"few-{name}-{size}-{number}"
            service.store(namespace, [{"content": texts[i]} for i in chosen.permutation(slots).tolist()])
            answered.append(service.query(Question(question, namespace, "hybrid", size)).confidence)
            elsewhere = [text for text, of in questions if not set(of) & set(slots)]
            if elsewhere:
                text = elsewhere[int(chosen.integers(len(elsewhere)))]
                unanswered.append(service.query(Question(text, namespace, "hybrid", size)).confidence)
        if answered and unanswered:
            values[f"{name}_of_{size}_sure"] = float(np.mean(np.array(answered) >= SURE))
            values[f"{name}_of_{size}_falsely_sure"] = float(np.mean(np.array(unanswered) >= SURE))
            values[f"{name}_of_{size}_confidence_auc"] = auc(answered, unanswered)
    return values
