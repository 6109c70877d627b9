"""XQuAD: the paragraph that answers a question, among all paragraphs of a language."""

from collections.abc import Sequence

from bench.retrieval import peers
from bench.retrieval.datasets import Paragraphs
from bench.retrieval.encode import Encoder
from bench.retrieval.locomo import prefix
from bench.retrieval.measures import Judged, summary
from bench.retrieval.service import Question, Service, numbered, positions

CUTS = (1, 5)
TOP_K = max(CUTS)


def run(
    service: Service, pair: tuple[Paragraphs, Paragraphs], modes: Sequence[str], encoder: Encoder
) -> dict[str, float]:
    """recall@1 and @5 of Russian, English, and Russian questions to English paragraphs, by system.

    Figures are named by the languages, which may be others.
    """
    values: dict[str, float] = {}
    russian, english = pair
    vectors = {one.language: encoder.documents(one.texts) for one in pair}
    ids = {}
    for one in pair:
        items = [{"content": text, "kind": "document"} for text in one.texts]
        ids[one.language] = numbered(service.store(_namespace(one), items))
    for name, asked, searched in (
        (f"xquad_{russian.language}", russian, russian),
        (f"xquad_{english.language}", english, english),
        (f"xquad_{russian.language}_to_{english.language}", russian, english),
    ):
        queries, evidence = across(asked, searched)
        rankings = {
            mode: [
                positions(service.query(Question(text, _namespace(searched), mode, TOP_K)), ids[searched.language])
                for text in queries
            ]
            for mode in modes
        }
        query_vectors = encoder.queries(queries)
        rankings |= peers.rank(
            searched.texts, vectors[searched.language], queries, query_vectors, searched.language, TOP_K
        )
        for system, found in rankings.items():
            judged = [Judged(each, [wanted]) for each, wanted in zip(found, evidence, strict=True)]
            means = summary(judged, CUTS)
            values |= {f"{prefix(system, name)}_r{k}": means[f"r{k}"] for k in CUTS}
    return values


def across(asked: Paragraphs, searched: Paragraphs) -> tuple[list[str], list[int]]:
    """Questions of one language, and the position of the paragraph of the other that answers each, by question id."""
    answers = {question_id: position for question_id, _, position in searched.questions}
    both = [(text, answers[question_id]) for question_id, text, _ in asked.questions if question_id in answers]
    return [text for text, _ in both], [position for _, position in both]


def collection(paragraphs: Paragraphs) -> tuple[Sequence[str], list[tuple[str, Sequence[int]]]]:
    """The paragraphs, and each question with the position of its paragraph."""
    return paragraphs.texts, [(text, [position]) for _, text, position in paragraphs.questions]


def _namespace(paragraphs: Paragraphs) -> str:
    return f"xquad-{paragraphs.language}"
