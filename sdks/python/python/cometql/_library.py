"""The generated package and its library, and how their functions are called cheaply."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

native: Any = importlib.import_module("cometql._native.cometql_sdk")

Status: Any = native._UniffiRustCallStatus
check: Any = native._uniffi_check_call_status

_waits = ctypes.CDLL(native._UniffiLib._name)
_returns = ctypes.PyDLL(native._UniffiLib._name)

UNUSED = Status()
"""For functions that never fail."""


def quick(name: str, arguments: tuple[Any, ...], result: Any) -> Any:
    """A function of the library that returns at once, so that other threads need not be let in meanwhile."""
    return _typed(getattr(_returns, name), arguments, result)


def quick_with_status(name: str, arguments: tuple[Any, ...], result: Any) -> Any:
    """The same of a generated one: its last argument is what became of the call."""
    return quick(name, (*arguments, ctypes.POINTER(Status)), result)


def slow(name: str, arguments: tuple[Any, ...], result: Any) -> Any:
    """A function of the library that waits: other threads are let in meanwhile."""
    return _typed(getattr(_waits, name), arguments, result)


def _typed(function: Any, arguments: tuple[Any, ...], result: Any) -> Any:
    function.argtypes = arguments
    function.restype = result
    return function


def call(error_converter: Any, function: Any, *arguments: Any) -> Any:
    """Calls a generated function, and raises what it says."""
    status = Status()
    result = function(*arguments, status)
    if status.code:
        check(error_converter, status)
    return result


def continuation(name: str) -> Any:
    """A function of the library itself as what it calls when a call may go on: then it never calls into Python."""
    return native._UNIFFI_RUST_FUTURE_CONTINUATION_CALLBACK((name, _waits))
