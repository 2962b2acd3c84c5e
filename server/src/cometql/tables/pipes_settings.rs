//! `pipes_settings`: how many publications a channel keeps on disk. INSERT replaces; DELETE removes the history too.

use std::collections::BTreeMap;

use cometql_engine::Command;
use cometql_protocol::ChannelName;

use super::{Change, KeyRow, Rows, fields, pipes_messages};
use crate::cometql::{Context, Done, SqlError, SqlSession, Value, errors, lookup};

pub(super) async fn insert(
    context: &Context,
    session: &SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let mut put = Vec::new();
    let mut affected_rows = 0;
    let known = if rows.looks_first() {
        lookup::settings(context, session).await?
    } else {
        Vec::new()
    };
    for row in rows.iter() {
        let name = fields::channel(context, session, &row)?;
        let new = row.get("length").map_or(Ok(0), length)?;
        if !known.iter().any(|(channel, _)| *channel == name) {
            affected_rows += 1;
            put.push((name, new));
        } else if let Some(value) = row.on_duplicate("length") {
            affected_rows += 2;
            put.push((name, length(value)?));
        }
    }
    set(context, session, put).await?;
    Ok(Done {
        affected_rows,
        ..Done::default()
    })
}

pub(super) async fn update(
    context: &Context,
    session: &SqlSession,
    changes: &[Change<'_>],
) -> Result<u64, SqlError> {
    let known = lookup::settings(context, session).await?;
    let mut new = BTreeMap::new();
    for (key, value) in changes {
        let length = length(value)?;
        let name = fields::known_channel(key);
        let there = |name: &ChannelName| known.iter().any(|(channel, _)| channel == name);
        if let Some(name) = name.filter(there) {
            new.insert(name, length);
        }
    }
    set(context, session, new.into_iter().collect()).await
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    let tenant = session.tenant;
    let mut removed = 0;
    for channel in channels(&keys) {
        let answer = context
            .hub
            .submit(Command::RemoveHistory { tenant, channel })
            .await;
        removed += pipes_messages::done(answer)?;
    }
    Ok(removed)
}

async fn set(
    context: &Context,
    session: &SqlSession,
    put: Vec<(ChannelName, u64)>,
) -> Result<u64, SqlError> {
    let tenant = session.tenant;
    let rows = put.len() as u64;
    let command = |(channel, length)| Command::SetHistory {
        tenant,
        channel,
        length,
    };
    for answer in context
        .hub
        .submit_many(put.into_iter().map(command).collect())
        .await
    {
        pipes_messages::done(answer)?;
    }
    Ok(rows)
}

fn channels(keys: &[KeyRow]) -> Vec<ChannelName> {
    let named = keys.iter().filter_map(|row| row.first()?.as_ref());
    let mut channels: Vec<ChannelName> = named.filter_map(fields::known_channel).collect();
    channels.sort_unstable();
    channels.dedup();
    channels
}

/// Negative lengths count as 0, as in the original; the engine bounds the rest.
fn length(value: &Value) -> Result<u64, SqlError> {
    let number = fields::whole(value)
        .ok_or_else(|| errors::invalid("The length field must be a whole number"))?;
    Ok(u64::try_from(number).unwrap_or(0))
}
