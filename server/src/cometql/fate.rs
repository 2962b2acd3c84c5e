//! `EXPLAIN MESSAGE 'id' FOR USER n`: what became of a private message or a publication for one user. Nobody notes
//! deliveries: to whom it was handed follows from what sessions did and when (the table `trace`), and what came of that
//! from what their outboxes told and hold.

use cometql_engine::MessageId;
use cometql_engine::shard::inspect::Channels;
use cometql_engine::shard::trace::Happened;
use cometql_protocol::UserId;

use super::tables::fields;
use super::{Column, ColumnKind, Context, Outcome, RowSet, SqlError, SqlSession, Value, errors};
use crate::shard::Sought;
use crate::storage::parse_message_id;
use story::{Known, Place, Step};

mod story;

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
        ("node", ColumnKind::Text),
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
    let mut steps = private(context, session, id, user).await?;
    if steps.is_empty() {
        for place in places(context, session, id).await? {
            steps.extend(published(context, session, &place, user).await);
        }
    }
    if steps.is_empty() {
        steps.push(Step::unknown());
    }
    let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let nodes = context.hub.nodes();
    let row = |step: Step| {
        let node = step.connection.and_then(|id| nodes.get(&id.member()));
        let time = Some(step.time_ms).filter(|time| *time > 0);
        vec![
            time.map_or(Value::Null, number),
            step.connection
                .map_or(Value::Null, |id| number(id.number())),
            Value::Text(step.what.to_owned()),
            Value::Text(step.detail),
            node.map_or(Value::Null, |name| Value::Text(name.clone())),
        ]
    };
    Ok(Outcome::Rows(RowSet {
        columns: columns(),
        rows: steps.into_iter().map(row).collect(),
    }))
}

/// The story of a private message; empty when there was none.
async fn private(
    context: &Context,
    session: &SqlSession,
    id: MessageId,
    user: UserId,
) -> Result<Vec<Step>, SqlError> {
    let tenant = session.tenant;
    let events = context.hub.trace(tenant, Some(vec![user])).await;
    let stored = events
        .iter()
        .find_map(|traced| match traced.event.happened {
            Happened::Stored { id: of, offset } if of == id => Some((offset, traced.event.time_ms)),
            _ => None,
        });
    let waits = context.store.find_message(tenant, user, id).await?;
    let Some((offset, time_ms)) = waits.or(stored) else {
        return Ok(Vec::new());
    };
    let sought = Sought {
        tenant,
        user,
        channel: None,
        offset,
        time_ms,
    };
    let known = know(context, &sought).await;
    Ok(story::private(id, &sought, waits.is_some(), &known))
}

/// Where publications with this id are kept. An id may have been used in several channels.
async fn places(
    context: &Context,
    session: &SqlSession,
    id: MessageId,
) -> Result<Vec<Place>, SqlError> {
    let tenant = session.tenant;
    let mut places = Vec::new();
    for kept in context.hub.find_publications(tenant, id).await {
        places.push(Place {
            channel: kept.channel,
            offset: kept.offset,
            epoch: Some(kept.epoch),
            time_ms: kept.time_ms,
            kept: "in memory",
        });
    }
    for (channel, offset, time_ms) in context.store.find_publications(tenant, id).await? {
        let is_it = |place: &Place| (&place.channel, place.offset) == (&channel, offset);
        if !places.iter().any(is_it) {
            places.push(Place {
                channel,
                offset,
                epoch: None,
                time_ms,
                kept: "on disk",
            });
        }
    }
    Ok(places)
}

/// The story of a publication.
async fn published(
    context: &Context,
    session: &SqlSession,
    place: &Place,
    user: UserId,
) -> Vec<Step> {
    let tenant = session.tenant;
    let sought = Sought {
        tenant,
        user,
        channel: Some(place.channel.clone()),
        offset: place.offset,
        time_ms: place.time_ms,
    };
    let which = Channels::Named(vec![place.channel.clone()]);
    let mut live = context.hub.subscribers(tenant, which).await;
    live.retain(|row| row.user == Some(user));
    let known = know(context, &sought).await;
    story::published(place, &sought, &live, &known)
}

/// What there is to know. The outboxes are looked at before the trace is read: what they tell later is in it. All shards
/// were asked something before, so that whatever was on its way between them has arrived.
async fn know(context: &Context, sought: &Sought) -> Known {
    let tenant = sought.tenant;
    let outlooks = context.hub.outlook(sought).await;
    let forgotten_ms = context.hub.outboxes_forgotten(tenant).await;
    let events = context.hub.trace(tenant, Some(vec![sought.user])).await;
    let events = events.into_iter().map(|traced| traced.event).collect();
    let rules = context.hub.rules();
    let conflates = |channel: &str| rules.behaviour(tenant, channel).conflate.is_some();
    let channel = sought.channel.as_ref();
    Known {
        events,
        outlooks,
        conflates: channel.is_some_and(|channel| conflates(channel.as_str())),
        forgotten_ms,
    }
}
