"""One of two servers dies in the middle of a loop: no call fails, and each message is somewhere once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from cometql import AsyncClient, Client
from servers import KEY, Server, keep

CHANNEL = "py_failover"


@contextmanager
def two_servers() -> Iterator[tuple[Server, Server]]:
    """What either was told before it died is there when it is back."""
    with Server() as one, Server() as two:
        for server in (one, two):
            with Client.connect(server.host, "root", KEY) as direct:
                keep(direct, CHANNEL)
        yield one, two


def received(server: Server) -> list[str]:
    with Client.connect(server.host, "root", KEY) as client:
        rows = client.query("SELECT message FROM pipes_messages WHERE name = ?", [CHANNEL]).rows
    return [str(message) for (message,) in rows]


def test_a_loop_goes_on_when_a_server_dies() -> None:
    with two_servers() as (one, two), Client.connect([one.host, two.host], "root", KEY) as client:
        for n in range(90):
            if n == 30:
                one.kill()
            if n == 60:
                one.start()
                two.kill()
            client.publish(CHANNEL, str(n))
        two.start()
        found = received(one) + received(two)
    assert sorted(found, key=int) == [str(n) for n in range(90)]


async def test_tasks_go_on_when_a_server_dies() -> None:
    with two_servers() as (one, two):
        async with AsyncClient.connect([one.host, two.host], "root", KEY) as client:
            first = [asyncio.create_task(client.publish(CHANNEL, str(n))) for n in range(40)]
            await asyncio.sleep(0)
            one.kill()
            second = [asyncio.create_task(client.publish(CHANNEL, str(n))) for n in range(40, 50)]
            await asyncio.gather(*first, *second)
        one.start()
        dead, alive = received(one), received(two)
    assert {str(n) for n in range(40, 50)} <= set(alive)
    assert set(dead + alive) == {str(n) for n in range(50)}
    # What the first one had taken when it died, without an answer, the second one was told, too: they are no cluster, whose nodes
    # would know its id. None took it twice.
    assert len(set(dead)) == len(dead) and len(set(alive)) == len(alive)


def test_a_server_that_stops_in_order_is_left() -> None:
    with two_servers() as (one, two), Client.connect([one.host, two.host], "root", KEY) as client:
        client.publish(CHANNEL, "0")
        one.stop()
        client.publish(CHANNEL, "1")
        assert received(two) == ["1"]
