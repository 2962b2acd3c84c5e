//! `pipes_settings`: how many publications a channel keeps on disk. INSERT replaces; DELETE removes the history too.

use std::collections::BTreeMap;

use cometql_engine::Command;
use cometql_protocol::ChannelName;

use super::keyed::KeyTable;
use super::{KeyRow, Row, fields, pipes_messages};
use crate::cometql::{Context, SqlError, SqlSession, Value, errors};

/// The table.
pub(super) struct PipesSettings;

impl KeyTable for PipesSettings {
    type Key = ChannelName;
    type Value = u64;
    const COLUMNS: [&'static str; 2] = ["name", "length"];

    fn key(
        context: &Context,
        session: &SqlSession,
        row: &Row<'_>,
    ) -> Result<ChannelName, SqlError> {
        fields::channel(context, session, row)
    }

    fn named(key: &Value) -> Option<ChannelName> {
        fields::known_channel(key)
    }

    fn given(row: &Row<'_>) -> Result<u64, SqlError> {
        row.get("length").map_or(Ok(0), Self::value)
    }

    /// Negative lengths count as 0, as in the original; the engine bounds the rest.
    fn value(value: &Value) -> Result<u64, SqlError> {
        let number = fields::whole(value)
            .ok_or_else(|| errors::invalid("The length field must be a whole number"))?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    fn cells(key: &ChannelName, value: &u64) -> [Value; 2] {
        [
            Value::Text(key.as_str().to_owned()),
            Value::Integer(i64::try_from(*value).unwrap_or(i64::MAX)),
        ]
    }

    fn insert_id(_: &ChannelName) -> u64 {
        0
    }

    async fn known(
        context: &Context,
        session: &SqlSession,
        keys: Vec<ChannelName>,
    ) -> Result<BTreeMap<ChannelName, u64>, SqlError> {
        let known = context.store.lengths(session.tenant, keys).await?;
        Ok(known.into_iter().collect())
    }

    async fn put(
        context: &Context,
        session: &SqlSession,
        rows: Vec<(ChannelName, u64)>,
    ) -> Result<(), SqlError> {
        let tenant = session.tenant;
        if context.store.is_member() {
            // Shards hear of it from the log, on all nodes.
            let rows = rows
                .into_iter()
                .map(|(channel, length)| (channel, Some(length)));
            context.store.set_lengths(tenant, rows.collect()).await?;
            return Ok(());
        }
        let command = |(channel, length)| Command::SetHistory {
            tenant,
            channel,
            length,
        };
        let commands = rows.into_iter().map(command).collect();
        for answer in context.hub.submit_many(commands).await {
            pipes_messages::done(answer)?;
        }
        Ok(())
    }
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    let tenant = session.tenant;
    let mut removed = 0;
    let channels = fields::named(&keys, fields::known_channel);
    if context.store.is_member() {
        // While its history is still where it was.
        for channel in channels.clone() {
            let clear = Command::ClearHistory { tenant, channel };
            removed += pipes_messages::done(context.hub.submit(clear).await)?;
        }
        let rows = channels.into_iter().map(|channel| (channel, None));
        removed += context.store.set_lengths(tenant, rows.collect()).await?;
        return Ok(removed);
    }
    for channel in channels {
        let answer = context
            .hub
            .submit(Command::RemoveHistory { tenant, channel })
            .await;
        removed += pipes_messages::done(answer)?;
    }
    Ok(removed)
}
