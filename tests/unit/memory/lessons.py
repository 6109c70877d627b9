"""A world in which something can be learned: questions share no word with their answers, and topics come back."""

from tests.unit.memory.engines import Lab

N_TOPICS = 12
N_OTHERS = 60


def questions(times: range) -> list[tuple[str, int]]:
    """(question, topic): the same topic in other words each time."""
    return [(f"ask{topic} please{n}", topic) for n in times for topic in range(N_TOPICS)]


def fill(lab: Lab, namespace: str) -> list[str]:
    """Store an answer for each topic and much else; the answers' ids."""
    answers = lab.put(namespace, *(f"tell{topic} about{topic}" for topic in range(N_TOPICS)))
    lab.put(namespace, *(f"other{n} thing{n}" for n in range(N_OTHERS)))
    return answers


def teach(lab: Lab, namespace: str, answers: list[str], times: range) -> None:
    for question, topic in questions(times):
        lab.now += 1
        lab.engine.adaptation.feedback(namespace, question, helped=[answers[topic]])


def n_found(lab: Lab, namespace: str, times: range, **fields: object) -> int:
    """How many questions find their answer in the first place."""
    found = [lab.query(namespace, text=question, top_k=1, **fields) for question, _ in questions(times)]
    wanted = [[f"tell{topic} about{topic}"] for _, topic in questions(times)]
    return sum(map(list.__eq__, found, wanted))
