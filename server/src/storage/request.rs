//! The requests of the engine, carried out. Requests to a cluster's log don't come here. It must not know of batches or threads.

use super::append::{self, Batch};
use super::values::Outcome;
use super::{history, inbox, users};
use cometql_engine::{StoreAnswer, StoreRequest};
use rusqlite::Connection;

/// Bytes of payload that a request brings.
pub(super) fn weight(request: &StoreRequest) -> usize {
    match request {
        StoreRequest::Append { content, .. } | StoreRequest::InboxAppend { content, .. } => {
            content.data.len()
        }
        StoreRequest::OpenChannel { .. }
        | StoreRequest::ReadHistory { .. }
        | StoreRequest::SetHistory { .. }
        | StoreRequest::DeleteHistory { .. }
        | StoreRequest::MarkGap { .. }
        | StoreRequest::InboxRead { .. }
        | StoreRequest::InboxRemove { .. }
        | StoreRequest::InboxRemoveOne { .. }
        | StoreRequest::SetLastSeen { .. }
        | StoreRequest::LastSeen { .. }
        | StoreRequest::UserData { .. }
        | StoreRequest::IsMember { .. } => 0,
    }
}

/// Carries out one request.
pub(super) fn carry_out(batch: &mut Batch<'_>, request: &StoreRequest) -> Outcome<StoreAnswer> {
    let c = connection(batch, request)?;
    Ok(match request {
        StoreRequest::OpenChannel {
            tenant,
            channel,
            start,
            renewed,
            log: _,
        } => StoreAnswer::Channel {
            position: history::open_channel(c, *tenant, channel, *start, *renewed)?,
        },
        StoreRequest::Append {
            tenant,
            channel,
            offset,
            content,
            keep,
            once,
            log: _,
        } => append::append(batch, *tenant, channel, *offset, content, *keep, *once)?,
        StoreRequest::ReadHistory {
            tenant,
            channel,
            after,
            limit,
            newest,
            log: _,
        } => StoreAnswer::History(history::read(c, *tenant, channel, *after, *limit, *newest)?),
        StoreRequest::SetHistory {
            tenant,
            channel,
            length,
        } => StoreAnswer::Changed(history::set_length(c, *tenant, channel, *length)?),
        StoreRequest::DeleteHistory {
            tenant,
            channel,
            id,
            log: _,
        } => StoreAnswer::Changed(history::delete(c, *tenant, channel, *id)?),
        // Only a cluster's log can lack what was delivered.
        StoreRequest::MarkGap { .. } => StoreAnswer::Changed(0),
        StoreRequest::InboxAppend { .. }
        | StoreRequest::InboxRead { .. }
        | StoreRequest::InboxRemove { .. }
        | StoreRequest::InboxRemoveOne { .. } => about_inbox(c, request)?,
        StoreRequest::SetLastSeen { tenant, user, time } => {
            StoreAnswer::Changed(users::set_last_seen(c, *tenant, *user, *time)?)
        }
        StoreRequest::LastSeen { tenant, user } => {
            StoreAnswer::LastSeen(users::last_seen(c, *tenant, *user)?)
        }
        StoreRequest::UserData { tenant, user } => {
            StoreAnswer::UserData(users::text(c, users::DATA, *tenant, *user)?.unwrap_or_default())
        }
        StoreRequest::IsMember {
            tenant,
            channel,
            user,
        } => StoreAnswer::Member(users::is_member(c, *tenant, channel, *user)?),
    })
}

fn about_inbox(c: &Connection, request: &StoreRequest) -> Outcome<StoreAnswer> {
    Ok(match request {
        StoreRequest::InboxAppend {
            tenant,
            user,
            content,
            limit,
            once,
        } => inbox::append(c, *tenant, *user, content, *limit, *once)?,
        StoreRequest::InboxRead {
            tenant,
            user,
            after,
            limit,
        } => StoreAnswer::Inbox {
            messages: inbox::read(c, *tenant, *user, *after, *limit)?,
            end: 0,
        },
        StoreRequest::InboxRemove {
            tenant,
            user,
            up_to,
        } => StoreAnswer::Changed(inbox::remove(c, *tenant, *user, 0, *up_to)?),
        StoreRequest::InboxRemoveOne {
            tenant,
            user,
            offset,
        } => StoreAnswer::Changed(inbox::remove(c, *tenant, *user, *offset, *offset)?),
        other => unreachable!("not about an inbox: {other:?}"),
    })
}

/// What is about channels needs their records as they are.
fn connection<'a>(batch: &mut Batch<'a>, request: &StoreRequest) -> Outcome<&'a Connection> {
    Ok(match request {
        StoreRequest::OpenChannel { .. }
        | StoreRequest::ReadHistory { .. }
        | StoreRequest::SetHistory { .. }
        | StoreRequest::DeleteHistory { .. }
        | StoreRequest::MarkGap { .. } => batch.settled()?,
        StoreRequest::Append { .. }
        | StoreRequest::InboxAppend { .. }
        | StoreRequest::InboxRead { .. }
        | StoreRequest::InboxRemove { .. }
        | StoreRequest::InboxRemoveOne { .. }
        | StoreRequest::SetLastSeen { .. }
        | StoreRequest::LastSeen { .. }
        | StoreRequest::UserData { .. }
        | StoreRequest::IsMember { .. } => batch.connection(),
    })
}
