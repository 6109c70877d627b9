"""Errors as a model reads them: what is wrong, and what it or the person can do."""

from collections.abc import Iterable
from typing import Final

from pydantic import ValidationError

from adamem import (
    AdaMemError,
    DeadlineExceededError,
    InvalidArgumentError,
    NamespaceNotFoundError,
    SlotNotFoundError,
    StorageFullError,
    UnauthenticatedError,
    UnavailableError,
)

_SCOPE: Final = ("namespace", "ns", "user_id", "agent_id")
_NAMES: Final = {"slot.content": "text", "content": "text", "slot_id": "memory_id", "text": "query"}
_ID_HINT: Final = "ids come from search_memories, get_memories and add_memory"


def told_arguments(error: ValidationError, tool: str, known: Iterable[str]) -> str:
    """All arguments that are wrong."""
    problems = []
    for each in error.errors(include_url=False):
        place = each["loc"]
        if place[-1:] == ("none",):
            continue  # that an optional argument is not left out either
        # The rest of a place names the form of an optional argument, but for positions in a list.
        name = ".".join(map(str, (*place[:1], *(part for part in place[1:] if isinstance(part, int)))))
        if each["type"] != "extra_forbidden":
            problems.append(f"{name}: {each['msg']}" if name else each["msg"])
        elif name in _SCOPE:
            problems.append(f"{name}: is fixed by the configuration of this memory and cannot be chosen; leave it out")
        else:
            problems.append(f"{name}: is unknown; {tool} takes {', '.join(known) or 'no arguments'}")
    return "; ".join(problems)


def told(error: AdaMemError, endpoint: str) -> str:
    """What the memory server, or the way to it, answered."""
    match error:
        case SlotNotFoundError():
            return f"there is no memory {error.metadata.get('slot_id', '')!r} here: {_ID_HINT}"
        case NamespaceNotFoundError():
            # Not the server's message, which may name another namespace: a model cannot leave its own.
            name = error.metadata.get("namespace", "")
            return f"the memory server has no namespace {name!r} and is set not to make one; the user has to create it"
        case InvalidArgumentError():
            return _told_field(error)
        case UnavailableError():
            return (
                f"the memory server at {endpoint} does not answer, so nothing was read or stored; the user can start it"
                f" with `adamem serve` ({error.message})"
            )
        case UnauthenticatedError():
            return f"the memory server at {endpoint} refuses the key; the user has to set MEMORY_API_KEY"
        case StorageFullError():
            return "the memory server has no room left: nothing was stored; the user has to make room"
        case DeadlineExceededError():
            return "the memory server did not answer in time; a change may or may not have been made: look before again"
        case _:
            return f"{error.message or error.reason} [{error.reason}]"


def _told_field(error: InvalidArgumentError) -> str:
    if "ULID" in error.message:
        return f"memory_id: is no id of a memory: {_ID_HINT}"
    if not error.violations:
        return error.message
    found = ((_NAMES.get(each.field, each.field.removeprefix("slot.")), each.description) for each in error.violations)
    return "; ".join(f"{name}: {problem}" for name, problem in found)
