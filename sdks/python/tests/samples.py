"""One of each error and record, with a value in every field."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from typing import Any

from cometql import errors, listening, records

ERRORS: list[errors.CometError] = [
    errors.Refused(12, "HY000", "no channel"),
    errors.AccessDenied(16, "no"),
    errors.Unreachable("nobody"),
    errors.TimedOut("late"),
    errors.Interrupted("broken"),
    errors.Closed(),
    errors.Ended("revoked", "the token"),
    errors.Invalid("no uuid"),
]
AT = datetime(2026, 11, 23, tzinfo=timezone.utc)
KEY = records.TokenKey("secret", records.Algorithm.HS256, "k")
CLAIMS = records.Claims(42, 600, 1, "i", "a", {"role": "editor"})
POSITION = listening.Position("0123456789abcdef", 7)
PUBLICATION = records.KeptPublication("id", "e", "{}", 7, AT, 9)
RECORDS: list[Any] = [
    records.Algorithm.ED_DSA,
    records.Answer(["a"], [[1, None, "x", b"y", 0.5]], 1, 2, "i", [records.Warning(206, "w")]),
    records.ChannelSettings(7),
    CLAIMS,
    records.HistoryPage(1, 2),
    records.LastSeen(1, False, AT),
    records.NewPrivateMessage(1, "m", "e", None),
    records.NewPublication("web_x", {"a": 1}, "e", "id"),
    records.Options(tls=records.Tls("ca.pem", "name"), max_connections=3),
    records.Presence(None, "u", "a", "i", "o", "l"),
    records.PublicationPage([PUBLICATION], 9),
    PUBLICATION,
    records.Sent("id", 3, True),
    records.SentMany(["id"], 3, False),
    records.Subscribers("web_x", 4),
    records.Tls(),
    KEY,
    records.Warning(207, "w"),
    POSITION,
    listening.ChannelSince("web_x", POSITION),
    listening.Token("t"),
    listening.Hash(7, "h"),
    listening.Key(KEY, CLAIMS),
    listening.Listening(urls=["ws://x"], credentials=listening.Hash(7, "h"), inbox=True),
    listening.Publication("web_x", "e", "[1]", None, AT, POSITION),
    listening.PrivateMessage("e", "m", AT, 3, True),
    listening.Subscribed("web_x", POSITION, True),
    listening.Recovered("web_x"),
    listening.Gap("web_x", None),
    listening.ChannelRefused("web_x", "permission_denied", "no"),
    listening.Joined("track_x", 1, "n"),
    listening.Left("track_x", None, ""),
    listening.Online("ws://x"),
    listening.Offline("gone", 100),
    listening.Trouble("key", "no"),
]


def fields(value: object) -> dict[str, object]:
    """What an error or record holds."""
    if isinstance(value, BaseException):
        return {**vars(value), "args": value.args, "text": str(value)}
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: getattr(value, name) for name in getattr(type(value), "__slots__", ())}
