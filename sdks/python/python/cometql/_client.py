"""The client whose calls block their thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from cometql._bridge import bound, channels_since, plan, publisher
from cometql._library import native
from cometql.listening import ChannelSince, Event, Listening
from cometql.records import (
    Answer,
    ChannelSettings,
    HistoryPage,
    LastSeen,
    Message,
    NewPrivateMessage,
    NewPublication,
    Options,
    Presence,
    PublicationPage,
    Sent,
    SentMany,
    Subscribers,
    Value,
    text_of,
)

_WAIT_MS = 200
"""For how long a thread waits in the library for events: Python runs no signal handler, like that of Ctrl-C, meanwhile."""

_BATCH = 100
"""Most events that are fetched from the library at once."""


class Client:
    """A client of one or several CometQL servers. It keeps some connections open, goes over to another host when one dies, and may
    be used from many threads at once. Close it, or use it in a `with` block."""

    __slots__ = ("_native", "_publish")

    def __init__(self, native_client: Any) -> None:
        """Use `Client.connect`."""
        self._native = native_client
        self._publish = publisher(native_client)

    @classmethod
    def connect(
        cls,
        hosts: str | Sequence[str],
        user: str,
        password: str,
        database: str = "",
        options: Options | None = None,
    ) -> Client:
        """Connects to the first host that can be reached and lets the user in.

        `hosts` are `host` or `host:port` (3307 if no port is given), the most preferred first. `user` is the number of the tenant,
        or `root` for tenant 0; `password` is its key. `database` may be empty.

        Raises `AccessDenied` for a wrong user, password or database, `Unreachable` when no host answers, `Invalid` for hosts or
        options that are not valid.
        """
        hosts = [hosts] if isinstance(hosts, str) else list(hosts)
        return cls(native.BlockingClient.connect(hosts, user, password, database, options or Options()))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the client. Calls that are under way in other threads fail with `Closed`, and so do all later ones; subscriptions
        end. Closing again does nothing."""
        self._native.close()

    def publish(self, channel: str, message: Message, *, event: str = "", id: str | None = None) -> Sent:
        """Publishes to a channel. When the connection breaks, it is sent once more, with the same id: so it arrives once.

        `message` is sent as it is if it is a `str`, and as JSON otherwise. `event` is a label that subscribers can tell publications
        apart by. `id` is a UUID: who sends again with the same one within 5 minutes publishes once; None = the client makes one.
        """
        return self._publish(channel, message if isinstance(message, str) else text_of(message), event, id)

    def publish_many(self, publications: Iterable[NewPublication]) -> SentMany:
        """Publishes several messages, to the same or to different channels, in their order and in few round trips. It is not
        atomic: when it fails, the first ones may have been sent, and the error's text says how many surely were. None given =
        nothing is done."""
        sent: SentMany = self._native.publish_many(list(publications))
        return sent

    def send_to_user(self, user: int, message: Message, *, event: str = "", id: str | None = None) -> Sent:
        """Sends a private message to all connections of a user, or keeps it until one acknowledges it. Refused with code 507 when
        too many wait already."""
        sent: Sent = self._native.send_to_user(NewPrivateMessage(user, text_of(message), event, id))
        return sent

    def send_to_users(
        self, users: Iterable[int], message: Message, *, event: str = "", id: str | None = None
    ) -> SentMany:
        """Sends the same private message to several users, in few round trips. It is not atomic, as `publish_many`. With an `id`,
        which all of them get, it may be sent again: within 5 minutes each user gets it once. Without, each gets one of its own."""
        sent: SentMany = self._native.send_to_users(list(users), text_of(message), event, id)
        return sent

    def history(self, channel: str, *, after: int = 0, limit: int = 100) -> PublicationPage:
        """A page of what a channel keeps on disk, the oldest first: only publications with a larger offset than `after`, at most
        `limit` (1 to 1,000). Channels keep nothing there unless a setting or a channel rule says so."""
        page: PublicationPage = self._native.history(channel, HistoryPage(after, limit))
        return page

    def delete_history(self, channel: str) -> int:
        """Deletes what a channel keeps on disk; returns how many publications that were. Listeners are told that there is a gap."""
        count: int = self._native.delete_history(channel)
        return count

    def channel_settings(self, channel: str) -> ChannelSettings | None:
        """How a channel is set; None = it has no setting of its own."""
        settings: ChannelSettings | None = self._native.channel_settings(channel)
        return settings

    def set_channel_settings(self, channel: str, *, length: int) -> None:
        """Sets how many publications a channel keeps on disk."""
        self._native.set_channel_settings(channel, ChannelSettings(length))

    def reset_channel_settings(self, channel: str) -> None:
        """Deletes the setting of a channel, and what it keeps on disk."""
        self._native.reset_channel_settings(channel)

    def presence(self, channel: str) -> list[Presence]:
        """Who is subscribed to a channel: one entry for each connection, the newest first."""
        found: list[Presence] = self._native.presence(channel)
        return found

    def subscribers(self, channels: Iterable[str]) -> list[Subscribers]:
        """How many subscribers these channels have: one entry for each, in their order, 0 for an unknown one."""
        found: list[Subscribers] = self._native.subscribers(list(channels))
        return found

    def online(self, users: Iterable[int]) -> list[int]:
        """Which of these users are online, in their order."""
        found: list[int] = self._native.online(list(users))
        return found

    def last_seen(self, users: Iterable[int]) -> list[LastSeen]:
        """When these users were last online: one entry for each, in their order."""
        found: list[LastSeen] = self._native.last_seen(list(users))
        return found

    def authorize(self, user: int, hash: str) -> None:
        """Lets a browser that knows this hash log in as the user: 0 to 32 letters, digits, `=`, `+`, `/` and `_`. Replaces the hash
        that was there, and leaves open connections alone."""
        self._native.authorize(user, hash)

    def deauthorize(self, user: int) -> None:
        """Deletes the hash of a user, and closes all connections of the user."""
        self._native.deauthorize(user)

    def revoke(self, token: str) -> None:
        """Refuses a token from now on, and closes what it opened. Of a valid token, the user's hash is deleted and all connections
        of the user are closed, too."""
        self._native.revoke(token)

    def user_data(self, user: int) -> str | None:
        """The text that is kept for a user and that browsers may read; None = there is none."""
        data: str | None = self._native.user_data(user)
        return data

    def set_user_data(self, user: int, data: Message) -> None:
        """Keeps a text for a user, 65,535 bytes at most, in place of the one that was there. An empty one counts as none. A dict or
        list is encoded as JSON."""
        self._native.set_user_data(user, text_of(data))

    def delete_user_data(self, user: int) -> None:
        """Deletes the text that is kept for a user."""
        self._native.delete_user_data(user)

    def query(self, sql: str, params: Iterable[Value] = ()) -> Answer:
        """Carries out any one statement. Each `?` in it stands for a value of `params`, in their order, which is never pasted into
        the text. Only statements that begin with SELECT or SHOW are tried again when the connection breaks. Each call may use
        another connection, so state of a session (`@@last_message_id`, `SET`) does not last, and `USE` is refused."""
        answer: Answer = self._native.query(sql, [bound(value) for value in params])
        return answer

    def ping(self) -> None:
        """Asks a server whether it is there."""
        self._native.ping()

    def subscribe(
        self, channels: Iterable[str | ChannelSince], listening: Listening | None = None
    ) -> Subscription:
        """Starts to listen to channels, and to the user's private messages if `listening` says so. Returns once the server has
        answered for each channel: what is published from then on comes. It ends when the client is closed.

        Raises `Unreachable` when no node could be reached within `start_timeout_ms`, `TimedOut` when one could but some channels
        were not answered in that time, `Ended` when the credentials or all channels were refused, `Invalid` for what is not valid.
        """
        return Subscription(self._native.subscribe(channels_since(channels), plan(listening)))


class Subscription:
    """Listening to channels and to an inbox: an iterator of events. It goes on in the background, whether events are asked for or
    not, until it is closed.

    Several threads may ask for events; each event is given to one of them. As asking for the next event acknowledges the private
    messages that were given before, they should use `acknowledge_by_hand`.
    """

    __slots__ = ("_native",)

    def __init__(self, native_subscription: Any) -> None:
        """Use `Client.subscribe` or `Subscription.open`."""
        self._native = native_subscription

    @classmethod
    def open(cls, channels: Iterable[str | ChannelSince], listening: Listening) -> Subscription:
        """Starts to listen without a client: for programs that only listen and therefore have no key. `urls` must be given."""
        return cls(native.BlockingSubscription.open(channels_since(channels), plan(listening)))

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        """The next event; waits for it. The iteration ends when the subscription is closed, and raises `Ended` when listening has
        ended for good."""
        events = self.next_batch(1)
        if not events:
            raise StopIteration
        return events[0]

    def next_batch(self, most: int = _BATCH) -> list[Event]:
        """The next events: waits until there is one, and returns all that wait, in order, but not more than `most`. None at all: the
        subscription was closed. Cheaper than one after the other where much comes."""
        while True:
            events: list[Event] | None = self._native.next_within(most, _WAIT_MS)
            if events is None:
                return []
            if events:
                return events

    def acknowledge(self, offset: int) -> None:
        """Says that a private message is handled. The server forgets it when all before it are handled, too."""
        self._native.acknowledge(offset)

    def set_token(self, token: str) -> None:
        """A newer token for the same user: the server is told at once, without an interruption."""
        self._native.set_token(token)

    def close(self) -> None:
        """Ends listening. Returns when the server knows of everything that was acknowledged, after 3 seconds at the latest."""
        self._native.close()
