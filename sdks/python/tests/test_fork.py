"""Processes that fork: a child makes clients of its own, whether its parent has used the library or not, and what it inherits says why
it does not work."""

from __future__ import annotations

import subprocess
import sys

import pytest
from servers import KEY, PATIENCE, Server

SCRIPT = """
import asyncio, concurrent.futures, multiprocessing, os, sys, threading, traceback
from cometql import AsyncClient, AsyncSubscription, Client, CometError, Listening, Publication, Subscription

host, page, key, used, way = sys.argv[1:]

def first(events):
    return next(event.message for event in events if isinstance(event, Publication))

def blocking():
    with Client.connect(host, "root", key) as client:
        with client.subscribe(["py_fork"], Listening(urls=[page])) as events:
            client.publish("py_fork", "blocking")
            assert first(events) == "blocking"
        with Subscription.open(["py_fork"], Listening(urls=[page])) as events:
            client.publish("py_fork", "open")
            assert first(events) == "open"

async def awaited():
    async with AsyncClient.connect(host, "root", key) as client:
        async with client.subscribe(["py_fork"], Listening(urls=[page])) as events:
            await asyncio.gather(*(client.publish("py_fork", "awaited") for _ in range(20)))
            async for event in events:
                if isinstance(event, Publication):
                    assert event.message == "awaited"
                    break

def own():
    blocking()
    asyncio.run(awaited())
    return "own ones work"

def says(call):
    try:
        call()
    except CometError as error:
        assert "fork" in str(error), error
    else:
        raise AssertionError(f"{call} works")

def inherited():
    says(lambda: client.publish("py_fork", "m"))
    says(lambda: client.query("SELECT 1"))
    says(lambda: client.subscribe(["py_fork"], Listening(urls=[page])))
    says(lambda: next(events))
    client.close()
    events.close()
    async def all_awaited():
        for call in (lambda: awaited_client.publish("py_fork", "m"), awaited_events.next_batch):
            try:
                await asyncio.wait_for(call(), 60)
            except CometError as error:
                assert "fork" in str(error), error
            else:
                raise AssertionError("it works")
        await asyncio.wait_for(awaited_client.close(), 60)
        await asyncio.wait_for(awaited_events.close(), 60)
    asyncio.run(all_awaited())
    return "inherited ones say why"

def in_child(work):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writes, work().encode())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(writes)
    answer = b"".join(iter(lambda: os.read(reads, 1000), b"")).decode()
    os.waitpid(child, 0)
    return answer

def told(connection, work):
    connection.send(work())

def in_multiprocessing(work):
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=told, args=(theirs, work))
    child.start()
    theirs.close()
    answer = ours.recv()
    child.join()
    assert child.exitcode == 0
    return answer

async def in_executor(work):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

run = {"fork": in_child, "multiprocessing": in_multiprocessing, "executor": lambda work: asyncio.run(in_executor(work))}[way]

if used == "unused":
    print(run(own))
else:
    print(own())
    client = Client.connect(host, "root", key)
    events = client.subscribe(["py_fork_parent"], Listening(urls=[page]))
    loop = asyncio.new_event_loop()
    async def begin():
        client = await AsyncClient.connect(host, "root", key)
        return client, await client.subscribe(["py_fork_parent"], Listening(urls=[page])).start()
    awaited_client, awaited_events = loop.run_until_complete(begin())
    # Somebody is in the library all the time.
    over = threading.Event()
    def busy():
        while not over.is_set():
            client.publish("py_fork_busy", "m")
    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        print(run(inherited))
        print(run(own))
    over.set()
    for thread in threads:
        thread.join()
    # The parent's go on as before.
    client.publish("py_fork_parent", "parent")
    assert first(events) == "parent"
    loop.run_until_complete(awaited_client.publish("py_fork_parent", "again"))
    assert first(events) == "again"
    loop.run_until_complete(awaited_client.close())
    client.close()
    print("the parent's work")
"""

EXPECTED = {
    "unused": ["own ones work"],
    "used": ["own ones work", *["inherited ones say why", "own ones work"] * 3, "the parent's work"],
}


@pytest.mark.parametrize("used", ["unused", "used"])
@pytest.mark.parametrize("way", ["fork", "multiprocessing", "executor"])
def test_a_child_makes_clients_of_its_own(server: Server, used: str, way: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, server.host, server.page, KEY, used, way],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert ended.stdout.splitlines() == EXPECTED[used], ended.stderr
    assert ended.returncode == 0, ended.stderr
