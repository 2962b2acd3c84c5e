"""Event loops: several, one after the other, closed ones, such that can't watch a pipe, and what tasks wait on in them."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import cometql._awaited as awaited
import pytest
from cometql import AsyncClient, AsyncSubscription, Listening, Publication
from servers import KEY, Server


class Unwatched(asyncio.SelectorEventLoop):
    """As that of Windows: it watches no pipes."""

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


@pytest.fixture(params=[awaited.Lean, awaited.Plain])
def waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both kinds of what a task waits on."""
    monkeypatch.setattr(awaited, "waiting", request.param)
    yield


async def everything(server: Server, channel: str) -> None:
    """Calls one after the other, at the same time, cancelled ones, and listening."""
    async with AsyncClient.connect(server.host, "root", KEY) as client:
        async with client.subscribe([channel], Listening(urls=[server.page])) as subscription:
            for number in range(10):
                await client.publish(channel, str(number))
            for turns in range(30):
                task = asyncio.create_task(client.ping())
                for _ in range(turns):
                    await asyncio.sleep(0)
                asked = task.cancel()
                (ended,) = await asyncio.gather(task, return_exceptions=True)
                assert isinstance(ended, asyncio.CancelledError) == asked
            # More than go on in one turn of the loop.
            await asyncio.gather(*(client.publish(channel, str(number)) for number in range(10, 310)))
            seen: set[str] = set()
            while len(seen) < 310:
                events = await asyncio.wait_for(subscription.next_batch(), 60)
                seen |= {event.message for event in events if isinstance(event, Publication)}


def run_in(loop: asyncio.AbstractEventLoop, server: Server, channel: str) -> None:
    try:
        loop.run_until_complete(everything(server, channel))
    finally:
        loop.close()


@pytest.mark.usefixtures("waiting")
def test_a_loop_that_watches_a_pipe(server: Server) -> None:
    run_in(asyncio.SelectorEventLoop(), server, "py_watched")


@pytest.mark.usefixtures("waiting")
def test_a_loop_that_watches_none(server: Server) -> None:
    run_in(Unwatched(), server, "py_unwatched")


def test_one_loop_after_the_other_leaves_nothing(server: Server) -> None:
    async def publish() -> None:
        async with AsyncClient.connect(server.host, "root", KEY) as client:
            await client.publish("py_loops", "m")

    def pipes() -> int:
        found = 0
        for name in os.listdir("/proc/self/fd"):
            try:
                found += os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
            except FileNotFoundError:
                pass
        return found

    asyncio.run(publish())
    gc.collect()
    before = pipes()
    for _ in range(20):
        asyncio.run(publish())
    gc.collect()
    assert pipes() <= before + 2


def test_loops_in_several_threads(server: Server) -> None:
    failed: list[BaseException] = []

    def run(at: int) -> None:
        try:
            for turn in range(3):
                asyncio.run(everything(server, f"py_thread_{at}_{turn}"))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_loop_that_is_closed_leaves_its_calls(server: Server) -> None:
    async def begin() -> AsyncSubscription:
        subscription = await AsyncSubscription.open(["py_left"], Listening(urls=[server.page])).start()
        while await asyncio.wait_for(subscription.next_batch(), 60) == []:
            pass
        return subscription

    async def wait(subscription: AsyncSubscription) -> None:
        while await subscription.next_batch():
            pass

    for make in (asyncio.SelectorEventLoop, Unwatched):
        loop = make()
        subscription = loop.run_until_complete(begin())
        task = loop.create_task(wait(subscription))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        # What comes now finds nobody.
        asyncio.run(everything(server, "py_left"))
        task_log, task._log_destroy_pending = task._log_destroy_pending, False  # type: ignore[attr-defined]
        assert task_log and not task.done()


def test_a_task_that_ends_the_program_leaves_the_others_woken(server: Server) -> None:
    """KeyboardInterrupt and SystemExit leave the event loop at once; who goes on with it finds all that had come."""

    class Stop(SystemExit):
        pass

    async def stop(client: AsyncClient) -> None:
        await client.ping()
        raise Stop

    async def connect() -> AsyncClient:
        return await AsyncClient.connect(server.host, "root", KEY)

    loop = asyncio.SelectorEventLoop()
    try:
        client = loop.run_until_complete(connect())
        tasks = [loop.create_task(stop(client)), *(loop.create_task(client.ping()) for _ in range(30))]
        with pytest.raises(Stop):
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(asyncio.wait_for(asyncio.gather(*tasks[1:]), 60))
        with pytest.raises(Stop):
            tasks[0].result()
        loop.run_until_complete(client.close())
    finally:
        loop.close()


def test_a_client_goes_from_loop_to_loop(server: Server) -> None:
    async def connect() -> AsyncClient:
        return await AsyncClient.connect(server.host, "root", KEY)

    async def publish() -> None:
        await asyncio.gather(*(client.publish("py_moves", "m") for _ in range(50)))

    client = asyncio.run(connect())
    asyncio.run(publish())
    threads = [threading.Thread(target=lambda: asyncio.run(publish())) for _ in range(3)]
    for thread in threads:
        thread.start()
    asyncio.run(publish())
    for thread in threads:
        thread.join()
    asyncio.run(client.close())
