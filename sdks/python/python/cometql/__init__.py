"""Client of CometQL, the realtime server that speaks SQL.

    from cometql import Client

    with Client.connect(["one:3307", "two:3307"], password=KEY) as client:
        client.publish("web_news", {"title": "Hello"})

`AsyncClient` is the same for asyncio. Both go over to another host when one dies.
"""

from cometql._async_client import AsyncClient, AsyncSubscription
from cometql._bridge import native as _native
from cometql._client import Client, Subscription
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
    Answer,
    Message,
    NewPublication,
    Options,
    Sent,
    Subscribers,
    Tls,
    Value,
    Warning,
)

__version__: str = _native.sdk_version()
"""The version of this package, of its library and of the server it was made with."""

__all__ = [
    "AccessDenied",
    "Answer",
    "AsyncClient",
    "AsyncSubscription",
    "ChannelRefused",
    "ChannelSince",
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
    "Left",
    "Listening",
    "Message",
    "NewPublication",
    "Offline",
    "Online",
    "Options",
    "Position",
    "PrivateMessage",
    "Publication",
    "Recovered",
    "Refused",
    "Sent",
    "Subscribed",
    "Subscribers",
    "Subscription",
    "TimedOut",
    "Tls",
    "Token",
    "Trouble",
    "Unreachable",
    "Value",
    "Warning",
]
