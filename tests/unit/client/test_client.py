import asyncio
import inspect
import shutil
import subprocess
import typing
from concurrent import futures

import grpc
import pytest

import adamem
from adamem._base import parse_endpoint
from adamem.v1 import admin_service_pb2_grpc as admin_grpc
from adamem.v1 import memory_service_pb2 as memory_pb
from tests.unit.client.conftest import info, retry_after, status

UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE, "later", info("SHUTTING_DOWN"), retry_after(0.0))


def methods(client_class):
    return {
        name: inspect.signature(each)
        for name, each in inspect.getmembers(client_class, inspect.isfunction)
        if not name.startswith("_")
    }


def unwrapped(annotation) -> str:
    """An annotation as text, with the asynchronous forms named as the others."""
    return str(annotation).replace("Async", "").replace("~", "")


def test_the_twins_have_the_same_methods_with_the_same_arguments() -> None:
    plain, asynchronous = methods(adamem.Client), methods(adamem.AsyncClient)
    assert list(plain) == list(asynchronous)
    for name, signature in plain.items():
        twin = asynchronous[name]
        assert list(signature.parameters) == list(twin.parameters), name
        for each, parameter in signature.parameters.items():
            assert (parameter.kind, parameter.default) == (twin.parameters[each].kind, twin.parameters[each].default)
            if (name, each) != ("bulk_update", "items"):
                assert str(parameter.annotation) == str(twin.parameters[each].annotation), (name, each)
        assert unwrapped(signature.return_annotation) == unwrapped(twin.return_annotation), name


def test_the_twins_document_the_same() -> None:
    for name in methods(adamem.Client):
        plain = inspect.getdoc(getattr(adamem.Client, name))
        twin = inspect.getdoc(getattr(adamem.AsyncClient, name))
        assert name == "bulk_update" or plain == twin, name


GROUPS = ("archive", "backups", "duplicates", "history", "jobs", "lifecycle", "packages", "snapshots")


def test_there_are_no_other_groups() -> None:
    with adamem.Client("localhost:1") as client:
        assert {name for name in vars(client) if not name.startswith("_")} == set(GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_the_twins_of_a_group_are_the_same(group: str) -> None:
    with adamem.Client("localhost:1") as client:
        plain = type(getattr(client, group))
    asynchronous = typing.get_type_hints(getattr(adamem.AsyncClient, group).func)["return"]
    assert list(methods(plain)) == list(methods(asynchronous))
    for name, signature in methods(plain).items():
        twin = methods(asynchronous)[name]
        assert str(signature.parameters) == str(twin.parameters), name
        assert unwrapped(signature.return_annotation) == unwrapped(twin.return_annotation), name
        assert inspect.getdoc(getattr(plain, name)) == inspect.getdoc(getattr(asynchronous, name)), name
        positional = [each for each in signature.parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
        assert len(positional) <= 3, name
        assert "timeout_s" in signature.parameters, name


def test_options_are_keyword_only_and_calls_have_a_time_limit() -> None:
    for name, signature in methods(adamem.Client).items():
        positional = [each for each in signature.parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
        assert len(positional) <= 2, name
        assert name == "close" or "timeout_s" in signature.parameters


def test_update_takes_the_fields_of_a_slot_input() -> None:
    parameters = set(inspect.signature(adamem.Client.update).parameters)
    assert parameters - {"self", "namespace", "request_id", "timeout_s"} == set(typing.get_type_hints(adamem.SlotInput))


EXPORTED = sorted(
    """
    AbsorbedSlot AbsorbedSlotPage DuplicateAction DuplicateMatch DuplicatePair DuplicatePairPage DuplicatePolicy
    DuplicateScope RecalledAction ArchivePolicy ArchivedSlots MarkResult
    DataFileSize Finding FindingExample FindingKind FindingSlotPage HealthReport StructureSize
    DiffKind Ending RestoredSlot SlotDiff SlotDiffPage SlotVersion SlotVersionPage Snapshot SnapshotPage Validity
    SlotVersionNotFoundError SnapshotNotFoundError SnapshotExistsError
    GenerationChangedError
    AbortedError AdaMemError AdapterStatus AdapterVersion AdapterVersionNotFoundError FeedbackResult TrainingOutcome
    BackupInvalidError ClientClosedError BackupResult DeleteNamespaceResult DeletionReceipt StructureCount
    TrainingReport ImportMode ImportResult PackageError PackageFormatError PackageInfo PackageModelError
    PackageProgress PackageSignatureError PackageTooLargeError
    AlreadyExistsError AsyncClient BatchUpdateResult BulkFailure BulkResult Client
    DataCorruptError DeadlineExceededError DeleteResult DimensionMismatchError EmbedderClosedError
    FailedPreconditionError FieldViolation FilterError Hit IndexKind IndexParams InternalError InvalidArgumentError
    TouchResult Job JobCancelledError JobNotFoundError JobPage JobRunningError JobState
    Limits Metric ModelError ModelMismatchError Namespace NamespaceExistsError NamespaceNotFoundError NamespacePage
    NotFoundError OverloadedError QueryMode QueryResult QueryTimings RequestIdReusedError ResourceExhaustedError
    ServerInfo ShardStaleError ShuttingDownError Slot SlotInput SlotKind SlotNotFoundError SlotPage StorageFullError
    ConsolidationMethod ConsolidationPolicy PlannedSummary
    UnauthenticatedError UnavailableError UnimplementedError UpdateResult Vector VectorType __version__ check_slot
    """.split()  # noqa: SIM905
)


def test_what_is_exported() -> None:
    assert sorted(adamem.__all__) == EXPORTED
    assert all(hasattr(adamem, each) for each in adamem.__all__)


@pytest.mark.parametrize(
    ("endpoint", "address", "tls"),
    [
        ("host", "host:50051", False),
        ("host:1", "host:1", False),
        ("http://host:1/", "host:1", False),
        ("grpc://host", "host:50051", False),
        ("https://host:1", "host:1", True),
        ("grpcs://host", "host:50051", True),
        ("[::1]", "[::1]:50051", False),
        ("[::1]:7", "[::1]:7", False),
        ("::1", "[::1]:50051", False),
        ("unix:/tmp/a.sock", "unix:/tmp/a.sock", False),
    ],
)
def test_endpoints(endpoint, address, tls) -> None:
    target = parse_endpoint(endpoint)
    assert (target.address, target.tls) == (address, tls)


@pytest.mark.parametrize(
    ("endpoint", "tls"),
    [
        ("ftp://host", None),
        ("https://host", False),
        ("", None),
        ("http://", None),
        ("host:", None),
        ("host:a", None),
        (":1", None),
        ("host:65536", None),
        (f"host:{'9' * 5000}", None),
        ("host:٣", None),
        ("host\udcff", None),
        ("ho\nst:1", None),
    ],
)
def test_endpoints_that_are_none(endpoint, tls) -> None:
    with pytest.raises(adamem.InvalidArgumentError):
        parse_endpoint(endpoint, tls)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"endpoint": 50051}, "endpoint: text is expected, not int"),
        ({"namespace": 7}, "namespace: one name is expected, not int"),
        ({"namespace": ["a", "b"]}, "namespace: one name is expected, not list"),
        ({"timeout_s": "60"}, "timeout_s: a number of seconds is expected, not '60'"),
        ({"timeout_s": float("nan")}, "timeout_s: a number of seconds is expected, not nan"),
        ({"max_attempts": 0}, "max_attempts: at least 1 is expected, not 0"),
        ({"max_attempts": 1.5}, "max_attempts: a whole number is expected, not 1.5"),
        ({"max_attempts": None}, "max_attempts: at least 1 is expected, not None"),
    ],
)
def test_settings_are_checked_when_a_client_is_made(settings, told) -> None:
    for kind in (adamem.Client, adamem.AsyncClient):
        with pytest.raises(adamem.InvalidArgumentError) as caught:
            kind(**settings)
        assert caught.value.message == told


def test_the_endpoint_comes_from_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("MEMORY_ENDPOINT", "elsewhere:7")
    assert "elsewhere:7" in repr(adamem.Client())
    assert "here:50051" in repr(adamem.Client("here"))
    monkeypatch.delenv("MEMORY_ENDPOINT")
    assert "localhost:50051" in repr(adamem.Client())


def test_the_api_key_is_sent_as_a_bearer_token_and_not_shown(endpoint, server) -> None:
    with adamem.Client(endpoint, api_key="s3cret") as client:
        client.server_info()
        assert "s3cret" not in repr(client)
    assert server.metadata["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("key", ["ключ", "a\nb", "\udcff"])
def test_an_api_key_that_cannot_be_sent_is_refused_and_not_shown(key) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        adamem.Client("localhost:1", api_key=key)
    assert caught.value.metadata == {"field": "api_key"}
    assert key not in str(caught.value)


@pytest.mark.parametrize("timeout_s", [1e12, float("inf")])
def test_a_time_limit_may_be_endless(client, timeout_s) -> None:
    assert client.update("text", timeout_s=timeout_s).created
    # The server has no such method: much more than a limit would overflow, and end the call before it was asked.
    with pytest.raises(adamem.UnimplementedError):
        next(client.lifecycle.preview_consolidation(timeout_s=timeout_s))


def test_update_and_read_back(client, server) -> None:
    result = client.update("green tea", cue="What does she drink?", kind="preference", user_id="u", metadata={"n": 1})
    assert result.created
    assert result.ok
    slot = client.get_slot(result.slot_id)
    assert (slot.content, slot.cue, slot.kind, slot.user_id, slot.metadata) == (
        "green tea",
        "What does she drink?",
        adamem.SlotKind.PREFERENCE,
        "u",
        {"n": 1},
    )
    assert client.update("black tea", id=result.slot_id).created is False
    assert len(server.seen[0].request_id) == 32
    assert server.seen[0].request_id != server.seen[2].request_id


def test_query(client, server) -> None:
    client.batch_update(["a", "b", "c"])
    result = client.query("x", top_k=2, filter={"user_id": "u"}, min_score=0.5, ef_search=9, include_vectors=True)
    assert [hit.content for hit in result] == ["a", "b"]
    assert (len(result), result[0].score, result.timings.total_s) == (2, 1.0, 0.0015)
    request = server.seen[-1]
    assert (request.min_score, request.ef_search, request.include_vectors) == (0.5, 9, True)
    assert request.filter.condition.field == "user_id"
    client.query(vector=[0.5, 1.0])
    assert len(server.seen[-1].vector.values) == 8
    assert not server.seen[-1].HasField("top_k")


def test_namespaces_of_a_query(endpoint, server) -> None:
    with adamem.Client(endpoint, namespace="own") as client:
        for given, sent in [(None, ["own"]), ("x", ["x"]), (["x", "y"], ["x", "y"]), ("", [])]:
            client.query("q", namespace=given)
            assert list(server.seen[-1].namespaces) == sent
        with pytest.raises(adamem.InvalidArgumentError):
            client.query("q", namespace=[])
        client.update("x")
        assert server.seen[-1].namespace == "own"
        client.get_namespace()
        assert server.seen[-1].name == "own"


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.query(),
        lambda client: client.query("x", vector=[1.0]),
        lambda client: client.query("x", top_k=-1),
        lambda client: client.query("x", top_k="many"),
        lambda client: client.query("x", filter={"lang": "ru"}),
        lambda client: client.batch_update("one"),
        lambda client: client.batch_update([{"content": "x", "kind": "y"}]),
        lambda client: client.delete_slots(),
        lambda client: client.delete_slots([]),
        lambda client: client.delete_slots(filter={}),
        lambda client: client.delete_slots(["a"], filter={"role": "b"}),
        lambda client: client.create_namespace("x", metric="manhattan"),
        lambda client: client.create_namespace("x", dim=-3),
        lambda client: client.update("x", namespace=["a"]),
        lambda client: client.bulk_update([], batch_size=0),
        lambda client: client.query("x", timeout_s=float("nan")),
        lambda client: client.update("x", request_id="\ud800"),
        lambda client: client.update("x", namespace="\ud800"),
        lambda client: client.batch_update(["x"], namespace="\ud800"),
        lambda client: client.bulk_update(["x"], namespace="\ud800"),
        lambda client: client.get_namespace("\ud800"),
        lambda client: client.delete_namespace("\ud800"),
    ],
)
def test_what_cannot_be_meant_is_not_sent(client, server, call) -> None:
    with pytest.raises(adamem.InvalidArgumentError):
        call(client)
    assert server.seen == []


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda client: client.query("x", top_k="3"), "top_k"),
        (lambda client: client.query("x", top_k=3.0), "top_k"),
        (lambda client: client.query(["x"]), "text"),
        (lambda client: client.feedback("x", helped=[adamem.SlotInput("x")]), "helped_slot_ids[0]"),
        (lambda client: client.delete_slots(["a", 1]), "slot_ids[1]"),
    ],
)
def test_a_value_of_a_wrong_type_is_told_by_its_field(client, call, field) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        call(client)
    assert caught.value.violations[0].field == field
    assert "expected, not" in caught.value.message


def test_batch_results_come_one_by_one(client) -> None:
    result = client.batch_update(["good", {"content": "bad"}, adamem.SlotInput("fine")])
    assert [each.ok for each in result] == [True, False, True]
    assert isinstance(result.failures[0].error, adamem.InvalidArgumentError)
    assert result[1].slot_id == ""


def test_lists_are_fetched_page_by_page(client, server) -> None:
    client.batch_update([f"{n}" for n in range(250)])
    slots = client.list_slots()
    assert next(slots).content == "0"
    assert len(server.seen) == 2
    assert [each.content for each in slots] == [f"{n}" for n in range(1, 250)]
    assert len(server.seen) == 4
    page = client.list_slots_page(page_size=7)
    assert (len(page.slots), page.next_page_token) == (7, "7")
    nothing = adamem.DeletionReceipt((), None, 0)
    assert client.delete_slots([page.slots[0].id, "nobody"]) == adamem.DeleteResult(1, 1, 0, nothing)


def test_namespaces(client) -> None:
    for name in ("b", "a", "c"):
        assert client.create_namespace(name, metric="l2", index_params=adamem.IndexParams(m=8)).metric == "l2"
    assert [each.name for each in client.list_namespaces(page_size=2)] == ["a", "b", "c"]
    assert [each.name for each in client.list_namespaces(prefix="b")] == ["b"]
    assert client.update_namespace("a", description="d").description == "d"
    assert client.delete_namespace("a").n_slots == 0
    assert client.server_info().limits.max_top_k == 1000


def test_feedback(client, server) -> None:
    slot_id = client.update("tea").slot_id
    assert client.feedback("drink?", helped=slot_id, unhelpful=["nobody"]) == adamem.FeedbackResult(1, 1)
    request = server.seen[-1]
    assert (request.text, list(request.helped_slot_ids), list(request.unhelpful_slot_ids)) == (
        "drink?",
        [slot_id],
        ["nobody"],
    )
    assert request.request_id


def test_adapter(client, server) -> None:
    status = client.get_adapter(namespace="a")
    assert (status.namespace, status.enabled, status.version, status.n_pairs) == ("a", True, 1, 40)
    assert status.last_training is not None
    assert status.last_training.outcome is adamem.TrainingOutcome.PROMOTED
    assert (status.last_training.duration_s, status.last_training.cpu_s) == (2.0, 0.5)
    assert (status.last_training.baseline, status.last_training.candidate) == (0.5, 0.75)
    assert status.to_dict()["last_training"]["outcome"] == "promoted"
    assert [client.train_adapter(wait=wait).training for wait in (False, True)] == [True, False]
    (version,) = client.list_adapter_versions()
    assert (version.version, version.rank, version.dense_shift, version.serving) == (1, 32, 0.1, True)
    assert client.rollback_adapter(0).version == 0
    with pytest.raises(adamem.AdapterVersionNotFoundError):
        client.rollback_adapter(7)
    client.query("x", use_adapter=False)
    assert server.seen[-1].HasField("use_adapter")
    client.query("x")
    assert not server.seen[-1].HasField("use_adapter")
    client.update_namespace("a", adapter_enabled=False)
    assert server.seen[-1].HasField("adapter_enabled")


CALLS = {
    "feedback": lambda client: client.feedback("x", helped="y"),
    "get_adapter": lambda client: client.get_adapter(),
    "query": lambda client: client.query("x"),
    "get_namespace": lambda client: client.get_namespace("x"),
    "update": lambda client: client.update("x"),
    "batch_update": lambda client: client.batch_update(["x"]),
    "delete_slots": lambda client: client.delete_slots("x"),
    "create_namespace": lambda client: client.create_namespace("x"),
}
NEVER = {
    "update without": lambda client: client.update("x", request_id=""),
    "update_namespace": lambda client: client.update_namespace("x", ef_search=9),
    "delete_namespace": lambda client: client.delete_namespace("x"),
    "train_adapter": lambda client: client.train_adapter(),
    "rollback_adapter": lambda client: client.rollback_adapter(1),
}


@pytest.mark.parametrize("name", CALLS)
def test_unavailable_is_retried_with_the_same_request(client, server, name) -> None:
    server.failures = [UNAVAILABLE, UNAVAILABLE]
    CALLS[name](client)
    assert len(server.seen) == 3
    assert server.seen[0] == server.seen[1] == server.seen[2]


@pytest.mark.parametrize("name", NEVER)
def test_a_mutation_without_a_request_id_is_not_retried(client, server, name) -> None:
    server.failures = [UNAVAILABLE]
    with pytest.raises(adamem.ShuttingDownError):
        NEVER[name](client)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED]
)
def test_nothing_else_is_retried(client, server, code) -> None:
    server.failures = [status(code, "m", retry_after(0.0))]
    with pytest.raises(adamem.AdaMemError):
        client.query("x")
    assert len(server.seen) == 1


def test_a_call_that_is_too_late_tells_its_limit(endpoint, server) -> None:
    server.awake.clear()

    async def ask() -> None:
        async with adamem.AsyncClient(endpoint, timeout_s=0.05) as client:
            await client.query("x")

    for call in (lambda: adamem.Client(endpoint).query("x", timeout_s=0.05), lambda: asyncio.run(ask())):
        with pytest.raises(adamem.DeadlineExceededError, match=r"no answer within 0\.05 s") as caught:
            call()
        assert caught.value.metadata == {"timeout_s": "0.05"}


def test_retries_end(client, server) -> None:
    server.failures = [UNAVAILABLE] * 9
    with pytest.raises(adamem.UnavailableError):
        client.query("x")
    assert len(server.seen) == 5


def test_a_retry_that_the_time_limit_forbids_is_not_waited_for(client, server) -> None:
    server.failures = [status(grpc.StatusCode.UNAVAILABLE, "m", retry_after(3600.0))]
    with pytest.raises(adamem.UnavailableError):
        client.query("x", timeout_s=10.0)
    assert len(server.seen) == 1


def test_waits_until_the_server_answers(client, server) -> None:
    server.failures = [UNAVAILABLE] * 9
    assert client.wait_until_ready(timeout_s=120.0).version == "0.0"
    assert len(server.seen) == 10


def test_waiting_ends() -> None:
    with adamem.Client("localhost:1") as client, pytest.raises(adamem.AdaMemError):
        client.wait_until_ready(timeout_s=0.3)


def test_the_asynchronous_twin_does_the_same(endpoint, server) -> None:
    async def work() -> None:
        async with adamem.AsyncClient(endpoint) as client:
            await client.wait_until_ready()
            server.failures = [UNAVAILABLE]
            result = await client.update("tea", cue="?")
            assert (await client.get_slot(result.slot_id)).content == "tea"
            await client.batch_update([f"{n}" for n in range(150)])
            assert len([slot async for slot in client.list_slots()]) == 151
            assert len(await client.query("x")) == 4
            assert (await client.feedback("x", helped=result.slot_id)).n_taught == 1
            assert (await client.get_adapter()).version == 1
            assert len(await client.list_adapter_versions()) == 1
            assert not (await client.train_adapter(wait=True)).training
            assert (await client.rollback_adapter(0)).version == 0
            await client.create_namespace("a")
            assert [each.name async for each in client.list_namespaces()] == ["", "a"]
            assert (await client.delete_namespace("a")).n_slots == 0
            assert (await client.delete_slots(result.slot_id)).n_deleted == 1
            with pytest.raises(adamem.SlotNotFoundError):
                await client.get_slot(result.slot_id)
            with pytest.raises(adamem.FilterError):
                await client.query("x", filter={"lang": 1})

    asyncio.run(work())
    updates = [each for each in server.seen if isinstance(each, memory_pb.UpdateRequest)]
    assert len(updates) == 2
    assert updates[0] == updates[1]


def test_tls_with_a_certificate_of_ones_own(server, tmp_path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    listener = grpc.server(futures.ThreadPoolExecutor(2))
    admin_grpc.add_AdminServiceServicer_to_server(server, listener)
    pair = (key.read_bytes(), certificate.read_bytes())
    port = listener.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
    listener.start()
    try:
        with adamem.Client(f"https://localhost:{port}", ca_cert=certificate, api_key="k") as client:
            assert client.server_info().version == "0.0"
        stranger = adamem.Client(f"localhost:{port}", tls=True, max_attempts=1)
        with stranger, pytest.raises(adamem.UnavailableError):
            stranger.server_info()
    finally:
        listener.stop(None).wait()
