"""Every example of the description is sent to a new server, in order, and its answer is what the description says."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jsonschema import Draft202012Validator

from adamem_server.http.examples import DEDUPLICATION, EXAMPLES, JOB, MODEL, Example
from adamem_server.http.routes import ROUTES
from tests.integration.conftest import NewServer
from tests.integration.http import Answer, Http, events
from tests.unit.embed.exports import write_export

FORMS: dict[tuple[str, str], str] = {(route.verb, route.path): route.form for route in ROUTES}


def send(http: Http, example: Example, ids: dict[str, str], files: dict[str, bytes]) -> Answer:
    def with_ids(value: Any) -> Any:
        text = json.dumps(value)
        for stands_for, found in ids.items():
            text = text.replace(stands_for, found)
        return json.loads(text)

    parameters = with_ids(dict(example.parameters))
    path = example.path
    for name in [name for name in parameters if f"{{{name}}}" in path]:
        path = path.replace(f"{{{name}}}", quote(parameters.pop(name), safe=""))
    if parameters:
        path += f"?{urlencode(parameters)}"
    if example.file:
        return http.call(example.verb, path, files[example.file], content_type="application/zip")
    if isinstance(example.body, list):
        lines = "".join(f"{json.dumps(line)}\n" for line in with_ids(example.body))
        return http.call(example.verb, path, lines.encode(), content_type="application/x-ndjson")
    return http.call(example.verb, path, None if example.body is None else with_ids(example.body))


def wait_for(http: Http, job_id: str) -> dict[str, Any]:
    connection = http.connect()
    try:
        *_, (kind, _, last), end = events(http.send(connection, "GET", f"/v1/jobs/{job_id}/watch"))
        assert (kind, end[0]) == ("message", "end")
        job: dict[str, Any] = last["job"]
        return job
    finally:
        connection.close()


def check(api: dict[str, Any], example: Example, answer: Answer) -> None:
    """The answer is as described."""
    described = api["paths"][example.path][example.verb.lower()]["responses"]["200"]["content"]
    kind = answer.headers["content-type"]
    assert kind in described
    schema = Draft202012Validator({**described[kind]["schema"], "components": api["components"]})
    if kind == "application/json":
        schema.validate(answer.json)
    elif kind == "application/x-ndjson":
        for line in answer.body.splitlines():
            schema.validate(json.loads(line))
    elif kind == "text/event-stream":
        for line in answer.body.splitlines():
            if line.startswith(b'data: {"'):
                schema.validate(json.loads(line.removeprefix(b"data: ")))
    else:
        assert int(answer.headers.get("content-length", len(answer.body))) == len(answer.body) > 100


def test_every_example_succeeds(new_server: NewServer, tmp_path: Path) -> None:
    folder = tmp_path / "models" / MODEL
    folder.mkdir(parents=True)
    write_export(folder)
    http = Http(new_server(ADAMEM_MODELS_DIR=str(tmp_path / "models")).start().http_port)
    api = http.ok("GET", "/openapi.json")
    ids: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for example in EXAMPLES:
        answer = send(http, example, ids, files)
        assert answer.status == 200, (example, answer)
        check(api, example, answer)
        if FORMS[example.verb, example.path] == "download":
            files[example.path] = answer.body
        elif answer.headers["content-type"] == "application/json" and "job" in answer.json:
            job = answer.json["job"]
            ids[JOB] = job["id"]
            if job["kind"] == "deduplicate":
                ids[DEDUPLICATION] = job["id"]
            ended = wait_for(http, job["id"])
            assert ended["state"] == "JOB_STATE_SUCCEEDED", (example, ended)
