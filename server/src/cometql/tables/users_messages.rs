//! `users_messages`: INSERT sends a private message, DELETE empties inboxes.

use cometql_engine::Command;

use super::{KeyRow, Row, Rows, fields, pipes_messages};
use crate::cometql::{Context, Done, SqlError, SqlSession};

pub(super) async fn insert(
    context: &Context,
    session: &mut SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let tenant = session.tenant;
    let mut last_insert_id = 0;
    let send = |row: Row<'_>| {
        let user = fields::user_or_zero(&row, "id")?;
        let draft = fields::draft(context, &row, "index")?;
        last_insert_id = user.map_or(0, |user| user.get());
        // The original takes id 0, which nobody has: checked, then sent to nobody.
        Ok(user.map(|user| {
            (
                draft.id,
                Command::Send {
                    tenant,
                    user,
                    draft,
                },
            )
        }))
    };
    let commands = rows
        .iter()
        .map(send)
        .collect::<Result<Vec<_>, SqlError>>()?;
    let commands = commands.into_iter().flatten().collect();
    let reached = pipes_messages::submit(context, session, commands).await?;
    Ok(Done {
        affected_rows: 0,
        last_insert_id,
        info: format!("Reached: {reached}"),
    })
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    let tenant = session.tenant;
    let mut removed = 0;
    for user in fields::named(&keys, fields::known_user) {
        let answer = context
            .hub
            .submit(Command::ClearInbox { tenant, user })
            .await;
        removed += pipes_messages::done(answer)?;
    }
    Ok(removed)
}
