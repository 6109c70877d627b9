"""The retrieval benchmark runs as a whole, through a real server, on tiny data."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
SUBJECTS = ("dog", "cat", "horse", "garden", "violin", "kettle", "bicycle", "lighthouse")
DIM, N = 384, 300


def locomo() -> list[dict[str, object]]:
    turns = [
        {"speaker": "Ann", "dia_id": f"D{1 + at // 4}:{1 + at % 4}", "text": f"Yesterday I painted the old {subject}."}
        for at, subject in enumerate(SUBJECTS)
    ]
    questions = [
        {"question": f"Who painted the {subject}?", "evidence": [turns[at]["dia_id"]], "category": 1 + at % 4}
        for at, subject in enumerate(SUBJECTS)
    ]
    questions.append({"question": "Who ate the submarine?", "evidence": ["D1:1"], "category": 5})
    talk = {"session_1": turns[:4], "session_2": turns[4:]}
    dates = {f"session_{n}_date_time": f"1:5{n} pm on {n} May, 2023" for n in (1, 2)}
    return [{"sample_id": "tiny", "conversation": talk | dates, "qa": questions}]


def xquad(words: tuple[str, ...]) -> dict[str, object]:
    paragraphs = [
        {"context": f"{word} {word} {at}.", "qas": [{"id": str(at), "question": f"{word}?"}]}
        for at, word in enumerate(words)
    ]
    return {"data": [{"paragraphs": paragraphs}]}


def test_every_part_runs(tmp_path: Path) -> None:
    for name, content in (
        ("locomo.json", locomo()),
        ("xquad.ru.json", xquad(("собака", "кошка", "лошадь"))),
        ("xquad.en.json", xquad(("dog", "cat", "horse"))),
    ):
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    chosen = np.random.default_rng(0)
    for name, n in (("base", N), ("queries", 10)):
        rows = chosen.standard_normal((n, DIM))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.save(tmp_path / f"{name}.f16.npy", rows.astype(np.float16))
        text = "\n".join(f"{SUBJECTS[at % 8]} number {at}" for at in range(n))
        (tmp_path / f"{name}.txt.gz").write_bytes(gzip.compress(text.encode()))
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "bench.run", "retrieval", "--out", str(out), "--vectors", str(tmp_path)]
    command += ["--locomo", str(tmp_path / "locomo.json"), "--xquad", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert {"commit", "machine", "versions", "parameters", "locomo", "many"} <= set(report)
    figures, missing = report["figures"], report["missing"]
    assert not set(figures) & set(missing)
    wanted = {"locomo_r5", "locomo_adapted_r5", "xquad_ru_r1", "hybrid_extra_ms_p50", "filter_recall10_min"}
    assert wanted <= {*figures, *missing}
    assert figures["locomo_dense_r20"] == figures["xquad_ru_dense_r5"] == 1  # there is no more to find
    assert figures["dense_ms_p50"] > 0
    peer = "peer_dense" if "peer_chroma" in missing else "peer_chroma"
    assert figures[f"{peer}_locomo_r20"] == 1
    assert 0 <= figures["locomo_of_1_falsely_sure"] <= figures["locomo_of_1_sure"] == 1
    assert figures["xquad_en_of_1_confidence_auc"] == 1
    assert report["locomo"]["questions"] == len(SUBJECTS)
    assert "AdaMem, dense" in done.stdout
