//! `pipes_members`: who counts as a member of a channel, for rules that ask for members. Not in the original, so that
//! affected rows are real.

use std::collections::BTreeMap;

use cometql_protocol::{ChannelName, UserId};

use super::{KeyRow, Rows, fields};
use crate::cometql::{Context, Done, SqlError, SqlSession, errors};

pub(super) async fn insert(
    context: &Context,
    session: &SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let members = rows.iter().map(|row| {
        Ok((
            fields::channel(context, session, &row)?,
            fields::user(&row, "user_id")?,
        ))
    });
    let members: Vec<(ChannelName, UserId)> = members.collect::<Result<_, SqlError>>()?;
    let affected_rows = context.store.add_members(session.tenant, members).await?;
    Ok(Done {
        affected_rows,
        ..Done::default()
    })
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    // `None` = all members of the channel.
    let mut gone: BTreeMap<ChannelName, Option<Vec<UserId>>> = BTreeMap::new();
    for key in &keys {
        let [name, user] = &key[..] else {
            return Err(errors::internal());
        };
        let name = name
            .as_ref()
            .ok_or_else(|| errors::key_missing("Deleting", "name"))?;
        let Some(channel) = fields::known_channel(name) else {
            continue;
        };
        match user {
            None => {
                gone.insert(channel, None);
            }
            Some(user) => {
                let users = gone.entry(channel).or_insert_with(|| Some(Vec::new()));
                if let (Some(users), Some(user)) = (users, fields::known_user(user)) {
                    users.push(user);
                }
            }
        }
    }
    let mut removed = 0;
    for (channel, users) in gone {
        removed += context
            .store
            .remove_members(session.tenant, channel.clone(), users.clone())
            .await?;
        context
            .hub
            .members_removed(session.tenant, &channel, users)
            .await;
    }
    Ok(removed)
}
