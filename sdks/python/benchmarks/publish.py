"""What a publication costs the client in processor time, against PyMySQL's `execute` of the same INSERT.

User and system time of this whole process, in rounds that take turns, so that a busy machine hits all alike. The server's share is
not in it, nor does its build matter. With `--check` a figure above its bar is an error.
"""

from __future__ import annotations

import asyncio
import pathlib
import resource
import statistics
import sys
from collections.abc import Callable

import pymysql
from cometql import AsyncClient, Client, NewPublication

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
from servers import KEY, Server

ROUNDS = 9
ROWS = 2_000
AT_ONCE = 100
INSERT = "INSERT INTO pipes_messages (name, event, message) VALUES (%s, %s, %s)"
MESSAGE = '{"text": "' + "x" * 116 + '"}'

BARS = {"publish": 1.0, "publish_many, 100 rows": 0.5}
"""The most, as parts of what `execute` costs."""


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cost(way: Callable[[int], None]) -> float:
    """Microseconds for a row."""
    before = processor_time()
    way(ROWS)
    return (processor_time() - before) / ROWS * 1e6


def ways(server: Server, loop: asyncio.AbstractEventLoop) -> dict[str, Callable[[int], None]]:
    connection = pymysql.connect(host="127.0.0.1", port=server.mysql, user="root", password=KEY, autocommit=True)
    cursor = connection.cursor()
    client = Client.connect(server.host, "root", KEY)
    awaited = loop.run_until_complete(_connected(server))

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

    async def together(rows: int) -> None:
        for _ in range(rows // AT_ONCE):
            await asyncio.gather(*(awaited.publish("web_cost", MESSAGE, event="cost") for _ in range(AT_ONCE)))

    async def many(rows: int) -> None:
        for _ in range(rows // AT_ONCE):
            await awaited.publish_many([NewPublication("web_cost", MESSAGE, "cost") for _ in range(AT_ONCE)])

    return {
        "PyMySQL execute": execute,
        "publish": publish,
        "publish, asyncio, one after the other": lambda rows: loop.run_until_complete(one_by_one(rows)),
        "publish, asyncio, 100 at a time": lambda rows: loop.run_until_complete(together(rows)),
        "publish_many, 100 rows": publish_many,
        "publish_many, asyncio, 100 rows": lambda rows: loop.run_until_complete(many(rows)),
        "PyMySQL executemany, 100 rows": execute_many,
    }


async def _connected(server: Server) -> AsyncClient:
    return await AsyncClient.connect(server.host, "root", KEY)


def main() -> None:
    loop = asyncio.new_event_loop()
    with Server() as server:
        compared = ways(server, loop)
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
