"""How much a namespace takes: the records of each table, and the pages of the data file.

A table is walked in steps, each in a view of its own: a long view would keep LMDB from using freed pages again.
"""

from dataclasses import dataclass

from adamem_server.store import keys
from adamem_server.store.environment import TABLES
from adamem_server.store.generations import read_generations
from adamem_server.store.slot_store import OF_NAMESPACE, OF_SPACES, ReadView
from adamem_server.types import Namespace


@dataclass(frozen=True, slots=True)
class Part:
    """Records of a namespace that are looked at as one: those of a table whose keys begin with `number`."""

    name: str
    table: str
    number: int


def parts_of(view: ReadView, namespace: Namespace) -> list[Part]:
    """All that a namespace has; vectors that do not serve are parts of their own."""
    parts = [Part(table, table, namespace.number) for table in OF_NAMESPACE if table not in OF_SPACES]
    others = read_generations(view, namespace.number)
    spaces = {"": namespace.vector_space}
    spaces |= {f"{name}_": each.space for name in ("former", "next") if (each := getattr(others, name)) is not None}
    vectors = [Part(prefix + table, table, space) for prefix, space in spaces.items() for table in OF_SPACES]
    return vectors + parts


def measure(view: ReadView, part: Part, after: bytes, most: int) -> tuple[int, int, bytes]:
    """Up to `most` records of a part behind a key (b"": from the first): how many, their bytes, and the last key.

    The key is b"" at the end. Bytes are those of keys and values; what LMDB adds is not counted.
    """
    prefix = keys.number_key(part.number)
    cursor = view.cursor(part.table)
    found = cursor.set_range(after or prefix)
    if found and after and cursor.key() == after:
        found = cursor.next()
    n_records = n_bytes = 0
    last = b""
    while found and (key := cursor.key()).startswith(prefix):
        if n_records == most:
            return n_records, n_bytes, last
        n_records += 1
        n_bytes += len(key) + len(cursor.value())
        last = key
        found = cursor.next()
    return n_records, n_bytes, b""


def used_bytes(view: ReadView) -> int:
    """Bytes of the pages of all tables, of all namespaces."""
    return sum(view.table_bytes(table) for table in TABLES)
