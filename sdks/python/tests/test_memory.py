"""What calls took they give back: the memory of the whole process, buffers of the library included."""

from __future__ import annotations

import asyncio

from cometql import AsyncClient, Client
from servers import KEY, Server

CALLS = 10_000
MOST_GROWTH = 4 << 20
"""Bytes. A leak of one payload for each call would be 40 MB, one of one record 1 MB … 2 MB in each of the two rounds."""

PAYLOAD = "x" * 4096


def resident() -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        lines = [line for line in status if line.startswith("RssAnon:")]
    return int(lines[0].split()[1]) * 1024


def test_ten_thousand_publications_leave_nothing(client: Client) -> None:
    for _ in range(CALLS // 2):
        client.publish("py_memory", PAYLOAD, event="m")
    before = resident()
    for _ in range(CALLS):
        client.publish("py_memory", PAYLOAD, event="m")
    assert resident() - before < MOST_GROWTH


async def test_ten_thousand_awaited_publications_leave_nothing(server: Server) -> None:
    async with AsyncClient.connect(server.host, "root", KEY) as client:

        async def publish(count: int) -> None:
            for _ in range(count // 50):
                await asyncio.gather(*(client.publish("py_memory", PAYLOAD, event="m") for _ in range(50)))

        await publish(CALLS // 2)
        before = resident()
        await publish(CALLS)
        assert resident() - before < MOST_GROWTH


def test_errors_leave_nothing(client: Client) -> None:
    def fail(count: int) -> None:
        for _ in range(count):
            try:
                client.query("SELECT * FROM no_such_table")
            except Exception as error:
                assert "no_such_table" in str(error)

    fail(1_000)
    before = resident()
    fail(3_000)
    assert resident() - before < MOST_GROWTH
