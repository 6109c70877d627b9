"""The lifecycle benchmark runs as a whole, through real servers, at small sizes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIZES = {
    "sweep_slots": 3000,
    "sweep_closed_namespaces": 3,
    "sweep_kept_slots": 200,
    "sweep_dim": 16,
    "sweep_rounds": 2,
    "sweep_quiet_s": 1,
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.lifecycle.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)


def test_the_sweep_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    sizes = [f"--size={name}={n}" for name, n in SIZES.items()]
    done = bench("--scenarios", "sweep", *sizes, "--out", str(out))
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert report["parameters"] == SIZES
    figures = report["figures"]
    assert figures["sweep_p99_ratio"] > 0
    assert figures["sweep_slots_per_s"] > 0
    assert figures["sweep_pages_reused"] > 0


def test_reports_are_measured() -> None:
    done = bench("--scenarios", "report", "--size=report_slots=1000")
    assert done.returncode == 0, done.stderr
    figures = dict(line.split() for line in done.stdout.splitlines())
    assert float(figures["report_slots_per_s"]) > 0
    assert (float(figures["report_duplicates_found"]), float(figures["report_secrets_found"])) == (1, 1)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    for arguments, told in (
        (("--scenarios", "nap"), "nap"),
        (("--size", "sweep_slot=9"), "sweep_slot"),
        (("--size", "sweep_slots=x"), "sweep_slots=x"),
        (("--out", str(tmp_path / "no" / "f.json")), "no folder"),
    ):
        done = bench(*arguments)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr
