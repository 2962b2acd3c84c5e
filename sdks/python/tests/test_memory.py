"""What calls took they give back: objects of Python, and memory that the library took from the C library.

Both are counted where they are given out, so that what was free before hides nothing. A leak grows in each round of the same calls; what
else grows (tables, buffers of threads) does so now and then.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import statistics
import sys
from collections.abc import Callable

import cometql._bridge as bridge
import pytest
from cometql import AsyncClient, AsyncSubscription, Client, CometError, Listening, Publication
from servers import KEY, Server

CALLS = 500
ROUNDS = 5
PAYLOAD = "x" * 4096


class _Mallinfo(ctypes.Structure):
    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = [(name, ctypes.c_size_t) for name in _names]


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _Mallinfo


def taken() -> tuple[int, int]:
    """Blocks that Python gave out, and bytes that the C library did."""
    gc.collect()
    info = _mallinfo()
    return sys.getallocatedblocks(), info.uordblks + info.hblkhd


def grows(way: Callable[[], object]) -> tuple[float, float]:
    """By how many blocks and bytes a call grows the process, in the middle one of several rounds."""
    way()
    sizes = [taken()]
    for _ in range(ROUNDS):
        way()
        sizes.append(taken())
    pairs = list(zip(sizes, sizes[1:], strict=False))
    blocks = statistics.median(after[0] - before[0] for before, after in pairs)
    return blocks / CALLS, statistics.median(after[1] - before[1] for before, after in pairs) / CALLS


def assert_grows_not(way: Callable[[], object]) -> None:
    blocks, bytes_taken = grows(way)
    # The smallest leak of a call is one block, or one allocation: with what it needs itself, 32 bytes.
    assert blocks < 0.5
    assert bytes_taken < 16


def test_a_leak_of_python_would_be_found(client: Client) -> None:
    kept: list[object] = []

    def leak() -> None:
        for _ in range(CALLS):
            kept.append(client.publish("py_memory", "m"))

    assert grows(leak)[0] >= 1


def test_a_leak_of_the_library_would_be_found(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_free", lambda buffer, status: None)

    def leak() -> None:
        for _ in range(CALLS):
            client.publish("py_memory", "m")

    assert grows(leak)[1] >= 32


def test_publications_leave_nothing(client: Client) -> None:
    def publish() -> None:
        for _ in range(CALLS):
            client.publish("py_memory", PAYLOAD, event="m")

    assert_grows_not(publish)


def test_awaited_publications_leave_nothing(server: Server) -> None:
    loop = asyncio.new_event_loop()

    async def connect() -> AsyncClient:
        return await AsyncClient.connect(server.host, "root", KEY)

    client = loop.run_until_complete(connect())

    async def publish() -> None:
        for _ in range(CALLS // 50):
            await asyncio.gather(*(client.publish("py_memory", PAYLOAD, event="m") for _ in range(50)))

    assert_grows_not(lambda: loop.run_until_complete(publish()))
    loop.run_until_complete(client.close())
    loop.close()


def test_cancelled_calls_leave_nothing(server: Server) -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> tuple[AsyncClient, AsyncSubscription]:
        client = await AsyncClient.connect(server.host, "root", KEY)
        subscription = await client.subscribe(["py_memory_quiet"], Listening(urls=[server.page])).start()
        while await asyncio.wait_for(subscription.next_batch(1), 60) == []:
            pass
        return client, subscription

    client, subscription = loop.run_until_complete(begin())

    async def cancel() -> None:
        for _ in range(CALLS):
            task = asyncio.create_task(subscription.next_batch())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    assert_grows_not(lambda: loop.run_until_complete(cancel()))
    loop.run_until_complete(client.close())
    loop.close()


def test_events_leave_nothing(server: Server, client: Client) -> None:
    with client.subscribe(["py_memory_events"], Listening(urls=[server.page])) as subscription:

        def publish() -> None:
            seen = 0
            for _ in range(CALLS // 100):
                for _ in range(100):
                    client.publish("py_memory_events", PAYLOAD)
                seen_before = seen
                while seen < seen_before + 100:
                    seen += sum(isinstance(event, Publication) for event in subscription.next_batch())

        assert_grows_not(publish)


def test_errors_leave_nothing(client: Client) -> None:
    def fail() -> None:
        for _ in range(CALLS):
            try:
                client.query("SELECT * FROM no_such_table")
            except CometError as error:
                assert "no_such_table" in str(error)

    assert_grows_not(fail)
