//! Our values as SQLite's and back. It must not run statements.

use std::sync::Arc;

use cometql_engine::MessageId;
use cometql_engine::publication::Content;
use cometql_protocol::{ChannelName, EventName, UserId};
use rusqlite::Row;

/// Why one operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("a stored {0} can't be read")]
    Damaged(&'static str),
    #[error("the channel was not opened before a publication was added to it")]
    NotOpened,
}

pub(super) type Outcome<T> = Result<T, Failure>;

/// A message id as the store and `CometQL` write it: 36 lower-case characters.
#[must_use]
pub fn message_id_text(id: MessageId) -> String {
    uuid::Uuid::from_u128(id.0).hyphenated().to_string()
}

/// The message id that a text stands for; upper and lower case count alike.
#[must_use]
pub fn parse_message_id(text: &str) -> Option<MessageId> {
    // The crate also takes braces, URNs and plain digits, which `CometQL` never printed.
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    uuid::Uuid::try_parse(text)
        .ok()
        .map(|id| MessageId(id.as_u128()))
}

/// A number for SQLite, whose integers end at 2^63 − 1; larger ones only stand for "no limit".
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from SQLite that is never below 0.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// How many rows SQLite says it changed.
pub(super) fn rows(changed: usize) -> u64 {
    changed as u64
}

pub(super) fn channel_name(text: &str) -> Outcome<ChannelName> {
    ChannelName::parse(text).map_err(|_| Failure::Damaged("channel name"))
}

/// Reads `id, time_ms, event, message, json, user_id` from the first columns of a row.
pub(super) fn content(row: &Row<'_>) -> Outcome<Content> {
    let id = parse_message_id(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
    let event = EventName::parse(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
    let data = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
    let user: Option<i64> = row.get(5)?;
    Ok(Content {
        id: id.ok_or(Failure::Damaged("message id"))?,
        event: event.map_err(|_| Failure::Damaged("event name"))?,
        data: Arc::from(data),
        data_is_json: row.get(4)?,
        time_ms: number(row, 1)?,
        user: user.and_then(|user| UserId::new(u64::try_from(user).ok()?)),
        from_browser: false,
        once: false,
    })
}
