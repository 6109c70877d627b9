"""The page of HTTP and its openapi.json, from the description that the server serves."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from shlex import quote
from typing import Any, Final
from urllib.parse import quote as percent
from urllib.parse import urlencode

from docs_protocol import comment, link

from adamem_server.http.openapi import build, examples_of
from adamem_server.http.routes import ROUTES, Route

WIDTH: Final = 90
_MORE: Final = (
    " [What holds for all of them](../http.md). For programs there is [openapi.json](openapi.json), which a server has"
    " at `/openapi.json`; its `/docs` lets you try each path. Each example is sent to a server by our tests.\n"
)


def pages() -> dict[str, str]:
    """The page, and the description for programs."""
    described = build(version("adamem-server"))
    text = [
        "# HTTP\n\n",
        described["info"]["description"],
        _MORE,
        *(part for route in ROUTES for part in _route(route, described)),
    ]
    return {
        "reference/http.md": "".join(text),
        "reference/openapi.json": json.dumps(described, ensure_ascii=False, indent=1),
    }


def _route(route: Route, described: dict[str, Any]) -> Iterator[str]:
    operation = described["paths"][route.path][route.verb.lower()]
    method = route.descriptor
    answer = "the bytes of a file" if route.form == "download" else _linked(method.output_type)
    if route.form == "messages" and method.server_streaming:
        answer = f"a stream of {answer}"
    yield f"\n## {route.verb} {route.path}\n\n{comment(method.full_name)}\n\n"
    yield f"Fields of {_linked(method.input_type)}; the answer is {answer}.\n"
    rows = [each for each in operation["parameters"] if "$ref" not in each]
    if rows:
        yield "\n| parameter | in | |\n| --- | --- | --- |\n"
        for each in rows:
            text = comment(f"{method.input_type.full_name}.{each['name']}")
            yield f"| `{each['name']}` | {each['in']} | {text} |\n"
    for short, path in route.renames.items():
        yield f"\n`{short}` is `{path}`.\n"
    for example in examples_of(route)[:1]:
        yield f"\n```bash\n{_command(example.verb, example)}\n```\n"


def _linked(message: Any) -> str:
    return link(message).replace("](#", "](protocol.md#")


def _command(verb: str, example: Any) -> str:
    parameters = dict(example.parameters)
    path = example.path
    for name in [name for name in parameters if f"{{{name}}}" in path]:
        path = path.replace(f"{{{name}}}", percent(parameters.pop(name), safe=""))
    url = quote(f"localhost:9000{path}{'?' if parameters else ''}{urlencode(parameters)}")
    chosen = "" if verb == "GET" else f"-X {verb} "
    if example.file:
        return f"curl -H 'content-type: application/zip' --data-binary @package.zip {url}"
    if isinstance(example.body, list):
        lines = " ".join(quote(json.dumps(line, ensure_ascii=False)) for line in example.body)
        return f"printf '%s\\n' {lines} |\n  curl -H 'content-type: application/x-ndjson' --data-binary @- {url}"
    if example.body is not None:
        post = "" if verb == "POST" else chosen
        return f"curl {post}--json {quote(_json(example.body))} {url}"
    return f"curl {chosen}{url}"


def _json(value: Any, indent: str = "") -> str:
    """JSON on one line where it fits, else a field a line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent + line) <= WIDTH or not isinstance(value, dict):
        return line
    fields = (f"{indent}  {json.dumps(name)}: {_json(each, indent + '  ')}" for name, each in value.items())
    return "{\n" + ",\n".join(fields) + f"\n{indent}}}"
