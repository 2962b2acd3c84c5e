//! `pipes_messages`: INSERT publishes, DELETE removes what is kept.

use cometql_engine::{Answer, Command, MessageId};

use super::{KeyRow, Row, Rows, fields};
use crate::cometql::{Context, Done, SqlError, SqlSession, Value, errors};

pub(super) async fn insert(
    context: &Context,
    session: &mut SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let tenant = session.tenant;
    let publish = |row: Row<'_>| {
        let channel = fields::channel(&row)?;
        let draft = fields::draft(&row)?;
        Ok((
            draft.id,
            Command::Publish {
                tenant,
                channel,
                draft,
            },
        ))
    };
    let reached = submit(context, session, rows.iter().map(publish)).await?;
    // The original tells neither affected rows nor an id here.
    Ok(Done {
        affected_rows: 0,
        last_insert_id: 0,
        info: format!("Reached: {reached}"),
    })
}

/// Carries out publications or private messages; to how many connections they were sent.
pub(super) async fn submit(
    context: &Context,
    session: &mut SqlSession,
    commands: impl Iterator<Item = Result<(MessageId, Command), SqlError>>,
) -> Result<u64, SqlError> {
    let (ids, mut commands): (Vec<_>, Vec<_>) =
        commands.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let answers = if commands.len() == 1 {
        match commands.pop() {
            Some(command) => vec![context.hub.submit(command).await],
            None => Vec::new(),
        }
    } else {
        context.hub.submit_many(commands).await
    };
    let mut sum = 0;
    let mut refused = None;
    for (id, answer) in ids.into_iter().zip(answers) {
        match answer {
            Answer::Published { reached, .. } | Answer::Sent { reached, .. } => {
                sum += reached;
                session.last_message_id = Some(id);
            }
            Answer::Rejected(reject) => {
                refused.get_or_insert(reject);
            }
            Answer::Done { .. } => return Err(errors::internal()),
        }
    }
    refused.map_or(Ok(sum), |reject| Err(reject.into()))
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
        let channel = match (name, id) {
            (Some(name), _) => fields::known_channel(name),
            (None, Some(id)) => context.store.channel_of(tenant, id).await?,
            (None, None) => return Err(errors::key_missing("Deleting", "name")),
        };
        let Some(channel) = channel else { continue };
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
