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
from cometql import AsyncClient, Client, CometError, Options, Tls
from servers import KEY, Server
from suite import agrees, argument, called, told

CASES: list[dict[str, Any]] = json.loads(pathlib.Path(os.environ["COMETQL_SUITE"]).read_text("utf-8"))["cases"]
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

    def result(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return self.wait(call(*arguments, **named))
        except CometError as error:
            return error

    def run(self, case: dict[str, Any]) -> None:
        kept: dict[str, Any] = {"host": self.server.host, "password": KEY}
        client = self.result(self.connect, **log_in(case, kept))
        if "fails" in case:
            compare(case["name"], case, client, kept)
            return
        assert not isinstance(client, BaseException), case["name"]
        for number, step in enumerate(case["steps"]):
            name = step["call"]
            arguments, named = called(name, argument(step["with"], kept))
            call = cometql.mint_token if name == "mint_token" else getattr(client, name)
            compare(f"step {number} ({name})", step, self.result(call, *arguments, **named), kept)
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
