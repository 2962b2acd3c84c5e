"""Subscriptions and clients of asyncio that are begun, closed and cancelled at the same time."""

from __future__ import annotations

import asyncio
import os

import pytest
from cometql import AsyncClient, AsyncSubscription, Client, Closed, Invalid, Listening, Publication
from servers import KEY, Server


def subscribers(client: Client, channel: str) -> int:
    return client.subscribers([channel])[0].count


async def until_as_many_listen(client: Client, channel: str, count: int) -> None:
    """The server hears of an end when it reads it: until then it is asked again; a test that waits in vain ends by pytest's limit."""
    while subscribers(client, channel) != count:
        await asyncio.sleep(0)


async def test_tasks_that_share_a_subscription_begin_it_once(server: Server, client: Client) -> None:
    subscription = AsyncSubscription.open(["py_shared"], Listening(urls=[server.page]))
    begun, begin = [], subscription._begin

    def count(*arguments: object) -> object:
        begun.append(arguments)
        return begin(*arguments)

    subscription._begin = count
    tasks = [asyncio.create_task(subscription.start()) for _ in range(8)]
    assert await asyncio.gather(*tasks) == [subscription] * 8
    assert len(begun) == 1
    assert subscribers(client, "py_shared") == 1
    await subscription.close()


async def test_who_begins_is_cancelled_and_another_one_begins(server: Server, client: Client) -> None:
    subscription = AsyncSubscription.open(["py_handed"], Listening(urls=[server.page]))
    first, second = (asyncio.create_task(subscription.start()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is subscription
    with pytest.raises(asyncio.CancelledError):
        await first
    await until_as_many_listen(client, "py_handed", 1)
    await subscription.close()


async def test_what_was_opened_when_its_task_was_cancelled_is_closed() -> None:
    closed = []

    class Opened:
        def close_now(self) -> None:
            closed.append(self)

    async def at_once(*_: object) -> Opened:
        return Opened()

    subscription = AsyncSubscription.open(["py_unwanted"], Listening(urls=["ws://127.0.0.1:9"]))
    subscription._begin = at_once
    # Cancelled before it is opened, which happens before the cancelled task goes on.
    first = asyncio.create_task(subscription.start())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.sleep(0)
    assert len(closed) == 1


async def test_a_subscription_that_is_closed_does_not_begin(server: Server) -> None:
    subscription = AsyncSubscription.open(["py_closed"], Listening(urls=[server.page]))
    await subscription.close()
    assert [event async for event in subscription] == []
    assert await subscription.next_batch() == []
    with pytest.raises(Closed):
        await subscription.start()


@pytest.mark.parametrize("turns", range(8))
async def test_closing_ends_what_begins(server: Server, client: Client, turns: int) -> None:
    channel = f"py_closing_{turns}"
    subscription = AsyncSubscription.open([channel], Listening(urls=[server.page]))
    iterating = asyncio.create_task(subscription.next_batch())
    for _ in range(turns):
        await asyncio.sleep(0)
    await subscription.close()
    assert not any(isinstance(event, Publication) for event in await iterating)
    await until_as_many_listen(client, channel, 0)


async def test_closing_does_not_wait_for_a_node_that_says_nothing() -> None:
    """Beginning would take ten minutes."""

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await over.wait()
        writer.close()

    connected, over = asyncio.Event(), asyncio.Event()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as node:
        port = node.sockets[0].getsockname()[1]
        slow = Listening(urls=[f"ws://127.0.0.1:{port}"], start_timeout_ms=600_000, connect_timeout_ms=60_000)
        subscription = AsyncSubscription.open(["py_silent"], slow)
        starting = asyncio.create_task(subscription.start())
        await connected.wait()
        await subscription.close()
        with pytest.raises(Closed):
            await starting
        over.set()


async def test_what_has_not_begun_takes_nothing(server: Server) -> None:
    subscription = AsyncSubscription.open(["py_early"], Listening(urls=[server.page]))
    with pytest.raises(Invalid):
        subscription.acknowledge(1)
    with pytest.raises(Invalid):
        subscription.set_token("t")


def sockets() -> int:
    """How many sockets this process has; others come and go in no test."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            pass
    return count


async def test_connecting_that_is_cancelled_at_any_moment_leaves_nothing(server: Server, client: Client) -> None:
    """At the moment of success, too, when the client is there and nobody takes it."""
    async with AsyncClient.connect(server.host, "root", KEY):
        pass
    before = sockets()
    ended = {"cancelled": 0, "connected": 0}
    for turns in range(120):
        task = asyncio.ensure_future(_connect(server))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await (await task).close()
            ended["connected"] += 1
        except asyncio.CancelledError:
            ended["cancelled"] += 1
    assert ended["cancelled"] > 0
    while sockets() > before:
        client.ping()
        await asyncio.sleep(0)


async def _connect(server: Server) -> AsyncClient:
    return await AsyncClient.connect(server.host, "root", KEY)


async def test_subscribing_that_is_cancelled_at_any_moment_leaves_nothing(server: Server, client: Client) -> None:
    async with AsyncClient.connect(server.host, "root", KEY) as awaited:
        for turns in range(120):
            subscription = awaited.subscribe(["py_leaves"], Listening(urls=[server.page]))
            task = asyncio.create_task(subscription.start())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
                await subscription.close()
            except asyncio.CancelledError:
                pass
            del subscription, task
        await until_as_many_listen(client, "py_leaves", 0)
