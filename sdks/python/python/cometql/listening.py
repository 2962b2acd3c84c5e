"""Listening: how it is asked for, and what it brings. A loss is never silent: it is a `Gap`, or the error `Ended`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, Union

from cometql.records import Claims, Tls, TokenKey


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the history of a channel. Store the position of each publication that was handled, and give it when you subscribe
    again: everything that came since comes, or a `Gap`."""

    epoch: str
    """Which life of the history: sixteen hexadecimal digits. In another epoch the offsets began anew."""
    offset: int
    """The offset of the last publication at or before this place; 0 = before the first one."""


@dataclass(frozen=True, slots=True)
class ChannelSince:
    """A channel to listen to, from a position on."""

    channel: str
    """The name of the channel."""
    since: Position | None = None
    """Everything since this position comes first. None: what comes from now on."""


@dataclass(frozen=True, slots=True)
class Token:
    """Listens with a token (JWT). When it ends, listening ends, unless a newer one was given before with `set_token`."""

    token: str = field(repr=False)
    """The token."""


@dataclass(frozen=True, slots=True)
class Hash:
    """Listens as a user, with the hash that was given to `authorize` for it."""

    user: int
    """The user's id."""
    hash: str = field(repr=False)
    """The hash."""


@dataclass(frozen=True, slots=True)
class Key:
    """Listens with a key that signs tokens: they are made here and replaced before they end, for as long as listening lasts."""

    key: TokenKey
    """The key."""
    claims: Claims
    """What each token says. `life_s` is the life of one token, not that of the subscription."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How a subscription behaves. Everything has a default."""

    urls: list[str] = field(default_factory=list)
    """The browser ports of the nodes: `ws://host:8087`, `wss://host` or `https://host`. One of them is chosen at random, the next
    one when it fails. None given: the hosts of the client on port 8087, with TLS if the client has TLS."""
    tenant: int | None = None
    """The number of the tenant whose channels they are. None: that of the client, else 0."""
    tls: Tls | None = None
    """TLS for `wss://` and `https://`. None: that of the client, else whom the system trusts."""
    credentials: Token | Hash | Key | None = None
    """Who listens. None: nobody, as a browser that has not logged in."""
    inbox: bool = False
    """Private messages of the user come, too."""
    acknowledge_by_hand: bool = False
    """False: a private message is acknowledged when the next event is asked for after it, so by a loop that has handled it. True:
    it is acknowledged by `acknowledge` only. What is not acknowledged comes again."""
    name: str = ""
    """Names this listener in presence lists and in events of those who join and leave: at most 64 bytes."""
    start_timeout_ms: int = 10_000
    """How long the first connection and the answers of all channels may take: 1 to 3,600,000."""
    connect_timeout_ms: int = 3_000
    """How long one node may take to connect, and then to log in, before the next one is tried: 1 to 60,000."""
    back_off_min_ms: int = 100
    """When all nodes failed: the longest first pause, 1 to 60,000. Doubled with each round, up to `back_off_max_ms`; the actual
    pause is by chance between nothing and that."""
    back_off_max_ms: int = 10_000
    """The longest pause: `back_off_min_ms` to 600,000."""
    ping_ms: int = 6_000
    """After so much silence the node is asked whether it is there: 100 to 600,000."""
    pong_ms: int = 3_500
    """How long it may take to answer that before the connection counts as broken: 100 to 600,000."""
    queue_events: int = 1_000
    """Most events that wait for the application: 1 to 1,000,000. When as many wait, nothing more is read from the socket."""
    queue_bytes: int = 8 << 20
    """Most bytes of events that wait for the application: 1,024 to 1,073,741,824. A single larger one passes, too."""


class _WithMessage:
    __slots__ = ()

    message: str

    def json(self) -> Any:
        """The payload, decoded from JSON."""
        return json.loads(self.message)


@dataclass(frozen=True, slots=True)
class Publication(_WithMessage):
    """A publication in one of the channels. Those of a channel with history come in order, each once."""

    channel: str
    """The channel."""
    event: str
    """The label, may be empty."""
    message: str
    """The payload, as it was published: the text of a JSON object or array, or any other text."""
    user: int | None
    """The user's id, if a logged-in browser published it and did not hide who it is."""
    at: datetime
    """When it was published, by the server's clock, to the millisecond."""
    position: Position | None
    """Its place: what to store, and to give as `since` later. None: the channel has no history."""


@dataclass(frozen=True, slots=True)
class PrivateMessage(_WithMessage):
    """A private message of the user. It comes again, in this subscription or a later one, until it is acknowledged."""

    event: str
    """The label, may be empty."""
    message: str
    """The payload, as it was sent."""
    at: datetime
    """When it was sent, by the server's clock, to the millisecond."""
    offset: int
    """Its place in the inbox: what `acknowledge` takes. The same offset is the same message."""
    stored: bool
    """False: a cluster whose log could not take it delivers it directly; offsets of such messages rise in no order."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Listening to a channel began."""

    channel: str
    """The channel."""
    position: Position | None
    """Where it begins, to store until a publication comes: the given position if everything since then follows, else where the
    channel is now. None: it has no history."""
    recovered: bool
    """True: everything since the given position follows. False: no position was given, or something is lost; then a `Gap`
    follows."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The connection had broken or the node had gone; listening to the channel goes on and nothing is missing."""

    channel: str
    """The channel."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something of the channel is lost and will not come: load its state anew. Listening goes on."""

    channel: str
    """The channel."""
    position: Position | None
    """Where it goes on: what to store in place of an older position; None: the channel has no history."""


@dataclass(frozen=True, slots=True)
class ChannelRefused:
    """The server refused a channel or ended the subscription to it; the other ones go on. When no channel and no inbox is left, the
    next event is the error `Ended`."""

    channel: str
    """The channel."""
    code: str
    """Why: a code of the browser protocol, `permission_denied` for example. Codes are stable."""
    detail: str
    """The same, for people."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody subscribed to a channel that tells of it, `track_…` for example."""

    channel: str
    """The channel."""
    user: int | None
    """The user's id; None: nobody has logged in there."""
    name: str
    """The name that the browser or listener gave itself, may be empty."""


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody left such a channel."""

    channel: str
    """The channel."""
    user: int | None
    """The user's id; None: nobody had logged in there."""
    name: str
    """The name that the browser or listener gave itself, may be empty."""


@dataclass(frozen=True, slots=True)
class Online:
    """There is a connection. What each channel missed is told by `Subscribed`, `Recovered` or `Gap`."""

    url: str
    """The URL of the node."""


@dataclass(frozen=True, slots=True)
class Offline:
    """There is no connection; the next attempt is made without being asked for."""

    detail: str
    """Why."""
    retry_ms: int
    """In how many milliseconds the next attempt is made."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something failed that does not end listening: a newer token that was refused, for example."""

    code: str
    """A code of the browser protocol, or `key` if a token could not be made."""
    detail: str
    """The same, for people."""


Event: TypeAlias = Union[
    Publication,
    PrivateMessage,
    Subscribed,
    Recovered,
    Gap,
    ChannelRefused,
    Joined,
    Left,
    Online,
    Offline,
    Trouble,
]
"""What a subscription brings."""

FROM_LIBRARY: dict[str, type] = {
    "Position": Position,
    "ChannelSince": ChannelSince,
    "Listening": Listening,
    "Received": Publication,
    "PrivateMessage": PrivateMessage,
}
"""What the library takes and makes, by the names that it has there."""

EVENTS: dict[str, type] = {
    "SUBSCRIBED": Subscribed,
    "RECOVERED": Recovered,
    "GAP": Gap,
    "REFUSED": ChannelRefused,
    "JOINED": Joined,
    "LEFT": Left,
    "ONLINE": Online,
    "OFFLINE": Offline,
    "TROUBLE": Trouble,
}
"""The library's events that are our records, by the names that they have there; a publication and a private message are made of
one."""
