//! The two objects that programs have: `Client`, whose calls are awaited, and `BlockingClient`, whose calls block their thread.
//! Each call is one line here, and its documentation is that of all languages.

use std::sync::Arc;

use tokio::runtime::{Handle, Runtime};

use crate::core::Core;
use crate::{
    Answer, BlockingSubscription, ChannelSince, CometError, Listening, NewPublication, Options,
    Sent, Subscribers, Subscription, Value, runtime,
};

/// A client of one or several CometQL servers, whose calls are awaited. It keeps some connections open, goes over to another
/// host when one dies, and may be used from many threads and tasks at once.
#[derive(uniffi::Object)]
pub struct Client {
    core: Core,
}

/// As `Client`, but its calls block the thread that calls.
#[derive(uniffi::Object)]
pub struct BlockingClient {
    core: Core,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

#[uniffi::export(async_runtime = "tokio")]
impl Client {
    /// Connects to the first host that can be reached, and logs in.
    ///
    /// `hosts` are `host` or `host:port` (3307 if no port is given), the most preferred first. `user` is the number of the
    /// tenant, or `root` for tenant 0; `password` is its key. `database` may be empty.
    ///
    /// Fails with `AccessDenied` for a wrong user, password or database, `Unreachable` when no host answers, `Invalid` for
    /// hosts or options that are not valid.
    #[uniffi::constructor]
    pub async fn connect(
        hosts: Vec<String>,
        user: String,
        password: String,
        database: String,
        options: Options,
    ) -> Result<Arc<Self>, CometError> {
        let background = Handle::current();
        let core = Core::connect(hosts, user, password, database, options, background).await?;
        Ok(Arc::new(Self { core }))
    }

    /// Starts to listen to channels, and to the user's private messages if `listening` says so. Returns once the server has
    /// answered for each channel: what is published from then on comes. It ends with the client.
    ///
    /// Fails with `Unreachable` when no node could be reached within `start_timeout_ms`, with `Ended` when the credentials or all
    /// channels were refused, with `Invalid` for what is not valid.
    pub async fn subscribe(
        &self,
        channels: Vec<ChannelSince>,
        listening: Listening,
    ) -> Result<Arc<Subscription>, CometError> {
        let queue = self.core.listeners().subscribe(channels, listening);
        Ok(Subscription::new(queue.await?))
    }

    /// Closes the client. Calls that are under way fail with `Closed`, and so do all later ones; subscriptions end. Closing
    /// again does nothing.
    pub async fn close(&self) {
        self.core.close().await;
    }
}

#[uniffi::export]
impl BlockingClient {
    /// Connects to the first host that can be reached, and logs in.
    ///
    /// `hosts` are `host` or `host:port` (3307 if no port is given), the most preferred first. `user` is the number of the
    /// tenant, or `root` for tenant 0; `password` is its key. `database` may be empty.
    ///
    /// Fails with `AccessDenied` for a wrong user, password or database, `Unreachable` when no host answers, `Invalid` for
    /// hosts or options that are not valid.
    #[uniffi::constructor]
    pub fn connect(
        hosts: Vec<String>,
        user: String,
        password: String,
        database: String,
        options: Options,
    ) -> Result<Arc<Self>, CometError> {
        let background = runtime::shared()?.handle().clone();
        let runtime = runtime::of_callers()?;
        let core = Core::connect(hosts, user, password, database, options, background);
        Ok(Arc::new(Self {
            core: runtime.block_on(core)?,
            runtime: Some(runtime),
        }))
    }

    /// Starts to listen to channels, and to the user's private messages if `listening` says so. Returns once the server has
    /// answered for each channel: what is published from then on comes. It ends with the client.
    ///
    /// Fails with `Unreachable` when no node could be reached within `start_timeout_ms`, with `Ended` when the credentials or all
    /// channels were refused, with `Invalid` for what is not valid.
    pub fn subscribe(
        &self,
        channels: Vec<ChannelSince>,
        listening: Listening,
    ) -> Result<Arc<BlockingSubscription>, CometError> {
        let queue = self.core.listeners().subscribe(channels, listening);
        Ok(BlockingSubscription::new(self.wait(queue)?))
    }

    /// Closes the client. Calls that are under way in other threads fail with `Closed`, and so do all later ones; subscriptions
    /// end. Closing again does nothing.
    pub fn close(&self) {
        self.wait(self.core.close());
    }
}

impl BlockingClient {
    fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref();
        runtime.expect("there until it is dropped").block_on(call)
    }
}

impl Drop for BlockingClient {
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
        #[uniffi::export(async_runtime = "tokio")]
        impl Client {
            $($(#[$doc])*
            pub async fn $name(&self, $($argument: $kind),*) -> Result<$returned, CometError> {
                self.core.$name($($argument),*).await
            })*
        }

        #[uniffi::export]
        impl BlockingClient {
            $($(#[$doc])*
            pub fn $name(&self, $($argument: $kind),*) -> Result<$returned, CometError> {
                self.wait(self.core.$name($($argument),*))
            })*
        }
    };
}

calls! {
    /// Publishes to a channel. When the connection breaks, it is sent once more, with the same id: so it arrives once.
    fn publish(publication: NewPublication) -> Sent;

    /// How many subscribers these channels have: one entry for each, in their order, 0 for an unknown one. At most 4,000.
    fn subscribers(channels: Vec<String>) -> Vec<Subscribers>;

    /// Carries out any one statement. Each `?` in it stands for a value of `params`, in their order, which is never pasted into
    /// the text. Only statements that begin with SELECT or SHOW are tried again when the connection breaks. Each call may use
    /// another connection, so state of a session (`@@last_message_id`, `SET`) does not last, and `USE` is refused.
    fn query(sql: String, params: Vec<Value>) -> Answer;

    /// Asks a server whether it is there.
    fn ping() -> ();
}
