"""What a publication costs the client in processor time, against PyMySQL's `execute` of the same INSERT.

User and system time of this whole process, in rounds that take turns, so that a busy machine hits all alike. The server's share is
not in it, nor does its build matter. With `--check` a figure above its bar is an error.
"""

from __future__ import annotations

import asyncio
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import aiomysql
import pymysql
from cometql import AsyncClient, Client, NewPublication

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
from servers import KEY, Server

Way: TypeAlias = Callable[[int], None]
"""Publishes so many rows."""

ROUNDS = 9
ROWS = 2_000
AT_ONCE = 100
INSERT = "INSERT INTO pipes_messages (name, event, message) VALUES (%s, %s, %s)"
MESSAGE = '{"text": "' + "x" * 116 + '"}'

ASKED, ANSWERED = 200, 60
"""Bytes of a publication to the server, and back."""

ANSWERS = f"""
import socket, threading

def answer(peer):
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while peer.recv({ASKED}, socket.MSG_WAITALL):
        peer.sendall(bytes({ANSWERED}))

with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=answer, args=server.accept()[:1]).start()
"""
"""Another process, so that what it costs is not in what is measured."""

BARS = {"publish": 1.0, "publish_many, 100 rows": 0.5}
"""The most, as parts of what `execute` costs."""


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cost(way: Way) -> float:
    """Microseconds for a row."""
    before = processor_time()
    way(ROWS)
    return (processor_time() - before) / ROWS * 1e6


def ways(server: Server, loop: asyncio.AbstractEventLoop) -> dict[str, Way]:
    connection = pymysql.connect(host="127.0.0.1", port=server.mysql, user="root", password=KEY, autocommit=True)
    cursor = connection.cursor()
    client = Client.connect(server.host, "root", KEY)
    awaited, other = loop.run_until_complete(_connected(server))

    def execute(rows: int) -> None:
        for _ in range(rows):
            cursor.execute(INSERT, ("web_cost", "cost", MESSAGE))

    def execute_many(rows: int) -> None:
        for _ in range(rows // AT_ONCE):
            cursor.executemany(INSERT, [("web_cost", "cost", MESSAGE)] * AT_ONCE)

    def publish(rows: int) -> None:
        for _ in range(rows):
            client.publish("web_cost", MESSAGE, event="cost")

    def publish_many(rows: int) -> None:
        for _ in range(rows // AT_ONCE):
            client.publish_many([NewPublication("web_cost", MESSAGE, "cost") for _ in range(AT_ONCE)])

    async def one_by_one(rows: int) -> None:
        for _ in range(rows):
            await awaited.publish("web_cost", MESSAGE, event="cost")

    async def others(rows: int) -> None:
        async with other.cursor() as cursor:
            for _ in range(rows):
                await cursor.execute(INSERT, ("web_cost", "cost", MESSAGE))

    async def together(rows: int) -> None:
        for _ in range(rows // AT_ONCE):
            await asyncio.gather(*(awaited.publish("web_cost", MESSAGE, event="cost") for _ in range(AT_ONCE)))

    async def many(rows: int) -> None:
        for _ in range(rows // AT_ONCE):
            await awaited.publish_many([NewPublication("web_cost", MESSAGE, "cost") for _ in range(AT_ONCE)])

    return {
        "PyMySQL execute": execute,
        "publish": publish,
        "aiomysql execute, one after the other": lambda rows: loop.run_until_complete(others(rows)),
        "publish, asyncio, one after the other": lambda rows: loop.run_until_complete(one_by_one(rows)),
        "publish, asyncio, 100 at a time": lambda rows: loop.run_until_complete(together(rows)),
        "publish_many, 100 rows": publish_many,
        "publish_many, asyncio, 100 rows": lambda rows: loop.run_until_complete(many(rows)),
        "PyMySQL executemany, 100 rows": execute_many,
    }


@contextmanager
def bare_ways(loop: asyncio.AbstractEventLoop) -> Iterator[dict[str, Way]]:
    """What the sockets alone cost: as many bytes there and back, with nothing made of them."""
    with subprocess.Popen([sys.executable, "-c", ANSWERS], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        one, other = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
        other.setblocking(False)

        def blocking(rows: int) -> None:
            for _ in range(rows):
                one.sendall(bytes(ASKED))
                one.recv(ANSWERED, socket.MSG_WAITALL)

        async def awaited(rows: int) -> None:
            for _ in range(rows):
                await loop.sock_sendall(other, bytes(ASKED))
                await loop.sock_recv(other, ANSWERED)

        with one, other:
            yield {"bare sockets": blocking, "bare sockets, asyncio": lambda rows: loop.run_until_complete(awaited(rows))}
        child.kill()


async def _connected(server: Server) -> tuple[AsyncClient, aiomysql.Connection]:
    """Ours, and PyMySQL for asyncio."""
    other = await aiomysql.connect(host="127.0.0.1", port=server.mysql, user="root", password=KEY, autocommit=True)
    return await AsyncClient.connect(server.host, "root", KEY), other


def main() -> None:
    loop = asyncio.new_event_loop()
    with Server() as server, bare_ways(loop) as bare:
        compared = {**ways(server, loop), **bare}
        for way in compared.values():
            way(AT_ONCE)
        rounds = [{name: cost(way) for name, way in compared.items()} for _ in range(ROUNDS)]
    print(f"| µs CPU of the client for a row, {ROUNDS} rounds | lowest | median | highest | median, parts of execute |")
    print("|---|---|---|---|---|")
    missed = []
    for name in compared:
        costs = sorted(one[name] for one in rounds)
        # Of the same round: what else the machine did meanwhile is in both.
        part = statistics.median(one[name] / one["PyMySQL execute"] for one in rounds)
        print(f"| {name} | {costs[0]:.1f} | {statistics.median(costs):.1f} | {costs[-1]:.1f} | {part:.2f} |")
        if part > BARS.get(name, part):
            missed.append(f"{name}: {part:.2f} of execute, more than {BARS[name]}")
    if missed and "--check" in sys.argv:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
