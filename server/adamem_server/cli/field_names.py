"""Fields of the protocol as the command line spells them: an error that names one names the option that set it."""

import re
from collections.abc import Iterator

import click

# What options of a policy begin with, where that is not the policy's name.
_PREFIXES = {"duplicates": "duplicate", "consolidation": "consolidate"}


# How the client calls what reaches a server; in messages of its own, which have no such words for anything else.
_CONNECTION = re.compile(r"\b(?:ca_cert|client_cert|client_key|the endpoint)\b")


def with_option(message: str, field: str, context: click.Context) -> str:
    """A message about a field, which stands before a colon, with the option or argument that set it.

    It is of the command, or of those before it.
    """
    if not field or not message.startswith(f"{field}:"):
        return message
    at: click.Context | None = context
    while at is not None:
        if name := option_of(field, at.command):
            return name + message[len(field) :]
        at = at.parent
    return message


def with_connection_options(message: str) -> str:
    """A message of the client about its connection, with the options that say how a server is reached."""
    return _CONNECTION.sub(lambda found: "--" + found.group().removeprefix("the ").replace("_", "-"), message)


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
