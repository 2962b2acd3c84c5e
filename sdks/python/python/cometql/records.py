"""What calls take and return."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, Union

from cometql.errors import Invalid

Message: TypeAlias = Union[str, dict[str, Any], list[Any], tuple[Any, ...]]
"""A payload. A `str` is sent as it is; if it is the text of a JSON object or array, browsers get that object or array. A dict, list or
tuple is encoded as JSON; what JSON has not, NaN for example, is `Invalid`."""

Value: TypeAlias = Union[None, bool, int, float, str, bytes]
"""A value of a statement, to the server and back. bool is sent as 0 or 1."""


def text_of(message: Message) -> str:
    """The payload as it is sent."""
    if isinstance(message, str):
        return message
    if isinstance(message, (bytes, bytearray)):
        raise TypeError("a message is str, dict or list, not bytes")
    try:
        return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise Invalid(f"the message can't be encoded as JSON: {error}") from None


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


@dataclass(frozen=True, slots=True)
class SentMany:
    """What became of several publications or private messages."""

    ids: list[str]
    """The ids of the messages, UUIDs, in the order in which they were given."""
    reached: int
    """To how many connections of the node they were sent, all together."""
    stored: bool
    """False: at least one was delivered to who is connected, but a cluster's log could not keep it (warning 207)."""


@dataclass(frozen=True, slots=True)
class NewPrivateMessage:
    """What is to be sent to one user."""

    user: int
    message: str
    event: str
    id: str | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Which part of a history is asked for."""

    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class KeptPublication:
    """A publication that a channel keeps."""

    id: str
    """Its id, a UUID."""
    event: str
    """Its label; may be empty."""
    message: str
    """Its payload, as it was published."""
    user: int | None
    """Which user's browser published it; None: a backend, or a browser that nobody had logged in to."""
    at: datetime
    """When it was published, by the clock of the server, in whole seconds."""
    offset: int
    """Its place in the channel: offsets rise, and there may be holes."""

    def json(self) -> Any:
        """The payload, decoded from JSON."""
        return json.loads(self.message)


@dataclass(frozen=True, slots=True)
class PublicationPage:
    """A part of a history."""

    publications: list[KeptPublication]
    """The publications, the oldest first."""
    next: int | None
    """Where the next page begins: give it as `after`. None: this was the last one."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How a channel is set."""

    length: int
    """How many publications it keeps on disk; the newest stay. 0 = none."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A connection that is subscribed to a channel."""

    user: int | None
    """Whose it is; None: nobody has logged in there."""
    uuid: str
    """What the page named itself when it connected; may be empty."""
    user_agent: str
    """The browser, as it names itself."""
    ip: str
    """Its address."""
    origin: str
    """The origin of its page."""
    language: str
    """The languages that it asks for."""


@dataclass(frozen=True, slots=True)
class LastSeen:
    """When a user was last online."""

    user: int
    """The user's id."""
    online: bool
    """Whether the user is online now, a short absence included."""
    at: datetime | None
    """When the user went offline, in whole seconds; None: is online, or was never seen."""


class Algorithm(enum.Enum):
    """How a token is signed."""

    HS256 = "HS256"
    """A secret that both sides know."""
    RS256 = "RS256"
    """RSA with SHA-256; the key is a PEM text."""
    ES256 = "ES256"
    """The curve P-256; the key is a PEM text (PKCS #8)."""
    ED_DSA = "EdDSA"
    """Ed25519; the key is a PEM text (PKCS #8)."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key that signs tokens: the other half of an entry of `[[jwt_keys]]` in the server's configuration."""

    key: str = field(repr=False)
    """The secret, or the private key as PEM text."""
    algorithm: Algorithm | None = None
    """What the key is for. None: HS256."""
    id: str | None = None
    """The `id` of the server's entry, which goes into the token's header as `kid`. None: no `kid`."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says."""

    user: int
    """Whose token it is: the user's id, 1 to 2^53 - 1 (`sub`)."""
    life_s: int = 3600
    """For how many seconds it holds from now on: 1 to 315,360,000 (`exp`, `iat`)."""
    tenant: int | None = None
    """The number of the tenant (`tenant`). None: the tenant of the server's key, else tenant 0."""
    issuer: str | None = None
    """Who issues it (`iss`), where the server's key asks for that."""
    audience: str | None = None
    """For whom it is (`aud`), where the server's key asks for that."""
    further: Message = ""
    """Further claims, which channel rules can ask for: a dict, or the text of a JSON object. Empty: none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "further", text_of(self.further))


FROM_LIBRARY: dict[str, type] = {
    "Algorithm": Algorithm,
    "Answer": Answer,
    "ChannelSettings": ChannelSettings,
    "Claims": Claims,
    "HistoryPage": HistoryPage,
    "LastSeen": LastSeen,
    "NewPrivateMessage": NewPrivateMessage,
    "NewPublication": NewPublication,
    "Options": Options,
    "Presence": Presence,
    "Publication": KeptPublication,
    "PublicationPage": PublicationPage,
    "Sent": Sent,
    "SentMany": SentMany,
    "Subscribers": Subscribers,
    "Tls": Tls,
    "TokenKey": TokenKey,
    "Warning": Warning,
}
"""What the library takes and makes, by the names that it has there."""
