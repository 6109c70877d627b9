import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest

import adamem

EXAMPLES = Path(__file__).parents[3] / "clients" / "python" / "examples"


@pytest.fixture(scope="module")
def corpus() -> list[dict[str, object]]:
    return [json.loads(line) for line in (EXAMPLES / "demo_corpus.jsonl").read_text(encoding="utf-8").splitlines()]


def test_each_line_of_the_corpus_is_a_slot(corpus) -> None:
    for line in corpus:
        adamem.check_slot(line)
    languages = Counter(line["metadata"]["lang"] for line in corpus)
    assert languages["en"] >= 200
    assert languages["ru"] >= 60
    assert len({line["content"] for line in corpus}) == len(corpus)


def test_each_question_of_the_demo_has_its_answer_in_the_corpus(corpus) -> None:
    spec = importlib.util.spec_from_file_location("adamem_demo", EXAMPLES / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    for question in demo.QUESTIONS:
        holding = [line for line in corpus if question.answer in line["content"]]
        assert len(holding) == 1, question.text
