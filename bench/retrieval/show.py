"""The figures of retrieval as a table and as a plot."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.retrieval.locomo import prefix

SYSTEMS = {  # name -> label, colour
    "peer_chroma": ("Chroma", "#c9b7d8"),
    "peer_dense": ("dense, exact", "#c9b7d8"),
    "peer_bm25": ("BM25 library", "#a996c4"),
    "peer_rrf": ("their RRF", "#846ba8"),
    "dense": ("AdaMem, dense", "#a5cbe8"),
    "lexical": ("AdaMem, lexical", "#5b9fd0"),
    "hybrid": ("AdaMem, hybrid", "#1b62a5"),
}
COLUMNS = {  # heading -> dataset, figure
    "LoCoMo r@5": ("locomo", "r5"),
    "r@10": ("locomo", "r10"),
    "r@20": ("locomo", "r20"),
    "any@10": ("locomo", "any_r10"),
    "all@10": ("locomo", "all_r10"),
    "XQuAD ru r@1": ("xquad_ru", "r1"),
    "en r@1": ("xquad_en", "r1"),
    "ru-en r@1": ("xquad_ru_to_en", "r1"),
}
BARS = ("LoCoMo r@5", "r@10", "XQuAD ru r@1", "en r@1", "ru-en r@1")
ADAPTED = (  # label, without an adapter, with it
    ("the other half", "locomo_tested_r5", "locomo_adapted_r5"),
    ("of it, evidence\nnever taught", "locomo_untaught_r5", "locomo_untaught_adapted_r5"),
)


def table(figures: Mapping[str, float]) -> Iterator[str]:
    """A line for each system that was measured, below headings."""
    rows = {
        label: [figures.get(f"{prefix(system, dataset)}_{name}") for dataset, name in COLUMNS.values()]
        for system, (label, _) in SYSTEMS.items()
    }
    measured = {label: cells for label, cells in rows.items() if any(cell is not None for cell in cells)}
    if measured:
        yield f"{'':18}" + "".join(f"{heading:>14}" for heading in COLUMNS)
        for label, cells in measured.items():
            yield f"{label:18}" + "".join(f"{'-':>14}" if cell is None else f"{cell:14.3f}" for cell in cells)


def draw(figures: Mapping[str, float], title: str, out: Path) -> bool:
    """Writes a PNG and tells whether there was anything to draw; ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    columns = {heading: COLUMNS[heading] for heading in BARS if any(_values(figures, *COLUMNS[heading]).values())}
    if not columns:
        return False
    shown = [system for system in SYSTEMS if any(system in _values(figures, *each) for each in columns.values())]
    adapted = [each for each in ADAPTED if each[2] in figures]
    panels = {"ncols": 2, "figsize": (13, 5.5), "width_ratios": (3.2, 1)} if adapted else {"figsize": (10, 5.5)}
    figure, grid = plt.subplots(layout="constrained", sharey=True, squeeze=False, **panels)
    left, *others = grid[0]
    width = 0.84 / len(shown)
    for number, system in enumerate(shown):
        label, colour = SYSTEMS[system]
        heights = [_values(figures, *each).get(system, 0) for each in columns.values()]
        places = [group + (number - (len(shown) - 1) / 2) * width for group in range(len(columns))]
        _bars(left, places, heights, width, label, colour)
    left.set_xticks(range(len(columns)), columns)
    left.set(ylabel="recall", title=title, ylim=(0, 1))
    left.legend(fontsize=8)
    for right in others:
        for offset, label, colour, place in (
            (-0.2, "hybrid", SYSTEMS["hybrid"][1], 1),
            (0.2, "hybrid, adapted", "#e08214", 2),
        ):
            places, heights = [n + offset for n in range(len(adapted))], [figures[each[place]] for each in adapted]
            _bars(right, places, heights, 0.38, label, colour)
        right.set_xticks(range(len(adapted)), [each[0] for each in adapted])
        right.set(title="LoCoMo r@5, half taught")
        right.legend(fontsize=8)
    for axes in grid[0]:
        axes.grid(visible=True, axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    figure.savefig(out, dpi=130)
    plt.close(figure)
    return True


def _bars(axes, places, heights, width, label, colour):
    drawn = axes.bar(places, heights, width, label=label, color=colour)
    axes.bar_label(drawn, [f"{height:.2f}"[-3:] if 0 < height < 1 else "" for height in heights], fontsize=7)


def _values(figures: Mapping[str, float], dataset: str, name: str) -> dict[str, float]:
    named = {system: f"{prefix(system, dataset)}_{name}" for system in SYSTEMS}
    return {system: figures[figure] for system, figure in named.items() if figure in figures}
