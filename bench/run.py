"""Run a benchmark: `python -m bench.run {index,ingest,namespaces,retrieval} [--vectors DIR] [--out FILE]`."""

import argparse
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
DEFAULT_VECTORS = DATA / "vectors"
DEFAULT_LOCOMO = DATA / "locomo" / "locomo-dev.json"
DEFAULT_XQUAD = DATA / "xquad"
DEFAULT_CACHE = ROOT / "build" / "bench"
MIN_LINES = 20
NEEDED = {
    "ingest": ("base.txt.gz", "base.f16.npy", "queries.txt.gz", "queries.f16.npy", "truth.i32.npy"),
    "namespaces": ("base.f16.npy",),
}
MANY = ("base.txt.gz", "base.f16.npy", "queries.txt.gz", "queries.f16.npy")
"""Of the parts of retrieval among many slots."""


def main() -> None:
    """Parse and dispatch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=["index", "ingest", "namespaces", "retrieval"])
    parser.add_argument("--vectors", type=Path, default=DEFAULT_VECTORS, help="folder of base, queries and truth files")
    parser.add_argument("--lines", type=int, default=None, help="ingest, retrieval: use the first N lines only")
    parser.add_argument("--namespaces", type=int, default=None, help="namespaces: how many")
    parser.add_argument("--out", type=Path, default=None, help="write the figures to this file as JSON")
    _add_index(parser)
    _add_retrieval(parser)
    arguments = parser.parse_args()
    if arguments.lines is not None and arguments.lines < MIN_LINES:
        parser.error(f"--lines: at least {MIN_LINES}")
    if arguments.out is not None and not arguments.out.parent.is_dir():
        parser.error(f"--out: no folder {arguments.out.parent}")
    needed = MANY if arguments.scenario == "retrieval" and _is_many(arguments) else NEEDED.get(arguments.scenario, ())
    missing = [name for name in needed if not (arguments.vectors / name).is_file()]
    if missing:
        parser.error(f"--vectors: {arguments.vectors} lacks {', '.join(missing)}; bench/README.md says what they hold")
    if arguments.scenario == "index":
        _index(parser, arguments)
    elif arguments.scenario == "ingest":
        from bench import ingest

        ingest.run(arguments.vectors, arguments.lines, arguments.out)
    elif arguments.scenario == "retrieval":
        _retrieval(parser, arguments)
    else:
        from bench import namespaces

        namespaces.run(arguments.vectors, arguments.namespaces, arguments.out)


def _add_index(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("index")
    group.add_argument("--kinds", type=_names, default=None, help="kinds of ours, by commas; all that there are")
    group.add_argument("--peers", type=_names, default=None, help="peers, by commas; all, or '' for none")
    group.add_argument("--scenarios", type=_names, default=None, help="parts, by commas; all")
    group.add_argument("--rows", type=int, default=None, help="use the first N rows only")
    group.add_argument("--queries", type=int, default=None, help="use the first N queries only")
    group.add_argument("--rounds", type=int, default=5, help="rounds of the interleaved measurement")
    group.add_argument("--core", type=int, default=None, help="the core that all runs on; the last one")
    clock = "time by the wall, or of the processor alone for a machine that is not idle"
    group.add_argument("--clock", choices=["wall", "cpu"], default="wall", help=clock)
    group.add_argument("--min-s", type=float, default=0.25, help="seconds that one measurement lasts at least")
    group.add_argument("--threads", type=int, default=2, help="threads of the parallel build")
    help_text = "build N rows, 1,000,000 unless said, save and open them: some minutes; 0 leaves it out"
    group.add_argument("--million", type=int, default=1_000_000, metavar="N", help=help_text)
    group.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder of what is made: missing truth")


def _index(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from bench import index, systems
    from bench.child import Place, cores
    from bench.datasets import Vectors

    given: dict[str, Iterable[str]] = {"kinds": systems.OURS, "peers": systems.PEERS, "scenarios": index.SCENARIOS}
    for option, known in given.items():
        unknown = set(getattr(arguments, option) or ()) - set(known)
        if unknown:
            parser.error(f"--{option}: unknown {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    vectors = Vectors(arguments.vectors, arguments.rows, arguments.queries)
    options = index.Options(
        vectors=vectors,
        kinds=arguments.kinds,
        peers=list(systems.PEERS) if arguments.peers is None else arguments.peers,
        scenarios=arguments.scenarios or list(index.SCENARIOS),
        rounds=arguments.rounds,
        place=Place(cores()[-1] if arguments.core is None else arguments.core, arguments.clock, arguments.min_s),
        n_threads=arguments.threads,
        n_million=arguments.million,
        cache=arguments.cache,
        out=arguments.out,
    )
    index.run(options)


def _add_retrieval(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("retrieval")
    group.add_argument("--locomo", type=Path, default=DEFAULT_LOCOMO, help="file of conversations in LoCoMo's form")
    help_text = "files of Russian and of English paragraphs in XQuAD's form, or a folder of xquad.{ru,en}*.json"
    group.add_argument("--xquad", type=Path, nargs="+", default=[DEFAULT_XQUAD], metavar="FILE", help=help_text)
    group.add_argument("--parts", type=_names, default=None, help="locomo, xquad, adapter, latency, filters; all")
    adapter = "what adapters learn; when the server has them"
    group.add_argument("--adapter", action=argparse.BooleanOptionalAction, default=True, help=adapter)


def _is_many(arguments: argparse.Namespace) -> bool:
    return arguments.parts is None or bool({"latency", "filters"} & set(arguments.parts))


def _retrieval(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from bench.retrieval import datasets, run

    parts = list(run.PARTS) if arguments.parts is None else arguments.parts
    if unknown := set(parts) - set(run.PARTS):
        parser.error(f"--parts: unknown {', '.join(sorted(unknown))}; known: {', '.join(run.PARTS)}")
    if not arguments.adapter:
        parts = [part for part in parts if part != "adapter"]
    sources = {}
    conversations: list[datasets.Conversation] = []
    pair = None
    try:
        if {"locomo", "adapter"} & set(parts):
            conversations = datasets.read_locomo(arguments.locomo)
            sources["locomo"] = str(arguments.locomo)
        if "xquad" in parts:
            pair = datasets.read_xquad(arguments.xquad)
            sources["xquad"] = " ".join(map(str, arguments.xquad))
    except datasets.DataError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    if _is_many(arguments):
        sources["vectors"] = str(arguments.vectors)
    run.run(run.Options(parts, conversations, pair, arguments.vectors, arguments.lines, arguments.out, sources))


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()
