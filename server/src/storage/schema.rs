//! The tables of the durable store, and the steps from one version of them to the next. It must not know what is done
//! with the rows.
//!
//! Every table has `tenant`; whoever reads must filter on it. Texts compare byte for byte. `time_ms` is unix
//! milliseconds, `time` unix seconds. `name` is a channel, `user_id` (in the `users_` tables of the original: `id`) a
//! user, `id` in the two message tables a UUID as 36 lower-case characters.
//!
//! | table | columns | key |
//! |---|---|---|
//! | `users_auth` | `id`, `hash` | `id` |
//! | `users_data` | `id`, `data` | `id` |
//! | `users_time` | `id`, `time` (last going offline, 0 = never), `online` (0 or 1) | `id` |
//! | `users_messages` | `user_id`, `offset`, `id`, `time_ms`, `event`, `message`, `json` (0 or 1) | `user_id, offset` |
//! | `inboxes` | `user_id`, `last_offset`, `waiting` (rows in `users_messages`) | `user_id` |
//! | `pipes_messages` | `name`, `offset`, `id`, `time_ms`, `event`, `message`, `json`, `user_id` (null = not a logged-in browser), `previous` (the channel's last offset before) | `name, offset`; `id` |
//! | `pipes_settings` | `name`, `length` | `name` |
//! | `pipes_members` | `name`, `user_id` | `name, user_id` |
//! | `revoked_tokens` | `token` | `token` |
//! | `sent` | `name` (empty for inboxes), `user_id` (0 for channels), `id` (16 bytes), `offset`, `digest`, `until_ms` | `name, user_id, id` |
//! | `channels` | `name`, `epoch`, `last_offset`, `kept` (rows in `pipes_messages`), `age_ms` (null = no limit) | `name` |
//!
//! `sent` has the ids that senders chose, as long as they make a second message a retry, whatever becomes of the message.
//! `inboxes` and `channels` outlive their messages, because offsets must go on from where they are. `node` has one row:
//! when this node last ran (`ran_until`), so that users who were online at a crash get a plausible time of leaving; what
//! shows at a start that the file may be older than what was answered from it (`is_copy`, `boot`, `file`: see `lineage.rs`),
//! and the offset that new inboxes begin after since then (`inboxes_from`); and which channel rules were in force (`rules`,
//! a number that stands for them).
//!
//! The tables that all nodes of a cluster have alike (the six without offsets, but not `channels`, `inboxes`, `sent`) also
//! have `logged`: the place in the cluster's log that the row came from, 0 = the log does not have it. `replica` has one
//! row: which log that is and how far it was followed (see `replica.rs`). `moved` says up to which offset `cometql import` has
//! put a channel's history (`name`) or an inbox (`user_id`) into a cluster's log, by the `epoch` of that log (see `moving.rs`).

use rusqlite::Connection;

/// Marks the file as ours (`PRAGMA application_id`): "CmQL".
pub(super) const APPLICATION_ID: i32 = 0x436d_514c;

/// Step `n` leads from version `n` to `n + 1` (`PRAGMA user_version`). Released steps never change.
pub(super) const STEPS: &[&str] = &["
CREATE TABLE users_auth (tenant INTEGER NOT NULL, id INTEGER NOT NULL, hash TEXT NOT NULL,
    PRIMARY KEY (tenant, id)) WITHOUT ROWID;
CREATE TABLE users_data (tenant INTEGER NOT NULL, id INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (tenant, id)) WITHOUT ROWID;
CREATE TABLE users_time (tenant INTEGER NOT NULL, id INTEGER NOT NULL, time INTEGER NOT NULL, online INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)) WITHOUT ROWID;
CREATE TABLE users_messages (tenant INTEGER NOT NULL, user_id INTEGER NOT NULL, offset INTEGER NOT NULL,
    id TEXT NOT NULL, time_ms INTEGER NOT NULL, event TEXT NOT NULL, message TEXT NOT NULL, json INTEGER NOT NULL,
    PRIMARY KEY (tenant, user_id, offset)) WITHOUT ROWID;
CREATE INDEX users_messages_time ON users_messages (time_ms);
CREATE TABLE inboxes (tenant INTEGER NOT NULL, user_id INTEGER NOT NULL, last_offset INTEGER NOT NULL,
    waiting INTEGER NOT NULL, PRIMARY KEY (tenant, user_id)) WITHOUT ROWID;
CREATE TABLE pipes_messages (tenant INTEGER NOT NULL, name TEXT NOT NULL, offset INTEGER NOT NULL,
    id TEXT NOT NULL, time_ms INTEGER NOT NULL, event TEXT NOT NULL, message TEXT NOT NULL, json INTEGER NOT NULL,
    user_id INTEGER, PRIMARY KEY (tenant, name, offset)) WITHOUT ROWID;
CREATE INDEX pipes_messages_id ON pipes_messages (tenant, id);
CREATE TABLE pipes_settings (tenant INTEGER NOT NULL, name TEXT NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)) WITHOUT ROWID;
CREATE TABLE pipes_members (tenant INTEGER NOT NULL, name TEXT NOT NULL, user_id INTEGER NOT NULL,
    PRIMARY KEY (tenant, name, user_id)) WITHOUT ROWID;
CREATE TABLE revoked_tokens (tenant INTEGER NOT NULL, token TEXT NOT NULL,
    PRIMARY KEY (tenant, token)) WITHOUT ROWID;
CREATE TABLE channels (tenant INTEGER NOT NULL, name TEXT NOT NULL, epoch INTEGER NOT NULL,
    last_offset INTEGER NOT NULL, kept INTEGER NOT NULL, age_ms INTEGER,
    PRIMARY KEY (tenant, name)) WITHOUT ROWID;
CREATE INDEX channels_age ON channels (tenant, name) WHERE age_ms IS NOT NULL AND kept > 0;
CREATE TABLE node (one INTEGER PRIMARY KEY CHECK (one = 1), ran_until INTEGER NOT NULL, is_copy INTEGER NOT NULL);
INSERT INTO node VALUES (1, 0, 0);
", "
ALTER TABLE pipes_messages ADD COLUMN previous INTEGER NOT NULL DEFAULT 0;
UPDATE pipes_messages SET previous = coalesce(
    (SELECT max(older.offset) FROM pipes_messages AS older WHERE older.tenant = pipes_messages.tenant
     AND older.name = pipes_messages.name AND older.offset < pipes_messages.offset), offset - 1);
", "
CREATE TABLE sent (tenant INTEGER NOT NULL, name TEXT NOT NULL, user_id INTEGER NOT NULL, id BLOB NOT NULL,
    offset INTEGER NOT NULL, digest INTEGER NOT NULL, until_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, name, user_id, id)) WITHOUT ROWID;
CREATE INDEX sent_until ON sent (until_ms);
", "
ALTER TABLE node ADD COLUMN rules INTEGER NOT NULL DEFAULT 0;
", "
ALTER TABLE node ADD COLUMN boot TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN file TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN inboxes_from INTEGER NOT NULL DEFAULT 0;
", "
ALTER TABLE users_auth ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users_data ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users_time ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pipes_settings ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pipes_members ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE revoked_tokens ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
CREATE TABLE replica (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, applied INTEGER NOT NULL,
    stage INTEGER NOT NULL, current_ms INTEGER NOT NULL);
INSERT INTO replica VALUES (1, 0, 0, 0, 0);
", "
CREATE TABLE moved (epoch INTEGER NOT NULL, tenant INTEGER NOT NULL, name TEXT NOT NULL, user_id INTEGER NOT NULL,
    up_to INTEGER NOT NULL, PRIMARY KEY (epoch, tenant, name, user_id)) WITHOUT ROWID;
"];

/// A statement that fails when a table or column of the current version is missing.
pub(super) const PROBES: &[&str] = &[
    "SELECT tenant, id, hash, logged FROM users_auth",
    "SELECT tenant, id, data, logged FROM users_data",
    "SELECT tenant, id, time, online, logged FROM users_time",
    "SELECT tenant, user_id, offset, id, time_ms, event, message, json FROM users_messages",
    "SELECT tenant, user_id, last_offset, waiting FROM inboxes",
    "SELECT tenant, name, offset, id, time_ms, event, message, json, user_id, previous FROM pipes_messages",
    "SELECT tenant, name, length, logged FROM pipes_settings",
    "SELECT tenant, name, user_id, logged FROM pipes_members",
    "SELECT tenant, token, logged FROM revoked_tokens",
    "SELECT tenant, name, epoch, last_offset, kept, age_ms FROM channels",
    "SELECT tenant, name, user_id, id, offset, digest, until_ms FROM sent",
    "SELECT one, ran_until, is_copy, rules, boot, file, inboxes_from FROM node",
    "SELECT one, epoch, applied, stage, current_ms FROM replica",
    "SELECT epoch, tenant, name, user_id, up_to FROM moved",
];

/// The version that `steps` lead to.
pub(super) fn version_of(steps: &[&str]) -> u32 {
    u32::try_from(steps.len()).expect("a handful of steps")
}

/// Leads the open file from its version to the newest one, whole or not at all.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = usize::try_from(found).expect("a u32 fits");
    if found >= steps.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in &steps[found..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version_of(steps))?;
    transaction.commit()
}
