"""Each kind of index behind a namespace, through the Python client and the real server, and over a restart."""

import numpy as np
import pytest

import adamem
from adamem import IndexKind
from tests.integration.conftest import NewServer

N, DIM = 300, 32


@pytest.mark.parametrize("kind", [kind for kind in IndexKind if kind is not IndexKind.UNKNOWN])
def test_a_namespace_of_each_kind(new_server: NewServer, kind: IndexKind) -> None:
    vectors = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
    server = new_server().start()
    with adamem.Client(server.address) as client:
        client.create_namespace("space", dim=DIM, external_vectors=True, index_kind=kind)
        ids = [
            client.update(f"text {i}", namespace="space", vector=vectors[i], tags=[f"t{i % 3}"]).slot_id
            for i in range(N)
        ]
        assert client.get_namespace("space").index_kind == kind
        client.delete_slots(ids[:1], namespace="space")
    server.stop()
    server.start()
    with adamem.Client(server.address) as client:
        assert client.get_namespace("space").index_kind == kind
        for i in (1, 150, N - 1):
            hit = client.query(vector=vectors[i], namespace="space", top_k=1).hits[0]
            assert hit.slot.id == ids[i]
            assert hit.score == pytest.approx(1, abs=2e-3)
        found = client.query(vector=vectors[0], namespace="space", top_k=N, filter={"tags": "t0"}).hits
        assert {hit.slot.id for hit in found} == set(ids[3::3])
    assert server.stop() == 0
