"""LoCoMo: the turns that answer a question, found among all turns of its conversation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.retrieval import peers
from bench.retrieval.datasets import CATEGORIES, Conversation, Question
from bench.retrieval.encode import Encoder
from bench.retrieval.measures import CUTS, Judged, auc, summary
from bench.retrieval.service import Question as Request
from bench.retrieval.service import Service, numbered, positions

TOP_K = max(CUTS)


@dataclass
class Stored:
    """A conversation that a server holds in a namespace of its own."""

    conversation: Conversation
    namespace: str
    slot_ids: list[str]
    """Of the turns, in their order."""
    ids: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = numbered(self.slot_ids)


@dataclass
class Found:
    """What all systems found."""

    judged: dict[str, list[list[Judged]]]
    """By system, conversation and answerable question."""
    confidences: tuple[list[float], list[float]]
    """Of hybrid answers to answerable and to adversarial questions."""


def store(service: Service, conversations: Sequence[Conversation]) -> list[Stored]:
    """One namespace for each conversation, one slot for each turn, in order."""
    stored = []
    for number, conversation in enumerate(conversations):
        namespace = f"locomo-{number}"
        items = (
            {
                "content": turn.text,
                "kind": "message",
                "conversation_id": conversation.id,
                "created_at": turn.said_at,
                "metadata": {"session": turn.session, "dia_id": turn.dia_id},
            }
            for turn in conversation.turns
        )
        stored.append(Stored(conversation, namespace, service.store(namespace, items)))
    return stored


def ask(service: Service, stored: Stored, questions: Sequence[Question], mode: str) -> Iterator[tuple[Judged, Any]]:
    """Each question as one Query: what was found, and the response."""
    for question in questions:
        asked_at = stored.conversation.asked_at
        response = service.query(Request(question.text, stored.namespace, mode, TOP_K, asked_at))
        yield Judged(positions(response, stored.ids), question.evidence), response


def run(service: Service, stored: Sequence[Stored], modes: Sequence[str], encoder: Encoder) -> Found:
    """All answerable questions in each mode and with each peer; the adversarial ones for their confidence."""
    judged: dict[str, list[list[Judged]]] = {}
    answerable: list[float] = []
    adversarial: list[float] = []
    for one in stored:
        conversation = one.conversation
        for mode in modes:
            answers = list(ask(service, one, conversation.answerable, mode))
            judged.setdefault(mode, []).append([each for each, _ in answers])
            if mode == "hybrid":
                answerable += _confidences(response for _, response in answers)
                others = ask(service, one, conversation.adversarial, mode)
                adversarial += _confidences(response for _, response in others)
        for peer, rankings in _peers(conversation, encoder).items():
            pairs = zip(rankings, conversation.answerable, strict=True)
            judged.setdefault(peer, []).append([Judged(found, question.evidence) for found, question in pairs])
    return Found(judged, (answerable, adversarial))


def figures(found: Found) -> dict[str, float]:
    """Means over all questions by system; hybrid's have no name of a system in theirs."""
    values: dict[str, float] = {}
    for system, each in found.judged.items():
        means = summary(one for judged in each for one in judged)
        values |= {f"{prefix(system, 'locomo')}_{name}": value for name, value in means.items()}
    if all(found.confidences):
        values["locomo_confidence_auc"] = auc(*found.confidences)
    return values


def by_category(found: Found, conversations: Sequence[Conversation]) -> dict[str, dict[str, dict[str, float]]]:
    """Means by system and category."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for system, each in found.judged.items():
        table[system] = {}
        for category, name in CATEGORIES.items():
            chosen = [
                one
                for judged, conversation in zip(each, conversations, strict=True)
                for one, question in zip(judged, conversation.answerable, strict=True)
                if question.category == category
            ]
            if chosen:
                table[system][name] = {"n": len(chosen)} | summary(chosen)
    return table


def by_conversation(found: Found, conversations: Sequence[Conversation]) -> dict[str, dict[str, dict[str, float]]]:
    """Means by system and conversation."""
    return {
        system: {
            conversation.id: {"n": len(judged)} | summary(judged)
            for judged, conversation in zip(each, conversations, strict=True)
        }
        for system, each in found.judged.items()
    }


def prefix(system: str, dataset: str) -> str:
    """How figures of a system begin: `locomo`, `locomo_dense`, `peer_bm25_locomo`."""
    if system.startswith("peer_"):
        return f"{system}_{dataset}"
    return dataset if system == "hybrid" else f"{dataset}_{system}"


def collection(conversation: Conversation) -> tuple[Sequence[str], list[tuple[str, Sequence[int]]]]:
    """The turns, and each answerable question with the positions of its evidence."""
    texts = [turn.text for turn in conversation.turns]
    return texts, [(question.text, question.evidence) for question in conversation.answerable]


def _peers(conversation: Conversation, encoder: Encoder) -> dict[str, peers.Rankings]:
    texts = [turn.text for turn in conversation.turns]
    queries = [question.text for question in conversation.answerable]
    return peers.rank(texts, encoder.documents(texts), queries, encoder.queries(queries), "en", TOP_K)


def _confidences(responses: Iterator[Any]) -> list[float]:
    return [response.confidence for response in responses if response.HasField("confidence")]
