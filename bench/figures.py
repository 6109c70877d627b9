"""The figures that are made of the curves."""

from collections.abc import Mapping

from bench import metrics, systems
from bench.metrics import TARGETS
from bench.scenarios.curves import Curve

RIVALS = {  # name in the figures -> system, targets
    "hnswlib": ("hnswlib", (0.95, 0.99)),
    "symqg": ("symqg", (0.95, 0.99)),
    "svs": ("svs-lvq4x8", (0.95,)),
    "faiss_ivfpq": ("faiss-ivfpq", (0.95,)),
}
COMPACT = "qg-compact"


class Figures:
    """Figures by name, and why others are missing."""

    def __init__(self, curves: Mapping[str, Curve], skipped: Mapping[str, str]) -> None:
        self.values: dict[str, float] = {}
        self.missing: dict[str, str] = {}
        self._curves = curves
        self._skipped = skipped

    def of_curves(self, ours: str) -> None:
        """Ratios of speeds and build times, memory, and the recall of our default."""
        for rival, (system, targets) in RIVALS.items():
            for target in targets:
                self._ratio(f"ratio_{rival}_r{100 * target:.0f}", ours, system, target)
        self._ratio("compact_ratio_hnswlib_r95", COMPACT, "hnswlib", 0.95)
        for figure, name in (("bytes_per_vector", ours), ("compact_bytes_per_vector", COMPACT)):
            if (curve := self._curve(figure, name)) and curve.built.memory_bytes is not None:
                self.values[figure] = curve.built.memory_bytes / curve.built.n
        own, peer = (self._curve("build_ratio_hnswlib", name) for name in (ours, "hnswlib"))
        if own and peer:
            self.values["build_ratio_hnswlib"] = own.built.build_s / peer.built.build_s
        if curve := self._curve("default_recall", ours):
            defaults = [point for point in curve.points if point.effort == systems.DEFAULT]
            self.values["default_recall"] = defaults[0].recall

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
