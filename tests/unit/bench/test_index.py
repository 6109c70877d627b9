"""The index benchmark runs as a whole on tiny data, without peers, and its arithmetic is right."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import metrics, systems
from bench.adapters import adamem
from bench.child import Place, cores
from bench.datasets import Vectors, exact
from bench.metrics import Point
from bench.scenarios import churn, curves

ROOT = Path(__file__).parents[3]
DIM, N, N_QUERIES = 16, 400, 20


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    folder = tmp_path_factory.mktemp("vectors")
    chosen = np.random.default_rng(0)
    for name, n in (("base", N), ("queries", N_QUERIES)):
        np.save(folder / f"{name}.f16.npy", chosen.standard_normal((n, DIM)).astype(np.float16))
    return Vectors(folder)


def test_every_scenario_runs(vectors: Vectors, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "bench.run", "index", "--vectors", str(vectors.folder), "--out", str(out)]
    command += ["--peers", "", "--kinds", "hnsw,flat", "--rounds", "1", "--million", "900"]
    command += ["--cache", str(tmp_path / "cache"), "--min-s", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert {"commit", "machine", "versions", "parameters", "curves", "qps_at", "churn", "filters"} <= set(report)
    figures = report["figures"]
    assert figures["bytes_per_vector"] > 4 * DIM
    assert figures["default_recall"] > 0.95
    assert abs(figures["churn_recall_loss"]) < 0.05
    assert figures["churn_removed_found"] == figures["filter_short"] == 0
    assert figures["filter_recall_min"] > 0.95
    assert {"ratio_hnswlib_r95", "open_1m_ms", "flat_10k_us"} <= set(report["missing"])
    assert not set(figures) & set(report["missing"])


def test_truth_is_exact_and_made_once(vectors: Vectors, tmp_path: Path) -> None:
    truth = vectors.truth(tmp_path)
    scores = vectors.queries() @ vectors.base().T
    assert (truth == np.argsort(-scores, axis=1, kind="stable")[:, :100]).all()
    (cached,) = tmp_path.iterdir()
    stamp = cached.stat().st_mtime_ns
    assert (vectors.truth(tmp_path) == truth).all()
    assert cached.stat().st_mtime_ns == stamp


def test_truth_over_several_blocks(vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exact(vectors.base(), vectors.queries(), 10)
    monkeypatch.setattr("bench.datasets.BLOCK", 7)
    assert (exact(vectors.base(), vectors.queries(), 10) == whole).all()


def test_systems_that_do_not_fit_together_are_measured_in_groups(
    vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.memory.has_room", lambda n_bytes: n_bytes < 4 * DIM * N)
    drawn, skipped = curves.run(["hnsw", "flat"], vectors, vectors.truth(tmp_path), 1, Place(cores()[0], min_s=0))
    assert [curve.group for curve in drawn.values()] == [0, 1]
    assert skipped == {}


def test_recall() -> None:
    truth = np.array([[1, 2, 3], [4, 5, 6]])
    assert metrics.recall(np.array([[2, 1], [9, -1]]), truth, 2) == 0.5


def test_speed_at_a_recall() -> None:
    points = [Point((1,), 0.9, 1000), Point((2,), 0.95, 50), Point((3,), 0.96, 100), Point((4,), 0.99, 10)]
    assert metrics.qps_at(points, 0.96) == pytest.approx(100)
    assert metrics.qps_at(points, 0.975) == pytest.approx(np.sqrt(1000), rel=1e-3)  # half way of the logarithm
    assert (metrics.qps_at(points, 0.95) or 0) > 100  # the slow point with less recall does not count
    assert metrics.qps_at(points, 0.995) is None
    assert metrics.qps_at(points, 0.5) == pytest.approx(1000)


def test_plan_of_churn() -> None:
    first, steps, ids, rows = churn.plan(100)
    live = dict(enumerate(first.tolist()))
    for step in steps:
        assert len(step.removed) == len(step.ids) == 10
        for removed in step.removed.tolist():
            del live[removed]
        for new, row in zip(step.ids.tolist(), step.rows.tolist(), strict=True):
            assert new not in live
            live[new] = row
        assert len(set(live.values())) == len(live) == 50
    assert live == dict(zip(ids.tolist(), rows.tolist(), strict=True))


def test_every_kind_of_this_build_is_measured() -> None:
    accepted = {name for name, options in systems.OURS.items() if adamem.accepts(options)}
    assert {"hnsw", "flat"} <= accepted
    assert not adamem.accepts({"kind": "nothing"})
    assert not adamem.accepts({"kind": "hnsw", "nothing": 1})
