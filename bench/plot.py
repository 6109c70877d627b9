"""Draws recall against speed."""

from collections.abc import Mapping
from pathlib import Path

from bench.metrics import envelope
from bench.scenarios.curves import Curve, K
from bench.systems import OURS


def draw(curves: Mapping[str, Curve], title: str, out: Path) -> None:
    """Writes a PNG; ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 6.5), layout="constrained")
    axes.set_prop_cycle(color=[mpl.colormaps["tab20"](number) for number in range(20)])
    for name, curve in curves.items():
        front = envelope(curve.points)
        recalls, rates = [point.recall for point in front], [point.qps for point in front]
        own = name in OURS
        axes.plot(recalls, rates, "o-" if own else ".--", linewidth=2.2 if own else 1.2, label=name)
    axes.set(xlabel=f"recall@{K}", ylabel="queries a second, one core", yscale="log", title=title)
    axes.set_xlim(left=max(0.85, axes.get_xlim()[0]))
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(out, dpi=130)
    plt.close(figure)
