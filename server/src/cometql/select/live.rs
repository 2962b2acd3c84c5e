//! Takes the snapshots of live state that a query needs, and no more. The only place here that asks the hub.

use std::collections::HashMap;
use std::sync::Arc;

use cometql_engine::ConnectionId;
use cometql_engine::shard::inspect::{ChannelRow, Channels, SubscriberRow};
use cometql_protocol::{ChannelName, UserId};

use super::durable::{ASKED, ONLINE};
use super::translate::{Parameter, Pins, Translation};
use super::vtab::{Cell, Shape, Snapshot, Snapshots};
use super::{information_schema, number_of};
use crate::cometql::catalog::{self, Compare, Kind};
use crate::cometql::show::sees_node;
use crate::cometql::{Context, SqlError, SqlSession, Value, errors, lookup};
use crate::hub::{MemberRow, Traced};

const NAME: Shape = column("name", "TEXT", true);

const fn column(name: &'static str, declared: &'static str, indexed: bool) -> Shape {
    Shape {
        name,
        declared,
        indexed,
    }
}

/// The snapshots of all live tables that a query reads.
pub(super) async fn snapshots(
    context: &Context,
    session: &SqlSession,
    translation: &Translation,
    values: &[Value],
) -> Result<Snapshots, SqlError> {
    let tenant = session.tenant;
    let mut found = HashMap::new();
    for (table, used) in &translation.tables {
        let keys = keys(used.pins.as_ref(), values);
        match &**table {
            "pipes" => {
                let rows = context.hub.channels(tenant, channels(keys)).await;
                found.insert(table.clone(), pipes(&rows));
            }
            "users_in_pipes" => {
                let rows = context.hub.subscribers(tenant, channels(keys)).await;
                found.insert(table.clone(), users_in_pipes(&rows));
            }
            "users_time" => {
                let asked = keys.map(users);
                let online = context.hub.users_online(tenant, asked.clone()).await;
                found.insert(ONLINE.to_owned(), user_list(&online));
                found.insert(ASKED.to_owned(), user_list(&asked.unwrap_or_default()));
            }
            "trace" => {
                let events = context.hub.trace(tenant, keys.map(users)).await;
                found.insert(table.clone(), trace(&events));
            }
            "cluster_members" => {
                found.insert(table.clone(), members(&seen(context, session)?));
            }
            name => {
                if let Some(rows) = logged(context, session, name, keys).await? {
                    found.insert(table.clone(), rows);
                }
                let name = name.strip_prefix("information_schema.");
                if let Some(info) = name.and_then(information_schema::table) {
                    found.insert(table.clone(), info.snapshot());
                }
            }
        }
    }
    let most = context.settings.load().select_rows;
    if found.values().any(|snapshot| snapshot.len() > most) {
        let message = format!("More than {most} live rows: add WHERE with the key of the table");
        return Err(errors::too_big(message));
    }
    let found = found.into_iter();
    Ok(Arc::new(
        found.map(|(name, rows)| (name, Arc::new(rows))).collect(),
    ))
}

/// The keys that a query asks for; `None` = all rows.
fn keys(pins: Option<&Pins>, values: &[Value]) -> Option<Vec<Value>> {
    let Some(Pins::These(keys)) = pins else {
        return None;
    };
    let key = |key: &Parameter| match key {
        Parameter::Placeholder(number) => values.get(*number).cloned(),
        Parameter::Text(text) => Some(Value::Text(text.clone())),
        Parameter::Bytes(_) | Parameter::Variable(_) | Parameter::Session(_) => None,
    };
    Some(keys.iter().filter_map(key).collect())
}

/// Names that are none name no channel, so they are left out.
fn channels(keys: Option<Vec<Value>>) -> Channels {
    let Some(keys) = keys else {
        return Channels::All;
    };
    let mut names: Vec<_> = keys
        .iter()
        .filter_map(|key| ChannelName::parse(&text_of(key)?).ok())
        .collect();
    names.sort_unstable();
    names.dedup();
    Channels::Named(names)
}

fn users(keys: Vec<Value>) -> Vec<UserId> {
    let mut users: Vec<_> = keys
        .iter()
        .filter_map(|key| UserId::new(u64::try_from(number_of(key)?).ok()?))
        .collect();
    users.sort_unstable();
    users.dedup();
    users
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.clone()),
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
    }
}

/// `pipes`.
pub(super) fn pipes(rows: &[ChannelRow]) -> Snapshot {
    let shape = vec![NAME, column("users", "INTEGER", false)];
    let row = |row: &ChannelRow| -> Box<[Cell]> {
        Box::new([
            Cell::text(row.channel.as_str()),
            Cell::number(row.subscribers),
        ])
    };
    Snapshot::new(shape, rows.iter().map(row).collect())
}

/// `users_in_pipes`, newest first within a channel.
pub(super) fn users_in_pipes(rows: &[SubscriberRow]) -> Snapshot {
    let shape = vec![
        NAME,
        column("user_id", "INTEGER", true),
        column("user_uuid", "TEXT", false),
        column("user_agent", "TEXT COLLATE NOCASE", false),
        column("ip", "TEXT", false),
        column("origin", "TEXT COLLATE NOCASE", false),
        column("language", "TEXT COLLATE NOCASE", false),
    ];
    let row = |row: &SubscriberRow| -> Box<[Cell]> {
        Box::new([
            Cell::text(row.channel.as_str()),
            Cell::number(row.user.map_or(0, UserId::get)),
            Cell::text(&row.uuid),
            Cell::text(&row.agent),
            Cell::text(&row.address.to_string()),
            Cell::text(&row.origin),
            Cell::text(&row.language),
        ])
    };
    Snapshot::new(shape, rows.iter().map(row).collect())
}

/// `trace`, oldest first.
pub(super) fn trace(events: &[Traced]) -> Snapshot {
    let shape = vec![
        column("user_id", "INTEGER", true),
        column("time", "INTEGER", false),
        column("connection", "INTEGER", true),
        column("event", "TEXT COLLATE NOCASE", false),
        column("channel", "TEXT", false),
        column("detail", "TEXT COLLATE NOCASE", false),
        column("node", "TEXT", false),
    ];
    let row = |Traced { node, event }: &Traced| -> Box<[Cell]> {
        let connection = event.connection.map(ConnectionId::number);
        let channel = event.channel.as_ref().map(ChannelName::as_str);
        Box::new([
            Cell::number(event.user.map_or(0, UserId::get)),
            Cell::number(event.time_ms),
            connection.map_or(Cell::Null, Cell::number),
            Cell::text(event.happened.word()),
            channel.map_or(Cell::Null, Cell::text),
            Cell::text(&event.happened.detail()),
            node.as_deref().map_or(Cell::Null, Cell::text),
        ])
    };
    Snapshot::new(shape, events.iter().map(row).collect())
}

/// Messages that a cluster's log has; `None` for other tables, and without a cluster.
async fn logged(
    context: &Context,
    session: &SqlSession,
    table: &str,
    keys: Option<Vec<Value>>,
) -> Result<Option<Snapshot>, SqlError> {
    let is_message = matches!(table, "pipes_messages" | "users_messages");
    let Some(log) = context.hub.log().filter(|_| is_message) else {
        return Ok(None);
    };
    let known = catalog::table(table).ok_or_else(errors::internal)?;
    let rows = lookup::logged(context, session, log, table, keys.as_deref()).await?;
    let shape = known.columns.iter().map(|field| {
        let declared = match (field.kind, field.compare) {
            (Kind::Integer, _) => "INTEGER",
            (Kind::Text, Compare::Exact) => "TEXT",
            (Kind::Text, Compare::IgnoreCase) => "TEXT COLLATE NOCASE",
        };
        column(field.name, declared, field.name == known.key().name)
    });
    let cell = |value: Value| match value {
        Value::Integer(number) => Cell::Integer(number),
        Value::Text(text) => Cell::text(&text),
        Value::Null | Value::Double(_) | Value::Bytes(_) => Cell::Null,
    };
    let row = |row: Vec<Value>| -> Box<[Cell]> { row.into_iter().map(cell).collect() };
    let rows = rows.into_iter().map(row).collect();
    Ok(Some(Snapshot::new(shape.collect(), rows)))
}

/// The nodes are nobody's business but of who may see all tenants.
fn seen(context: &Context, session: &SqlSession) -> Result<Vec<MemberRow>, SqlError> {
    if !sees_node(context, session) {
        return Err(errors::access_denied());
    }
    Ok(context.hub.members())
}

/// `cluster_members`, by name.
pub(super) fn members(rows: &[MemberRow]) -> Snapshot {
    let shape = vec![
        column("node", "TEXT", true),
        column("id", "TEXT", false),
        column("number", "INTEGER", false),
        column("version", "TEXT", false),
        column("http", "TEXT", false),
        column("mysql", "TEXT", false),
        column("started", "INTEGER", false),
        column("draining", "INTEGER", false),
        column("silent_ms", "INTEGER", false),
        column("own", "INTEGER", false),
    ];
    let row = |row: &MemberRow| -> Box<[Cell]> {
        let silent_ms = u64::try_from(row.silent.as_millis()).unwrap_or(u64::MAX);
        Box::new([
            Cell::text(&row.name),
            Cell::text(row.node.as_str()),
            Cell::number(row.number.into()),
            Cell::text(&row.version),
            Cell::text(&row.http),
            Cell::text(&row.mysql),
            Cell::number(row.started_ms / 1000),
            Cell::number(row.draining.into()),
            Cell::number(silent_ms),
            Cell::number(row.own.into()),
        ])
    };
    Snapshot::new(shape, rows.iter().map(row).collect())
}

/// A list of users: those online, or those asked for.
pub(super) fn user_list(users: &[UserId]) -> Snapshot {
    let row = |user: &UserId| -> Box<[Cell]> { Box::new([Cell::number(user.get())]) };
    Snapshot::new(
        vec![column("id", "INTEGER", true)],
        users.iter().map(row).collect(),
    )
}
