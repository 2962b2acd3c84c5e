//! Who is connected: MySQL connections and browser sessions.

use super::{Row, number, text};
use crate::cometql::{Context, SqlSession, Value};

/// `SHOW PROCESSLIST`: the tenant's MySQL connections; all for the admin. In a cluster those of all members.
pub(super) async fn processes(context: &Context, session: &SqlSession) -> Vec<Row> {
    let tenant = (!session.admin).then_some(session.tenant);
    let mut rows = context.processes.list(tenant);
    rows.extend(context.hub.processes_elsewhere(tenant).await);
    let rows = rows.into_iter();
    rows.map(|row| {
        vec![
            Value::Integer(i64::from(row.id)),
            Value::Text(row.user),
            Value::Text(row.host.to_string()),
            none_if_empty(row.database),
            text(row.command),
            number(row.seconds),
            text(""),
            none_if_empty(row.info),
        ]
    })
    .collect()
}

/// `SHOW CONNECTIONS`: the tenant's browser sessions; all for the admin. In a cluster those of all members.
pub(super) async fn connections(context: &Context, session: &SqlSession) -> Vec<Row> {
    let tenant = (!session.admin).then_some(session.tenant);
    let now_ms = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    let rows = context.hub.connections(tenant).await.into_iter();
    let nodes = context.hub.nodes();
    rows.map(|row| {
        let node = nodes.get(&row.connection.member());
        vec![
            number(row.connection.number()),
            Value::Integer(i64::from(row.tenant.0)),
            number(row.user.map_or(0, |user| user.get())),
            text(row.kind),
            Value::Text(row.address.to_string()),
            number(row.subscriptions as u64),
            number(now_ms.saturating_sub(row.opened_ms) / 1000),
            Value::Text(row.agent.into()),
            Value::Text(row.origin.into()),
            node.map_or(Value::Null, |name| text(name)),
        ]
    })
    .collect()
}

fn none_if_empty(text: String) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        Value::Text(text)
    }
}
