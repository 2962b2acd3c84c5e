//! The SQL of replicated rows. It must not know of the log but by the places that rows have in it.

use cometql_protocol::{ChannelName, TenantId, UserId};
use rusqlite::{Connection, OptionalExtension, Params, ToSql, params};

use super::{Change, Row, Table};
use crate::storage::users;
use crate::storage::values::{Failure, Outcome, channel_name, integer, number};

const PUT_HASH: &str =
    "INSERT OR REPLACE INTO users_auth (tenant, id, hash, logged) VALUES (?1, ?2, ?3, ?4)";
const PUT_DATA: &str =
    "INSERT OR REPLACE INTO users_data (tenant, id, data, logged) VALUES (?1, ?2, ?3, ?4)";
const PUT_TIME: &str = "INSERT OR REPLACE INTO users_time (tenant, id, time, online, logged)
     VALUES (?1, ?2, ?3, 0, ?4)";
const PUT_LENGTH: &str =
    "INSERT OR REPLACE INTO pipes_settings (tenant, name, length, logged) VALUES (?1, ?2, ?3, ?4)";
const REMOVE_LENGTH: &str = "DELETE FROM pipes_settings WHERE tenant = ?1 AND name = ?2";
const LOG_MEMBER: &str = "UPDATE pipes_members SET logged = ?4
     WHERE tenant = ?1 AND name = ?2 AND user_id = ?3";
const ADD_MEMBER: &str =
    "INSERT INTO pipes_members (tenant, name, user_id, logged) VALUES (?1, ?2, ?3, ?4)";
const REMOVE_MEMBER: &str =
    "DELETE FROM pipes_members WHERE tenant = ?1 AND name = ?2 AND user_id = ?3";
const LOG_TOKEN: &str = "UPDATE revoked_tokens SET logged = ?3 WHERE tenant = ?1 AND token = ?2";
const ADD_TOKEN: &str = "INSERT INTO revoked_tokens (tenant, token, logged) VALUES (?1, ?2, ?3)";

/// Carries out one change; returns how many rows it changed, 0 or 1.
pub(super) fn apply(connection: &Connection, place: u64, change: &Change) -> Outcome<u64> {
    let (tenant, place) = (change.tenant.0, integer(place));
    match &change.row {
        Row::Hash { user, hash } => {
            let key = [&tenant as &dyn ToSql, &integer(user.get())];
            text_of_user(connection, [PUT_HASH, users::REMOVE_HASH], key, hash, place)
        }
        Row::Data { user, data } => {
            let key = [&tenant as &dyn ToSql, &integer(user.get())];
            text_of_user(connection, [PUT_DATA, users::REMOVE_DATA], key, data, place)
        }
        Row::LastSeen { user, time } => {
            let (user, time) = (integer(user.get()), integer(*time));
            run(connection, PUT_TIME, &[&tenant, &user, &time, &place])
        }
        Row::Length {
            channel,
            length: Some(length),
        } => {
            let (name, length) = (channel.as_str(), integer(*length));
            run(connection, PUT_LENGTH, &[&tenant, &name, &length, &place])
        }
        Row::Length {
            channel,
            length: None,
        } => run(connection, REMOVE_LENGTH, &[&tenant, &channel.as_str()]),
        Row::Member {
            channel,
            user,
            listed,
        } => {
            let (name, user) = (channel.as_str(), integer(user.get()));
            if *listed {
                let parameters: [&dyn ToSql; 4] = [&tenant, &name, &user, &place];
                return list(connection, [LOG_MEMBER, ADD_MEMBER], &parameters);
            }
            run(connection, REMOVE_MEMBER, &[&tenant, &name, &user])
        }
        Row::Token { token, revoked } => {
            if *revoked {
                return list(
                    connection,
                    [LOG_TOKEN, ADD_TOKEN],
                    &[&tenant, token, &place],
                );
            }
            run(connection, users::UNREVOKE, &[&tenant, token])
        }
    }
}

fn text_of_user(
    connection: &Connection,
    [put, remove]: [&str; 2],
    [tenant, user]: [&dyn ToSql; 2],
    text: &Option<String>,
    place: i64,
) -> Outcome<u64> {
    match text {
        Some(text) => run(connection, put, &[tenant, user, text, &place]),
        None => run(connection, remove, &[tenant, user]),
    }
}

/// What was listed before does not count as added.
fn list(connection: &Connection, [log, add]: [&str; 2], parameters: &[&dyn ToSql]) -> Outcome<u64> {
    let known = run(connection, log, parameters)?;
    if known > 0 {
        return Ok(0);
    }
    run(connection, add, parameters)
}

fn run(connection: &Connection, sql: &str, parameters: &[&dyn ToSql]) -> Outcome<u64> {
    let changed = connection.prepare_cached(sql)?.execute(parameters)?;
    Ok(changed as u64)
}

/// The place that a row came from; `None` = there is no such row.
pub(super) fn place(connection: &Connection, change: &Change) -> Outcome<Option<u64>> {
    let tenant = change.tenant.0;
    match &change.row {
        Row::Hash { user, .. } => one(
            connection,
            "SELECT logged FROM users_auth WHERE tenant = ?1 AND id = ?2",
            params![tenant, integer(user.get())],
        ),
        Row::Data { user, .. } => one(
            connection,
            "SELECT logged FROM users_data WHERE tenant = ?1 AND id = ?2",
            params![tenant, integer(user.get())],
        ),
        Row::LastSeen { user, .. } => one(
            connection,
            "SELECT logged FROM users_time WHERE tenant = ?1 AND id = ?2",
            params![tenant, integer(user.get())],
        ),
        Row::Length { channel, .. } => one(
            connection,
            "SELECT logged FROM pipes_settings WHERE tenant = ?1 AND name = ?2",
            params![tenant, channel.as_str()],
        ),
        Row::Member { channel, user, .. } => one(
            connection,
            "SELECT logged FROM pipes_members WHERE tenant = ?1 AND name = ?2 AND user_id = ?3",
            params![tenant, channel.as_str(), integer(user.get())],
        ),
        Row::Token { token, .. } => one(
            connection,
            "SELECT logged FROM revoked_tokens WHERE tenant = ?1 AND token = ?2",
            params![tenant, token],
        ),
    }
}

fn one(connection: &Connection, sql: &str, parameters: impl Params) -> Outcome<Option<u64>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(parameters, |row| number(row, 0));
    Ok(found.optional()?)
}

/// No row counts as logged any more.
pub(super) fn unlog(connection: &Connection) -> Outcome<()> {
    connection.execute_batch(
        "UPDATE users_auth SET logged = 0 WHERE logged <> 0;
         UPDATE users_data SET logged = 0 WHERE logged <> 0;
         UPDATE users_time SET logged = 0 WHERE logged <> 0;
         UPDATE pipes_settings SET logged = 0 WHERE logged <> 0;
         UPDATE pipes_members SET logged = 0 WHERE logged <> 0;
         UPDATE revoked_tokens SET logged = 0 WHERE logged <> 0;",
    )?;
    Ok(())
}

/// Whether there is any row but of users that were seen.
pub(super) fn any(connection: &Connection) -> Outcome<bool> {
    let found = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM users_auth) OR EXISTS (SELECT 1 FROM users_data)
         OR EXISTS (SELECT 1 FROM pipes_settings) OR EXISTS (SELECT 1 FROM pipes_members)
         OR EXISTS (SELECT 1 FROM revoked_tokens)",
        [],
        |row| row.get(0),
    );
    Ok(found?)
}

/// Removes what is not logged; tells it.
pub(super) fn sweep(connection: &Connection) -> Outcome<Vec<Change>> {
    let mut gone = Vec::new();
    for (table, sql) in [
        (
            Table::Auth,
            "DELETE FROM users_auth WHERE logged = 0 RETURNING tenant, '', id, '', 0",
        ),
        (
            Table::Data,
            "DELETE FROM users_data WHERE logged = 0 RETURNING tenant, '', id, '', 0",
        ),
        (
            Table::Settings,
            "DELETE FROM pipes_settings WHERE logged = 0 RETURNING tenant, name, 0, '', 0",
        ),
        (
            Table::Members,
            "DELETE FROM pipes_members WHERE logged = 0 RETURNING tenant, name, user_id, '', 0",
        ),
        (
            Table::Tokens,
            "DELETE FROM revoked_tokens WHERE logged = 0 RETURNING tenant, token, 0, '', 0",
        ),
    ] {
        gone.extend(changes(connection, table, sql, [], false)?);
    }
    Ok(gone)
}

/// Rows from up to a place in the log (0 = the log does not have them), in the order of their keys.
pub(super) fn logged_up_to(
    connection: &Connection,
    table: Table,
    place: u64,
    after: Option<&Change>,
    limit: u64,
) -> Outcome<Vec<Change>> {
    let sql = match table {
        Table::Auth => {
            "SELECT tenant, '', id, hash, 0 FROM users_auth
             WHERE logged <= ?5 AND (tenant, id) > (?1, ?3) AND ?2 = '' ORDER BY tenant, id LIMIT ?4"
        }
        Table::Data => {
            "SELECT tenant, '', id, data, 0 FROM users_data
             WHERE logged <= ?5 AND (tenant, id) > (?1, ?3) AND ?2 = '' ORDER BY tenant, id LIMIT ?4"
        }
        // 0 = was never seen to leave: there is nothing to tell.
        Table::Time => {
            "SELECT tenant, '', id, '', time FROM users_time
             WHERE logged <= ?5 AND time > 0 AND (tenant, id) > (?1, ?3) AND ?2 = '' ORDER BY tenant, id LIMIT ?4"
        }
        Table::Settings => {
            "SELECT tenant, name, 0, '', length FROM pipes_settings
             WHERE logged <= ?5 AND (tenant, name) > (?1, ?2) AND ?3 <= 0 ORDER BY tenant, name LIMIT ?4"
        }
        Table::Members => {
            "SELECT tenant, name, user_id, '', 0 FROM pipes_members
             WHERE logged <= ?5 AND (tenant, name, user_id) > (?1, ?2, ?3) ORDER BY tenant, name, user_id LIMIT ?4"
        }
        Table::Tokens => {
            "SELECT tenant, token, 0, '', 0 FROM revoked_tokens
             WHERE logged <= ?5 AND (tenant, token) > (?1, ?2) AND ?3 <= 0 ORDER BY tenant, token LIMIT ?4"
        }
    };
    let (tenant, text, user) = after.map_or((-1, "", -1), key);
    let parameters = params![tenant, text, user, integer(limit), integer(place)];
    changes(connection, table, sql, parameters, true)
}

/// The key of a row: the tenant, then what of it is text, then what is a number.
fn key(change: &Change) -> (i64, &str, i64) {
    let tenant = i64::from(change.tenant.0);
    let id = |user: &UserId| integer(user.get());
    match &change.row {
        Row::Hash { user, .. } | Row::Data { user, .. } | Row::LastSeen { user, .. } => {
            (tenant, "", id(user))
        }
        Row::Length { channel, .. } => (tenant, channel.as_str(), 0),
        Row::Member { channel, user, .. } => (tenant, channel.as_str(), id(user)),
        Row::Token { token, .. } => (tenant, token, 0),
    }
}

/// What a statement tells as `tenant, name or token, user, text, number`. `there` = the rows are there; else gone.
fn changes(
    connection: &Connection,
    table: Table,
    sql: &str,
    parameters: impl Params,
    there: bool,
) -> Outcome<Vec<Change>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(parameters)?;
    let mut changes = Vec::new();
    while let Some(row) = found.next()? {
        let name: String = row.get(1)?;
        let channel = || -> Outcome<ChannelName> { channel_name(&name) };
        let user = || UserId::new(number(row, 2)?).ok_or(Failure::Damaged("user id"));
        let text = || row.get::<_, String>(3);
        changes.push(Change {
            tenant: TenantId(row.get(0)?),
            row: match table {
                Table::Auth => Row::Hash {
                    user: user()?,
                    hash: there.then(text).transpose()?,
                },
                Table::Data => Row::Data {
                    user: user()?,
                    data: there.then(text).transpose()?,
                },
                Table::Time => Row::LastSeen {
                    user: user()?,
                    time: number(row, 4)?,
                },
                Table::Settings => Row::Length {
                    channel: channel()?,
                    length: there.then(|| number(row, 4)).transpose()?,
                },
                Table::Members => Row::Member {
                    channel: channel()?,
                    user: user()?,
                    listed: there,
                },
                Table::Tokens => Row::Token {
                    token: name.clone(),
                    revoked: there,
                },
            },
        });
    }
    Ok(changes)
}
