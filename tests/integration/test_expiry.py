"""Expiry through the Python client, the command line and a real server: default, renewed, over, swept."""

import asyncio
import json
import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

import adamem
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess
from tests.patience import wait_until

DIM = 8


def cli(server: ServerProcess, *arguments: str) -> list[Any]:
    command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def items(n: int, tag: str, **fields: Any) -> list[dict[str, Any]]:
    vectors = np.random.default_rng(n).standard_normal((n, DIM)).astype(np.float32)
    return [{"content": f"{tag} {i}", "tags": [tag], "vector": vector, **fields} for i, vector in enumerate(vectors)]


def test_the_default_of_a_namespace_and_renewal(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="e-default") as client:
        created = client.create_namespace("e-default", default_ttl_s=3600.5)
        assert created.default_ttl_s == 3600.5
        ids = [client.update("plain").slot_id, client.update("own", ttl_s=60).slot_id]
        ids.append(client.update("never", ttl_s=math.inf).slot_id)
        plain, own, never = map(client.get_slot, ids)
        assert plain.expires_at is not None
        assert own.expires_at is not None
        assert plain.created_at is not None
        assert plain.expires_at - plain.created_at == timedelta(seconds=3600.5)
        assert (plain.ttl_s, own.ttl_s, never.expires_at, never.ttl_s) == (None, 60.0, None, None)
        assert client.touch_slots(ids) == adamem.TouchResult(2, 1, 0, 4)
        renewed = client.get_slot(ids[1]).expires_at
        assert renewed is not None
        assert renewed > own.expires_at
        at = datetime(2030, 1, 1, tzinfo=UTC)
        assert client.touch_slots(filter={"expires_at": {"$lt": at}}, expires_at=at).n_touched == 2
        assert {slot.expires_at for slot in client.list_slots()} == {at, None}
        assert client.touch_slots(ids[0], ttl_s=math.inf, request_id="once").n_touched == 1
        assert client.touch_slots(ids[0], ttl_s=math.inf, request_id="once").n_touched == 1
        assert client.get_slot(ids[0]).expires_at is None
        assert client.update_namespace("e-default", default_ttl_s=0).default_ttl_s is None
        assert client.get_slot(client.update("later").slot_id).expires_at is None
        for wrong, field in (
            ({"ttl_s": -1}, "ttl"),
            ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
            ({"ttl_s": 1, "expires_at": at}, "ttl_s"),
        ):
            with pytest.raises(adamem.InvalidArgumentError) as refused:
                client.touch_slots(ids, **wrong)
            assert refused.value.field == field
        with pytest.raises(adamem.InvalidArgumentError, match="1000 years"):
            client.update_namespace("e-default", default_ttl_s=1e12)


def test_the_asynchronous_client_renews(server: ServerProcess) -> None:
    async def main() -> None:
        async with adamem.AsyncClient(server.address, namespace="e-async") as client:
            await client.create_namespace("e-async", default_ttl_s=100)
            slot_id = (await client.update("tea")).slot_id
            assert (await client.touch_slots(slot_id, ttl_s=1000)).n_touched == 1
            assert (await client.get_slot(slot_id)).ttl_s == 1000
            assert (await client.update_namespace("e-async", default_ttl_s=200)).default_ttl_s == 200

    asyncio.run(main())


def test_commands(server: ServerProcess) -> None:
    (made,) = cli(server, "namespace", "create", "e-cli", "--default-ttl-s", "60")
    assert made["default_ttl_s"] == 60
    (stored,) = cli(server, "-n", "e-cli", "update", "tea", "--tag", "x")
    (touched,) = cli(server, "slots", "touch", "-n", "e-cli", stored["slot_id"], "--ttl-s", "7200")
    assert (touched["n_touched"], touched["n_not_found"]) == (1, 0)
    (touched,) = cli(server, "slots", "touch", "-n", "e-cli", "--tag", "x", "--ttl-s", "inf")
    assert touched["n_touched"] == 1
    (slot,) = cli(server, "slots", "list", "-n", "e-cli")
    assert slot["expires_at"] is None
    (changed,) = cli(server, "namespace", "update", "e-cli", "--default-ttl-s", "0")
    assert changed["default_ttl_s"] is None


@pytest.mark.parametrize("n_namespaces", [1, 12])
def test_many_slots_expire_at_once_under_queries(new_server: NewServer, n_namespaces: int) -> None:
    server = new_server().start()
    names = [f"n-{i}" for i in range(n_namespaces)]
    n_gone, n_kept = 6000 // n_namespaces, 60
    with adamem.Client(server.address) as client:
        for name in names:
            client.create_namespace(name, dim=DIM, external_vectors=True)
            client.bulk_update(items(n_kept, "kept"), namespace=name)
            client.bulk_update(items(n_gone, "gone", ttl_s=3600), namespace=name)
        # Half of them are not open when it happens.
        server.stop()
        server.start()
    with adamem.Client(server.address) as client:
        # Far enough for all of them to be renewed until then, also on a slow machine.
        at = datetime.now(UTC) + timedelta(seconds=8)
        for name in names:
            assert client.touch_slots(filter={"tags": "gone"}, expires_at=at, namespace=name).n_touched == n_gone
        server.stop()
        server.start()
    with adamem.Client(server.address) as client:
        wait_until(lambda: datetime.now(UTC) >= at)
        asked = names[: (n_namespaces + 1) // 2]

        def is_swept() -> bool:
            for name in asked:
                for query in ({"vector": np.ones(DIM, np.float32)}, {"text": "gone 1", "mode": "lexical"}):
                    found = client.query(top_k=10, namespace=name, **query)
                    assert all("kept" in hit.slot.tags for hit in found)
                    assert len(found) == (10 if "vector" in query else 0) or "text" in query
            assert all("kept" in slot.tags for slot in client.list_slots(namespace=asked[0]))
            return all(client.get_namespace(name).n_slots == n_kept for name in names)

        wait_until(is_swept)
        assert [client.get_namespace(name).open for name in names[len(asked) :]] == [False] * (
            n_namespaces - len(asked)
        )
        for name in names:
            assert client.jobs.wait(client.lifecycle.verify(name)).result["n_problems"] == 0
        client.bulk_update(items(n_gone, "gone"), namespace=names[0])
    assert server.stop() == 0
