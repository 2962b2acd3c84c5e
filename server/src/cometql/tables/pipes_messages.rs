//! `pipes_messages`: INSERT publishes, DELETE removes what is kept.

use std::fmt::Write as _;

use cometql_engine::{Answer, Command, MessageId};

use super::{KeyRow, Row, Rows, fields};
use crate::cometql::{Context, Done, SqlError, SqlSession, Value, errors, lookup};
use crate::hub::Pending;

pub(super) async fn insert(
    context: &Context,
    session: &mut SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let commands = rows
        .iter()
        .map(|row| publish(context, session, row))
        .collect::<Result<Vec<_>, SqlError>>()?;
    let reached = submit(context, session, commands).await?;
    Ok(told(reached))
}

/// A publication that was handed in and whose answer nobody has awaited yet.
pub(crate) struct Started {
    id: MessageId,
    pending: Pending,
}

/// Hands in the publication of an INSERT of one row without waiting for it.
pub(super) fn start(
    context: &Context,
    session: &SqlSession,
    row: Row<'_>,
) -> Result<Started, SqlError> {
    let (id, command) = publish(context, session, row)?;
    let pending = context.hub.start(command);
    Ok(Started { id, pending })
}

impl Started {
    /// Its answer, to be waited for.
    pub(crate) fn pending(&mut self) -> &mut Pending {
        &mut self.pending
    }

    /// Waits for the answer.
    pub(crate) async fn finish(self, session: &mut SqlSession) -> Result<Done, SqlError> {
        match self.pending.answer().await {
            Answer::Published { reached, lossy, .. } => {
                if lossy {
                    session.warnings.push(errors::not_stored(self.id));
                }
                session.last_message_id = Some(self.id);
                Ok(told(reached))
            }
            Answer::Rejected(reject) => Err(reject.into()),
            Answer::Sent { .. } | Answer::Done { .. } => Err(errors::internal()),
        }
    }
}

fn publish(
    context: &Context,
    session: &SqlSession,
    row: Row<'_>,
) -> Result<(MessageId, Command), SqlError> {
    let channel = fields::channel(context, session, &row)?;
    let draft = fields::draft(context, &row, "id")?;
    let id = draft.id;
    let tenant = session.tenant;
    let command = Command::Publish {
        tenant,
        channel,
        draft,
    };
    Ok((id, command))
}

/// The original tells neither affected rows nor an id here.
fn told(reached: u64) -> Done {
    Done {
        affected_rows: 0,
        last_insert_id: 0,
        info: format!("Reached: {reached}"),
    }
}

/// Carries out publications or private messages; to how many connections they were sent.
pub(super) async fn submit(
    context: &Context,
    session: &mut SqlSession,
    commands: Vec<(MessageId, Command)>,
) -> Result<u64, SqlError> {
    let (ids, mut commands): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
    let all = ids.len();
    let answers = if commands.len() == 1 {
        match commands.pop() {
            Some(command) => vec![context.hub.submit(command).await],
            None => Vec::new(),
        }
    } else {
        context.hub.submit_many(commands).await
    };
    let (mut sum, mut sent) = (0, 0);
    let mut refused: Option<SqlError> = None;
    for (id, answer) in ids.into_iter().zip(answers) {
        match answer {
            Answer::Published { reached, lossy, .. } | Answer::Sent { reached, lossy, .. } => {
                if lossy {
                    session.warnings.push(errors::not_stored(id));
                }
                sum += reached;
                sent += 1;
                session.last_message_id = Some(id);
            }
            Answer::Rejected(reject) => {
                refused.get_or_insert_with(|| reject.into());
            }
            Answer::Done { .. } => return Err(errors::internal()),
        }
    }
    match refused {
        None => Ok(sum),
        Some(mut error) => {
            if all > 1 {
                _ = write!(error.message, " ({sent} of {all} rows were sent)");
            }
            Err(error)
        }
    }
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    let tenant = session.tenant;
    let mut removed = 0;
    for key in keys {
        let [name, id] = &key[..] else {
            return Err(errors::internal());
        };
        let id = match id.as_ref().map(message_id) {
            // No publication has such an id.
            Some(None) => continue,
            Some(id) => id,
            None => None,
        };
        let channels = match (name, id) {
            (Some(name), _) => fields::known_channel(name).into_iter().collect(),
            (None, Some(id)) => lookup::channels_of(context, tenant, id).await?,
            (None, None) => return Err(errors::key_missing("Deleting", "name")),
        };
        for channel in channels {
            let command = match id {
                Some(id) => Command::DeletePublication {
                    tenant,
                    channel,
                    id,
                },
                None => Command::ClearHistory { tenant, channel },
            };
            removed += done(context.hub.submit(command).await)?;
        }
    }
    Ok(removed)
}

/// The rows of an answer to anything but a publication.
pub(super) fn done(answer: Answer) -> Result<u64, SqlError> {
    match answer {
        Answer::Done { rows } => Ok(rows),
        Answer::Rejected(reject) => Err(reject.into()),
        Answer::Published { .. } | Answer::Sent { .. } => Err(errors::internal()),
    }
}

fn message_id(value: &Value) -> Option<MessageId> {
    let text = fields::text(value, "id").ok()?;
    uuid::Uuid::parse_str(&text)
        .ok()
        .map(|id| MessageId(id.as_u128()))
}
