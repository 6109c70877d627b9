"""Whether an answer is the expected one; clients/go/contract_match_test.go has the same rules.

What an answer lacks and what has its default value are the same, but for the fields that can be present with it, and
for the caller's own JSON.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

# Scalars that say something with their default value too: a zero there is not the same as nothing.
PRESENT: Final = frozenset(json.loads((Path(__file__).parent / "present.json").read_text(encoding="utf-8")))
# The caller's own JSON, and the variables of an error.
_EXACT: Final = "metadata"
MATCHERS: Final = frozenset({"$any", "$bind", "$exact", "$has", "$maybe", "$near", "$ref", "$set", "$time"})
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "number": (int, float),
    "bool": bool,
    "object": dict,
    "list": list,
}
_TOLERANCE: Final = 1e-6
_MISSING: Final = object()


def filled(value: Any, variables: dict[str, Any]) -> Any:
    """A request with its variables and repeated texts in it."""
    if isinstance(value, dict):
        if value.keys() == {"$ref"}:
            return variables[value["$ref"]]
        if value.keys() == {"$repeat"}:
            text, n = value["$repeat"]
            return text * n
        return {key: filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, variables) for each in value]
    return value


def differences(expected: Any, actual: Any, variables: dict[str, Any], *, exact: bool = False) -> list[str]:
    """What is not as expected, a line each; `variables` gets what the expectation binds."""
    return list(_differences(expected, actual, variables, "", exact=exact))


def _differences(expected: Any, actual: Any, variables: dict[str, Any], path: str, *, exact: bool) -> list[str]:
    matcher = _matcher(expected)
    if matcher is not None:
        return _matched(*matcher, actual, variables, path, exact=exact)
    if actual is _MISSING:
        return [f"{path}: is missing, {_shown(expected)} is expected"]
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _in_object(expected, actual, variables, path, exact=exact)
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{path}: has {len(actual)} items, {len(expected)} are expected: {_shown(actual)}"]
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(a, b, variables, f"{path}[{i}]", exact=exact)]
    return (
        []
        if _equal(expected, actual, exact=exact)
        else [f"{path}: is {_shown(actual)}, {_shown(expected)} is expected"]
    )


def _in_object(
    expected: dict[str, Any], actual: dict[str, Any], variables: dict[str, Any], path: str, *, exact: bool
) -> list[str]:
    found = []
    for key in sorted(expected.keys() | actual.keys()):
        here = f"{path}.{key}" if path else key
        value = actual.get(key, _MISSING)
        strict = exact or key == _EXACT
        if key not in expected:
            if exact or not _is_default(key, value):
                found.append(f"{here}: is {_shown(value)}, nothing is expected")
        elif value is _MISSING and not exact and _is_default(key, expected[key]):
            continue
        else:
            found += _differences(expected[key], value, variables, here, exact=strict)
    return found


def _matched(name: str, argument: Any, actual: Any, variables: dict[str, Any], path: str, *, exact: bool) -> list[str]:
    """What is wrong with a value that a matcher describes."""
    if name == "$ref":
        return _differences(variables[argument], actual, variables, path, exact=exact)
    if name == "$maybe":
        is_there = actual is not _MISSING and not _is_default("", actual)
        return _differences(argument, actual, variables, path, exact=exact) if is_there else []
    if name == "$any" and argument in ("number", "bool") and actual is _MISSING:
        return []
    if name == "$near" and actual is _MISSING:
        actual = 0
    if actual is _MISSING:
        return [f"{path}: is missing, {name} is expected"]
    if name == "$bind":
        variables[argument] = actual
        return [] if actual else [f"{path}: is {_shown(actual)}, there is nothing to bind"]
    if name == "$time":
        return [] if _is_time(actual) else [f"{path}: is {_shown(actual)}, a time is expected"]
    if name == "$near":
        middle, reach = argument
        near = _is_number(actual) and abs(actual - middle) <= reach
        return [] if near else [f"{path}: is {_shown(actual)}, {middle} within {reach} is expected"]
    if name == "$any":
        fits = isinstance(actual, _TYPES[argument]) and (argument == "bool" or not isinstance(actual, bool))
        return [] if fits else [f"{path}: is {_shown(actual)}, a {argument} is expected"]
    if name == "$exact":
        return _differences(argument, actual, variables, path, exact=True)
    if name == "$has":
        if not isinstance(actual, dict):
            return [f"{path}: is {_shown(actual)}, an object is expected"]
        named = {key: value for key, value in actual.items() if key in argument}
        return _differences(argument, named, variables, path, exact=exact)
    return _in_any_order(argument, actual, variables, path, exact=exact)


def _in_any_order(expected: list[Any], actual: Any, variables: dict[str, Any], path: str, *, exact: bool) -> list[str]:
    if not isinstance(actual, list) or len(actual) != len(expected):
        return [f"{path}: is {_shown(actual)}, {len(expected)} items are expected"]
    left = list(actual)
    for each in expected:
        for i, item in enumerate(left):
            trial = dict(variables)
            if not _differences(each, item, trial, path, exact=exact):
                variables.update(trial)
                del left[i]
                break
        else:
            return [f"{path}: has no item {_shown(each)}: {_shown(left)}"]
    return []


def _matcher(value: Any) -> tuple[str, Any] | None:
    if isinstance(value, dict) and len(value) == 1:
        ((name, argument),) = value.items()
        if name in MATCHERS:
            return name, argument
    return None


def _is_default(key: str, value: Any) -> bool:
    if value is None or value == "" or value == [] or value == {} or value == "0s" or value is False:
        return True
    if isinstance(value, str):
        return value.endswith("_UNSPECIFIED")
    if isinstance(value, dict):
        return _matcher(value) is None and all(_is_default(name, each) for name, each in value.items())
    return _is_number(value) and value == 0 and key not in PRESENT


def _equal(expected: Any, actual: Any, *, exact: bool) -> bool:
    if _is_number(expected) and _is_number(actual):
        if exact or (float(expected).is_integer() and float(actual).is_integer()):
            return bool(expected == actual)
        return bool(abs(expected - actual) <= _TOLERANCE * max(1.0, abs(expected)))
    return type(expected) is type(actual) and bool(expected == actual)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
