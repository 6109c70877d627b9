"""The index against its peers: curves of recall and speed, builds, memory, churn, filters, opening."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adamem_server import _index
from bench import plot, systems
from bench.adapters import adamem
from bench.child import Place
from bench.datasets import Vectors
from bench.figures import Figures, table
from bench.metrics import TARGETS
from bench.report import commit, machine, versions, write_report
from bench.scenarios import churn, curves, filters, million, small, threads

SCENARIOS = ("curves", "small", "threads", "churn", "filters", "million")
CHURNED_PEERS = ("hnswlib", "usearch-f32")
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
    place: Place
    n_threads: int
    n_million: int
    cache: Path
    out: Path | None


class Run:
    """One run of the benchmark: a method for each scenario, which fills the results and the figures."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.kinds = options.kinds or [name for name, given in systems.OURS.items() if adamem.accepts(given)]
        self.graphs = [name for name in self.kinds if name != "flat"]
        self.ours = (self.graphs or self.kinds)[0]
        self.figures = Figures()
        self.results: dict[str, Any] = {}
        self.commit = commit()  # files may change while it runs

    def curves(self) -> None:
        options = self.options
        names = [*self.kinds, *options.peers]
        truth = options.vectors.truth(options.cache)
        drawn, self.results["skipped"] = curves.run(names, options.vectors, truth, options.rounds, options.place)
        self.results["curves"] = {name: asdict(curve) for name, curve in drawn.items()}
        self.results["qps_at"] = table(drawn)
        self.figures.of_curves(drawn, self.results["skipped"], self.ours)
        for line in curve_lines(self.results):
            print(line)
        if options.out is not None:
            try:
                plot.draw(drawn, f"{options.vectors.folder.name}: top {curves.K}", options.out.with_suffix(".png"))
            except ImportError as error:
                print(f"no plot: {error}", file=sys.stderr)

    def small(self) -> None:
        measured = small.run(self.kinds, self.options.vectors, self.options.rounds, self.options.place)
        self.results["small"] = {name: asdict(one) for name, one in measured.items()}
        self.figures.of_small(measured)

    def threads(self) -> None:
        options = self.options
        if not threads.accepted(self.ours, options.n_threads):
            name = f"build_speedup_{options.n_threads}_threads"
            self.figures.missing[name] = "the index does not take n_threads"
            return
        truth = options.vectors.truth(options.cache)
        measured = threads.run(self.ours, options.vectors, truth, options.n_threads, options.rounds, options.place)
        self.results["threads"] = asdict(measured)
        self.figures.of_threads(measured)

    def churn(self) -> None:
        options = self.options
        names = [*self.graphs, *(peer for peer in CHURNED_PEERS if peer in options.peers)]
        self.results["churn"] = {}
        for name, measured in churn.run(names, options.vectors, options.rounds, options.place):
            self.results["churn"][name] = asdict(measured)
            print(f"churn, {name}: recall {measured.recall:.4f}, fresh {measured.fresh_recall:.4f}", file=sys.stderr)
            if name == self.ours:
                self.figures.of_churn(measured)
        if self.ours not in self.results["churn"]:
            self.figures.missing["churn_recall_loss"] = f"{self.ours} was not measured"

    def filters(self) -> None:
        options = self.options
        self.results["filters"] = {}
        for kind, measured in filters.run(self.graphs, options.vectors, options.rounds, options.place):
            self.results["filters"][kind] = [asdict(one) for one in measured]
            if kind == self.ours:
                self.figures.of_filters(measured)

    def million(self) -> None:
        if not self.options.n_million:
            self.figures.missing["open_1m_ms"] = "--million is 0"
            return
        measured = million.run(self.ours, self.options.vectors, self.options.n_million, self.options.place)
        self.results["million"] = asdict(measured)
        self.figures.of_million(measured)


def run(options: Options) -> dict[str, Any]:
    """Measure everything and report."""
    this = Run(options)
    for scenario in options.scenarios:
        print(f"== {scenario}", file=sys.stderr)
        getattr(this, scenario)()
    figures = this.figures
    for name, why in figures.missing.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    for name, value in figures.values.items():
        print(f"{name:28} {value:12.4f}")
    report = {
        "figures": figures.values,
        "missing": figures.missing,
        "parameters": {
            "vectors": str(options.vectors.folder.resolve()),
            "rows": options.vectors.n_rows,
            "queries": options.vectors.n_queries,
            "k": curves.K,
            "rounds": options.rounds,
            "clock": options.place.clock,
            "ours": this.ours,
            "systems": {name: dict(systems.system(name).options) for name in [*this.kinds, *options.peers]},
        },
        "commit": this.commit,
        "machine": machine(_index.simd_level()),
        "versions": versions(PACKAGES),
    } | this.results
    if options.out is not None:
        write_report(report, options.out)
    return report


def curve_lines(results: dict[str, Any]) -> Iterator[str]:
    """The curves as a table."""
    rates = "".join(f"{f'QPS {target}':>10}" for target in TARGETS)
    yield f"{'system':16}{'build s':>10}{'B/vector':>10}{'grown by':>10}{'on disk':>10}{rates}"
    for name, curve in results["curves"].items():
        built = curve["built"]
        sizes = [built[key] for key in ("memory_bytes", "resident_bytes", "disk_bytes")]
        each = "".join(_cell(size and size / built["n"]) for size in sizes)
        speeds = "".join(_cell(rate) for rate in results["qps_at"][name].values())
        yield f"{name:16}{built['build_s']:10.1f}{each}{speeds}"


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.0f}':>10}"
