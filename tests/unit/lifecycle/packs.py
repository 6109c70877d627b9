"""Packages to take apart and put together again, and an engine that exports and imports them."""

import json
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from adamem_server.adapt.adapter import Adapter
from adamem_server.lifecycle.exporting import ExportSpec
from adamem_server.lifecycle.import_plan import ImportMode, ImportSpec
from adamem_server.lifecycle.importing import ImportResult
from adamem_server.lifecycle.packaging import Packages
from adamem_server.memory.jobs import StoreJob
from adamem_server.packages.archive import Part, write_archive
from adamem_server.packages.manifest import MANIFEST, SIGNATURE
from adamem_server.packages.signature import sign
from adamem_server.policies import DuplicatePolicyChange
from adamem_server.store.environment import TABLES
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.teaching import put_adapter, put_learning, put_pair_vector, read_learning, read_pairs
from adamem_server.types import AdapterVersion, Limits, Scope, SlotInput, SlotKind
from tests.unit.memory.engines import WORD_DIM, Lab, stored

NAME: Final = "team/ann"
MAX_PACKAGE_BYTES: Final = 4 << 20
LIMITS: Final = Limits(
    max_content_bytes=2000,
    max_metadata_bytes=1000,
    max_tags=8,
    max_batch=1000,
    max_top_k=1000,
    max_filter_depth=16,
    max_filter_nodes=256,
    max_query_namespaces=64,
    max_message_bytes=1 << 26,
)
Members = dict[str, bytes]


class Packer:
    """A lab with the packages of its engine."""

    def __init__(self, folder: Path) -> None:
        self.lab = Lab(folder)
        self.folder = folder / "packages"
        self._start()

    def _start(self) -> None:
        self.packages = Packages(
            self.lab.engine.parts, self.folder, limits=LIMITS, max_bytes=MAX_PACKAGE_BYTES, exported_by="tests"
        )
        self.packages.start()

    def close(self) -> None:
        self.packages.close()
        self.lab.close()

    def restart(self, *arguments: Any) -> None:
        self.packages.close()
        self.lab.restart(*arguments)
        self._start()

    def export(self, name: str = NAME, **spec: Any) -> bytes:
        with self.packages.export(name, ExportSpec(**spec)) as export:
            for _ in export.read():
                pass
            data = b"".join(export.chunks())
            assert len(data) == export.n_bytes
            return data

    def load(self, data: bytes, name: str = "", mode: ImportMode = ImportMode.CREATE, **spec: Any) -> ImportResult:
        wanted = ImportSpec(name=name, mode=mode, **spec)
        with self.packages.upload(wanted) as upload:
            for start in range(0, len(data), 1 << 16):
                upload.write(data[start : start + (1 << 16)])
            upload.end()
            task = self.packages.import_from(upload, wanted)
            for _ in task.run():
                pass
            return task.result

    def left_behind(self) -> dict[str, int]:
        """The records of each table, and the files of imports and exports, once what is doomed has been removed."""
        self.lab.engine.parts.maintenance.step()
        with self.lab.store.read() as view:
            counts = {table: sum(1 for _ in view.cursor(table)) for table in TABLES if table != "meta"}
        return counts | {"files": len(list(self.folder.iterdir()))}


def fill(packer: Packer, name: str = NAME) -> None:
    """A namespace with all that a package can hold."""
    lab = packer.lab
    items = [
        SlotInput(
            content="Анна пьёт чай without sugar",
            cue="What does Anna drink?",
            kind=SlotKind.PREFERENCE,
            scope=Scope("anna", "barista", "c-7"),
            role="user",
            tags=("drinks", "чай"),
            metadata={"price": 2.5, "nested": {"list": [1, "two", None, True]}, "big": 2**53},
            importance=0.75,
            created_at=lab.now - 5_000_001,
            expires_at=lab.now + 10**12 + 1,
            language="ru",
        ),
        *(SlotInput(content=f"plain fact {n}", scope=Scope(f"u{n % 3}")) for n in range(30)),
        SlotInput(content="with a vector of its own", vector=np.linspace(-1, 1, WORD_DIM, dtype=np.float32)),
        SlotInput(content="line one\nline two \u2028 three", cue="How many lines?"),
    ]
    result = lab.engine.update(name, items)
    ids = [stored(item) for item in result.results]
    lab.engine.delete_slots(name, slot_ids=[ids[3], ids[9]])
    lab.now += 1_000_000
    lab.engine.update(name, [SlotInput(content="plain fact five, corrected", id=ids[6])])
    lab.engine.update_namespace(
        name,
        description="Что знает Анна",
        ef_search=33,
        ranking={"recency": 0.5},
        duplicates=DuplicatePolicyChange(threshold=0.75),
    )
    lab.engine.adaptation.feedback(name, "tea or coffee?", helped=[ids[0]], unhelpful=[ids[1], ids[2]])
    lab.engine.adaptation.feedback(name, "which one is corrected?", helped=[ids[6]], unhelpful=[])
    lab.query(name, text="Anna tea")
    # What was just recalled is stored again, and marked.
    lab.put(name, "Анна пьёт чай without sugar")
    teach_adapter(packer, name)


def teach_adapter(packer: Packer, name: str, version: int = 3) -> None:
    """An adapter that serves, and vectors for what was taught."""
    lab = packer.lab
    random = np.random.default_rng(1)
    adapter = Adapter(
        lora_A=random.standard_normal((4, WORD_DIM)).astype(np.float32),
        lora_B=random.standard_normal((WORD_DIM, 4)).astype(np.float32) * np.float32(0.1),
        model=lab.embedder.info.name,
        model_revision=lab.embedder.info.fingerprint,
        version=version,
        n_pairs=2,
        dense_shift=0.1,
    )
    data = adapter.to_bytes()
    info = AdapterVersion(
        version=version,
        created_at=lab.now,
        n_pairs=2,
        rank=4,
        dense_shift=0.1,
        n_judged=2,
        baseline=0.25,
        candidate=0.5,
        probability=0.75,
        n_bytes=len(data),
    )

    def work(batch: WriteBatch) -> bool:
        from dataclasses import replace

        import msgspec

        namespace = batch.find_namespace(name)
        assert namespace is not None
        put_adapter(batch, namespace.number, info, data, 8, version)
        batch.put_namespace(replace(namespace, adapter_version=version))
        for number, pair in list(read_pairs(batch, namespace.number)):
            vector = random.standard_normal(WORD_DIM).astype(np.float32)
            put_pair_vector(batch, namespace.number, number, pair.query, vector)
        learning = read_learning(batch, namespace.number)
        learning = msgspec.structs.replace(
            learning, next_version=version + 1, trained_to=3, outcome="promoted", finished_at=lab.now, version=version
        )
        put_learning(batch, namespace.number, learning)
        return True

    lab.engine.parts.writer.submit(StoreJob(work, frees=False)).result()


def unpack(data: bytes) -> Members:
    import io

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def pack(members: Members) -> bytes:
    return b"".join(write_archive([Part.of(name, content) for name, content in members.items()]))


def sealed(members: Members, edit: Callable[[dict[str, Any]], None] = lambda _: None) -> Members:
    """The members with a manifest that has their sizes and checksums, then `edit`ed."""
    manifest = json.loads(members[MANIFEST])
    manifest["members"] = {
        name: {"n_bytes": len(content), "sha256": sha256(content).hexdigest()}
        for name, content in members.items()
        if name not in (MANIFEST, SIGNATURE)
    }
    edit(manifest)
    return {MANIFEST: json.dumps(manifest).encode(), **{n: c for n, c in members.items() if n != MANIFEST}}


def with_signature(members: Members, key: Any) -> Members:
    return {**members, SIGNATURE: sign(members[MANIFEST], key)}


def edited_line(members: Members, name: str, line: int, edit: Callable[[dict[str, Any]], Any]) -> Members:
    """The members with one line of JSON changed, sealed again."""
    lines = members[name].decode().rstrip("\n").split("\n")
    value = json.loads(lines[line])
    result = edit(value)
    lines[line] = json.dumps(value if result is None else result)
    return sealed({**members, name: ("\n".join(lines) + "\n").encode()})


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def mentions(message: str, pattern: str) -> bool:
    return re.search(pattern, message) is not None
