"""What is published arrives at who listens, in both clients."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import pytest
from cometql import (
    AsyncClient,
    AsyncSubscription,
    ChannelSince,
    Client,
    Closed,
    Ended,
    Event,
    Gap,
    Hash,
    Invalid,
    Listening,
    Position,
    PrivateMessage,
    Publication,
    Subscribed,
    Subscription,
    Token,
)
from servers import KEY, PATIENCE, Server


def publications(subscription: Subscription, count: int) -> list[Publication]:
    """The next ones, whatever else comes."""
    found: list[Publication] = []
    for event in subscription:
        if isinstance(event, Publication):
            found.append(event)
            if len(found) == count:
                break
    return found


def test_text_and_json_arrive_as_they_were_sent(server: Server, client: Client) -> None:
    listening = Listening(urls=[server.page])
    with client.subscribe(["py_kinds"], listening) as subscription:
        for message in ("plain", {"a": [1, "é"]}, [1, None], "{broken"):
            assert client.publish("py_kinds", message, event="kind").reached == 1
        first, second, third, fourth = publications(subscription, 4)
    assert (first.channel, first.event, first.message, first.user) == ("py_kinds", "kind", "plain", None)
    assert second.message == '{"a":[1,"é"]}' and second.json() == {"a": [1, "é"]}
    assert third.json() == [1, None]
    assert fourth.message == "{broken"
    assert first.at.tzinfo is not None
    assert first.position is not None and second.position is not None
    assert first.position.epoch == second.position.epoch and first.position.offset < second.position.offset


def test_listening_goes_on_where_it_was(server: Server, client: Client) -> None:
    listening = Listening(urls=[server.page])
    with client.subscribe(["py_since"], listening) as subscription:
        client.publish("py_since", "one")
        (one,) = publications(subscription, 1)
    client.publish("py_since", "two")
    with Subscription.open([ChannelSince("py_since", one.position)], listening) as subscription:
        assert publications(subscription, 1)[0].message == "two"


def test_a_loss_is_told(server: Server, client: Client) -> None:
    lost = ChannelSince("py_lost", Position("0123456789abcdef", 7))
    with client.subscribe([lost], Listening(urls=[server.page])) as subscription:
        events: list[Event] = []
        while not any(isinstance(event, Gap) for event in events):
            events += subscription.next_batch()
    assert [event.recovered for event in events if isinstance(event, Subscribed)] == [False]


def test_closing_ends_the_iteration_in_another_thread(server: Server, client: Client) -> None:
    subscription = client.subscribe(["py_end"], Listening(urls=[server.page]))
    thread = threading.Thread(target=lambda: list(subscription))
    thread.start()
    subscription.close()
    thread.join(60)
    assert not thread.is_alive()
    assert subscription.next_batch() == []


def test_a_private_message_waits_for_its_user(server: Server, client: Client) -> None:
    client.query("INSERT INTO users_auth (id, hash) VALUES (?, ?)", [81, "pyhash"])
    client.query("INSERT INTO users_messages (id, event, message) VALUES (?, ?, ?)", [81, "hello", "for you"])
    who = Listening(urls=[server.page], credentials=Hash(81, "pyhash"), inbox=True)
    with client.subscribe([], who) as subscription:
        message = next(event for event in subscription if isinstance(event, PrivateMessage))
        assert (message.event, message.message, message.stored) == ("hello", "for you", True)
        subscription.acknowledge(message.offset)


def test_who_is_refused_is_told_so(server: Server, client: Client) -> None:
    with pytest.raises(Ended) as refused:
        client.subscribe(["py_news"], Listening(urls=[server.page], credentials=Token("no.token.atall")))
    assert refused.value.code == "unauthorized"
    with pytest.raises(Invalid):
        client.subscribe([], Listening(urls=[server.page]))
    with pytest.raises(TypeError):
        client.subscribe("py_news")


LISTENER = """
import sys
from cometql import Listening, Subscription
with Subscription.open(["py_signal"], Listening(urls=[sys.argv[1]])) as subscription:
    for event in subscription:
        print(type(event).__name__, flush=True)
"""


def test_a_listener_hears_of_ctrl_c(server: Server) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LISTENER, server.page], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert "Subscribed\n" in iter(child.stdout.readline, "")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=PATIENCE)
    assert said.rstrip().endswith("KeyboardInterrupt")


async def test_both_in_asyncio(server: Server) -> None:
    listening = Listening(urls=[server.page])
    async with AsyncClient.connect(server.host, "root", KEY) as client:
        async with client.subscribe(["py_async"], listening) as subscription:
            await asyncio.gather(*(client.publish("py_async", {"n": n}) for n in range(20)))
            found: set[int] = set()
            async for event in subscription:
                if isinstance(event, Publication):
                    found.add(event.json()["n"])
                if len(found) == 20:
                    break
        assert found == set(range(20))
        waiting = asyncio.create_task(anext(AsyncSubscription.open(["py_async"], listening)))
        await client.close()
        with pytest.raises(Closed):
            await client.publish("py_async", "late")
        waiting.cancel()


async def test_closing_the_client_ends_its_subscriptions(server: Server) -> None:
    async with AsyncClient.connect(server.host, "root", KEY) as client:
        subscription = client.subscribe(["py_closed"], Listening(urls=[server.page]))
        await subscription.start()
        await client.close()
        async for event in subscription:
            assert not isinstance(event, Publication)
