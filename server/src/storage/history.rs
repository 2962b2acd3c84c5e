//! Channels, their publications and how many of them are kept. It must not know of batches or threads.

use cometql_engine::{MessageId, StoredPublication};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, TenantId};
use rusqlite::{Connection, OptionalExtension, params};

use super::append::trim_older;
use super::values::{Outcome, channel_name, content, integer, message_id_text, number, rows};

pub(super) fn open_channel(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
    start: Position,
    renewed: Option<Epoch>,
) -> Outcome<Position> {
    let known = connection
        .prepare_cached("SELECT epoch, last_offset FROM channels WHERE tenant = ?1 AND name = ?2")?
        .query_row(params![tenant.0, channel.as_str()], |row| {
            Ok(Position {
                epoch: Epoch(row.get::<_, i64>(0)?.cast_unsigned()),
                offset: number(row, 1)?,
            })
        })
        .optional()?;
    let Some(known) = known else {
        connection
            .prepare_cached("INSERT INTO channels VALUES (?1, ?2, ?3, ?4, 0, NULL)")?
            .execute(params![
                tenant.0,
                channel.as_str(),
                start.epoch.0.cast_signed(),
                integer(start.offset),
            ])?;
        return Ok(start);
    };
    let now = Position {
        epoch: renewed.unwrap_or(known.epoch),
        offset: known.offset.max(start.offset),
    };
    if now != known {
        connection
            .prepare_cached(
                "UPDATE channels SET epoch = ?3, last_offset = ?4 WHERE tenant = ?1 AND name = ?2",
            )?
            .execute(params![
                tenant.0,
                channel.as_str(),
                now.epoch.0.cast_signed(),
                integer(now.offset),
            ])?;
    }
    Ok(now)
}

/// The places and times of publications: a sender may have used an id in several channels.
pub(super) fn find(
    connection: &Connection,
    tenant: TenantId,
    id: MessageId,
) -> Outcome<Vec<(ChannelName, u64, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, offset, time_ms FROM pipes_messages WHERE tenant = ?1 AND id = ?2",
    )?;
    let mut rows = statement.query(params![tenant.0, message_id_text(id)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        found.push((channel_name(&name)?, number(row, 1)?, number(row, 2)?));
    }
    Ok(found)
}

pub(super) fn read(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
    after: u64,
    limit: u64,
    newest: bool,
) -> Outcome<Vec<StoredPublication>> {
    let mut statement = connection.prepare_cached(if newest {
        "SELECT id, time_ms, event, message, json, user_id, offset, previous FROM pipes_messages
         WHERE tenant = ?1 AND name = ?2 AND offset > ?3 ORDER BY offset DESC LIMIT ?4"
    } else {
        "SELECT id, time_ms, event, message, json, user_id, offset, previous FROM pipes_messages
         WHERE tenant = ?1 AND name = ?2 AND offset > ?3 ORDER BY offset LIMIT ?4"
    })?;
    let mut found = statement.query(params![
        tenant.0,
        channel.as_str(),
        integer(after),
        integer(limit)
    ])?;
    let mut history = Vec::new();
    while let Some(row) = found.next()? {
        history.push(StoredPublication {
            offset: number(row, 6)?,
            previous: number(row, 7)?,
            content: content(row)?,
        });
    }
    if newest {
        history.reverse();
    }
    Ok(history)
}

pub(super) fn set_length(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
    length: Option<u64>,
) -> Outcome<u64> {
    if length.is_none_or(|length| length == 0) {
        give_up_epoch(connection, tenant, channel)?;
    }
    if let Some(length) = length {
        let changed = connection
            .prepare_cached(
                "INSERT OR REPLACE INTO pipes_settings (tenant, name, length) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![tenant.0, channel.as_str(), integer(length)])?;
        return Ok(rows(changed));
    }
    let settings = connection
        .prepare_cached("DELETE FROM pipes_settings WHERE tenant = ?1 AND name = ?2")?
        .execute(params![tenant.0, channel.as_str()])?;
    Ok(rows(settings) + delete(connection, tenant, channel, None)?)
}

/// The channel may publish without the store from now on: should it come back, no position from before is complete.
fn give_up_epoch(connection: &Connection, tenant: TenantId, channel: &ChannelName) -> Outcome<()> {
    connection
        .prepare_cached("UPDATE channels SET epoch = random() WHERE tenant = ?1 AND name = ?2")?
        .execute(params![tenant.0, channel.as_str()])?;
    Ok(())
}

pub(super) fn delete(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
    id: Option<MessageId>,
) -> Outcome<u64> {
    let removed = match id {
        Some(id) => connection
            .prepare_cached(
                "DELETE FROM pipes_messages WHERE tenant = ?1 AND name = ?2 AND id = ?3",
            )?
            .execute(params![tenant.0, channel.as_str(), message_id_text(id)])?,
        None => connection
            .prepare_cached("DELETE FROM pipes_messages WHERE tenant = ?1 AND name = ?2")?
            .execute(params![tenant.0, channel.as_str()])?,
    };
    forget(connection, tenant, channel.as_str(), rows(removed))?;
    Ok(rows(removed))
}

/// Counts publications that were removed.
fn forget(connection: &Connection, tenant: TenantId, channel: &str, removed: u64) -> Outcome<()> {
    if removed > 0 {
        connection
            .prepare_cached(
                "UPDATE channels SET kept = max(kept - ?3, 0) WHERE tenant = ?1 AND name = ?2",
            )?
            .execute(params![tenant.0, channel, integer(removed)])?;
    }
    Ok(())
}

/// The channels that keep a publication with this id: a sender may have used it in several.
pub(super) fn channels_of(
    connection: &Connection,
    tenant: TenantId,
    id: MessageId,
) -> Outcome<Vec<ChannelName>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT name FROM pipes_messages WHERE tenant = ?1 AND id = ?2 ORDER BY name",
    )?;
    let mut found = statement.query(params![tenant.0, message_id_text(id)])?;
    let mut channels = Vec::new();
    while let Some(row) = found.next()? {
        channels.push(channel_name(&row.get::<_, String>(0)?)?);
    }
    Ok(channels)
}

pub(super) fn settings(connection: &Connection) -> Outcome<Vec<(TenantId, ChannelName, u64)>> {
    let mut statement = connection.prepare("SELECT tenant, name, length FROM pipes_settings")?;
    let mut found = statement.query([])?;
    let mut settings = Vec::new();
    while let Some(row) = found.next()? {
        let name: String = row.get(1)?;
        settings.push((TenantId(row.get(0)?), channel_name(&name)?, number(row, 2)?));
    }
    Ok(settings)
}

/// Those of the channels that have a setting.
pub(super) fn lengths(
    connection: &Connection,
    tenant: TenantId,
    channels: &[ChannelName],
) -> Outcome<Vec<(ChannelName, u64)>> {
    let mut statement = connection
        .prepare_cached("SELECT length FROM pipes_settings WHERE tenant = ?1 AND name = ?2")?;
    let mut lengths = Vec::new();
    for channel in channels {
        let length = statement
            .query_row(params![tenant.0, channel.as_str()], |row| number(row, 0))
            .optional()?;
        lengths.extend(length.map(|length| (channel.clone(), length)));
    }
    Ok(lengths)
}

/// Removes what is too old in all channels that keep by age.
pub(super) fn purge(connection: &Connection, now_ms: u64) -> Outcome<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, name, age_ms FROM channels WHERE age_ms IS NOT NULL AND kept > 0",
    )?;
    let ageing: Vec<(u32, String, u64)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, number(row, 2)?)))?
        .collect::<Result<_, _>>()?;
    let mut removed = 0;
    for (tenant, name, age_ms) in ageing {
        let tenant = TenantId(tenant);
        let aged = trim_older(connection, tenant, &name, now_ms.saturating_sub(age_ms))?;
        forget(connection, tenant, &name, aged)?;
        removed += aged;
    }
    Ok(removed)
}

/// Other rules are in force than when the store was used last: channels that are no longer kept on disk may publish without
/// the store. `rules` stands for the rules.
pub(super) fn review(
    connection: &Connection,
    rules: u64,
    is_durable: impl Fn(TenantId, &ChannelName) -> bool,
) -> Outcome<u64> {
    let changed = connection
        .prepare_cached("UPDATE node SET rules = ?1 WHERE rules <> ?1")?
        .execute([rules.cast_signed()])?;
    if changed == 0 {
        return Ok(0);
    }
    let mut statement = connection.prepare(
        "SELECT tenant, name FROM channels WHERE NOT EXISTS (SELECT 1 FROM pipes_settings AS kept
         WHERE kept.tenant = channels.tenant AND kept.name = channels.name AND length > 0)",
    )?;
    let mut found = statement.query([])?;
    let mut given_up = Vec::new();
    while let Some(row) = found.next()? {
        let tenant = TenantId(row.get(0)?);
        let channel = channel_name(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
        if !is_durable(tenant, &channel) {
            given_up.push((tenant, channel));
        }
    }
    for (tenant, channel) in &given_up {
        give_up_epoch(connection, *tenant, channel)?;
    }
    Ok(given_up.len() as u64)
}
