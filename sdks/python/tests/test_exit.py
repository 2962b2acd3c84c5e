"""Python ends while the library still has something to tell: no thread of the library may run into an interpreter that is ending."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cometql import Client
from servers import PATIENCE, Server

LISTENER = """
import asyncio, os, sys, threading
from cometql import AsyncSubscription, Listening, Publication

page, way = sys.argv[1:]
patient = Listening(urls=[page], start_timeout_ms=60_000, connect_timeout_ms=60_000)

class Last:
    '''Python is ending when this goes: it waits until more was published.'''
    def __del__(self, read=os.read):
        read(0, 1)

last = Last()
heard = threading.Event()

async def listen():
    try:
        async with AsyncSubscription.open(["py_exit"], patient) as events:
            print("listens", flush=True)
            async for event in events:
                if isinstance(event, Publication):
                    heard.set()
    finally:
        heard.set()

class Unwatched(asyncio.SelectorEventLoop):
    def add_reader(self, *_):
        raise NotImplementedError

async def until_heard(events):
    async for event in events:
        if isinstance(event, Publication):
            return

async def begin():
    events = await AsyncSubscription.open(["py_exit"], patient).start()
    print("listens", flush=True)
    await until_heard(events)
    # Nobody ends this one.
    asyncio.ensure_future(until_heard(events))
    await asyncio.sleep(0)
    return events

if way == "pending":
    loop = asyncio.new_event_loop()
    kept = loop.run_until_complete(begin())
else:
    make = Unwatched if way == "unwatched" else asyncio.new_event_loop
    loop = make()
    threading.Thread(target=loop.run_until_complete, args=(listen(),), daemon=True).start()
    heard.wait()
print("ends", flush=True)
"""


@pytest.mark.parametrize("way", ["thread", "pending", "unwatched"])
def test_python_ends_while_publications_come(server: Server, client: Client, way: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LISTENER, server.page, way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "listens\n", child.communicate("x", timeout=PATIENCE)
        client.publish("py_exit", "the first one")
        assert child.stdout.readline() == "ends\n"
        for number in range(200):
            client.publish("py_exit", str(number))
        _, said = child.communicate("x", timeout=PATIENCE)
        assert child.returncode == 0, said
    finally:
        child.kill()
        child.wait(PATIENCE)
