//! The task that listens: lets happen to the session what happens, one thing after the other.
//!
//! While the queue to the application is full, nothing happens: nothing is read, no time goes by for the session, and what the
//! application wants waits, except that it closes. The server closes a connection that is not read after a while; then the session
//! comes back and goes on from its positions.

use std::sync::Arc;
use std::time::Duration;

use cometql_protocol::client::{self, Input, Session, TabInput};
use cometql_protocol::wire::decode_incoming;
use tokio::time::Instant;

use super::options::Plan;
use super::queue::{Queue, Wishes};
use super::shell::{Shell, TAB};
use super::socket::Happened;
use super::{Credentials, Event, LAST_WORDS};
use crate::small::random;
use crate::{CometError, mint_token, runtime};

/// Starts to listen and returns once the server has answered for each channel. `begun` is told before.
pub(super) async fn start(
    plan: Plan,
    begun: impl FnOnce(&Arc<Queue>),
) -> Result<Arc<Queue>, CometError> {
    let start_ms = plan.start_ms;
    let limit = Duration::from_millis(start_ms);
    let channels = plan.channels.iter().map(|(channel, _)| channel.clone());
    let queue = Queue::new(plan.queue_events, plan.queue_bytes, plan.by_hand, channels);
    let queue = Arc::new(queue);
    begun(&queue);
    let guard = Unwanted(Some(Arc::clone(&queue)));
    runtime::shared()?.spawn(Task::new(plan, Arc::clone(&queue)).run());
    match tokio::time::timeout(limit, queue.started()).await {
        Ok(started) => started?,
        Err(_) => queue.has_started(start_ms)?,
    }
    guard.disarm();
    Ok(queue)
}

/// Ends what was begun when nobody waits for it any more.
struct Unwanted(Option<Arc<Queue>>);

impl Unwanted {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.close();
        }
    }
}

/// Everything that one subscription has.
struct Task {
    session: Session,
    shell: Shell,
    queue: Arc<Queue>,
    /// The queue is full, or was a moment ago.
    stood_still: bool,
    /// The application has closed it: it ends at that moment, or earlier.
    ends: Option<Instant>,
}

/// Whoever waits for events is told that none comes, also when the task ends by a panic.
struct Finish(Arc<Queue>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl Task {
    fn new(plan: Plan, queue: Arc<Queue>) -> Self {
        let credentials = match &plan.credentials {
            Some(Credentials::Token { token }) => Some(client::Credentials::Token(token.clone())),
            Some(Credentials::Hash { user, hash }) => Some(client::Credentials::Hash {
                user: *user,
                hash: hash.clone(),
            }),
            Some(Credentials::Key { .. }) | None => None,
        };
        let session = Session::new(plan.settings, credentials, &plan.name, random());
        Self {
            session,
            shell: Shell::new(plan, Arc::clone(&queue)),
            queue,
            stood_still: false,
            ends: None,
        }
    }

    /// Listens until it is closed, or ends by itself.
    async fn run(mut self) {
        let _finish = Finish(Arc::clone(&self.queue));
        self.begin();
        while !self.is_over() {
            let full = self.carry_out();
            let timer = self.sleep(full);
            tokio::select! {
                biased;
                () = self.queue.told() => {}
                happened = self.shell.link.happens(!full) => self.on_socket(happened),
                () = timer => self.lets(Input::Time),
            }
        }
        self.shell.link.say_good_bye().await;
    }

    fn begin(&mut self) {
        self.lets(Input::Open);
        self.lets(Input::Tab(TAB, TabInput::Joined));
        let channels = self.shell.plan().channels.clone();
        for (channel, since) in &channels {
            let (channel, since) = (&**channel, *since);
            self.lets(Input::Tab(TAB, TabInput::Subscribe { channel, since }));
        }
        if self.shell.plan().inbox {
            self.lets(Input::Tab(TAB, TabInput::InboxOn));
        }
    }

    fn is_over(&self) -> bool {
        let leaves = self
            .ends
            .is_some_and(|at| self.session.is_settled() || Instant::now() >= at);
        self.shell.is_over || leaves
    }

    /// Does what the application wants, unless the queue is full; returns whether it is.
    fn carry_out(&mut self) -> bool {
        let Some(wishes) = self.queue.wishes() else {
            self.stood_still = true;
            return true;
        };
        if std::mem::take(&mut self.stood_still) {
            self.go_on();
        }
        let Wishes {
            handled,
            token,
            close,
        } = wishes;
        for offset in handled {
            self.lets(Input::Tab(TAB, TabInput::Handled { offset }));
        }
        if let Some(token) = token {
            self.lets(Input::Credentials(client::Credentials::Token(token)));
        }
        if close && self.ends.is_none() {
            self.ends = Some(Instant::now() + LAST_WORDS);
            // It may be settled already.
            self.queue.wake_task();
        }
        self.queue.is_full()
    }

    /// As if something came: a server that was not read was not silent.
    fn go_on(&mut self) {
        let (socket, text) = (self.shell.socket, "");
        self.lets(Input::Text {
            socket,
            text,
            says: None,
        });
    }

    fn on_socket(&mut self, happened: Happened) {
        let socket = self.shell.socket;
        match happened {
            Happened::Opened => self.lets(Input::Opened(socket)),
            Happened::Text(text) => {
                let text = text.as_str();
                let says = decode_incoming(text);
                self.lets(Input::Text { socket, text, says });
            }
            Happened::Closed { code, reason } => {
                self.shell.why = if code == 1006 {
                    reason.clone()
                } else {
                    format!("the node closed the connection with {code} {reason}")
                };
                let reason = &*reason;
                self.lets(Input::Closed {
                    socket,
                    code,
                    reason,
                });
            }
        }
    }

    /// Lets one thing happen, and answers if the session asks for a token.
    fn lets(&mut self, input: Input<'_>) {
        let now = self.shell.now();
        self.session.handle(now, input, &mut self.shell);
        if std::mem::take(&mut self.shell.wants_token) {
            let input = self.mint();
            self.shell.token_is_new = true;
            self.session.handle(now, input, &mut self.shell);
            self.shell.token_is_new = false;
        }
    }

    fn mint(&self) -> Input<'static> {
        let Some(Credentials::Key { key, claims }) = &self.shell.plan().credentials else {
            return Input::NoToken;
        };
        match mint_token(key.clone(), claims.clone()) {
            Ok(token) => Input::Credentials(client::Credentials::Token(token)),
            Err(error) => {
                self.shell.tell(Event::Trouble {
                    code: "key".to_owned(),
                    detail: error.to_string(),
                });
                Input::NoToken
            }
        }
    }

    /// Ends when the session wants to know the time, or when a closed subscription has waited long enough.
    fn sleep(&self, full: bool) -> impl Future<Output = ()> + use<> {
        let now = self.shell.now();
        let timer = self.shell.timer.filter(|_| !full);
        let left = timer.map(|at| Duration::from_millis(at.0.saturating_sub(now.0)));
        let timer = left.map(|left| Instant::now() + left);
        let next = match (timer, self.ends) {
            (Some(timer), Some(ends)) => Some(timer.min(ends)),
            (timer, ends) => timer.or(ends),
        };
        async move {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
