import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import click
import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from adamem_server.cli.main import COMMANDS, main
from adamem_server.cli.session import Session
from tests.unit.cli.conftest import json_lines
from tests.unit.client.conftest import info, status

ELSEWHERE = {"serve"}


def commands(group=main, path=()):
    """All commands with their path, but those of other rooms."""
    context = click.Context(group)
    for name in group.list_commands(context):
        if name not in ELSEWHERE:
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from commands(command, (*path, name))
            else:
                yield (*path, name), command


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda each: "-".join(each) if isinstance(each, tuple) else ""
)
def test_each_command_has_help_json_and_environment_variables(path, command, run) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "--json" in result.output
    for each in command.params:
        if isinstance(each, click.Option):
            assert each.help, (path, each.name)
            assert each.show_envvar, (path, each.name)
            assert f"--{each.name}".replace("_", "-") in each.opts, "the variable's name is the option's"


def test_help_imports_no_client() -> None:
    """`adamem --help` is quick: neither gRPC nor numpy are imported for it."""
    code = (
        "import sys; from adamem_server.cli.main import main; main(['--help'], standalone_mode=False);"
        " sys.exit(bool({'grpc', 'numpy', 'adamem', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_the_table_names_what_the_commands_say() -> None:
    context = click.Context(main)
    for name, (_, summary) in COMMANDS.items():
        if name not in ELSEWHERE:
            command = main.get_command(context, name)
            assert command is not None
            assert command.name == name
            assert summary


def test_update_prints_the_id(run, server) -> None:
    result = run(
        "update", "green tea", "--cue", "What does she drink?", "--kind", "preference", "--user-id", "u", "--tag", "a",
        "--tag", "b", "--metadata", '{"n": 1}', "--importance", "0.5", "--ttl-s", "60", "-n", "alice",
    )  # fmt: skip
    assert result.exit_code == 0
    slot_id = result.stdout.strip()
    assert result.stderr == "stored\n"
    stored = MessageToDict(server.slots["alice"][slot_id], preserving_proto_field_name=True)
    assert stored == {
        "content": "green tea",
        "cue": "What does she drink?",
        "kind": "SLOT_KIND_PREFERENCE",
        "scope": {"user_id": "u"},
        "tags": ["a", "b"],
        "metadata": {"n": 1.0},
        "importance": 0.5,
        "ttl": "60s",
    }


def test_update_reads_standard_input(run, server) -> None:
    assert json_lines(run("update", "-", "--json", stdin="from a pipe"))[0]["created"] is True
    assert [each.content for each in server.slots[""].values()] == ["from a pipe"]


def test_query(run, server) -> None:
    run("update", "green tea\nin the morning", "--tag", "drink", "--user-id", "u")
    result = run(
        "query", "tea?", "-k", "3", "--user-id", "u", "--tag", "x", "--filter", '{"importance": {"$gte": 0.5}}'
    )
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("1. 1.0000  ")
    assert result.stdout.splitlines()[0].endswith("user=u  #drink")
    assert result.stdout.splitlines()[1:] == ["   green tea", "   in the morning"]
    assert result.stderr.startswith("1 hit in 1.5 ms")
    request = server.seen[-1]
    assert request.top_k == 3
    assert [each.condition.field for each in request.filter.all.filters] == ["importance", "user_id", "tags"]
    found = json_lines(run("query", "tea?", "--json"))
    assert found[0]["hits"][0]["slot"]["content"] == "green tea\nin the morning"


def test_query_searches_several_namespaces(run, server) -> None:
    run("query", "x", "-n", "a", "-n", "b")
    assert list(server.seen[-1].namespaces) == ["a", "b"]
    run("-n", "c", "query", "x")
    assert list(server.seen[-1].namespaces) == ["c"]


def test_options_come_from_the_environment(run, server, monkeypatch) -> None:
    monkeypatch.setenv("MEMORY_NAMESPACE", "bob")
    monkeypatch.setenv("MEMORY_API_KEY", "key")
    monkeypatch.setenv("MEMORY_QUERY_TOP_K", "9")
    monkeypatch.setenv("MEMORY_QUERY_FILTER", '{"role": "user"}')
    run("query", "x")
    assert (list(server.seen[-1].namespaces), server.seen[-1].top_k) == (["bob"], 9)
    assert server.seen[-1].filter.condition.field == "role"
    assert server.metadata["authorization"] == "Bearer key"


def test_feedback(run, server) -> None:
    slot_id = run("update", "tea", "-n", "a").stdout.strip()
    said = run("feedback", "drink?", "--helped", slot_id, "--unhelpful", "other", "-n", "a")
    assert said.stderr == "taught 1 slot(s), 1 unknown\n"
    assert list(server.seen[-1].helped_slot_ids) == [slot_id]
    told = json_lines(run("feedback", "drink?", "--helped", slot_id, "-n", "a", "--json"))
    assert told == [{"n_taught": 1, "n_not_found": 0}]


def test_adapter(run, server) -> None:
    assert "version        1" in run("adapter", "show", "-n", "a").stdout
    assert run("adapter", "show", "a").stdout == run("adapter", "show", "-n", "a").stdout
    assert [each.namespace for each in server.seen[-2:]] == ["a", "a"]
    assert json_lines(run("adapter", "show", "--json", "-n", "a"))[0]["last_training"]["outcome"] == "promoted"
    assert run("adapter", "versions").stdout.startswith("*    1  1970-01-01     40 pairs")
    assert json_lines(run("adapter", "versions", "--json"))[0]["serving"] is True
    assert json_lines(run("adapter", "train", "--json"))[0]["training"] is False
    assert json_lines(run("adapter", "train", "--no-wait", "--json"))[0]["training"] is True
    assert json_lines(run("adapter", "rollback", "0", "--json"))[0]["version"] == 0
    assert run("adapter", "rollback", "7").exit_code == 1
    for command, enabled in (("on", True), ("off", False)):
        assert run("adapter", command, "-n", "a").exit_code == 0
        assert (server.seen[-1].name, server.seen[-1].adapter_enabled) == ("a", enabled)


def test_slots(run, server) -> None:
    ids = [run("update", f"slot {n}").stdout.strip() for n in range(5)]
    assert [each["id"] for each in json_lines(run("slots", "list", "--json"))] == ids
    assert len(run("slots", "list", "--limit", "2").stdout.splitlines()) == 2
    assert json_lines(run("slots", "get", ids[0], "--json"))[0]["content"] == "slot 0"
    assert "slot 0" in run("slots", "get", ids[0]).stdout
    assert json_lines(run("slots", "delete", ids[0], ids[1], "--yes", "--json"))[0]["n_deleted"] == 2
    assert run("slots", "delete").exit_code == 2
    assert run("slots", "delete", ids[2], "--user-id", "u").exit_code == 2


def test_deleting_asks_first(run, server) -> None:
    slot_id = run("update", "kept").stdout.strip()
    refused = run("slots", "delete", slot_id, stdin="n\n")
    assert refused.exit_code == 1
    assert "Delete 1 slot(s) of namespace (default)?" in refused.stderr
    assert run("slots", "delete", slot_id, stdin="").exit_code == 1
    assert slot_id in server.slots[""]
    assert run("slots", "delete", slot_id, stdin="y\n").exit_code == 0
    run("namespace", "create", "a")
    assert run("namespace", "delete", "a", stdin="n\n").exit_code == 1
    assert "a" in server.slots
    assert run("namespace", "delete", "a", "--yes").exit_code == 0
    assert "a" not in server.slots


def test_namespaces(run, server) -> None:
    made = json_lines(run("namespace", "create", "a", "--metric", "dot", "--dim", "8", "--m", "4", "--json"))[0]
    assert (made["name"], made["metric"], made["dim"]) == ("a", "dot", 8)
    assert server.seen[-1].index_params.m == 4
    run("namespace", "create", "b")
    assert [each["name"] for each in json_lines(run("namespace", "list", "--json"))] == ["a", "b"]
    assert run("namespace", "list", "--prefix", "b").stdout.startswith("b ")
    assert "name" in run("namespace", "show", "a").stdout
    assert run("namespace", "update", "a", "--description", "words").exit_code == 0
    assert server.seen[-1].description == "words"
    assert not server.seen[-1].HasField("ef_search")


def test_version(run) -> None:
    assert json_lines(run("version", "--json"))[0]["server"] == "0.0"
    unreached = run("--endpoint", "localhost:1", "version")
    assert unreached.exit_code == 0
    assert "UNAVAILABLE" in unreached.stdout


def test_where_no_server_is_the_error_says_how_to_start_one(run) -> None:
    result = run("--endpoint", "localhost:1", "query", "text")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: nothing listens there; is the server running (adamem serve)")
    assert result.stderr.endswith(" [UNAVAILABLE]\n")


def test_grpc_logs_nothing_beside_the_error(endpoint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "adamem_server.cli", "--endpoint", f"https://{endpoint}", "query", "text"],
        env={name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: what listens there speaks no TLS")
    assert done.stderr.count("\n") == 1


def test_an_error_of_the_server_is_one_line_and_exit_code_1(run) -> None:
    result = run("slots", "get", "nobody")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: no slot [SLOT_NOT_FOUND]\n")
    result = run("slots", "get", "nobody", "--json")
    assert json.loads(result.stderr)["error"] == {
        "reason": "SLOT_NOT_FOUND",
        "message": "no slot",
        "metadata": {"slot_id": "x"},
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("query",),
        ("query", "x", "--filter", "{"),
        ("query", "x", "--filter", "[]"),
        ("query", "x", "--filter", '{"lang": "ru"}'),
        ("query", "x", "--top-k", "many"),
        ("update", "x", "--kind", "thought"),
        ("update", "x", "--created-at", "yesterday"),
        ("update", "x", "--metadata", "5"),
        ("nonsense",),
        ("ingest", "/no/such/file"),
    ],
)
def test_a_wrong_command_is_exit_code_2_and_sends_nothing(run, server, arguments) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert server.seen == []


def test_an_option_of_all_commands_behind_one_is_told_its_place(run) -> None:
    result = run("slots", "list", "--endpoint", "localhost:1")
    assert result.exit_code == 2
    assert "before the command: adamem --endpoint ... slots" in result.stderr
    assert "before" not in run("slots", "list", "--no-such").stderr


def test_what_the_server_calls_invalid_is_exit_code_2(run, server) -> None:
    server.failures = [status(grpc.StatusCode.INVALID_ARGUMENT, "top_k: too large", info("INVALID_ARGUMENT"))]
    assert run("query", "x").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "field", "named"),
    [
        (("namespace", "update", "a", "--max-slots", "9"), "archive.max_slots", "--max-slots"),
        (("namespace", "update", "a", "--half-life-s", "9"), "archive.half_life", "--half-life-s"),
        (("namespace", "create", "a", "--duplicate-threshold", "9"), "duplicates.threshold", "--duplicate-threshold"),
        (("namespace", "create", "a", "--consolidate-every-s", "9"), "consolidation.every", "--consolidate-every-s"),
        (("namespace", "create", "a", "--ef-search", "9"), "index_params.ef_search", "--ef-search"),
        (("namespace", "create", "é"), "name", "NAME"),
        (("query", "x", "-k", "9"), "top_k", "--top-k"),
        (("update", "x", "--tag", "y"), "slot.tags[0]", "--tag"),
        (("update", "x", "--metadata", '{"a": 1}'), "slot.metadata.a", "--metadata"),
        (("update", "x"), "slot.content", "CONTENT"),
        (("slots", "list"), "page_size", "page_size"),
    ],
)
def test_an_error_names_the_option_that_is_wrong(run, server, arguments, field, named) -> None:
    server.failures = [
        status(grpc.StatusCode.INVALID_ARGUMENT, f"{field}: is wrong", info("INVALID_ARGUMENT", field=field))
    ] * 2
    assert run(*arguments).stderr == f"Error: {named}: is wrong [INVALID_ARGUMENT]\n"
    # Programs know the fields of the protocol.
    assert json.loads(run(*arguments, "--json").stderr)["error"]["message"] == f"{field}: is wrong"


def test_a_value_beyond_the_protocol_names_option_value_and_limit(run, server) -> None:
    result = run("namespace", "update", "a", "--max-slots", str(2**64))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: --max-slots: is {2**64}, the range is 0 to {2**64 - 1}")
    assert server.seen == []


def test_a_command_that_is_too_late_tells_its_limit(run, server) -> None:
    server.awake.clear()
    result = run("--timeout-s", "0.05", "query", "x")
    assert result.exit_code == 1
    assert "no answer within 0.05 s" in result.stderr
    assert "; --timeout-s sets the limit of each call [DEADLINE_EXCEEDED]" in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--endpoint", "http://x", "--ca-cert", "FILE"), "--endpoint: http:// contradicts --ca-cert ["),
        (("--endpoint", "http://x", "--client-cert", "FILE", "--client-key", "FILE"), "contradicts --client-cert ["),
        (("--ca-cert", "FILE"), "Error: --ca-cert: "),
        (("--client-cert", "FILE"), "--client-key: --client-cert and --client-key go together ["),
        (("--api-key", "ключ"), "Error: --api-key: holds characters"),
        (("--endpoint", "ftp://x"), "Error: --endpoint: unknown scheme 'ftp'"),
    ],
)
def test_an_error_of_the_connection_names_options(run, tmp_path, options, told) -> None:
    (tmp_path / "empty.pem").touch()
    given = [str(tmp_path / "empty.pem") if each == "FILE" else each for each in options]
    for command in (("query", "x"), ("mcp",)):
        result = run(*given, *command)
        assert result.exit_code == 2
        assert told.removeprefix("Error: ").removesuffix(" [") in result.stderr
        assert told in result.stderr or command == ("mcp",)


def test_a_failed_connection_names_options(run) -> None:
    """The server closes what is no gRPC over TLS, and speaks none itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=answer, daemon=True).start()
        endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
        plain = run("--endpoint", endpoint, "--timeout-s", "5", "query", "x")
        secure = run("--endpoint", f"https://{endpoint}", "--timeout-s", "5", "query", "x")
        listener.shutdown(socket.SHUT_RDWR)
    assert (plain.exit_code, secure.exit_code) == (1, 1)
    assert "begin --endpoint with https://, or give --ca-cert (" in plain.stderr
    assert "give --client-cert and --client-key (" in secure.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-n", "bad ns", "mcp"), "--namespace: must be 1 to 128 characters of A-Z a-z 0-9"),
        (("mcp", "-n", "bad ns"), "--namespace: must be 1 to 128 characters of A-Z a-z 0-9"),
        (("-n", "bad ns", "mcp", "config", "cursor"), "--namespace: must be 1 to 128 characters of A-Z a-z 0-9"),
        (("mcp", "--user-id", "я" * 129), "--user-id: has 258 bytes, the limit is 256"),
        (("mcp", "--agent-id", "a" * 257), "--agent-id: has 257 bytes, the limit is 256"),
        (("mcp", "--transport", "http", "--token", "ключ"), "--token: holds characters that cannot be sent"),
        (("mcp", "--transport", "http", "--tls-cert", "FILE", "--tls-key", "FILE"), "--tls-key: "),
    ],
)
def test_what_mcp_could_never_serve_is_refused_at_its_start(run, tmp_path, arguments, told) -> None:
    (tmp_path / "empty.pem").touch()
    result = run(*(str(tmp_path / "empty.pem") if each == "FILE" else each for each in arguments))
    assert result.exit_code == 2
    assert f"Error: {told}" in result.stderr


def test_a_session_does_not_show_secrets_when_it_connects() -> None:
    with Session(endpoint="localhost:1", api_key="s3cret").client() as client:
        assert "s3cret" not in repr(client)


def test_the_bundled_encoder_is_listed(run, tmp_path) -> None:
    listed = json_lines(run("model", "list", "--models-dir", str(tmp_path), "--json"))
    assert [each["name"] for each in listed if each["bundled"]] == ["all-MiniLM-L6-v2"]
    assert "bundled" in run("model", "list").stdout


def test_the_folder_of_encoders_is_the_servers_setting(run, tmp_path, monkeypatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "name" / "tokenizer.json").write_text("{}")
    monkeypatch.setenv("ADAMEM_MODELS_DIR", str(tmp_path))
    listed = json_lines(run("model", "list", "--json"))
    assert {"name": "org/name", "path": str(tmp_path / "org" / "name"), "bundled": False} in listed
    assert run("model", "pull", "org/name").stdout == f"{tmp_path / 'org' / 'name'}\n"


def test_what_is_no_hub_id_is_not_pulled(run, tmp_path) -> None:
    result = run("model", "pull", "nonsense", "--models-dir", str(tmp_path), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["reason"] == "MODEL_NOT_FOUND"
