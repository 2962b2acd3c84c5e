//! EXPLAIN: one row that says how a statement is carried out, and `EXPLAIN SUBSCRIBE`, which asks the channel rules.

use cometql_engine::Identity;
use cometql_engine::permission::{Action, Decision};

use super::parse::{Filter, Parsed};
use super::tables::fields;
use super::{Column, ColumnKind, Context, Outcome, RowSet, SqlError, SqlSession, Value, errors};

const PLAN: &[&str] = &[
    "id",
    "select_type",
    "table",
    "partitions",
    "type",
    "possible_keys",
    "key",
    "key_len",
    "ref",
    "rows",
    "filtered",
    "Extra",
];

const RULE: &[&str] = &["channel", "user_id", "action", "allowed", "rule", "reason"];

/// The columns of [`statement`].
pub(super) fn statement_columns() -> Vec<Column> {
    text_columns(PLAN)
}

/// The columns of [`subscribe`].
pub(super) fn subscribe_columns() -> Vec<Column> {
    text_columns(RULE)
}

/// One row, as MySQL's, about a statement that is no SELECT.
pub(super) fn statement(parsed: &Parsed) -> Outcome {
    let (kind, table, access, extra) = match parsed {
        Parsed::Insert(insert) => ("INSERT", Some(insert.table), None, "Through the shards"),
        Parsed::Update(update) => (
            "UPDATE",
            Some(update.table),
            Some(access(&update.filter)),
            "",
        ),
        Parsed::Delete(delete) => (
            "DELETE",
            Some(delete.table),
            Some(access(&delete.filter)),
            "",
        ),
        // The SELECT engine explains its own.
        Parsed::Select(_)
        | Parsed::Nothing
        | Parsed::Show(_)
        | Parsed::Use(_)
        | Parsed::Kill { .. }
        | Parsed::Explain(_)
        | Parsed::Idle(_)
        | Parsed::ExplainSubscribe { .. }
        | Parsed::ExplainMessage { .. } => ("SIMPLE", None, None, "No tables used"),
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let key = table.map_or(Value::Null, |table| text(table.key().name));
    let row = vec![
        text("1"),
        text(kind),
        table.map_or(Value::Null, |table| text(table.name)),
        Value::Null,
        access.map_or(Value::Null, text),
        key.clone(),
        key,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        text(extra),
    ];
    Outcome::Rows(RowSet {
        columns: statement_columns(),
        rows: vec![row],
    })
}

/// What the channel rules say about a user and a channel, one row for each action.
pub(super) fn subscribe(
    context: &Context,
    session: &SqlSession,
    channel: &Value,
    user: &Value,
) -> Result<Outcome, SqlError> {
    let name = fields::text(channel, "channel")?;
    if fields::known_channel(channel).is_none() {
        return Err(errors::invalid(
            "That is no channel name: 3 to 64 of A-Za-z0-9_-.:/",
        ));
    }
    let identity = Identity {
        user: fields::known_user(user),
        ..Identity::default()
    };
    let rules = context.hub.rules();
    let actions = [
        ("subscribe", Action::Subscribe),
        ("publish", Action::Publish),
        ("history", Action::History),
        ("presence", Action::Presence),
    ];
    let row = |(action, which): (&str, Action)| {
        let explanation = rules.explain(session.tenant, &identity, &name, which);
        vec![
            Value::Text(name.clone().into_owned()),
            Value::Text(identity.user.map_or(0, |user| user.get()).to_string()),
            Value::Text(action.to_owned()),
            Value::Text(decided(explanation.decision).to_owned()),
            Value::Text(explanation.rule),
            Value::Text(explanation.reason),
        ]
    };
    let rows = actions.into_iter().map(row).collect();
    Ok(Outcome::Rows(RowSet {
        columns: subscribe_columns(),
        rows,
    }))
}

fn decided(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "yes",
        Decision::Deny => "no",
        Decision::AskMembers => "if pipes_members lists the user",
    }
}

fn access(filter: &Filter) -> &'static str {
    match filter {
        Filter::Keys(_) => "range",
        Filter::Query(_) => "ALL",
    }
}

fn text_columns(names: &[&str]) -> Vec<Column> {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        kind: ColumnKind::Text,
    };
    names.iter().map(column).collect()
}
