//! The story of one message for one user, told from what is known. Pure: asks nobody.

use std::collections::BTreeMap;

use cometql_engine::shard::inspect::SubscriberRow;
use cometql_engine::shard::trace::{Event, Happened};
use cometql_engine::{ConnectionId, Ending, MessageId};
use cometql_protocol::ChannelName;
use cometql_protocol::wire::{Epoch, Position};

use crate::shard::{InOutbox, Outlook, Sought};

/// A socket that was full for less than this tells nothing (milliseconds); nor does it matter then.
const LATE_MS: u64 = 1_000;

/// One row of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Unix milliseconds; 0 = no moment.
    pub(super) time_ms: u64,
    pub(super) connection: Option<ConnectionId>,
    pub(super) what: &'static str,
    pub(super) detail: String,
}

/// A publication, wherever it was found.
pub(super) struct Place {
    pub(super) channel: ChannelName,
    pub(super) offset: u64,
    /// In which life of the history; `None` = in any.
    pub(super) epoch: Option<Epoch>,
    pub(super) time_ms: u64,
    pub(super) kept: &'static str,
}

/// What there is to know.
pub(super) struct Known {
    /// The trace of the user, oldest first.
    pub(super) events: Vec<Event>,
    /// The user's open connections.
    pub(super) outlooks: Vec<Outlook>,
    /// Whether the channel conflates.
    pub(super) conflates: bool,
    /// Until when something is forgotten that outboxes told, unix milliseconds.
    pub(super) forgotten_ms: u64,
}

impl Step {
    /// Nothing is known.
    pub(super) fn unknown() -> Self {
        let detail = "no message to this user and no publication that is kept has this id";
        Self::of(0, None, "unknown", detail)
    }

    fn of(
        time_ms: u64,
        connection: Option<ConnectionId>,
        what: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            time_ms,
            connection,
            what,
            detail: detail.into(),
        }
    }
}

/// To whom it was handed, in order.
#[derive(Default)]
struct Story {
    steps: Vec<Step>,
    /// Connections that would get it if it came now.
    ready: Vec<ConnectionId>,
    /// It has come.
    came: bool,
    /// To which connections it was handed, when and how.
    handed: BTreeMap<ConnectionId, (u64, &'static str)>,
}

impl Story {
    /// It comes, if it has not yet: those who are ready get it.
    fn comes(&mut self, time_ms: u64) {
        if !std::mem::replace(&mut self.came, true) {
            for connection in std::mem::take(&mut self.ready) {
                self.hand(time_ms, connection, "at once");
            }
        }
    }

    fn hand(&mut self, time_ms: u64, connection: ConnectionId, how: &'static str) {
        self.handed.entry(connection).or_insert((time_ms, how));
    }

    /// What came of it, connection by connection, in the order of time.
    fn end(mut self, sought: &Sought, known: &Known) -> Vec<Step> {
        for (connection, (handed_ms, how)) in &self.handed {
            let steps = became(sought, known, *connection, *handed_ms, how);
            self.steps.extend(steps);
        }
        let moment = |step: &Step| Some(step.time_ms).filter(|time| *time > 0);
        self.steps
            .sort_by_key(|step| moment(step).unwrap_or(u64::MAX));
        self.steps
    }
}

/// What the outbox of a connection told of a message.
#[derive(Default)]
struct Told {
    dropped: Option<u64>,
    /// Something is known of just this channel: what was told of all of them does not count.
    exactly: bool,
    dropped_since: Option<(u64, u64)>,
    conflated: Option<(u64, u64)>,
    late: Option<(u64, u64)>,
    closed: Option<(u64, Ending)>,
}

impl Told {
    fn of(sought: &Sought, known: &Known, connection: ConnectionId, handed_ms: u64) -> Self {
        let mut told = Self::default();
        let offset = sought.offset;
        let own = |event: &&Event| event.connection == Some(connection);
        for event in known.events.iter().filter(own) {
            let (time, same) = (event.time_ms, event.channel == sought.channel);
            match event.happened {
                Happened::Dropped(from, _) if same => {
                    told.exactly = true;
                    told.dropped = told.dropped.or((from <= offset).then_some(time));
                }
                Happened::DroppedSince(since) => told.dropped_since = Some((since, time)),
                Happened::Conflated { after, before }
                    if same && time >= handed_ms && after < offset && offset < before =>
                {
                    told.conflated = Some((time, before));
                }
                Happened::CaughtUp(since) => {
                    let meant = handed_ms <= time && handed_ms + LATE_MS >= since;
                    told.late = told.late.or(meant.then_some((since, time)));
                }
                Happened::Closed(ending) => told.closed = Some((time, ending)),
                _ => {}
            }
        }
        let since = told.dropped_since.filter(|_| !told.exactly);
        let since = since.filter(|(since, _)| handed_ms >= *since);
        told.dropped = told.dropped.or(since.map(|(_, time)| time));
        told
    }
}

/// What came of a message that was handed to a connection.
fn became(
    sought: &Sought,
    known: &Known,
    connection: ConnectionId,
    handed_ms: u64,
    how: &str,
) -> Vec<Step> {
    let told = Told::of(sought, known, connection, handed_ms);
    let outlook = |outlook: &&Outlook| outlook.connection == connection;
    let outlook = known.outlooks.iter().find(outlook);
    let (place, stuck_ms) = outlook.map_or((InOutbox::No, 0), |is| (is.place, is.stuck_ms));
    let step = |time, what, detail: String| Step::of(time, Some(connection), what, detail);
    let ending = told.closed.map(|(_, ending)| ending.to_string());
    if let Some(time) = told.dropped {
        let why = ending.unwrap_or_else(|| "its connection ends".to_owned());
        return vec![step(time, "dropped", why)];
    }
    let mut steps = Vec::new();
    if let Some((time, before)) = told.conflated {
        let detail = format!("newer ones replaced it; the next that came has offset {before}");
        steps.push(step(time, "conflated", detail));
    } else if place == InOutbox::Conflated {
        let detail = "a newer one waits in its place".to_owned();
        steps.push(step(handed_ms, "conflated", detail));
    } else if place == InOutbox::Waits {
        let detail = match stuck_ms {
            0 => "its turn comes".to_owned(),
            since => format!("the socket is full since {since}"),
        };
        steps.push(step(handed_ms, "in outbox", detail));
    } else if known.conflates && handed_ms <= known.forgotten_ms {
        let detail = "written, or replaced by a newer one: the trace does not reach back";
        steps.push(step(handed_ms, "sent", detail.to_owned()));
    } else if let Some((since, time)) = told.late {
        let detail = format!("{how}; by then at the latest: the socket was full since {since}");
        steps.push(step(time, "written", detail));
    } else {
        let full = format!("{how}; the socket is full since {stuck_ms}");
        let full = (stuck_ms > 0 && handed_ms + LATE_MS >= stuck_ms).then_some(full);
        let detail = full.unwrap_or_else(|| how.to_owned());
        steps.push(step(handed_ms, "written", detail));
    }
    if let Some((time, ending)) = told.closed {
        steps.push(step(time, "closed", ending.to_string()));
    }
    steps
}

/// A private message: it is in the inbox, goes to the connections that read it, and waits for an acknowledgement.
pub(super) fn private(id: MessageId, sought: &Sought, waits: bool, known: &Known) -> Vec<Step> {
    let (offset, time_ms) = (sought.offset, sought.time_ms);
    let mut story = Story::default();
    let place = format!("inbox, offset {offset}");
    story.steps.push(Step::of(time_ms, None, "stored", place));
    let mut done = false;
    for event in &known.events {
        if event.time_ms > time_ms {
            story.comes(time_ms);
        }
        let by = event.connection;
        match (event.happened, by) {
            (Happened::Stored { id: of, .. }, _) if of == id => story.comes(time_ms),
            (Happened::InboxRead { after, up_to, live }, Some(by)) => {
                if after < offset && offset <= up_to {
                    story.comes(time_ms);
                    story.hand(event.time_ms, by, "it had waited");
                }
                story.ready.extend(live.then_some(by));
            }
            (Happened::Acknowledged(up_to), _) if up_to >= offset && story.came && !done => {
                done = true;
                let how = by.map_or("by being written", |_| "");
                let step = Step::of(event.time_ms, by, "acknowledged", how);
                story.steps.push(step);
            }
            (Happened::Cleared, _) if story.came && !done => {
                done = true;
                let how = "a backend emptied the inbox";
                let step = Step::of(event.time_ms, None, "removed", how);
                story.steps.push(step);
            }
            (Happened::Closed(_), Some(by)) => story.ready.retain(|ready| *ready != by),
            _ => {}
        }
    }
    story.comes(time_ms);
    let open = known.outlooks.iter().map(|outlook| outlook.connection);
    let reads = open
        .into_iter()
        .any(|open| story.handed.contains_key(&open));
    if waits {
        let detail = if reads {
            "for an acknowledgement"
        } else {
            "no connection that reads the inbox is open"
        };
        story.steps.push(Step::of(0, None, "waits", detail));
    } else if !done {
        let detail = "acknowledged, removed by a backend or too old: the trace does not tell";
        story.steps.push(Step::of(0, None, "removed", detail));
    }
    story.end(sought, known)
}

/// A publication: it goes to those who are subscribed at the moment, and to those who come back and recover.
pub(super) fn published(
    found: &Place,
    sought: &Sought,
    live: &[SubscriberRow],
    known: &Known,
) -> Vec<Step> {
    let (time_ms, offset) = (found.time_ms, found.offset);
    let mut story = Story::default();
    let place = format!("{}, offset {offset}, {}", found.channel, found.kept);
    story.steps.push(Step::of(time_ms, None, "stored", place));
    let concerns = |event: &&Event| match &event.channel {
        Some(channel) => *channel == found.channel,
        None => matches!(event.happened, Happened::Closed(_)),
    };
    for event in known.events.iter().filter(concerns) {
        if event.time_ms > time_ms {
            story.comes(time_ms);
        }
        let Some(by) = event.connection else {
            continue;
        };
        match event.happened {
            Happened::Subscribed {
                position, reach, ..
            } => {
                let same = |at: &Position| found.epoch.is_none_or(|epoch| epoch == at.epoch);
                if let Some(at) = position.filter(same).filter(|at| at.offset >= offset) {
                    // It was there before: it came with the replay, or not at all.
                    story.comes(time_ms);
                    if offset + u64::from(reach) > at.offset {
                        story.hand(event.time_ms, by, "with the replay");
                    }
                }
                story.ready.push(by);
            }
            Happened::Unsubscribed | Happened::Ended(_) | Happened::Closed(_) => {
                story.ready.retain(|ready| *ready != by);
            }
            // The moment at which the outbox overflowed does not tell what came before and what after.
            Happened::Dropped(from, to) if (from..=to).contains(&offset) => {
                story.hand(time_ms, by, "at once");
            }
            Happened::Refused {
                request: "subscribe",
                code,
            } => {
                let detail = format!("subscribe: {}", code.as_str());
                let step = Step::of(event.time_ms, Some(by), "refused", detail);
                story.steps.push(step);
            }
            _ => {}
        }
    }
    story.comes(time_ms);
    // Of long subscriptions the trace may know nothing any more.
    let knows = |of: ConnectionId| {
        let mut own = known
            .events
            .iter()
            .filter(|event| event.connection == Some(of));
        own.any(|event| {
            matches!(event.happened, Happened::Subscribed { .. })
                && event.channel.as_ref() == Some(&found.channel)
        })
    };
    let before = live.iter().filter(|row| row.since_ms < time_ms);
    for row in before.filter(|row| !knows(row.connection)) {
        story.hand(time_ms, row.connection, "at once");
    }
    if story.handed.is_empty() {
        let detail = "the user was not subscribed then, and did not come back with a position";
        story.steps.push(Step::of(0, None, "not sent", detail));
    }
    story.end(sought, known)
}

#[cfg(test)]
mod tests;
