"""A record of one namespace that is damaged on the disk: the server starts, and all others live on."""

from datetime import UTC, datetime, timedelta

import pytest

import adamem
from adamem_server.store.keys import number_key
from adamem_server.store.slot_store import SlotStore
from tests.integration.conftest import NewServer
from tests.patience import wait_until

MOST_SLOTS = 20


def test_a_damaged_namespace_costs_no_other(new_server: NewServer) -> None:
    """The server did not start any more."""
    # Nothing is archived before the damage.
    server = new_server(ADAMEM_ARCHIVE_INTERVAL_S="0").start()
    with adamem.Client(server.address) as client:
        for name in ("bad", "good"):
            client.create_namespace(name, archive=adamem.ArchivePolicy(max_slots=MOST_SLOTS))
            client.batch_update([f"Room {n} is green" for n in range(2 * MOST_SLOTS)], namespace=name)
        for name in ("bad", "good"):
            client.update("Gone soon", expires_at=datetime.now(UTC) + timedelta(seconds=10), namespace=name)
    server.stop()
    store = SlotStore(server.data_dir)
    with store.read() as view:
        number = view.namespace_number("bad") or 0
    store.write(lambda batch: batch.put("namespaces", number_key(number), b"\x01damaged"))
    store.close()
    server.start(ADAMEM_ARCHIVE_INTERVAL_S="0.1")
    with adamem.Client(server.address, namespace="good") as client:
        assert client.query("Which room is green?", top_k=3)
        wait_until(lambda: len(list(client.list_slots())) <= MOST_SLOTS)
        with pytest.raises(adamem.DataCorruptError):
            client.query("Which room is green?", namespace="bad")
        wait_until(lambda: "sweeping" in {event["work"] for event in server.events("record_damaged")})
        # Swept; what was archived counts.
        wait_until(lambda: client.get_namespace("good").n_slots == 2 * MOST_SLOTS)
    server.stop()
    told = [(event["work"], event["namespace"]) for event in server.events("record_damaged")]
    assert sorted(told) == [(work, "bad") for work in ("archiving", "deletions of snapshots", "sweeping")]
