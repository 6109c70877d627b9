"""Run a benchmark: `python -m bench.run {ingest,namespaces} [--vectors DIR] [--out FILE]`."""

import argparse
from pathlib import Path

from bench import ingest, namespaces

DEFAULT_VECTORS = Path(__file__).parents[2] / "shared" / "data" / "vectors"
MIN_LINES = 20
NEEDED = {
    "ingest": ("base.txt.gz", "base.f16.npy", "queries.txt.gz", "queries.f16.npy", "truth.i32.npy"),
    "namespaces": ("base.f16.npy",),
}


def main() -> None:
    """Parse and dispatch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=["ingest", "namespaces"])
    parser.add_argument("--vectors", type=Path, default=DEFAULT_VECTORS, help="folder of base, queries and truth files")
    parser.add_argument("--lines", type=int, default=None, help="ingest: use the first N lines only")
    parser.add_argument("--namespaces", type=int, default=None, help="namespaces: how many")
    parser.add_argument("--out", type=Path, default=None, help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    if arguments.lines is not None and arguments.lines < MIN_LINES:
        parser.error(f"--lines: at least {MIN_LINES}")
    if arguments.out is not None and not arguments.out.parent.is_dir():
        parser.error(f"--out: no folder {arguments.out.parent}")
    missing = [name for name in NEEDED[arguments.scenario] if not (arguments.vectors / name).is_file()]
    if missing:
        parser.error(f"--vectors: {arguments.vectors} lacks {', '.join(missing)}; bench/README.md says what they hold")
    if arguments.scenario == "ingest":
        ingest.run(arguments.vectors, arguments.lines, arguments.out)
    else:
        namespaces.run(arguments.vectors, arguments.namespaces, arguments.out)


if __name__ == "__main__":
    main()
