"""Awaited calls that are cancelled."""

from __future__ import annotations

import asyncio

from cometql import AsyncClient, Listening, Publication
from servers import KEY, Server


def test_waiting_for_events_can_be_cancelled_at_any_moment(server: Server) -> None:
    many = 2_000

    async def scenario() -> None:
        async with AsyncClient.connect(server.host, user="root", password=KEY) as client:
            listening = Listening(urls=[server.page])
            async with client.subscribe(["py_cancelled"], listening) as subscription:

                async def publish() -> None:
                    for number in range(many):
                        await client.publish("py_cancelled", str(number))

                publishing = asyncio.create_task(publish())
                seen: list[str] = []
                cancelled = 0
                while len(seen) < many:
                    waiting = asyncio.create_task(subscription.next_batch())
                    for _ in range(len(seen) % 7):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    try:
                        events = await waiting
                    except asyncio.CancelledError:
                        cancelled += 1
                        # Nothing is lost, so the next attempt finds what this one would have found.
                        events = await asyncio.wait_for(subscription.next_batch(), 60)
                    seen += [event.message for event in events if isinstance(event, Publication)]
                await publishing
                assert seen == [str(number) for number in range(many)]
                assert cancelled > 0

    asyncio.run(scenario())
