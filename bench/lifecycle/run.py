"""Measure the life of memories: `python -m bench.lifecycle.run [--scenarios a,b] [--size NAME=N] [--out FILE]`.

A scenario is a module of this folder with SIZES (names and full sizes) and `figures(sizes)`, which measures and returns
figures by name. Names of sizes and figures begin with the scenario's. Those of WITH_DATA are given files of data too.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from adamem_server import _index
from bench.report import commit, machine, versions, write_report
from bench.run import DEFAULT_LOCOMO

# In the order in which they run. Whoever adds a module adds its name.
SCENARIOS: Final = ("sweep", "packages", "storage", "versions", "reembed", "duplicates", "report", "consolidation")
WITH_DATA: Final = ("duplicates", "consolidation")


def run(names: list[str], given: Mapping[str, int], data: Mapping[str, Path]) -> dict[str, Any]:
    """The report of some scenarios; `given` are sizes other than the full ones, `data` files by name."""
    modules = {name: import_module(f"bench.lifecycle.{name}") for name in names}
    sizes = {size: n for module in modules.values() for size, n in module.SIZES.items()}
    if unknown := given.keys() - sizes.keys():
        raise ValueError(f"--size: no such size: {', '.join(sorted(unknown))}; there are {', '.join(sizes)}")
    sizes |= given
    figures: dict[str, float] = {}
    for name, module in modules.items():
        print(f"== {name}", file=sys.stderr, flush=True)
        measure: Callable[..., dict[str, float]] = module.figures
        with_data = (data,) if name in WITH_DATA else ()
        figures |= measure({size: sizes[size] for size in module.SIZES}, *with_data)
    return {
        "figures": figures,
        "parameters": sizes,
        "commit": commit(),
        "machine": machine(_index.simd_level()),
        "versions": versions(("adamem-server", "lmdb", "numpy", "grpcio")),
    }


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--scenarios", type=lambda text: text.split(","), default=list(SCENARIOS), help="by commas; all"
    )
    parser.add_argument("--size", action="append", type=_size, default=[], metavar="NAME=N", help="another size")
    locomo = DEFAULT_LOCOMO if DEFAULT_LOCOMO.is_file() else None
    parser.add_argument(
        "--locomo",
        type=Path,
        default=locomo,
        help="LoCoMo's file; none: turns are made, and no questions asked",
    )
    parser.add_argument("--xquad", type=Path, default=None, help="a file of XQuAD, for duplicates")
    parser.add_argument("--out", type=Path, default=None, help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.scenarios if name not in SCENARIOS]:
        parser.error(f"--scenarios: {', '.join(unknown)} is none of {', '.join(SCENARIOS)}")
    if arguments.out is not None and not arguments.out.parent.is_dir():
        parser.error(f"--out: no folder {arguments.out.parent}")
    data = {name: path for name in ("locomo", "xquad") if (path := getattr(arguments, name)) is not None}
    for name, path in data.items():
        if not path.is_file():
            parser.error(f"--{name}: no file {path}")
    try:
        report = run(arguments.scenarios, dict(arguments.size), data)
    except ValueError as error:
        parser.error(str(error))
    for name, value in report["figures"].items():
        print(f"{name:40} {value:14.4f}")
    if arguments.out is not None:
        write_report(report, arguments.out)


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=N with N of 1 and more")
    return name, int(number)


if __name__ == "__main__":
    main()
