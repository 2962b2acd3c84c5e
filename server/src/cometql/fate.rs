//! `EXPLAIN MESSAGE 'id' FOR USER n`: what became of a private message or a publication for one user. Nobody notes
//! deliveries: what was sent to which connection follows from what its session did and when (the table `trace`).

use std::collections::BTreeMap;

use cometql_engine::shard::inspect::{Channels, SubscriberRow};
use cometql_engine::shard::trace::{Event, Happened};
use cometql_engine::{ConnectionId, Ending, MessageId};
use cometql_protocol::ChannelName;
use cometql_protocol::wire::{Epoch, Position};

use super::tables::fields;
use super::{Column, ColumnKind, Context, Outcome, RowSet, SqlError, SqlSession, Value, errors};
use crate::storage::parse_message_id;

/// One row of the answer.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    time_ms: u64,
    connection: Option<ConnectionId>,
    what: &'static str,
    detail: String,
}

/// A publication, wherever it was found.
struct Found {
    channel: ChannelName,
    offset: u64,
    /// In which life of the history; `None` = in any.
    epoch: Option<Epoch>,
    time_ms: u64,
    kept: &'static str,
}

/// The columns of [`explain`].
pub(super) fn columns() -> Vec<Column> {
    let column = |(name, kind): (&str, ColumnKind)| Column {
        name: name.to_owned(),
        kind,
    };
    let columns = [
        ("time", ColumnKind::Integer),
        ("connection", ColumnKind::Integer),
        ("event", ColumnKind::Text),
        ("detail", ColumnKind::Text),
    ];
    columns.into_iter().map(column).collect()
}

/// Carries the statement out.
pub(super) async fn explain(
    context: &Context,
    session: &SqlSession,
    id: &Value,
    user: &Value,
) -> Result<Outcome, SqlError> {
    let id = fields::text(id, "message")?;
    let id = parse_message_id(&id).ok_or_else(|| errors::invalid("That is no UUID"))?;
    let user = fields::known_user(user);
    let user = user.ok_or_else(|| errors::invalid("EXPLAIN MESSAGE needs FOR USER n"))?;
    let tenant = session.tenant;
    let events = context.hub.trace(tenant, Some(vec![user])).await;
    let stored = events.iter().find_map(|event| match event.happened {
        Happened::Stored { id: of, offset } if of == id => Some((offset, event.time_ms)),
        _ => None,
    });
    let waits = context.store.find_message(tenant, user, id).await?;
    let steps = if let Some((offset, time_ms)) = waits.or(stored) {
        private(id, offset, time_ms, waits.is_some(), &events)
    } else if let Some(found) = publication(context, session, id).await? {
        let which = Channels::Named(vec![found.channel.clone()]);
        let mut live = context.hub.subscribers(tenant, which).await;
        live.retain(|row| row.user == Some(user));
        published(&found, &events, &live)
    } else {
        vec![Step {
            time_ms: 0,
            connection: None,
            what: "unknown",
            detail: "no message to this user and no publication that is kept has this id".into(),
        }]
    };
    let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let row = |step: Step| {
        let time = Some(step.time_ms).filter(|time| *time > 0);
        vec![
            time.map_or(Value::Null, number),
            step.connection
                .map_or(Value::Null, |id| number(id.number())),
            Value::Text(step.what.to_owned()),
            Value::Text(step.detail),
        ]
    };
    Ok(Outcome::Rows(RowSet {
        columns: columns(),
        rows: steps.into_iter().map(row).collect(),
    }))
}

async fn publication(
    context: &Context,
    session: &SqlSession,
    id: MessageId,
) -> Result<Option<Found>, SqlError> {
    let tenant = session.tenant;
    let kept = context.hub.find_publication(tenant, id).await;
    if let Some((publication, place)) = kept.and_then(|is| is.place.map(|place| (is, place))) {
        return Ok(Some(Found {
            channel: publication.channel.clone(),
            offset: place.offset,
            epoch: Some(place.epoch),
            time_ms: publication.time_ms,
            kept: "in memory",
        }));
    }
    let stored = context.store.find_publication(tenant, id).await?;
    Ok(stored.map(|(channel, offset, time_ms)| Found {
        channel,
        offset,
        epoch: None,
        time_ms,
        kept: "on disk",
    }))
}

/// What was sent to whom, in order.
#[derive(Default)]
struct Story {
    steps: Vec<Step>,
    /// Connections that would get it if it came now.
    ready: Vec<ConnectionId>,
    /// It has come.
    came: bool,
    /// Connections to which it was sent and that have not ended, and when.
    sent: BTreeMap<ConnectionId, u64>,
}

impl Story {
    /// It comes, if it has not yet: those who are ready get it.
    fn comes(&mut self, time_ms: u64) {
        if !std::mem::replace(&mut self.came, true) {
            for connection in self.ready.clone() {
                self.sent(time_ms, connection, "at once");
            }
        }
    }

    fn tell(
        &mut self,
        time_ms: u64,
        connection: Option<ConnectionId>,
        what: &'static str,
        detail: impl Into<String>,
    ) {
        let detail = detail.into();
        self.steps.push(Step {
            time_ms,
            connection,
            what,
            detail,
        });
    }

    fn sent(&mut self, time_ms: u64, connection: ConnectionId, detail: &str) {
        if self.sent.insert(connection, time_ms).is_none() {
            self.tell(time_ms, Some(connection), "sent", detail);
        }
    }

    /// A connection ended: what waited for its socket was lost with it.
    fn ended(&mut self, event: &Event, connection: ConnectionId, ending: Ending) {
        self.ready.retain(|ready| *ready != connection);
        let Some(sent) = self.sent.remove(&connection) else {
            return;
        };
        let what = match ending {
            Ending::Overflowed(since) if since <= sent => "dropped",
            _ => "closed",
        };
        let detail = ending.to_string();
        self.tell(event.time_ms, Some(connection), what, detail);
    }
}

/// A private message: it is in the inbox, goes to the connections that read it, and waits for an acknowledgement.
fn private(id: MessageId, offset: u64, time_ms: u64, waits: bool, events: &[Event]) -> Vec<Step> {
    let mut story = Story::default();
    story.tell(time_ms, None, "stored", format!("inbox, offset {offset}"));
    let mut done = false;
    for event in events {
        if event.time_ms > time_ms {
            story.comes(time_ms);
        }
        let by = event.connection;
        match (event.happened, by) {
            (Happened::Stored { id: of, .. }, _) if of == id => story.comes(time_ms),
            (Happened::InboxRead { after, up_to, live }, Some(by)) => {
                if after < offset && offset <= up_to {
                    story.comes(time_ms);
                    story.sent(event.time_ms, by, "it had waited");
                }
                story.ready.extend(live.then_some(by));
            }
            (Happened::Acknowledged(up_to), _) if up_to >= offset && story.came && !done => {
                done = true;
                let how = by.map_or("by being written", |_| "");
                story.tell(event.time_ms, by, "acknowledged", how);
            }
            (Happened::Cleared, _) if story.came && !done => {
                done = true;
                let how = "a backend emptied the inbox";
                story.tell(event.time_ms, None, "removed", how);
            }
            (Happened::Closed(ending), Some(by)) => story.ended(event, by, ending),
            _ => {}
        }
    }
    story.comes(time_ms);
    if waits {
        let detail = if story.sent.is_empty() {
            "no connection that reads the inbox is open"
        } else {
            "for an acknowledgement"
        };
        story.tell(0, None, "waits", detail);
    } else if !done {
        let detail = "acknowledged, removed by a backend or too old: the trace does not tell";
        story.tell(0, None, "removed", detail);
    }
    story.steps
}

/// A publication: it goes to those who are subscribed at the moment, and to those who come back and recover.
fn published(found: &Found, events: &[Event], live: &[SubscriberRow]) -> Vec<Step> {
    let (time_ms, offset) = (found.time_ms, found.offset);
    let mut story = Story::default();
    let place = format!("{}, offset {offset}, {}", found.channel, found.kept);
    story.tell(time_ms, None, "stored", place);
    let concerns = |event: &&Event| match &event.channel {
        Some(channel) => *channel == found.channel,
        None => matches!(event.happened, Happened::Closed(_)),
    };
    for event in events.iter().filter(concerns) {
        if event.time_ms > time_ms {
            story.comes(time_ms);
        }
        let Some(by) = event.connection else {
            continue;
        };
        match event.happened {
            Happened::Subscribed {
                position, replayed, ..
            } => {
                let same = |at: &Position| found.epoch.is_none_or(|epoch| epoch == at.epoch);
                if let Some(at) = position.filter(same).filter(|at| at.offset >= offset) {
                    // It was there before: it came with the replay, or not at all.
                    story.comes(time_ms);
                    if offset + u64::from(replayed) > at.offset {
                        story.sent(event.time_ms, by, "with the replay");
                    }
                }
                story.ready.push(by);
            }
            Happened::Unsubscribed | Happened::Ended(_) => story.ready.retain(|is| *is != by),
            Happened::Refused {
                request: "subscribe",
                code,
            } => {
                let detail = format!("subscribe: {}", code.as_str());
                story.tell(event.time_ms, Some(by), "refused", detail);
            }
            Happened::Closed(ending) => story.ended(event, by, ending),
            _ => {}
        }
    }
    story.comes(time_ms);
    // Of long subscriptions the trace may know nothing any more.
    let known = |of: ConnectionId| events.iter().any(|event| event.connection == Some(of));
    let before = live.iter().filter(|row| row.since_ms < time_ms);
    for row in before.filter(|row| !known(row.connection)) {
        story.sent(time_ms, row.connection, "at once");
    }
    if story.steps.iter().all(|step| step.what != "sent") {
        let detail = "the user was not subscribed then, and did not come back with a position";
        story.tell(0, None, "not sent", detail);
    }
    story.steps
}

#[cfg(test)]
mod tests {
    use cometql_engine::ShardId;

    use super::*;

    fn connection(slot: usize) -> ConnectionId {
        ConnectionId::new(ShardId(0), slot, 1)
    }

    fn event(time_ms: u64, by: usize, happened: Happened) -> Event {
        let in_channel = matches!(happened, Happened::Subscribed { .. });
        Event {
            time_ms,
            user: None,
            connection: Some(connection(by)),
            channel: in_channel.then(|| ChannelName::parse("web_a").unwrap()),
            happened,
        }
    }

    fn subscribed(offset: u64, replayed: u32) -> Happened {
        let epoch = Epoch(1);
        Happened::Subscribed {
            position: Some(Position { epoch, offset }),
            recovered: replayed > 0,
            replayed,
        }
    }

    /// What became of publication 5 of `web_a`, published at 100.
    #[track_caller]
    fn check(events: &[Event], expected: &str) {
        let found = Found {
            channel: ChannelName::parse("web_a").unwrap(),
            offset: 5,
            epoch: Some(Epoch(1)),
            time_ms: 100,
            kept: "in memory",
        };
        let steps = published(&found, events, &[]);
        let told = steps.iter().skip(1).map(|step| {
            let by = step.connection.map_or(0, ConnectionId::slot);
            format!("{} {by} {}", step.time_ms, step.what)
        });
        assert_eq!(told.collect::<Vec<_>>().join(", "), expected);
    }

    #[test]
    fn what_was_sent_follows_from_what_sessions_did() {
        let closed = Happened::Closed;
        let broke = closed(Ending::Broke);
        check(&[], "0 0 not sent");
        check(&[event(50, 1, subscribed(4, 0))], "100 1 sent");
        check(
            &[event(50, 1, subscribed(4, 0)), event(70, 1, broke)],
            "0 0 not sent",
        );
        check(
            &[event(50, 1, subscribed(4, 0)), event(170, 1, broke)],
            "100 1 sent, 170 1 closed",
        );
        let drops = |since| event(170, 1, closed(Ending::Overflowed(since)));
        check(
            &[event(50, 1, subscribed(4, 0)), drops(90)],
            "100 1 sent, 170 1 dropped",
        );
        check(
            &[event(50, 1, subscribed(4, 0)), drops(120)],
            "100 1 sent, 170 1 closed",
        );
        // A replay of the last two reaches back to it, one of the last does not.
        check(&[event(150, 1, subscribed(6, 2))], "150 1 sent");
        check(&[event(150, 1, subscribed(6, 1))], "0 0 not sent");
        // All within one millisecond: offsets tell the order.
        check(
            &[
                event(100, 1, subscribed(4, 0)),
                event(100, 2, subscribed(5, 0)),
            ],
            "100 1 sent",
        );
    }
}
