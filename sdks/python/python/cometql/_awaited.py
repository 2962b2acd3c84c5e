"""Awaited calls: how they are asked, and how the library wakes the event loop when one may go on.

No thread of the library ever runs Python. It would wait for Python's lock each time, and when Python is ending, what takes that lock
ends its thread, which in the library's ends the process. Instead an event loop has a bell (`sdk-gen/src/bell.rs`): the numbers of the
calls that may go on wait there, and a byte in a pipe that the loop watches tells of them, one for all that wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from typing import Any, Protocol

from cometql._library import call, continuation, quick, slow

_MOST = 100
"""So many calls go on in one turn of the event loop; then it looks after others."""

# As in bell.rs.
_WHO_BITS = 40
_WHO = (1 << _WHO_BITS) - 1
_MORE = 1 << 63

_wake = continuation("cometql_sdk_wake")
_done = quick("cometql_sdk_done", (), ctypes.c_uint64)
_take = quick("cometql_sdk_bell_take", (ctypes.c_uint64,), ctypes.c_uint64)
_close = quick("cometql_sdk_bell_close", (ctypes.c_uint64,), None)
_for_thread = quick("cometql_sdk_bell_for_thread", (), ctypes.c_uint64)
_wait = slow("cometql_sdk_bell_wait", (ctypes.c_uint64,), ctypes.c_uint64)
_with_pipe = quick("cometql_sdk_bell_with_pipe", (), ctypes.c_int64) if os.name == "posix" else None

_numbers = itertools.count(1)
"""Of calls, in all event loops: none comes twice, so that what is told of a call that is over means nobody."""


class Waiting(Protocol):
    """What a task awaits while its call can't go on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...

    def go_on(self) -> None:
        """Wakes the task; in the thread of its event loop."""

    def __await__(self) -> Generator[Any, None, None]: ...


class Lean:
    """Wakes its task in the same turn of the event loop; a real future would in the turn after.

    A future for tasks, in the sense of `asyncio.isfuture`, which one task awaits. What they ask of it is documented nowhere, so it
    is used in the versions of Python that it was tested in.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._wake: Callable[[Lean], object] | None = None
        self._context: contextvars.Context | None = None
        self._cancelled = False

    def go_on(self) -> None:
        wake, context = self._wake, self._context
        if wake is not None and context is not None:
            self._wake = None
            context.run(wake, self)

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self
        self.result()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, wake: Callable[[Lean], object], *, context: contextvars.Context) -> None:
        self._wake, self._context = wake, context

    def result(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError

    def cancel(self, msg: object = None) -> bool:
        if self._wake is None or self._cancelled:
            return False
        self._cancelled = True
        self._loop.call_soon(self.go_on)
        return True


class Plain:
    """The same with what asyncio documents."""

    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[None] = loop.create_future()

    def go_on(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def __await__(self) -> Generator[Any, None, None]:
        return self._future.__await__()


TESTED = ((3, 10), (3, 11), (3, 12), (3, 13))
"""The versions of CPython in which all tests are run with `Lean`."""

_tested = sys.implementation.name == "cpython" and sys.version_info[:2] in TESTED
waiting: type[Waiting] = Lean if _tested else Plain


class _Bell:
    """The bell of an event loop, which does not keep the loop alive."""

    __slots__ = ("__weakref__", "calls", "close", "loop", "place")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self.calls: dict[int, Waiting] = {}
        self.place = -1
        if not self._watched(loop):
            # The event loop of Windows can't watch a pipe.
            self.place = _for_thread()
            threading.Thread(target=self._hear, name="cometql", daemon=True).start()
        self.close = weakref.finalize(loop, _close, self.place)
        # Then the system does.
        self.close.atexit = False

    def _watched(self, loop: asyncio.AbstractEventLoop) -> bool:
        if _with_pipe is None:
            return False
        made: int = _with_pipe()
        if made < 0:
            raise OSError("there is no pipe left, by which the library wakes the event loop")
        self.place = made >> 32
        try:
            loop.add_reader(made & 0xFFFF_FFFF, self._rung)
        except NotImplementedError:
            _close(self.place)
            return False
        return True

    def _rung(self) -> None:
        """The pipe has a byte for as long as somebody is woken: what is left here, after an error too, comes in the next turn."""
        place, calls = self.place, self.calls
        for _ in range(_MOST):
            taken = _take(place)
            # Who was cancelled is not there any more.
            woken = calls.pop(taken & _WHO, None)
            if woken is not None:
                woken.go_on()
            if not taken & _MORE:
                return

    def _hear(self) -> None:
        while who := _wait(self.place) & _WHO:
            loop = self.loop()
            if loop is None:
                return
            # A loop that is closed waits for nothing.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._woken, who)
            del loop

    def _woken(self, who: int) -> None:
        woken = self.calls.pop(who, None)
        if woken is not None:
            woken.go_on()


class _Here(threading.local):
    """The bell that this thread used last."""

    bell: _Bell | None = None


_here = _Here()
_bells: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _bell_of(loop: asyncio.AbstractEventLoop) -> _Bell:
    with _making:
        bell = _bells.get(loop)
        if bell is None:
            # Not all loops that are closed are forgotten soon.
            for other, old in list(_bells.items()):
                if other.is_closed():
                    old.close()
                    del _bells[other]
            bell = _bells[loop] = _Bell(loop)
    _here.bell = bell
    return bell


def _after_fork() -> None:
    """The bells are the parent's, and its threads, who may have held the lock, are not here."""
    global _bells, _making
    _here.bell = None
    _bells = weakref.WeakKeyDictionary()
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


async def call_awaited(of: Any, poll: Any, complete: Any, free: Any, lift: Any, error_converter: Any) -> Any:
    """In place of the generated function of the same arguments.

    Nothing waits between a call's last question, which tells that it is done, and its answer: so no object is lost when the task is
    cancelled, and a call that is done at once takes no turn of the event loop.
    """
    who = 0
    bell = None
    try:
        loop = asyncio.get_running_loop()
        bell = _here.bell
        if bell is None or bell.loop() is not loop:
            bell = _bell_of(loop)
        who = next(_numbers) & _WHO
        known = bell.place << _WHO_BITS | who
        while True:
            poll(of, _wake, known)
            if _done() == known:
                return lift(call(error_converter, complete, of))
            bell.calls[who] = wait = waiting(loop)
            await wait
    finally:
        if bell is not None:
            bell.calls.pop(who, None)
        free(of)
