"""Where this package meets the generated one: our records and errors in place of the generated ones, and calls that cost less.

What is generated finds its records, errors and buffers by their names in its module, so what is put there is what it uses: no
object is converted into another one. The generator is pinned to one version, and `tests/test_bridge.py` compares what is
replaced with what was generated.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from cometql import errors, listening, records
from cometql._awaited import call_awaited
from cometql._library import UNUSED, Status, call, check, native, quick_with_status

_RustBuffer: Any = native._UniffiRustBuffer


class _Bytes(ctypes.Structure):
    """As the generated `_UniffiForeignBytes`, but it takes bytes as they are."""

    _fields_ = [("len", ctypes.c_int32), ("data", ctypes.c_char_p)]


_from_bytes = quick_with_status("ffi_cometql_sdk_rustbuffer_from_bytes", (_Bytes,), _RustBuffer)
_free = quick_with_status("ffi_cometql_sdk_rustbuffer_free", (_RustBuffer,), None)

_LENGTH = struct.Struct(">i").pack
_TEXT = struct.Struct(">i").unpack_from
_SENT = struct.Struct(">Q?")


def _packed(layout: str) -> tuple[Callable[[Any, Any], None], Callable[[Any], Any]]:
    form = struct.Struct(layout)
    pack, unpack_from, size = form.pack, form.unpack_from, form.size

    def write(self: Any, value: Any) -> None:
        self.gathered += pack(value)

    def read(self: Any) -> Any:
        offset = self.offset
        self.offset = offset + size
        return unpack_from(self.data, offset)[0]

    return write, read


class _Builder:
    """Gathers what a buffer is to hold; the generated one calls the library for each field."""

    __slots__ = ("gathered",)

    def __init__(self) -> None:
        self.gathered = bytearray()

    def write(self, value: bytes) -> None:
        self.gathered += value


class _Stream:
    """Reads what a buffer holds from a copy of it."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def read(self, size: int) -> bytes:
        offset = self.offset
        self.offset = offset + size
        return self.data[offset : offset + size]


for _name, _layout in {
    "i8": ">b",
    "u8": ">B",
    "i16": ">h",
    "u16": ">H",
    "i32": ">i",
    "u32": ">I",
    "i64": ">q",
    "u64": ">Q",
    "float": ">f",
    "double": ">d",
}.items():
    _write, _read = _packed(_layout)
    setattr(_Builder, f"write_{_name}", _write)
    setattr(_Stream, f"read_{_name}", _read)


def _buffer(data: bytes) -> Any:
    return _from_bytes(_Bytes(len(data), data), UNUSED)


def _taken(buffer: Any) -> bytes:
    """What a buffer holds, which is given back."""
    data = ctypes.string_at(buffer.data, buffer.len)
    _free(buffer, UNUSED)
    return data


def _lower(converter: Any, value: Any) -> Any:
    builder = _Builder()
    converter.write(value, builder)
    return _buffer(bytes(builder.gathered))


def _lift(converter: Any, buffer: Any) -> Any:
    return converter.read(_Stream(_taken(buffer)))


def _lower_text(value: str) -> Any:
    return _buffer(value.encode())


def _lift_text(buffer: Any) -> str:
    return _taken(buffer).decode()


def _packed_publication(channel: str, message: str, event: str, id: str | None) -> bytes:
    """All fields of a `NewPublication` in one step."""
    try:
        one, two, three = str.encode(channel), str.encode(message), str.encode(event)
        parts = [_LENGTH(len(one)), one, _LENGTH(len(two)), two, _LENGTH(len(three)), three]
        if id is None:
            parts.append(b"\0")
        else:
            four = str.encode(id)
            parts += (b"\1", _LENGTH(len(four)), four)
    except TypeError:
        raise TypeError("channel, message and event are str, id is str or None") from None
    return b"".join(parts)


def _write_publication(value: records.NewPublication, builder: _Builder) -> None:
    builder.gathered += _packed_publication(value.channel, value.message, value.event, value.id)


def _sent(data: bytes) -> records.Sent:
    end = 4 + _TEXT(data)[0]
    reached, stored = _SENT.unpack_from(data, end)
    return records.Sent(data[4:end].decode(), reached, stored)


def publisher(client: Any) -> Callable[[str, str, str, str | None], records.Sent]:
    """`BlockingClient.publish` in fewer steps: this is the call that is made most often, and in the generated code half of what it
    costs."""
    publish = native._UniffiLib.uniffi_cometql_sdk_fn_method_blockingclient_publish
    clone = quick_with_status("uniffi_cometql_sdk_fn_clone_blockingclient", (ctypes.c_uint64,), ctypes.c_uint64)
    converter = native._UniffiFfiConverterTypeCometError
    handle = client._handle

    def send(channel: str, message: str, event: str, id: str | None) -> records.Sent:
        buffer = _buffer(_packed_publication(channel, message, event, id))
        status = Status()
        answer = publish(clone(handle, UNUSED), buffer, status)
        if status.code:
            check(converter, status)
        return _sent(_taken(answer))

    return send


class _Bound:
    """A value of a statement, with what the generated converter asks it."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: object) -> None:
        self.kind = kind
        self.value = value


def _asks(kind: str) -> Callable[[_Bound], bool]:
    return lambda bound: bound.kind == kind


for _name in ("NULL", "INT", "FLOAT", "TEXT", "BLOB"):
    setattr(_Bound, f"is_{_name}", _asks(_name))


def bound(value: records.Value) -> _Bound:
    """A Python value as the library takes it."""
    if value is None:
        return _Bound("NULL", None)
    if isinstance(value, str):
        return _Bound("TEXT", value)
    if isinstance(value, int):
        return _Bound("INT", int(value))
    if isinstance(value, float):
        return _Bound("FLOAT", value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _Bound("BLOB", bytes(value))
    raise TypeError(f"a value is None, bool, int, float, str or bytes, not {type(value).__name__}")


def channels_since(channels: Iterable[str | listening.ChannelSince]) -> list[listening.ChannelSince]:
    """Names are channels without a position."""
    if isinstance(channels, str):
        raise TypeError("channels are a list of names, not one name")
    return [listening.ChannelSince(one) if isinstance(one, str) else one for one in channels]


def plan(given: listening.Listening | None) -> listening.Listening:
    """What the library takes for it."""
    if given is None:
        return listening.Listening()
    who = given.credentials
    if isinstance(who, listening.Token):
        return replace(given, credentials=native.Credentials.TOKEN(token=who.token))
    if isinstance(who, listening.Hash):
        return replace(given, credentials=native.Credentials.HASH(user=who.user, hash=who.hash))
    if isinstance(who, listening.Key):
        return replace(given, credentials=native.Credentials.KEY(key=who.key, claims=who.claims))
    return given


def _cheap_handles(of: Any) -> None:
    """Each call consumes a copy of the object's handle."""
    name = f"uniffi_cometql_sdk_fn_clone_{of.__name__.lower()}"
    clone = quick_with_status(name, (ctypes.c_uint64,), ctypes.c_uint64)

    def copy_of_handle(self: Any) -> Any:
        return clone(self._handle, UNUSED)

    of._uniffi_clone_handle = copy_of_handle


def _itself(value: Any) -> Any:
    return value


def _install() -> None:
    native._uniffi_rust_call_with_error = call
    native._uniffi_rust_call_async = call_awaited
    buffered = native._UniffiConverterRustBuffer
    buffered.lower, buffered.lift = classmethod(_lower), classmethod(_lift)
    text = native._UniffiFfiConverterString
    text.lower, text.lift = staticmethod(_lower_text), staticmethod(_lift_text)
    publication = native._UniffiFfiConverterTypeNewPublication
    # Writing checks as well.
    publication.check_lower = staticmethod(_itself)
    publication.write = staticmethod(_write_publication)
    native._UniffiFfiConverterTypeSent.lift = staticmethod(lambda buffer: _sent(_taken(buffer)))
    for name, record in {**records.FROM_LIBRARY, **listening.FROM_LIBRARY}.items():
        setattr(native, name, record)
    for name, event in listening.EVENTS.items():
        setattr(native.Event, name, event)
    for name in ("PUBLICATION", "MESSAGE"):
        setattr(native.Event, name, staticmethod(_itself))
    for name in ("INT", "FLOAT", "TEXT", "BLOB"):
        setattr(native.Value, name, staticmethod(_itself))
    native.Value.NULL = staticmethod(lambda: None)
    for kind in errors.FROM_LIBRARY:
        setattr(native.CometError, kind.__name__, kind)
    for name in ("BlockingClient", "Client", "BlockingSubscription", "Subscription"):
        _cheap_handles(getattr(native, name))


_install()
