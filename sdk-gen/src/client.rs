//! The two objects that programs have: `Client`, whose calls are awaited, and `BlockingClient`, whose calls block their thread.
//! Each call is one line here, and its documentation is that of all languages.

use std::sync::Arc;

use tokio::runtime::{Handle, Runtime};

use crate::core::Core;
use crate::runtime::{Own, of_callers, served, shared};
use crate::{
    Answer, BlockingSubscription, ChannelSettings, ChannelSince, CometError, HistoryPage, LastSeen,
    Listening, NewPrivateMessage, NewPublication, Options, Presence, PublicationPage, Sent,
    SentMany, Subscribers, Subscription, Value,
};

/// A client of one or several CometQL servers, whose calls are awaited. It keeps some connections open, goes over to another
/// host when one dies, and may be used from many threads and tasks at once. A process that was forked makes one of its own: the
/// calls of one that was made before the fork fail with `Invalid` there, and closing it does nothing.
#[derive(uniffi::Object)]
pub struct Client {
    core: Own<Core>,
}

/// As `Client`, but its calls block the thread that calls.
#[derive(uniffi::Object)]
pub struct BlockingClient {
    inner: Own<Blocking>,
}

struct Blocking {
    core: Core,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

#[uniffi::export]
impl Client {
    /// Connects to the first host that can be reached and lets the user in.
    ///
    /// `hosts` are `host` or `host:port` (3307 if no port is given), the most preferred first. `user` is the number of the
    /// tenant, or `root` for tenant 0; `password` is its key. `database` may be empty.
    ///
    /// Fails with `AccessDenied` for a wrong user, password or database, if no other host lets the user in, `Unreachable` when no
    /// host answers, `Invalid` for hosts or options that are not valid.
    #[uniffi::constructor(default(database = "", options))]
    pub async fn connect(
        hosts: Vec<String>,
        user: String,
        password: String,
        database: String,
        options: Options,
    ) -> Result<Arc<Self>, CometError> {
        let connected = served(async {
            let background = Handle::current();
            let core = Core::connect(hosts, user, password, database, options, background).await?;
            // Made here, so that one which nobody waits for any more is dropped where connections can say good-bye.
            Ok(Arc::new(Self {
                core: Own::new(core),
            }))
        });
        connected.await
    }

    /// Starts to listen to channels, and to the user's private messages if `listening` says so. Returns once the server has
    /// answered for each channel: what is published from then on comes. It ends when the client is closed.
    ///
    /// Fails with `Unreachable` when no node could be reached within `start_timeout_ms`, with `TimedOut` when one could but some
    /// channels were not answered in that time, with `Ended` when the credentials or all channels were refused, with `Invalid` for
    /// what is not valid.
    #[uniffi::method(default(listening))]
    pub async fn subscribe(
        &self,
        channels: Vec<ChannelSince>,
        listening: Listening,
    ) -> Result<Arc<Subscription>, CometError> {
        let subscribed = served(async {
            let listeners = self.core.get()?.listeners();
            let queue = listeners.subscribe(channels, listening).await?;
            Ok(Subscription::new(queue))
        });
        subscribed.await
    }

    /// Closes the client. Calls that are under way fail with `Closed`, and so do all later ones; subscriptions end. Closing
    /// again does nothing.
    pub async fn close(&self) {
        let closed = served(async {
            self.core.get()?.close().await;
            Ok(())
        });
        // In a process that was forked there is nothing to close.
        _ = closed.await;
    }

    /// Closes the client as `close` does, without waiting until the servers have heard it: for code that can't wait.
    pub fn close_now(&self) {
        if let Ok(core) = self.core.get() {
            core.close_now();
        }
    }
}

#[uniffi::export]
impl BlockingClient {
    /// Connects to the first host that can be reached and lets the user in.
    ///
    /// `hosts` are `host` or `host:port` (3307 if no port is given), the most preferred first. `user` is the number of the
    /// tenant, or `root` for tenant 0; `password` is its key. `database` may be empty.
    ///
    /// Fails with `AccessDenied` for a wrong user, password or database, if no other host lets the user in, `Unreachable` when no
    /// host answers, `Invalid` for hosts or options that are not valid.
    #[uniffi::constructor(default(database = "", options))]
    pub fn connect(
        hosts: Vec<String>,
        user: String,
        password: String,
        database: String,
        options: Options,
    ) -> Result<Arc<Self>, CometError> {
        let background = shared()?.handle().clone();
        let runtime = of_callers()?;
        let core = Core::connect(hosts, user, password, database, options, background);
        let inner = Blocking {
            core: runtime.block_on(core)?,
            runtime: Some(runtime),
        };
        Ok(Arc::new(Self {
            inner: Own::new(inner),
        }))
    }

    /// Starts to listen to channels, and to the user's private messages if `listening` says so. Returns once the server has
    /// answered for each channel: what is published from then on comes. It ends when the client is closed.
    ///
    /// Fails with `Unreachable` when no node could be reached within `start_timeout_ms`, with `TimedOut` when one could but some
    /// channels were not answered in that time, with `Ended` when the credentials or all channels were refused, with `Invalid` for
    /// what is not valid.
    #[uniffi::method(default(listening))]
    pub fn subscribe(
        &self,
        channels: Vec<ChannelSince>,
        listening: Listening,
    ) -> Result<Arc<BlockingSubscription>, CometError> {
        let inner = self.inner.get()?;
        let queue = inner.core.listeners().subscribe(channels, listening);
        Ok(BlockingSubscription::new(inner.wait(queue)?))
    }

    /// Closes the client. Calls that are under way in other threads fail with `Closed`, and so do all later ones; subscriptions
    /// end. Closing again does nothing.
    pub fn close(&self) {
        // In a process that was forked there is nothing to close.
        if let Ok(inner) = self.inner.get() {
            inner.wait(inner.core.close());
        }
    }
}

impl Blocking {
    fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref();
        runtime.expect("there until it is dropped").block_on(call)
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nothing of it is waited for: it may be dropped in a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Writes each call once for both objects.
macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*) -> $returned:ty;)*) => {
        #[uniffi::export]
        impl Client {
            $($(#[$doc])*
            pub async fn $name(&self, $($argument: $kind),*) -> Result<$returned, CometError> {
                served(async { self.core.get()?.$name($($argument),*).await }).await
            })*
        }

        #[uniffi::export]
        impl BlockingClient {
            $($(#[$doc])*
            pub fn $name(&self, $($argument: $kind),*) -> Result<$returned, CometError> {
                let inner = self.inner.get()?;
                inner.wait(inner.core.$name($($argument),*))
            })*
        }
    };
}

calls! {
    /// Publishes to a channel. When the connection breaks, it is sent once more, with the same id: so it arrives once.
    fn publish(publication: NewPublication) -> Sent;

    /// Publishes several messages, to the same or to different channels, in their order and in few round trips. It is not atomic:
    /// when it fails, the first ones may have been sent, and the error's text says how many surely were. None given = nothing
    /// is done.
    fn publish_many(publications: Vec<NewPublication>) -> SentMany;

    /// Sends a private message to all connections of a user, or keeps it until one acknowledges it. Refused with code 507 when
    /// too many wait already.
    fn send_to_user(message: NewPrivateMessage) -> Sent;

    /// Sends the same private message to several users, in few round trips. It is not atomic, as `publish_many`. With an id, which
    /// all of them get, it may be sent again: within 5 minutes each user gets it once. Without, each gets one of its own.
    fn send_to_users(users: Vec<u64>, message: String, event: String, id: Option<String>) -> SentMany;

    /// A page of what a channel keeps on disk, the oldest first. Channels keep nothing there unless a setting or a channel rule
    /// says so.
    fn history(channel: String, page: HistoryPage) -> PublicationPage;

    /// Deletes what a channel keeps on disk; returns how many publications that were. Listeners are told that there is a gap.
    fn delete_history(channel: String) -> u64;

    /// How a channel is set; None = it has no setting of its own.
    fn channel_settings(channel: String) -> Option<ChannelSettings>;

    /// Sets how many publications a channel keeps on disk.
    fn set_channel_settings(channel: String, settings: ChannelSettings) -> ();

    /// Deletes the setting of a channel, and what it keeps on disk.
    fn reset_channel_settings(channel: String) -> ();

    /// Who is subscribed to a channel: one entry for each connection, the newest first.
    fn presence(channel: String) -> Vec<Presence>;

    /// How many subscribers these channels have: one entry for each, in their order, 0 for an unknown one.
    fn subscribers(channels: Vec<String>) -> Vec<Subscribers>;

    /// Which of these users are online, in their order.
    fn online(users: Vec<u64>) -> Vec<u64>;

    /// When these users were last online: one entry for each, in their order.
    fn last_seen(users: Vec<u64>) -> Vec<LastSeen>;

    /// Lets a browser that knows this hash log in as the user: 0 to 32 letters, digits, `=`, `+`, `/` and `_`. Replaces the hash
    /// that was there, and leaves open connections alone.
    fn authorize(user: u64, hash: String) -> ();

    /// Deletes the hash of a user, and closes all connections of the user.
    fn deauthorize(user: u64) -> ();

    /// Refuses a token from now on, and closes what it opened. Of a valid token, the user's hash is deleted and all connections
    /// of the user are closed, too.
    fn revoke(token: String) -> ();

    /// The text that is kept for a user and that browsers may read; None = there is none.
    fn user_data(user: u64) -> Option<String>;

    /// Keeps a text for a user, 65,535 bytes at most, in place of the one that was there. An empty one counts as none.
    fn set_user_data(user: u64, data: String) -> ();

    /// Deletes the text that is kept for a user.
    fn delete_user_data(user: u64) -> ();

    /// Carries out any one statement. Each `?` in it stands for a value of `params`, in their order, which is never pasted into
    /// the text. Only statements that begin with SELECT or SHOW are tried again when the connection breaks. Each call may use
    /// another connection, so state of a session (`@@last_message_id`, `SET`) does not last, and `USE` is refused.
    fn query(sql: String, params: Vec<Value>) -> Answer;

    /// Asks a server whether it is there.
    fn ping() -> ();
}
