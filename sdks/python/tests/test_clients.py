"""Calls, their errors, time-outs, cancellation, threads: both clients against one server."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import types
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cometql import (
    AccessDenied,
    AsyncClient,
    Claims,
    Client,
    Closed,
    CometError,
    Invalid,
    NewPublication,
    Options,
    Refused,
    TimedOut,
    Unreachable,
    Value,
)
from servers import KEY, Server, keep

NOBODY = "127.0.0.1:9"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, 1),
        (-(2**62), -(2**62)),
        (0.5, 0.5),
        ("it's \"quoted\" \\ 🎉", "it's \"quoted\" \\ 🎉"),
        (b"\xff\x00'", b"\xff\x00'"),
    ],
)
def test_values_go_there_and_back(client: Client, value: Value, expected: Value) -> None:
    answer = client.query("SELECT ? AS v", [value])
    assert answer.columns == ["v"]
    assert answer.rows == [[expected]]


def test_an_answer_tells_what_was_done(client: Client) -> None:
    answer = client.query(
        "INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?), (?, ?, ?)", ["py_q", "", "a"] * 2
    )
    assert answer.info == "Reached: 0"
    assert answer.rows == [] and answer.warnings == []


def test_the_same_id_is_sent_once(client: Client) -> None:
    name, id = "py_once", str(uuid.uuid4())
    keep(client, name)
    assert [client.publish(name, "m", id=id).id, client.publish(name, "m", id=id.upper()).id] == [id, id]
    assert len(client.query("SELECT id FROM pipes_messages WHERE name = ?", [name]).rows) == 1
    assert uuid.UUID(client.publish(name, "m").id).version == 7


def refusals(client: Client) -> list[tuple[Callable[[], object], type[CometError], int]]:
    return [
        (lambda: client.query("SELEC 1"), Refused, 3),
        (lambda: client.query("SELECT * FROM no_such_table"), Refused, 15),
        (lambda: client.publish("no channel", "m"), Refused, 12),
        (lambda: client.publish("py_x", "m", event="no event"), Refused, 12),
        (lambda: client.query("SELECT * FROM pipes_messages WHERE name = 'x' AND dev_id = 7"), Refused, 14),
    ]


@pytest.mark.parametrize("at", range(5))
def test_the_server_refuses_with_its_codes(client: Client, at: int) -> None:
    call, kind, code = refusals(client)[at]
    with pytest.raises(kind) as refused:
        call()
    assert isinstance(refused.value, Refused)
    assert refused.value.code == code and refused.value.state == "HY000"
    assert str(code) in str(refused.value) and refused.value.detail in str(refused.value)


def test_what_is_not_valid_is_not_sent(client: Client) -> None:
    with pytest.raises(Invalid):
        client.publish("py_x", "m", id="no uuid")
    with pytest.raises(Invalid):
        client.query("SELECT ?", [1, 2])
    # The types say so, too: mypy fails where an "ignore" hides nothing.
    with pytest.raises(TypeError):
        client.publish("py_x", b"bytes")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        client.publish("py_x", types.MappingProxyType({"a": 1}))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        client.publish("py_x", range(3))  # type: ignore[arg-type]
    wrong: Any
    wrong = object()
    with pytest.raises(TypeError):
        client.query("SELECT ?", [wrong])
    with pytest.raises(TypeError):
        client.publish(wrong, "m")
    with pytest.raises(ValueError):
        client.query("SELECT ?", [2**70])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_has_not_is_not_sent(client: Client, number: float) -> None:
    """Browsers would take the whole message for a text."""
    message = {"a": [1, {"b": number}]}
    for send in (
        lambda: client.publish("py_x", message),
        lambda: client.send_to_user(1, message),
        lambda: client.set_user_data(1, message),
        lambda: NewPublication("py_x", message),
        lambda: Claims(1, further=message),
    ):
        with pytest.raises(Invalid, match="JSON"):
            send()
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(Invalid, match="JSON"):
        client.publish("py_x", circle)


def connect(host: str, password: str = KEY, **settings: int) -> Client:
    return Client.connect([host], "root", password, options=Options(**settings))  # type: ignore[arg-type]


def test_connecting_fails_with_the_right_error(server: Server) -> None:
    with pytest.raises(AccessDenied) as denied:
        connect(server.host, "wrong")
    assert denied.value.code == 16
    with pytest.raises(Unreachable):
        connect(NOBODY)
    with pytest.raises(Invalid):
        connect("127.0.0.1:notaport")
    with pytest.raises(Invalid):
        connect(server.host, max_connections=0)
    with pytest.raises(Invalid):
        Client.connect([], "root", KEY)
    with connect(server.host) as client:
        client.ping()
    with Client.connect([NOBODY, server.host], "root", KEY) as client:
        client.ping()


async def test_connecting_fails_with_the_right_error_in_asyncio(server: Server) -> None:
    with pytest.raises(AccessDenied):
        await AsyncClient.connect(server.host, "root", "wrong")
    with pytest.raises(Unreachable):
        async with AsyncClient.connect(NOBODY, "root", KEY):
            pass


def test_a_closed_client_says_so(server: Server) -> None:
    client = connect(server.host)
    with client:
        pass
    client.close()
    calls: list[Callable[[], object]] = [
        lambda: client.publish("py_x", "m"),
        lambda: client.query("SELECT 1"),
        client.ping,
    ]
    for call in calls:
        with pytest.raises(Closed):
            call()


def test_a_server_that_does_not_answer() -> None:
    with Server() as server, connect(server.host, call_timeout_ms=2_500, idle_check_ms=3_600_000) as client:
        client.ping()
        server.pause()
        try:
            with pytest.raises(TimedOut) as late:
                client.publish("py_late", "m")
            assert isinstance(late.value, TimeoutError)
        finally:
            server.resume()


def test_closing_ends_a_call_in_another_thread() -> None:
    with Server() as server:
        client = connect(server.host, call_timeout_ms=600_000, idle_check_ms=3_600_000)
        client.ping()
        server.pause()
        ended: list[CometError] = []

        def publish() -> None:
            try:
                client.publish("py_late", "m")
            except CometError as error:
                ended.append(error)

        thread = threading.Thread(target=publish)
        thread.start()
        # Before or during the call: it ends the same way.
        client.close()
        thread.join(60)
        server.resume()
    assert [type(error) for error in ended] == [Closed]


async def test_a_cancelled_task_gives_its_call_up() -> None:
    with Server() as server:
        options = Options(call_timeout_ms=600_000, max_connections=1, idle_check_ms=3_600_000)
        async with AsyncClient.connect(server.host, "root", KEY, options=options) as client:
            server.pause()
            task = asyncio.create_task(client.publish("py_cancel", "given up"))
            # Long enough for the call to be under way or not: it is given up either way.
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # Another one than `TimeoutError` before Python 3.11.
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.publish("py_cancel", "too late"), 0.05)
            server.resume()
            # The one connection that there may be is free again.
            assert (await client.publish("py_cancel", "m")).stored


async def test_a_task_keeps_its_context(server: Server) -> None:
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number")

    async def publish(client: AsyncClient, n: int) -> bool:
        number.set(n)
        for _ in range(5):
            await client.publish("py_context", str(n))
            if number.get() != n or asyncio.current_task() is None:
                return False
        return True

    async with AsyncClient.connect(server.host, "root", KEY) as client:
        assert all(await asyncio.gather(*(publish(client, n) for n in range(40))))


async def test_calls_are_cancelled_at_any_moment(server: Server) -> None:
    async with AsyncClient.connect(server.host, "root", KEY) as client:
        for turns in range(60):
            task = asyncio.create_task(client.publish("py_cancel", str(turns)))
            for _ in range(turns % 12):
                await asyncio.sleep(0)
            asked = task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError) == asked
        await client.ping()


def test_many_threads_share_a_client(client: Client) -> None:
    keep(client, "py_threads")

    def publish(thread: int) -> None:
        for n in range(10):
            client.publish("py_threads", f"{thread} {n}", event="n")

    threads = [threading.Thread(target=publish, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = client.query("SELECT message FROM pipes_messages WHERE name = 'py_threads'").rows
    assert len(rows) == 80
