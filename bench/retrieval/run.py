"""What Query finds: LoCoMo and XQuAD beside peers, what hybrid search and adapters cost, and recall under filters."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ingest import MODEL
from bench.report import commit, machine, versions, write_report
from bench.retrieval import adaptation, few, learning, locomo, peers, show, speed, xquad
from bench.retrieval.datasets import Conversation, Paragraphs
from bench.retrieval.encode import Encoder, encoder
from bench.retrieval.service import MODES, Service, service

PARTS = ("locomo", "xquad", "adapter", "latency", "filters")
OF_TEXTS = {"locomo", "xquad", "adapter"}
PACKAGES = ("adamem-server", "adamem-client", "onnxruntime", "tokenizers", "numpy", *peers.PACKAGES)
WANTED = {  # figures that a part gives when all that it needs is there
    "locomo": ("locomo_r5", "locomo_r10", "locomo_r20", "locomo_all_r10"),
    "xquad": ("xquad_ru_r1", "xquad_en_r1", "xquad_ru_to_en_r1"),
    "adapter": ("locomo_adapted_r5", "locomo_untaught_gain_r5", "adapter_extra_ms_p50"),  # the last with latency
    "latency": ("hybrid_extra_ms_p50",),
    "filters": ("filter_recall10_min",),
}


@dataclass(frozen=True)
class Options:
    """What the command line asks for. Data of parts that are not run may be absent."""

    parts: Sequence[str]
    locomo: Sequence[Conversation] = ()
    xquad: tuple[Paragraphs, Paragraphs] | None = None
    vectors: Path | None = None
    n_lines: int | None = None
    out: Path | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    """Files that the data came from."""


class Run:
    """One run of the benchmark, which fills figures, results, and what is missing."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.figures: dict[str, float] = {}
        self.missing: dict[str, str] = peers.missing()
        self.results: dict[str, Any] = {}
        self.simd = ""

    def texts(self) -> None:
        """The parts on LoCoMo and XQuAD, by one server."""
        with _open(self, "texts") as (server, modes), encoder(MODEL) as own:
            stored: list[locomo.Stored] = []
            if {"locomo", "adapter"} & set(self.options.parts):
                stored = locomo.store(server, self.options.locomo)
            if "locomo" in self.options.parts:
                self._locomo(server, stored, modes, own)
            if "xquad" in self.options.parts:
                assert self.options.xquad
                _say("xquad")
                self.figures |= xquad.run(server, self.options.xquad, modes, own)
                if "hybrid" in modes:
                    for each in self.options.xquad:
                        self.figures |= few.run(server, f"xquad_{each.language}", [xquad.collection(each)])
            if "adapter" in self.options.parts:
                self._adapter(server, stored, modes)

    def many(self) -> None:
        """The parts among many slots, by another server."""
        assert self.options.vectors
        base = speed.read(self.options.vectors, self.options.n_lines)
        self.results["many"] = speed.parameters(base)
        with _open(self, "many slots") as (server, modes):
            speed.load(server, base, speed.NAMESPACE)
            if "latency" in self.options.parts:
                _say("latency")
                self.figures |= speed.latency(server, base, modes)
                if "adapter" in self.options.parts:
                    self._adapter_latency(server, base, modes)
            if "filters" in self.options.parts and "hybrid" in modes:
                _say("filters")
                speed.load(server, base, speed.EXACT, "flat")
                self.figures |= speed.filtered(server, base, "hybrid")

    def _adapter_latency(self, server: Service, base: speed.Base, modes: Sequence[str]) -> None:
        reason = server.lacking_adapters() or self.missing.get("hybrid")
        if not reason and "hybrid" in modes:
            self.figures |= learning.run(server, base)
        self.missing["adapter_extra_ms_p50"] = reason or "no adapter came to serve"

    def _locomo(self, server: Service, stored: Sequence[locomo.Stored], modes: Sequence[str], own: Encoder) -> None:
        _say("locomo")
        conversations = self.options.locomo
        found = locomo.run(server, stored, modes, own)
        self.figures |= locomo.figures(found) | adaptation.of_peers(found, conversations)
        if "hybrid" in modes:
            self.figures |= few.run(server, "locomo", [locomo.collection(each) for each in conversations])
        self.results["locomo"] = {
            "questions": sum(len(each.answerable) for each in conversations),
            "adversarial": sum(len(each.adversarial) for each in conversations),
            "turns": sum(len(each.turns) for each in conversations),
            "by_category": locomo.by_category(found, conversations),
            "by_conversation": locomo.by_conversation(found, conversations),
        }

    def _adapter(self, server: Service, stored: Sequence[locomo.Stored], modes: Sequence[str]) -> None:
        _say("adapter")
        reason = server.lacking_adapters() or self.missing.get("hybrid")
        if reason or "hybrid" not in modes:
            self.missing |= dict.fromkeys(WANTED["adapter"], str(reason))
            return
        values, self.results["adapter"] = adaptation.run(server, stored, "hybrid")
        self.figures |= values
        print("\n".join(adaptation.lines(self.results["adapter"])))


def run(options: Options) -> None:
    """Measure everything and report."""
    this = Run(options)
    made_of = commit()  # files may change while it runs
    if OF_TEXTS & set(options.parts):
        this.texts()
    if set(options.parts) - OF_TEXTS:
        this.many()
    for part in options.parts:
        for name in WANTED[part]:
            this.missing.setdefault(name, this.missing.get("hybrid", "was not measured"))
    this.missing = {name: why for name, why in this.missing.items() if name not in this.figures}
    for name, why in this.missing.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    print("\n".join(show.table(this.figures)))
    for name, value in this.figures.items():
        print(f"{name:36} {value:12.4f}")
    if options.out is None:
        return
    report = {
        "figures": this.figures,
        "missing": this.missing,
        "parameters": {
            "parts": list(options.parts),
            "sources": dict(options.sources),
            "model": MODEL,
            "top_k": locomo.TOP_K,
            "rrf_depth": peers.DEPTH,
            "seed": adaptation.SEED,
        },
        "commit": made_of,
        "machine": machine(this.simd),
        "versions": versions(PACKAGES),
    } | this.results
    write_report(report, options.out)
    try:
        show.draw(this.figures, "Recall of evidence", options.out.with_suffix(".png"))
    except ImportError:
        print("no plot: matplotlib is not installed", file=sys.stderr)


@contextmanager
def _open(this: Run, what: str) -> Iterator[tuple[Service, list[str]]]:
    """A server, and the modes that it has."""
    _say(f"a server for {what}")
    with service() as server:
        info = server.client.server_info()
        assert info.model == MODEL, info.model
        this.simd = info.simd
        lacking = server.modes()
        this.missing |= lacking
        yield server, [mode for mode in MODES if mode not in lacking]


def _say(part: str) -> None:
    print(f"== {part}", file=sys.stderr)
