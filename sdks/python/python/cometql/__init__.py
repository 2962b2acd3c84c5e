"""Client of CometQL, the realtime server that speaks SQL.

    from cometql import Client

    with Client.connect(["one:3307", "two:3307"], "root", KEY) as client:
        client.publish("web_news", {"title": "Hello"})

`AsyncClient` is the same for asyncio. Both go over to another host when one dies.
"""

from cometql._async_client import AsyncClient, AsyncSubscription
from cometql._client import Client, Subscription
from cometql._library import native as _native
from cometql.errors import (
    AccessDenied,
    Closed,
    CometError,
    Ended,
    Interrupted,
    Invalid,
    Refused,
    TimedOut,
    Unreachable,
)
from cometql.listening import (
    ChannelRefused,
    ChannelSince,
    Event,
    Gap,
    Hash,
    Joined,
    Key,
    Left,
    Listening,
    Offline,
    Online,
    Position,
    PrivateMessage,
    Publication,
    Recovered,
    Subscribed,
    Token,
    Trouble,
)
from cometql.records import (
    Algorithm,
    Answer,
    ChannelSettings,
    Claims,
    KeptPublication,
    LastSeen,
    Message,
    NewPublication,
    Options,
    Presence,
    PublicationPage,
    Sent,
    SentMany,
    Subscribers,
    Tls,
    TokenKey,
    Value,
    Warning,
)


def mint_token(key: TokenKey, claims: Claims) -> str:
    """Makes a token (JWT) that logs a browser in. No server is asked. Raises `Invalid` when the key is none of its algorithm, or when
    a claim is not valid."""
    token: str = _native.mint_token(key, claims)
    return token


__version__: str = _native.sdk_version()
"""The version of this package, of its library and of the server it was made with."""

__all__ = [
    "AccessDenied",
    "Algorithm",
    "Answer",
    "AsyncClient",
    "AsyncSubscription",
    "ChannelRefused",
    "ChannelSettings",
    "ChannelSince",
    "Claims",
    "Client",
    "Closed",
    "CometError",
    "Ended",
    "Event",
    "Gap",
    "Hash",
    "Interrupted",
    "Invalid",
    "Joined",
    "KeptPublication",
    "Key",
    "LastSeen",
    "Left",
    "Listening",
    "Message",
    "NewPublication",
    "Offline",
    "Online",
    "Options",
    "Position",
    "Presence",
    "PrivateMessage",
    "Publication",
    "PublicationPage",
    "Recovered",
    "Refused",
    "Sent",
    "SentMany",
    "Subscribed",
    "Subscribers",
    "Subscription",
    "TimedOut",
    "Tls",
    "Token",
    "TokenKey",
    "Trouble",
    "Unreachable",
    "Value",
    "Warning",
    "mint_token",
]
