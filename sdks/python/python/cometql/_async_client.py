"""The client whose calls are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from cometql._bridge import bound, channels_since, plan
from cometql._library import native
from cometql.errors import Closed, Invalid
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


class AsyncClient:
    """A client of one or several CometQL servers for asyncio. It keeps some connections open, goes over to another host when one
    dies, and may be used by many tasks at once. Close it, or use it in an `async with` block.

    A call whose task is cancelled is given up; it may have taken effect.
    """

    __slots__ = ("_native",)

    def __init__(self, native_client: Any) -> None:
        """Use `AsyncClient.connect`."""
        self._native = native_client

    @classmethod
    def connect(
        cls,
        hosts: str | Sequence[str],
        user: str,
        password: str,
        database: str = "",
        options: Options | None = None,
    ) -> Connecting:
        """Connects to the first host that can be reached and lets the user in: `await` it, or use it in `async with`.

        `hosts` are `host` or `host:port` (3307 if no port is given), the most preferred first. `user` is the number of the tenant,
        or `root` for tenant 0; `password` is its key. `database` may be empty.

        Raises `AccessDenied` for a wrong user, password or database, `Unreachable` when no host answers, `Invalid` for hosts or
        options that are not valid.
        """
        hosts = [hosts] if isinstance(hosts, str) else list(hosts)
        return Connecting(hosts, user, password, database, options or Options())

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the client. Calls that are under way in other tasks fail with `Closed`, and so do all later ones; subscriptions
        end. Closing again does nothing."""
        await self._native.close()

    async def publish(self, channel: str, message: Message, *, event: str = "", id: str | None = None) -> Sent:
        """Publishes to a channel. When the connection breaks, it is sent once more, with the same id: so it arrives once.

        `message` is sent as it is if it is a `str`, and as JSON otherwise. `event` is a label that subscribers can tell publications
        apart by. `id` is a UUID: who sends again with the same one within 5 minutes publishes once; None = the client makes one.
        """
        sent: Sent = await self._native.publish(NewPublication(channel, message, event, id))
        return sent

    async def publish_many(self, publications: Iterable[NewPublication]) -> SentMany:
        """Publishes several messages, to the same or to different channels, in their order and in few round trips. It is not
        atomic: when it fails, the first ones may have been sent, and the error's text says how many surely were. None given =
        nothing is done."""
        sent: SentMany = await self._native.publish_many(list(publications))
        return sent

    async def send_to_user(self, user: int, message: Message, *, event: str = "", id: str | None = None) -> Sent:
        """Sends a private message to all connections of a user, or keeps it until one acknowledges it. Refused with code 507 when
        too many wait already."""
        sent: Sent = await self._native.send_to_user(NewPrivateMessage(user, text_of(message), event, id))
        return sent

    async def send_to_users(
        self, users: Iterable[int], message: Message, *, event: str = "", id: str | None = None
    ) -> SentMany:
        """Sends the same private message to several users, in few round trips. It is not atomic, as `publish_many`. With an `id`,
        which all of them get, it may be sent again: within 5 minutes each user gets it once. Without, each gets one of its own."""
        sent: SentMany = await self._native.send_to_users(list(users), text_of(message), event, id)
        return sent

    async def history(self, channel: str, *, after: int = 0, limit: int = 100) -> PublicationPage:
        """A page of what a channel keeps on disk, the oldest first: only publications with a larger offset than `after`, at most
        `limit` (1 to 1,000). Channels keep nothing there unless a setting or a channel rule says so."""
        page: PublicationPage = await self._native.history(channel, HistoryPage(after, limit))
        return page

    async def delete_history(self, channel: str) -> int:
        """Deletes what a channel keeps on disk; returns how many publications that were. Listeners are told that there is a gap."""
        count: int = await self._native.delete_history(channel)
        return count

    async def channel_settings(self, channel: str) -> ChannelSettings | None:
        """How a channel is set; None = it has no setting of its own."""
        settings: ChannelSettings | None = await self._native.channel_settings(channel)
        return settings

    async def set_channel_settings(self, channel: str, *, length: int) -> None:
        """Sets how many publications a channel keeps on disk."""
        await self._native.set_channel_settings(channel, ChannelSettings(length))

    async def reset_channel_settings(self, channel: str) -> None:
        """Deletes the setting of a channel, and what it keeps on disk."""
        await self._native.reset_channel_settings(channel)

    async def presence(self, channel: str) -> list[Presence]:
        """Who is subscribed to a channel: one entry for each connection, the newest first."""
        found: list[Presence] = await self._native.presence(channel)
        return found

    async def subscribers(self, channels: Iterable[str]) -> list[Subscribers]:
        """How many subscribers these channels have: one entry for each, in their order, 0 for an unknown one."""
        found: list[Subscribers] = await self._native.subscribers(list(channels))
        return found

    async def online(self, users: Iterable[int]) -> list[int]:
        """Which of these users are online, in their order."""
        found: list[int] = await self._native.online(list(users))
        return found

    async def last_seen(self, users: Iterable[int]) -> list[LastSeen]:
        """When these users were last online: one entry for each, in their order."""
        found: list[LastSeen] = await self._native.last_seen(list(users))
        return found

    async def authorize(self, user: int, hash: str) -> None:
        """Lets a browser that knows this hash log in as the user: 0 to 32 letters, digits, `=`, `+`, `/` and `_`. Replaces the hash
        that was there, and leaves open connections alone."""
        await self._native.authorize(user, hash)

    async def deauthorize(self, user: int) -> None:
        """Deletes the hash of a user, and closes all connections of the user."""
        await self._native.deauthorize(user)

    async def revoke(self, token: str) -> None:
        """Refuses a token from now on, and closes what it opened. Of a valid token, the user's hash is deleted and all connections
        of the user are closed, too."""
        await self._native.revoke(token)

    async def user_data(self, user: int) -> str | None:
        """The text that is kept for a user and that browsers may read; None = there is none."""
        data: str | None = await self._native.user_data(user)
        return data

    async def set_user_data(self, user: int, data: Message) -> None:
        """Keeps a text for a user, 65,535 bytes at most, in place of the one that was there. An empty one counts as none. A dict or
        list is encoded as JSON."""
        await self._native.set_user_data(user, text_of(data))

    async def delete_user_data(self, user: int) -> None:
        """Deletes the text that is kept for a user."""
        await self._native.delete_user_data(user)

    async def query(self, sql: str, params: Iterable[Value] = ()) -> Answer:
        """Carries out any one statement. Each `?` in it stands for a value of `params`, in their order, which is never pasted into
        the text. Only statements that begin with SELECT or SHOW are tried again when the connection breaks. Each call may use
        another connection, so state of a session (`@@last_message_id`, `SET`) does not last, and `USE` is refused."""
        answer: Answer = await self._native.query(sql, [bound(value) for value in params])
        return answer

    async def ping(self) -> None:
        """Asks a server whether it is there."""
        await self._native.ping()

    def subscribe(
        self, channels: Iterable[str | ChannelSince], listening: Listening | None = None
    ) -> AsyncSubscription:
        """Listens to channels, and to the user's private messages if `listening` says so: `async for event in
        client.subscribe([…])`. It begins with the first event that is asked for, or with `async with`: once inside of that, what is
        published comes. It ends when the client is closed.

        Beginning raises `Unreachable` when no node could be reached within `start_timeout_ms`, `TimedOut` when one could but some
        channels were not answered in that time, `Ended` when the credentials or all channels were refused, `Invalid` for what is
        not valid.
        """
        return AsyncSubscription(self._native.subscribe, channels, listening)


class Connecting(Awaitable[AsyncClient], AbstractAsyncContextManager[AsyncClient]):
    """A client that is about to connect: what `AsyncClient.connect` returns."""

    __slots__ = ("_arguments", "_client")

    def __init__(self, hosts: list[str], user: str, password: str, database: str, options: Options) -> None:
        self._arguments = (hosts, user, password, database, options)
        self._client: AsyncClient | None = None

    async def _connect(self) -> AsyncClient:
        return AsyncClient(await native.Client.connect(*self._arguments))

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._connect().__await__()

    async def __aenter__(self) -> AsyncClient:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.close()


def _close_unwanted(opening: asyncio.Task[Any]) -> None:
    """Closes what was opened, if nobody waited for it any more when it succeeded."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close_now()


class AsyncSubscription:
    """Listening to channels and to an inbox: an asynchronous iterator of events. Once begun it goes on in the background, whether
    events are asked for or not, until it is closed.

    Several tasks may ask for events; each event is given to one of them. As asking for the next event acknowledges the private
    messages that were given before, they should use `acknowledge_by_hand`.
    """

    __slots__ = ("_begin", "_channels", "_closed", "_listening", "_native", "_one", "_opening")

    def __init__(
        self, begin: Any, channels: Iterable[str | ChannelSince], listening: Listening | None
    ) -> None:
        """Use `AsyncClient.subscribe` or `AsyncSubscription.open`."""
        self._begin = begin
        self._channels = channels_since(channels)
        self._listening = plan(listening)
        self._native: Any = None
        self._opening: asyncio.Task[Any] | None = None
        self._closed = False
        self._one = asyncio.Lock()

    @classmethod
    def open(cls, channels: Iterable[str | ChannelSince], listening: Listening) -> AsyncSubscription:
        """Listens without a client: for programs that only listen and therefore have no key. `urls` must be given."""
        return cls(native.Subscription.open, channels, listening)

    async def start(self) -> AsyncSubscription:
        """Begins to listen, unless it has begun. Returns once the server has answered for each channel. Raises `Closed` if it was
        closed before that."""
        if self._native is None and not await self._begun():
            raise Closed
        return self

    async def _begun(self) -> bool:
        """Begins to listen, unless it has begun; False if it was closed before that. Of several tasks one begins; when it is
        cancelled, the next one does."""
        async with self._one:
            if self._native is None and not self._closed:
                opening = self._opening = asyncio.ensure_future(self._begin(self._channels, self._listening))
                try:
                    # Unlike `await`, this tells whose end was asked for: that of this task, or by `close` that of the other.
                    await asyncio.wait([opening])
                except asyncio.CancelledError:
                    opening.cancel()
                    opening.add_done_callback(_close_unwanted)
                    raise
                finally:
                    self._opening = None
                if not opening.cancelled():
                    self._native = opening.result()
            return self._native is not None

    async def __aenter__(self) -> AsyncSubscription:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event; waits for it. The iteration ends when the subscription is closed, and raises `Ended` when listening has
        ended for good."""
        events = await self.next_batch(1)
        if not events:
            raise StopAsyncIteration
        return events[0]

    async def next_batch(self, most: int = 100) -> list[Event]:
        """The next events: waits until there is one, and returns all that wait, in order, but not more than `most`. None at all: the
        subscription was closed. Cheaper than one after the other where much comes."""
        if self._native is None and not await self._begun():
            return []
        while True:
            # What an awaited call has found is lost when it is cancelled: this one finds nothing, and the next one does not wait.
            await self._native.ready()
            events: list[Event] | None = self._native.take(most)
            if events is None:
                return []
            if events:
                return events

    def acknowledge(self, offset: int) -> None:
        """Says that a private message is handled. The server forgets it when all before it are handled, too."""
        self._there().acknowledge(offset)

    def set_token(self, token: str) -> None:
        """A newer token for the same user: the server is told at once, without an interruption."""
        self._there().set_token(token)

    def _there(self) -> Any:
        if self._native is None:
            raise Invalid("the subscription has not begun")
        return self._native

    async def close(self) -> None:
        """Ends listening, also while it begins. Returns when the server knows of everything that was acknowledged, after 3 seconds at
        the latest."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        async with self._one:
            if self._native is not None:
                await self._native.close()
