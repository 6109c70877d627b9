"""The figures that are made of the curves."""

from collections.abc import Mapping, Sequence

from bench import metrics
from bench.adapters.base import DEFAULT
from bench.metrics import TARGETS
from bench.scenarios.churn import Churn
from bench.scenarios.curves import Curve
from bench.scenarios.filters import Filtered
from bench.scenarios.million import N as N_MILLION
from bench.scenarios.million import Opened
from bench.scenarios.small import RECALL, Small, fastest
from bench.scenarios.small import N as N_SMALL
from bench.scenarios.threads import Parallel

RIVALS = {  # name in the figures -> system, targets
    "hnswlib": ("hnswlib", (0.95, 0.99)),
    "symqg": ("symqg", (0.95, 0.99)),
    "svs": ("svs-lvq4x8", (0.95,)),
    "faiss_ivfpq": ("faiss-ivfpq", (0.95,)),
}
COMPACT = "qg-compact"
AVX2 = "qg-avx2"


class Figures:
    """Figures by name, and why others are missing."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.missing: dict[str, str] = {}
        self._curves: Mapping[str, Curve] = {}
        self._skipped: Mapping[str, str] = {}

    def of_curves(self, curves: Mapping[str, Curve], skipped: Mapping[str, str], ours: str) -> None:
        """Ratios of speeds and build times, memory, and the recall of our default."""
        self._curves, self._skipped = curves, skipped
        for rival, (system, targets) in RIVALS.items():
            for target in targets:
                self._ratio(f"ratio_{rival}_r{100 * target:.0f}", ours, system, target)
        self._ratio("compact_ratio_hnswlib_r95", COMPACT, "hnswlib", 0.95)
        self._ratio("compact_ratio_hnswlib_r99", COMPACT, "hnswlib", 0.99)
        for target in (0.95, 0.99):
            self._ratio(f"avx2_ratio_hnswlib_r{100 * target:.0f}", AVX2, "hnswlib", target)
        for figure, name in (("bytes_per_vector", ours), ("compact_bytes_per_vector", COMPACT)):
            if (curve := self._curve(figure, name)) and curve.built.memory_bytes is not None:
                self.values[figure] = curve.built.memory_bytes / curve.built.n
        own, peer = (self._curve("build_ratio_hnswlib", name) for name in (ours, "hnswlib"))
        if own and peer:
            self.values["build_ratio_hnswlib"] = own.built.build_s / peer.built.build_s
        if curve := self._curve("default_recall", ours):
            defaults = [point for point in curve.points if point.effort == DEFAULT]
            self.values["default_recall"] = defaults[0].recall

    def of_small(self, small: Mapping[str, Small]) -> None:
        """The fastest kind that is exact enough at 10,000 rows."""
        best = fastest(dict(small))
        if best is None:
            self.missing["flat_10k_us"] = f"no kind reaches recall {RECALL}"
            return
        if best.n != N_SMALL:
            self.missing["flat_10k_us"] = f"only {best.n} rows"
            return
        self.values["flat_10k_us"], self.values["flat_10k_recall"] = best.mean_us, best.recall

    def of_threads(self, parallel: Parallel) -> None:
        """One thread's time over that of several."""
        self.values[f"build_speedup_{parallel.n_threads}_threads"] = parallel.build_1_s / parallel.build_s

    def of_churn(self, churn: Churn) -> None:
        """What churn costs our own index."""
        self.values["churn_recall_loss"] = churn.fresh_recall - churn.recall
        self.values["churn_qps_ratio"] = churn.qps / churn.fresh_qps
        if churn.memory_bytes and churn.fresh_memory_bytes:
            self.values["churn_memory_ratio"] = churn.memory_bytes / churn.fresh_memory_bytes
        self.values["churn_removed_found"] = churn.n_removed_found

    def of_filters(self, filters: Sequence[Filtered]) -> None:
        """The worst of all filters."""
        self.values["filter_recall_min"] = min(one.recall for one in filters)
        self.values["filter_short"] = sum(one.n_short for one in filters)
        self.values["filter_slowdown_max"] = max(one.slowdown(one.batch_us) for one in filters)
        self.values["filter_slowdown_single_max"] = max(one.slowdown(one.single_us) for one in filters)

    def of_million(self, opened: Opened) -> None:
        """Opening a large snapshot, and inserts one by one."""
        if opened.insert_ms is not None:
            self.values["insert_300k_ms"] = opened.insert_ms
        if opened.n != N_MILLION:
            self.missing["open_1m_ms"] = f"only {opened.n} rows"
            return
        self.values["open_1m_ms"] = opened.open_ms
        self.values["open_1m_first_query_ms"] = opened.first_query_ms

    def _ratio(self, figure: str, over: str, under: str, target: float) -> None:
        rates = []
        for name in (over, under):
            if not (curve := self._curve(figure, name)):
                return
            rates.append(metrics.qps_at(curve.points, target))
            if rates[-1] is None:
                self.missing[figure] = f"{name} does not reach the recall"
        if (value := metrics.ratio(*rates)) is not None:
            self.values[figure] = value

    def _curve(self, figure: str, name: str) -> Curve | None:
        if name not in self._curves:
            self.missing[figure] = f"{name}: {self._skipped.get(name, 'was not measured')}"
        return self._curves.get(name)


def table(curves: Mapping[str, Curve]) -> dict[str, dict[str, float | None]]:
    """Queries per second of each system at each recall."""
    return {
        name: {str(target): metrics.qps_at(curve.points, target) for target in TARGETS}
        for name, curve in curves.items()
    }
