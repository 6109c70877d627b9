"""Fields of the protocol as the command line spells them: an error that names one names the option that set it."""

import re
from collections.abc import Iterator

import click

# What options of a policy begin with, where that is not the policy's name.
_PREFIXES = {"duplicates": "duplicate", "consolidation": "consolidate"}


def with_option(message: str, field: str, command: click.Command) -> str:
    """A message about a field, which stands before a colon, with the option or argument of a command that set it."""
    name = option_of(field, command) if field and message.startswith(f"{field}:") else ""
    return name + message[len(field) :] if name else message


def option_of(field: str, command: click.Command) -> str:
    """The option of a command, such as --max-slots, that sets a field, such as archive.max_slots; "": none does."""
    by_name = {param.name: param for param in command.params}
    for name in _names(field):
        if (param := by_name.get(name)) is not None:
            return max(param.opts, key=len) if isinstance(param, click.Option) else name.upper()
    return ""


def _names(field: str) -> Iterator[str]:
    """What an option of a field may be called, the most telling first."""
    path = re.sub(r"\[\d+\]", "", field).split(".")
    path[0] = _PREFIXES.get(path[0], path[0])
    for start in range(len(path)):
        for end in range(len(path), start, -1):
            name = "_".join(path[start:end])
            yield from (name, f"{name}_s", name.removesuffix("s"))
