"""The index against its peers: curves of recall and speed, builds, memory, churn, filters, opening."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adamem_server import _index
from bench import plot, systems
from bench.adapters import adamem
from bench.datasets import Vectors
from bench.figures import Figures, table
from bench.report import commit, machine, versions, write_report
from bench.scenarios import curves

SCENARIOS = ("curves",)
PACKAGES = ("adamem-server", "numpy", *sorted({peer.package for peer in systems.PEERS.values()}))


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    vectors: Vectors
    kinds: list[str] | None
    """All that the index accepts when absent."""
    peers: list[str]
    scenarios: list[str]
    rounds: int
    core: int
    cache: Path
    out: Path | None


def run(options: Options) -> dict[str, Any]:
    """Measure everything and report."""
    kinds = options.kinds or [name for name, keywords in systems.OURS.items() if adamem.accepts(keywords)]
    ours = next((name for name in kinds if name != "flat"), kinds[0])
    results: dict[str, Any] = {}
    drawn: dict[str, curves.Curve] = {}
    skipped: dict[str, str] = {}
    if "curves" in options.scenarios:
        truth = options.vectors.truth(options.cache)
        drawn, skipped = curves.run([*kinds, *options.peers], options.vectors, truth, options.rounds, options.core)
        results = {"curves": {name: asdict(curve) for name, curve in drawn.items()}, "qps_at": table(drawn)}
        _print_curves(results)
        if options.out is not None:
            _draw(drawn, options)
    figures = Figures(drawn, skipped)
    figures.of_curves(ours)
    for name, why in figures.missing.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    for name, value in figures.values.items():
        print(f"{name:28} {value:12.4f}")
    report = {
        "figures": figures.values,
        "missing": figures.missing,
        "skipped": skipped,
        "parameters": _parameters(options, kinds, ours),
        "commit": commit(),
        "machine": machine(_index.simd_level()),
        "versions": versions(PACKAGES),
    } | results
    if options.out is not None:
        write_report(report, options.out)
    return report


def _parameters(options: Options, kinds: list[str], ours: str) -> dict[str, Any]:
    return {
        "vectors": str(options.vectors.folder.resolve()),
        "rows": options.vectors.n_rows,
        "queries": options.vectors.n_queries,
        "k": curves.K,
        "rounds": options.rounds,
        "ours": ours,
        "systems": {name: dict(systems.system(name).options) for name in [*kinds, *options.peers]},
    }


def _print_curves(results: dict[str, Any]) -> None:
    print(
        f"{'system':16} {'build s':>9} {'B/vector':>9} {'grown by':>9}",
        *(f"{f'QPS {t}':>9}" for t in (".95", ".98", ".99")),
    )
    for name, curve in results["curves"].items():
        built, rates = curve["built"], results["qps_at"][name].values()
        counted = "-" if built["memory_bytes"] is None else f"{built['memory_bytes'] / built['n']:.0f}"
        row = [f"{built['build_s']:9.1f}", f"{counted:>9}", f"{built['resident_bytes'] / built['n']:9.0f}"]
        print(f"{name:16}", *row, *("        -" if rate is None else f"{rate:9.0f}" for rate in rates))


def _draw(drawn: dict[str, curves.Curve], options: Options) -> None:
    assert options.out
    try:
        plot.draw(drawn, f"{options.vectors.folder.name}: top {curves.K}", options.out.with_suffix(".png"))
    except ImportError as error:
        print(f"no plot: {error}", file=sys.stderr)
