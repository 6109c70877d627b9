"""What HTTP costs beside gRPC: the same query over one kept connection of each. `python -m bench.http [--out FILE]`.

Two kinds of query: by vector, where the call is most of the time, and by a text that was not asked before.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from adamem.v1 import admin_service_pb2 as admin
from adamem.v1 import memory_service_pb2 as memory
from adamem.v1.admin_service_pb2_grpc import AdminServiceStub
from adamem.v1.memory_service_pb2_grpc import MemoryServiceStub
from adamem_server import _index
from bench.ingest import server
from bench.report import commit, machine, versions, write_report

DIM = 384
N_SLOTS = 2000
N_BLOCKS = 20
N_EACH = {"vector": 100, "text": 15}
TOP_K = 4


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="write the figures to this file as JSON")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (address, _):
        ready = json.loads((Path(folder) / "ready.json").read_text())
        figures = measure(address, ready["http_port"])
    for name, value in figures.items():
        print(f"{name:28} {value:12.4f}")
    report = {
        "figures": figures,
        "parameters": {"blocks": N_BLOCKS, "queries_each": N_EACH, "slots": N_SLOTS, "dim": DIM, "top_k": TOP_K},
        "commit": commit(),
        "machine": machine(_index.simd_level()),
        "versions": versions(("adamem-server", "adamem-client", "grpcio", "uvicorn", "httptools", "msgspec")),
    }
    if out is not None:
        write_report(report, out)


def measure(address: str, http_port: int) -> dict[str, float]:
    """Milliseconds of each kind over each face, and how many times as long HTTP takes."""
    random = np.random.default_rng(7)
    figures: dict[str, float] = {}
    with grpc.insecure_channel(address) as channel:
        stub: Any = MemoryServiceStub(channel)
        fill(AdminServiceStub(channel), stub, random)
        connection = http.client.HTTPConnection("127.0.0.1", http_port)
        for kind, n_each in N_EACH.items():
            times: dict[str, list[float]] = {"grpc": [], "http": []}
            calls: dict[str, Callable[[Any], int]] = {
                "grpc": lambda request: len(stub.Query(request).hits),
                "http": lambda body: len(post(connection, body)["hits"]),
            }
            for block in range(N_BLOCKS + 1):
                for face, call in calls.items():
                    for n in range(n_each):
                        request = make(kind, face, random, f"{face} {block} {n}")
                        begun = time.perf_counter()
                        found = call(request)
                        taken = time.perf_counter() - begun
                        assert found == TOP_K
                        # The first block warms up.
                        if block:
                            times[face].append(taken * 1e3)
            figures |= {f"{kind}_{name}": value for name, value in summary(times).items()}
        connection.close()
    return figures


def fill(admin_stub: Any, stub: Any, random: np.random.Generator) -> None:
    """Two namespaces of slots as agents have them: one of given vectors, one of embedded text."""
    admin_stub.CreateNamespace(admin.CreateNamespaceRequest(name="vector", dim=DIM, external_vectors=True))
    for start in range(0, N_SLOTS, 500):
        slots = [
            memory.SlotInput(
                content=f"The customer {n} prefers delivery on weekday {n % 7}, and said so twice.",
                vector={"values": random.standard_normal(DIM).astype("<f4").tobytes()},
                tags=["customer"],
                metadata={"n": n},
            )
            for n in range(start, start + 500)
        ]
        stub.BatchUpdate(memory.BatchUpdateRequest(namespace="vector", slots=slots))
    texts = [memory.SlotInput(content=f"The customer {n} prefers delivery on weekday {n % 7}.") for n in range(200)]
    stub.BatchUpdate(memory.BatchUpdateRequest(namespace="text", slots=texts))


def make(kind: str, face: str, random: np.random.Generator, text: str) -> Any:
    """A request that was not sent before, ready to be sent."""
    query: dict[str, Any] = {"namespaces": [kind], "top_k": TOP_K}
    if kind == "vector":
        values = random.standard_normal(DIM).astype("<f4")
        if face == "grpc":
            return memory.QueryRequest(**query, vector={"values": values.tobytes()})
        return json.dumps({**query, "vector": [round(float(value), 6) for value in values]}).encode()
    query["text"] = f"On which day does customer {text} want delivery?"
    return memory.QueryRequest(**query) if face == "grpc" else json.dumps(query).encode()


def post(connection: http.client.HTTPConnection, body: bytes) -> Any:
    """One query over HTTP."""
    connection.request("POST", "/v1/query", body, {"content-type": "application/json"})
    return json.loads(connection.getresponse().read())


def summary(times: dict[str, list[float]]) -> dict[str, float]:
    """Medians and 95th percentiles in milliseconds, and the ratio of the medians."""
    medians = {face: statistics.median(values) for face, values in times.items()}
    return {
        **{f"{face}_p50_ms": median for face, median in medians.items()},
        **{f"{face}_p95_ms": float(np.percentile(values, 95)) for face, values in times.items()},
        "ratio": medians["http"] / medians["grpc"],
    }


if __name__ == "__main__":
    main()
