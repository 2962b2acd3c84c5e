//! A transaction while it is open, and publications added in it. What a publication asks of its channel's record and of the
//! oldest ones there is done once for all that one transaction adds to the channel: beside the row itself, that is most
//! of the work. It must not know of threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use cometql_engine::StoreAnswer;
use cometql_engine::publication::Content;
use cometql_engine::store::{Keep, Once};
use cometql_protocol::{ChannelName, TenantId};
use foldhash::fast::FixedState;
use rusqlite::{Connection, OptionalExtension, params};

use super::sent::{self, Place};
use super::values::{Failure, Outcome, integer, message_id_text, number, rows};

/// Most publications of a channel that one transaction trims, so that a setting lowered from a million rows does not hold
/// up everybody: the rest goes with the next ones.
const TRIM_AT_ONCE: u64 = 10_000;

/// What operations run on.
pub(super) struct Batch<'a> {
    connection: &'a Connection,
    tails: HashMap<(TenantId, ChannelName), Tail, FixedState>,
}

/// The end of a channel to which publications were added; its record does not say so yet.
struct Tail {
    last_offset: u64,
    kept: u64,
    /// What the last publication asked for, and when it came.
    trim: Option<(Keep, u64)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            tails: HashMap::default(),
        }
    }

    /// For operations that neither read nor change what is about channels.
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// For all others, and before the end: nothing is left to do.
    pub(super) fn settled(&mut self) -> Outcome<&'a Connection> {
        for ((tenant, channel), tail) in self.tails.drain() {
            if let Some((keep, now_ms)) = tail.trim {
                settle(self.connection, tenant, &channel, &tail, keep, now_ms)?;
            }
        }
        Ok(self.connection)
    }

    fn tail(&mut self, tenant: TenantId, channel: &ChannelName) -> Outcome<&mut Tail> {
        match self.tails.entry((tenant, channel.clone())) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(read(self.connection, tenant, channel)?)),
        }
    }
}

fn read(connection: &Connection, tenant: TenantId, channel: &ChannelName) -> Outcome<Tail> {
    connection
        .prepare_cached("SELECT last_offset, kept FROM channels WHERE tenant = ?1 AND name = ?2")?
        .query_row(params![tenant.0, channel.as_str()], |row| {
            Ok(Tail {
                last_offset: number(row, 0)?,
                kept: number(row, 1)?,
                trim: None,
            })
        })
        .optional()?
        .ok_or(Failure::NotOpened)
}

pub(super) fn append(
    batch: &mut Batch<'_>,
    tenant: TenantId,
    channel: &ChannelName,
    offset: u64,
    content: &Content,
    keep: Keep,
    once: Option<Once>,
) -> Outcome<StoreAnswer> {
    let connection = batch.connection;
    let tail = batch.tail(tenant, channel)?;
    if let Some(once) = once {
        let place = Place::Channel(tenant, channel);
        if let Some(known) = sent::note(connection, place, content, offset, once)? {
            return Ok(known);
        }
    }
    connection
        .prepare_cached(
            "INSERT INTO pipes_messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            tenant.0,
            channel.as_str(),
            integer(offset),
            message_id_text(content.id),
            integer(content.time_ms),
            content.event.as_str(),
            &*content.data,
            content.data_is_json,
            content.user.map(|user| integer(user.get())),
            integer(tail.last_offset),
        ])?;
    tail.last_offset = tail.last_offset.max(offset);
    tail.kept += 1;
    tail.trim = Some((keep, content.time_ms));
    Ok(StoreAnswer::Changed(1))
}

fn settle(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
    tail: &Tail,
    keep: Keep,
    now_ms: u64,
) -> Outcome<()> {
    let age = (keep.age_ms != u64::MAX).then_some(keep.age_ms);
    let aged = match age {
        Some(age) => trim_older(
            connection,
            tenant,
            channel.as_str(),
            now_ms.saturating_sub(age),
        )?,
        None => 0,
    };
    let kept = tail.kept.saturating_sub(aged);
    let excess = kept.saturating_sub(keep.publications).min(TRIM_AT_ONCE);
    let trimmed = trim_oldest(connection, tenant, channel, excess)?;
    connection
        .prepare_cached(
            "UPDATE channels SET last_offset = ?3, kept = ?4, age_ms = ?5 WHERE tenant = ?1 AND name = ?2",
        )?
        .execute(params![
            tenant.0,
            channel.as_str(),
            integer(tail.last_offset),
            integer(kept.saturating_sub(trimmed)),
            age.map(integer),
        ])?;
    Ok(())
}

/// Removes the `excess` oldest publications of a channel.
fn trim_oldest(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
    excess: u64,
) -> Outcome<u64> {
    let Some(before_last) = excess.checked_sub(1) else {
        return Ok(0);
    };
    let last: Option<i64> = connection
        .prepare_cached(
            "SELECT offset FROM pipes_messages WHERE tenant = ?1 AND name = ?2 ORDER BY offset LIMIT 1 OFFSET ?3",
        )?
        .query_row(
            params![tenant.0, channel.as_str(), integer(before_last)],
            |row| row.get(0),
        )
        .optional()?;
    let Some(last) = last else {
        return Ok(0);
    };
    // A statement of its own: with the look-up within it, SQLite would make a table of the keys first.
    let removed = connection
        .prepare_cached(
            "DELETE FROM pipes_messages WHERE tenant = ?1 AND name = ?2 AND offset <= ?3",
        )?
        .execute(params![tenant.0, channel.as_str(), last])?;
    Ok(rows(removed))
}

/// Removes the publications of a channel from before a moment. They stand at the beginning of the history, so the cost
/// is that of the removed rows and one more.
pub(super) fn trim_older(
    connection: &Connection,
    tenant: TenantId,
    channel: &str,
    oldest_ms: u64,
) -> Outcome<u64> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM pipes_messages WHERE tenant = ?1 AND name = ?2 AND offset < coalesce(
               (SELECT offset FROM pipes_messages WHERE tenant = ?1 AND name = ?2 AND time_ms >= ?3
                ORDER BY offset LIMIT 1),
               9223372036854775807)",
        )?
        .execute(params![tenant.0, channel, integer(oldest_ms)])?;
    Ok(rows(removed))
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{KEEP_ALL, TENANT, append_request, channel};
    use super::super::request::carry_out;
    use super::super::{history, open};
    use super::*;
    use cometql_engine::StoreRequest;
    use cometql_protocol::wire::{Epoch, Position};

    /// The record of `web_a`, last offset and how many are kept, and the kept offsets with those before them.
    fn state(connection: &Connection) -> ((u64, u64), Vec<(u64, u64)>) {
        let tail = read(connection, TENANT, &channel("web_a")).unwrap();
        let rows = history::read(connection, TENANT, &channel("web_a"), 0, 99, false).unwrap();
        let rows = rows.iter().map(|row| (row.previous, row.offset));
        ((tail.last_offset, tail.kept), rows.collect())
    }

    #[test]
    fn a_channel_is_trimmed_and_counted_once_for_what_a_transaction_adds() {
        let connection = open::memory_writer("file:append?mode=memory").unwrap();
        for name in ["web_a", "web_b"] {
            let start = Position {
                epoch: Epoch(5),
                offset: 0,
            };
            history::open_channel(&connection, TENANT, &channel(name), start, None).unwrap();
        }
        let newest = |publications| Keep {
            publications,
            ..KEEP_ALL
        };
        let mut batch = Batch::new(&connection);
        for offset in [1, 2, 5, 6, 7] {
            carry_out(&mut batch, &append_request("web_a", offset, newest(3))).unwrap();
            carry_out(&mut batch, &append_request("web_b", offset, KEEP_ALL)).unwrap();
        }
        carry_out(&mut batch, &append_request("web_a", 7, newest(3))).unwrap_err();
        assert_eq!(state(&connection).0, (0, 0), "not yet");
        // Who asks about channels finds all done.
        let delete = StoreRequest::DeleteHistory {
            tenant: TENANT,
            channel: channel("web_b"),
            id: None,
            log: None,
        };
        carry_out(&mut batch, &delete).unwrap();
        assert_eq!(state(&connection), ((7, 3), vec![(2, 5), (5, 6), (6, 7)]));
        carry_out(&mut batch, &append_request("web_a", 9, newest(2))).unwrap();
        batch.settled().unwrap();
        assert_eq!(state(&connection), ((9, 2), vec![(6, 7), (7, 9)]));
        let b = read(&connection, TENANT, &channel("web_b")).unwrap();
        assert_eq!((b.last_offset, b.kept), (7, 0));
    }
}
