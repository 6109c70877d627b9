"""The pages of the Python client: which names stand where; mkdocstrings fills them from the docstrings."""

from pkgutil import iter_modules
from typing import Final

import adamem

# All of these is in `adamem` too.
EXPORTED: Final = {"receipts", "report_types", "types", "version_types"}

# Groups of calls: the attribute of the client, where its class is.
GROUPS: Final = {
    "jobs": "adamem._jobs.Jobs",
    "lifecycle": "adamem._lifecycle.Lifecycle",
    "duplicates": "adamem._duplicates.Duplicates",
    "history": "adamem._history.History",
    "snapshots": "adamem._snapshots.Snapshots",
    "archive": "adamem._archive.Archive",
    "packages": "adamem._packages.Packages",
    "backups": "adamem._backups.Backups",
}
FRAMEWORKS: Final = (
    "langchain.AdaMemVectorStore",
    "langgraph.AdaMemStore",
    "llama_index.AdaMemVectorStore",
    "mem0.Memory",
)


def pages() -> dict[str, str]:
    """The pages by their place in the site."""
    errors = [name for name in adamem.__all__ if name.endswith("Error")]
    clients = {"Client", "AsyncClient"}
    types = [name for name in adamem.__all__ if name[0].isupper() and name not in {*errors, *clients}]
    return {
        "reference/python.md": "# Python client\n\n"
        + _entry("adamem.Client")
        + _entry("adamem.AsyncClient", members=False),
        "reference/python-groups.md": "# Groups of calls\n\nEach is an attribute of the client; those of `AsyncClient`"
        " have the same methods, to be awaited.\n\n"
        + "".join(f"`client.{name}`\n\n{_entry(path)}" for name, path in GROUPS.items()),
        "reference/python-types.md": "# Types\n\nWhat calls take and return.\n\n"
        + "".join(_entry(f"adamem.{name}") for name in sorted(types)),
        "reference/python-errors.md": "# Errors, filters and other modules\n\n"
        + _entry("adamem.errors", members=False)
        + "".join(_entry(f"adamem.{name}") for name in sorted(errors))
        + "".join(_entry(f"adamem.{name}") for name in modules())
        + _entry("adamem.check_slot"),
        "reference/python-frameworks.md": "# Frameworks\n\n"
        + "".join(_entry(f"adamem.integrations.{path}") for path in FRAMEWORKS),
    }


def modules() -> list[str]:
    """The public modules that have something beside what `adamem` itself exports."""
    public = {module.name for module in iter_modules(adamem.__path__) if not module.name.startswith("_")}
    return sorted(public - EXPORTED - {"errors", "integrations", "v1"})


def _entry(path: str, *, members: bool = True) -> str:
    without = "    options:\n      members: false\n      inherited_members: false\n"  # else it has the private ones too
    return f"::: {path}\n{'' if members else without}\n"
