"""Uses of slots, counted by queries on any thread."""

from concurrent.futures import ThreadPoolExecutor

from adamem_server.memory.maintenance import AccessCounter


def test_uses_are_counted_from_many_threads() -> None:
    accesses = AccessCounter()
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(accesses.add, 1, [1, 2], at) for at in range(1, 801)]:
            done.result()
    assert [(number, row, count) for number, row, count, _ in accesses.take()] == [(1, 1, 800), (1, 2, 800)]
    assert accesses.take() == []
