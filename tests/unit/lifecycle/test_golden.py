"""A package as format 1 wrote it stays readable, and is written the same way today."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.packages.manifest import MANIFEST
from tests.unit.lifecycle.packs import Packer, unpack

GOLDEN = Path(__file__).parents[2] / "compat" / "packages" / "package.v1.zip"


@pytest.fixture
def packer(tmp_path: Path) -> Iterator[Packer]:
    made = Packer(tmp_path)
    yield made
    made.close()


def test_the_first_format(packer: Packer) -> None:
    data = GOLDEN.read_bytes()
    result = packer.load(data)
    assert (result.namespace, result.n_created, result.n_pairs, result.adapter_version) == ("team/ann", 32, 4, 3)
    lab = packer.lab
    slot = next(view.slot for view in lab.slots("team/ann") if view.slot.cue == "What does Anna drink?")
    assert (slot.content, slot.role, slot.tags, slot.language) == (
        "Анна пьёт чай without sugar",
        "user",
        ("drinks", "чай"),
        "ru",
    )
    assert slot.metadata == {"price": 2.5, "nested": {"list": [1, "two", None, True]}, "big": 2**53}
    assert lab.query("team/ann", text="plain fact five, corrected", top_k=1) == ["plain fact five, corrected"]
    info = lab.engine.get_namespace("team/ann").namespace
    assert (info.description, info.index_params.ef_search, info.ranking) == ("Что знает Анна", 33, {"recency": 0.5})
    assert info.duplicates.threshold == 0.75
    assert any(view.slot.recalled_from for view in lab.slots("team/ann"))
    golden, today = unpack(data), unpack(packer.export(author="tests", license="MIT", tags=("golden",)))
    told = [json.loads(members.pop(MANIFEST)) for members in (golden, today)]
    for manifest in told:
        for name in ("package_id", "exported_at"):
            del manifest[name]
        for name in ("slots.jsonl",):
            del manifest["members"][name]["sha256"], manifest["members"][name]["n_bytes"]
    # They came later; files without them have these.
    later = {"default_ttl_s": 0, "history_versions": 10, "supersede": False, "consolidation": None, "archive": None}
    assert {name: told[1].pop(name) for name in later} == later
    assert told[0] == told[1]
    # The query above was counted.
    del golden["slots.jsonl"], today["slots.jsonl"]
    assert golden == today
