"""The behavioural suite that all languages run, on both clients."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pathlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any

import cometql
import pytest
from cometql import (
    AsyncClient,
    AsyncSubscription,
    ChannelRefused,
    Client,
    CometError,
    Event,
    Hash,
    Listening,
    Offline,
    Online,
    Options,
    PrivateMessage,
    Publication,
    Subscribed,
    Tls,
    Trouble,
)
from servers import KEY, Server
from suite import agrees, argument, called, told

SUITE: dict[str, list[dict[str, Any]]] = json.loads(pathlib.Path(os.environ["COMETQL_SUITE"]).read_text("utf-8"))
CASES = SUITE["cases"] + SUITE["listening"]
NAMES = [case["name"] for case in CASES]


@pytest.fixture(scope="module")
def fresh() -> Iterator[Server]:
    """The cases build on one another: each kind of client has a server of its own."""
    with Server() as started:
        yield started


def log_in(case: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    given = {"hosts": ["$host"], "user": "root", "password": "$password", "database": "", "options": {}}
    arguments = argument({**given, **case.get("connect", {})}, kept)
    options = arguments["options"]
    if "tls" in options:
        options["tls"] = Tls(**options["tls"])
    return {**arguments, "options": Options(**options)}


def compare(place: str, expected: dict[str, Any], result: Any, kept: dict[str, Any]) -> None:
    """What a call gave or raised against what the suite says."""
    if "fails" in expected:
        assert isinstance(result, CometError), f"{place}: {result}"
        found = {"kind": type(result).__name__, "code": getattr(result, "code", None)}
        assert all(agrees(value, found[name], kept) for name, value in expected["fails"].items()), f"{place}: {result!r}"
        return
    if isinstance(result, BaseException):
        raise AssertionError(place) from result
    if "gives" in expected:
        assert agrees(expected["gives"], told(result), kept), f"{place}: {told(result)} is not {expected['gives']}"


class Runner:
    """Carries out cases; `wait` is what makes a result of what a call returns."""

    def __init__(self, server: Server, connect: Callable[..., Any], wait: Callable[[Any], Any]) -> None:
        self.server, self.connect, self.wait = server, connect, wait
        self.subscription: Any = None
        self.offset = 0

    def call(self, client: Any, name: str, given: list[Any]) -> Any:
        """A step: a call of the client, or of the subscription that the case keeps."""
        own: dict[str, Callable[..., Any]] = {
            "subscribe": self.subscribe,
            "next": self.next,
            "acknowledge": lambda _: self.subscription.acknowledge(self.offset),
            "set_token": lambda _, token: self.subscription.set_token(token),
            "stop_listening": lambda _: self.subscription.close(),
        }
        if name in own:
            return self.result(own[name], client, *given)
        arguments, named = called(name, given)
        call = cometql.mint_token if name == "mint_token" else getattr(client, name)
        return self.result(call, *arguments, **named)

    def subscribe(self, client: Any, channels: list[str], listening: dict[str, Any]) -> None:
        who = listening.get("credentials")
        credentials = None if who is None else Hash(**who)
        subscription = client.subscribe(channels, Listening(**{**listening, "credentials": credentials}))
        self.subscription = self.wait(subscription.start()) if isinstance(subscription, AsyncSubscription) else subscription

    def next(self, _: Any) -> str | None:
        while events := self.wait(self.subscription.next_batch(1)):
            if not isinstance(events[0], (Online, Offline)):
                return self.line(events[0])
        return None

    def line(self, event: Event) -> str:
        if isinstance(event, Publication):
            return f"publication {event.channel} {event.event} {event.message}"
        if isinstance(event, PrivateMessage):
            self.offset = event.offset
            return f"message {event.event} {event.message}"
        if isinstance(event, Subscribed):
            return f"subscribed {event.channel}"
        if isinstance(event, ChannelRefused):
            return f"refused {event.channel} {event.code}"
        assert isinstance(event, Trouble), f"the suite does not know {event}"
        return f"trouble {event.code}"

    def result(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return self.wait(call(*arguments, **named))
        except CometError as error:
            return error

    def run(self, case: dict[str, Any]) -> None:
        kept: dict[str, Any] = {"host": self.server.host, "url": self.server.page, "password": KEY}
        client = self.result(self.connect, **log_in(case, kept))
        if "fails" in case:
            compare(case["name"], case, client, kept)
            return
        assert not isinstance(client, BaseException), case["name"]
        for number, step in enumerate(case["steps"]):
            name = step["call"]
            result = self.call(client, name, argument(step["with"], kept))
            compare(f"step {number} ({name})", step, result, kept)
        self.wait(client.close())


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_with_calls_that_block(case: dict[str, Any], fresh: Server) -> None:
    Runner(fresh, Client.connect, lambda result: result).run(case)


@pytest.fixture(scope="module")
def fresh_for_awaited() -> Iterator[Server]:
    with Server() as started:
        yield started


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_with_calls_that_are_awaited(case: dict[str, Any], fresh_for_awaited: Server) -> None:
    async def finished(result: Awaitable[Any]) -> Any:
        return await result

    with closing(asyncio.new_event_loop()) as loop:

        def wait(result: Any) -> Any:
            return loop.run_until_complete(finished(result)) if inspect.isawaitable(result) else result

        Runner(fresh_for_awaited, AsyncClient.connect, wait).run(case)
