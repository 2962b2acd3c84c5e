"""What calls take and return."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

Message: TypeAlias = Union[str, Mapping[str, Any], Sequence[Any]]
"""A payload. A `str` is sent as it is; if it is the text of a JSON object or array, browsers get that object or array. A dict or
list is encoded as JSON."""

Value: TypeAlias = Union[None, bool, int, float, str, bytes]
"""A value of a statement, to the server and back. bool is sent as 0 or 1."""


def text_of(message: Message) -> str:
    """The payload as it is sent."""
    if isinstance(message, str):
        return message
    if isinstance(message, (bytes, bytearray)):
        raise TypeError("a message is str, dict or list, not bytes")
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS. The server's certificate is always verified, with its name."""

    ca_file: str | None = None
    """A PEM file with the certificates of those who may have signed the server's certificate. None: whom the system trusts."""
    server_name: str | None = None
    """The name that must be in the certificate. None: the host as it is named in the list of hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a client behaves. Everything has a default."""

    tls: Tls | None = None
    """TLS to the servers. None: no TLS, for servers on this machine or in a network that is yours alone."""
    call_timeout_ms: int = 10_000
    """How long a call may take with all that belongs to it, fail-over included: 1 to 3,600,000."""
    connect_timeout_ms: int = 3_000
    """How long one host may take to connect and log in before the next one is tried: 1 to 60,000."""
    max_connections: int = 10
    """Most connections to each host: 1 to 1,000. When all are in use, calls wait for one."""
    idle_check_ms: int = 5_000
    """A connection that was idle for so long is checked before it is used: 0 to 3,600,000; 0 = always."""
    idle_close_ms: int = 300_000
    """A connection that was idle for so long is closed when somebody comes by: 1 to 28,800,000."""
    back_off_min_ms: int = 100
    """For how long a host that failed is left alone if another one is there: 1 to 60,000. Doubled with each failure, up to
    `back_off_max_ms`; the actual time is by chance between half of it and all of it."""
    back_off_max_ms: int = 10_000
    """The longest time for which a failed host is left alone: `back_off_min_ms` to 600,000."""
    spread: bool = False
    """False: the first host of the list that works is used. True: the client shuffles the list when it connects, so that many
    clients load all hosts evenly."""


class NewPublication:
    """What is to be published: for `publish_many`."""

    __slots__ = ("channel", "event", "id", "message")

    channel: str
    """The channel: 3 to 64 of letters, digits, `_` and `-`; `.`, `:` and `/` where a channel rule allows them."""
    message: str
    """The payload, encoded."""
    event: str
    """A label that subscribers can tell publications apart by: 0 to 64 of letters, digits, `_` and `-`."""
    id: str | None
    """A UUID. Who sends again with the same one within 5 minutes publishes once. None: the client makes one."""

    def __init__(self, channel: str, message: Message, event: str = "", id: str | None = None) -> None:
        self.channel = channel
        self.message = message if isinstance(message, str) else text_of(message)
        self.event = event
        self.id = id

    def __repr__(self) -> str:
        return f"NewPublication(channel={self.channel!r}, message={self.message!r}, event={self.event!r}, id={self.id!r})"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a publication or private message."""

    id: str
    """The id of the message, a UUID."""
    reached: int
    """To how many connections of the node it was sent. 0 if it had been sent before with the same id and the node restarted."""
    stored: bool
    """False: it was delivered to who is connected, but a cluster's log could not keep it (warning 207)."""


@dataclass(frozen=True, slots=True)
class Subscribers:
    """How many subscribers a channel has."""

    channel: str
    """The channel."""
    count: int
    """Subscribed connections of browsers."""


@dataclass(frozen=True, slots=True)
class Warning:
    """A warning of the server about a statement that was carried out."""

    code: int
    """The server's code: 206 when a node did not answer, 207 when a message was not stored."""
    detail: str
    """The server's words, for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement answered."""

    columns: list[str]
    """The names of the columns."""
    rows: list[list[Value]]
    """The rows, each with one value for each column."""
    affected: int
    """Affected rows."""
    insert_id: int
    """The insert id; 0 = none."""
    info: str
    """The info string, like `Reached: 2`."""
    warnings: list[Warning]
    """Warnings."""


FROM_LIBRARY: tuple[type, ...] = (
    Tls,
    Options,
    NewPublication,
    Sent,
    Subscribers,
    Warning,
    Answer,
)
"""What the library takes and makes, as it names it."""
