import numpy as np

from adamem_server.telemetry.process import memory_bytes


def test_memory_that_is_used_is_counted() -> None:
    before = memory_bytes()
    block = np.ones(64 << 20, np.uint8)
    assert memory_bytes() - before >= 60 << 20
    assert block.all()
