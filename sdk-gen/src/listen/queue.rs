//! What lies between the task that listens and the application: events on their way out, wishes on their way in. Bounded:
//! who fills it asks whether it is full and stops reading then.
//!
//! Who is woken may come back at once, in the thread that woke it and before that goes on: nobody is notified under the lock.

use std::collections::{BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::{Event, FAREWELL};
use crate::CometError;
use crate::small::lock;

/// Most channels that an error names.
const NAMED: usize = 10;

/// The door between the two.
pub(crate) struct Queue {
    state: Mutex<State>,
    most_events: usize,
    most_bytes: usize,
    by_hand: bool,
    /// There is news for the application.
    application: Notify,
    /// There is news for the task.
    task: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    /// Private messages that the application was given and has not said a word of since.
    given: Vec<u64>,
    wishes: Wishes,
    start: Start,
    /// The application wants nothing any more.
    closed: bool,
    /// Nothing comes behind the events that wait, and why.
    end: Option<CometError>,
    /// The task has ended.
    over: bool,
}

/// What the application wants of the task.
#[derive(Default)]
pub(super) struct Wishes {
    /// Private messages that it has handled.
    pub(super) handled: Vec<u64>,
    /// A newer token.
    pub(super) token: Option<String>,
    /// It is to end.
    pub(super) close: bool,
}

/// How far the beginning is.
#[derive(Default)]
struct Start {
    online: bool,
    /// Channels whose first answer is still to come.
    awaited: BTreeSet<String>,
}

impl Queue {
    /// An empty one. These channels are to be answered before listening has begun.
    pub(super) fn new(
        most_events: usize,
        most_bytes: usize,
        by_hand: bool,
        channels: impl IntoIterator<Item = String>,
    ) -> Self {
        let start = Start {
            online: false,
            awaited: channels.into_iter().collect(),
        };
        Self {
            state: Mutex::new(State {
                start,
                ..State::default()
            }),
            most_events,
            most_bytes,
            by_hand,
            application: Notify::new(),
            task: Notify::new(),
        }
    }

    /// Before the first connection, nothing is: there are only attempts to tell of.
    fn is_filled(&self, state: &State) -> bool {
        let much = state.events.len() >= self.most_events || state.bytes >= self.most_bytes;
        state.start.online && much
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The task's side.
impl Queue {
    /// One more event for the application.
    pub(super) fn push(&self, event: Event) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        // Of attempts that failed one after the other the last one is enough.
        if let (Event::Offline { .. }, Some(Event::Offline { .. })) = (&event, state.events.back())
            && let Some(last) = state.events.pop_back()
        {
            state.bytes -= last.weight();
        }
        state.start.sees(&event);
        state.bytes += event.weight();
        state.events.push_back(event);
        drop(state);
        self.application.notify_waiters();
    }

    /// Nothing more comes, for this reason.
    pub(super) fn end(&self, why: CometError) {
        self.state().end.get_or_insert(why);
        self.application.notify_waiters();
    }

    /// As much waits for the application as may.
    pub(super) fn is_full(&self) -> bool {
        self.is_filled(&self.state())
    }

    /// What the application wanted since this was asked last; `None` = the queue is full, and wishes wait until it is not: time
    /// must not go by where nothing is read.
    pub(super) fn wishes(&self) -> Option<Wishes> {
        let mut state = self.state();
        if self.is_filled(&state) {
            return None;
        }
        let close = state.closed;
        Some(Wishes {
            close,
            ..std::mem::take(&mut state.wishes)
        })
    }

    /// Waits for a wish, or for a place in the queue. It may return without either.
    pub(super) async fn told(&self) {
        self.task.notified().await;
    }

    /// It will look once more before it waits.
    pub(super) fn wake_task(&self) {
        self.task.notify_one();
    }

    /// The task has ended.
    pub(super) fn finish(&self) {
        let mut state = self.state();
        state.over = true;
        state.end.get_or_insert(CometError::Closed);
        drop(state);
        self.application.notify_waiters();
    }
}

/// The application's side.
impl Queue {
    /// The next events: at least one, at most `most`, none when it was closed. Being dropped while it waits loses nothing.
    pub(super) async fn next(&self, most: usize) -> Result<Vec<Event>, CometError> {
        self.handle_given();
        loop {
            let mut told = pin!(self.application.notified());
            told.as_mut().enable();
            if let Some(events) = self.take(most.max(1))? {
                return Ok(events);
            }
            told.await;
        }
    }

    /// Waits until there are events, or an end. Being dropped loses nothing.
    pub(super) async fn ready(&self) {
        self.handle_given();
        let is_there =
            |state: &State| state.closed || state.end.is_some() || !state.events.is_empty();
        self.until(|state| is_there(state).then_some(())).await;
    }

    /// The events that wait, at most so many; `None` when it was closed.
    pub(super) fn take_now(&self, most: usize) -> Result<Option<Vec<Event>>, CometError> {
        Ok(match self.take(most.max(1))? {
            None => Some(Vec::new()),
            Some(events) => (!events.is_empty()).then_some(events),
        })
    }

    /// Who asks for more has handled what was given.
    fn handle_given(&self) {
        let mut state = self.state();
        let mut given = std::mem::take(&mut state.given);
        if given.is_empty() {
            return;
        }
        state.wishes.handled.append(&mut given);
        drop(state);
        self.task.notify_one();
    }

    fn take(&self, most: usize) -> Result<Option<Vec<Event>>, CometError> {
        let mut state = self.state();
        if state.closed {
            return Ok(Some(Vec::new()));
        }
        if state.events.is_empty() {
            return state.end.clone().map_or(Ok(None), Err);
        }
        let was_full = self.is_filled(&state);
        let most = most.min(state.events.len());
        let events: Vec<_> = state.events.drain(..most).collect();
        for event in &events {
            state.bytes -= event.weight();
            if let Event::Message { message } = event
                && !self.by_hand
            {
                state.given.push(message.offset);
            }
        }
        drop(state);
        if was_full {
            self.task.notify_one();
        }
        Ok(Some(events))
    }

    /// A private message was handled.
    pub(super) fn acknowledge(&self, offset: u64) {
        let mut state = self.state();
        state.given.retain(|given| *given != offset);
        state.wishes.handled.push(offset);
        drop(state);
        self.task.notify_one();
    }

    /// A newer token.
    pub(super) fn set_token(&self, token: String) {
        self.state().wishes.token = Some(token);
        self.task.notify_one();
    }

    /// The application wants nothing any more: who waits for events is told at once that there are none.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.events.clear();
        state.bytes = 0;
        drop(state);
        self.application.notify_waiters();
        self.task.notify_one();
    }

    /// Waits until the task of a closed queue has ended, but not longer than it may take.
    pub(super) async fn end_of_task(&self) {
        _ = tokio::time::timeout(FAREWELL, self.over()).await;
    }

    async fn over(&self) {
        self.until(|state| state.over.then_some(())).await;
    }

    /// Waits until all channels have answered, or until so many events wait that nobody can tell; fails if it ended before.
    pub(super) async fn started(&self) -> Result<(), CometError> {
        self.until(|state| match &state.end {
            Some(why) => Some(Err(why.clone())),
            None if state.closed => Some(Err(CometError::Closed)),
            None => (state.start.is_over() || self.is_filled(state)).then_some(Ok(())),
        })
        .await
    }

    /// Whether it has begun, now that its time for that is over; else why not.
    pub(super) fn has_started(&self, ms: u64) -> Result<(), CometError> {
        let state = self.state();
        if state.start.online {
            return state.start.all_answered(ms);
        }
        let told = |found: fn(&Event) -> Option<&String>| state.events.iter().rev().find_map(found);
        let why = told(|event| match event {
            Event::Offline { detail, .. } => Some(detail),
            _ => None,
        });
        let refused = told(|event| match event {
            Event::Trouble { detail, .. } => Some(detail),
            _ => None,
        });
        let mut detail = why.map_or_else(|| "no node answered in time".to_owned(), Clone::clone);
        if let Some(refused) = refused {
            detail = format!("{detail}; another node refused the log-in: {refused}");
        }
        Err(CometError::Unreachable { detail })
    }

    async fn until<T>(&self, is: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let mut told = pin!(self.application.notified());
            told.as_mut().enable();
            let found = is(&self.state());
            if let Some(found) = found {
                return found;
            }
            told.await;
        }
    }
}

impl Start {
    fn sees(&mut self, event: &Event) {
        match event {
            Event::Online { .. } => self.online = true,
            Event::Subscribed { channel, .. } | Event::Refused { channel, .. } => {
                self.awaited.remove(channel);
            }
            _ => {}
        }
    }

    fn is_over(&self) -> bool {
        self.online && self.awaited.is_empty()
    }

    fn all_answered(&self, ms: u64) -> Result<(), CometError> {
        if self.awaited.is_empty() {
            return Ok(());
        }
        let mut names: Vec<_> = self.awaited.iter().map(String::as_str).collect();
        let others = names.split_off(names.len().min(NAMED)).len();
        let others = match others {
            0 => String::new(),
            _ => format!(" and {others} more"),
        };
        let names = names.join(", ");
        let detail = format!("no answer within {ms} ms for {names}{others}");
        Err(CometError::TimedOut { detail })
    }
}

#[cfg(test)]
mod tests;
