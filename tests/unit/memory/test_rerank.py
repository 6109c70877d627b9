"""Re-ranking: the hits that are looked at come in the cross-encoder's order; without time or a model it is said so."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.embed.cross_encoder import CrossEncoder
from adamem_server.errors import FailedPreconditionError
from adamem_server.memory.hybrid import RERANK
from adamem_server.types import Query, QueryMode
from tests.unit.embed.pairs import write_cross_encoder
from tests.unit.memory.engines import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    cross_encoder = CrossEncoder(write_cross_encoder(tmp_path / "pairs"))
    lab = Lab(tmp_path, cross_encoder=cross_encoder)
    lab.put("n", *(f"w1 w{n}" for n in range(2, 12)))
    yield lab
    lab.close()


def ask(lab: Lab, **fields: object) -> Query:
    return Query(namespaces=("n",), top_k=10, text="w1", mode=QueryMode.HYBRID, **fields)  # type: ignore[arg-type]


def test_hits_come_in_the_order_of_the_cross_encoder(lab: Lab) -> None:
    hits = lab.engine.query(ask(lab, rerank=10, ranking={"rerank": 10.0})).hits
    assert [hit.view.slot.content for hit in hits] == [f"w1 w{n}" for n in range(11, 1, -1)]
    for hit in hits:
        assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-4)
    assert hits[0].parts["rerank"] > 10 > 0 > hits[-1].parts["rerank"]


def test_only_the_best_are_looked_at(lab: Lab) -> None:
    before = lab.engine.query(ask(lab)).hits
    after = lab.engine.query(ask(lab, rerank=3)).hits
    looked_at = {hit.view.slot.id for hit in after if "rerank" in hit.parts}
    assert looked_at <= {hit.view.slot.id for hit in before[:3]}
    assert len(looked_at) >= 2


def test_a_weight_of_zero_changes_nothing(lab: Lab) -> None:
    assert [hit.view.slot.id for hit in lab.engine.query(ask(lab, rerank=10, ranking={"rerank": 0.0})).hits] == [
        hit.view.slot.id for hit in lab.engine.query(ask(lab)).hits
    ]


def test_without_time_it_is_left_out_and_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossEncoder, "score", lambda *_: None)
    result = lab.engine.query(ask(lab, rerank=10, deadline_s=time.monotonic() + 60))
    assert result.skipped == (RERANK,)
    assert len(result.hits) == 10


def test_without_a_model_it_is_refused(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.put("n", "w1")
    with pytest.raises(FailedPreconditionError, match="ADAMEM_RERANK_MODEL"):
        lab.engine.query(ask(lab, rerank=1))
    lab.close()
