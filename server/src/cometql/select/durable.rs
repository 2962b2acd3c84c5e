//! The durable tables as SELECT sees them: one temporary view for each, with the tenant's rows only and the columns of
//! the catalog. The only SQL here that names the store's own tables (`storage/schema.rs`). It must not run statements.

use std::fmt::Write as _;

use cometql_protocol::TenantId;

/// Name of the snapshot of users who are online now.
pub(super) const ONLINE: &str = "users online";
/// Name of the snapshot of users that a statement asks for by number.
pub(super) const ASKED: &str = "users asked";

/// The statement that makes the view of a table; `None` for tables that are not in the store. `counted` = the statement
/// reads `pipes_messages.index`, which costs a sort.
pub(super) fn view(table: &str, tenant: TenantId, counted: bool) -> Option<String> {
    let body = match table {
        "users_auth" => "SELECT id, hash FROM main.users_auth WHERE tenant = $T",
        "users_data" => {
            "SELECT id, data COLLATE NOCASE AS data FROM main.users_data WHERE tenant = $T"
        }
        // 0 = online, else when last seen, -1 = never. Who is asked for by number always gets a row.
        "users_time" => {
            "SELECT id, CAST(0 AS INTEGER) AS time FROM temp.\"users online\"
            UNION ALL SELECT id, CAST(iif(time = 0, -1, time) AS INTEGER) FROM main.users_time
                WHERE tenant = $T AND id NOT IN (SELECT id FROM temp.\"users online\")
            UNION ALL SELECT id, CAST(-1 AS INTEGER) FROM temp.\"users asked\"
                WHERE id NOT IN (SELECT id FROM temp.\"users online\")
                AND id NOT IN (SELECT id FROM main.users_time WHERE tenant = $T)"
        }
        "users_messages" => {
            "SELECT user_id AS id, id AS \"index\", event COLLATE NOCASE AS event,
                message COLLATE NOCASE AS message
            FROM main.users_messages WHERE tenant = $T"
        }
        "pipes_messages" if counted => {
            "SELECT id, CAST(time_ms / 1000 AS INTEGER) AS time, name,
                CAST(row_number() OVER (PARTITION BY name ORDER BY offset) - 1 AS INTEGER) AS \"index\",
                event COLLATE NOCASE AS event, message COLLATE NOCASE AS message,
                CAST(coalesce(user_id, 0) AS INTEGER) AS user_id, offset
            FROM main.pipes_messages WHERE tenant = $T"
        }
        "pipes_messages" => {
            "SELECT id, CAST(time_ms / 1000 AS INTEGER) AS time, name, NULL AS \"index\",
                event COLLATE NOCASE AS event, message COLLATE NOCASE AS message,
                CAST(coalesce(user_id, 0) AS INTEGER) AS user_id, offset
            FROM main.pipes_messages WHERE tenant = $T"
        }
        "pipes_settings" => "SELECT name, length FROM main.pipes_settings WHERE tenant = $T",
        "pipes_members" => "SELECT name, user_id FROM main.pipes_members WHERE tenant = $T",
        "revoked_tokens" => "SELECT token FROM main.revoked_tokens WHERE tenant = $T",
        _ => return None,
    };
    let mut sql = String::new();
    write!(sql, "CREATE TEMP VIEW \"{table}\" AS ").expect("a String takes all");
    sql.push_str(&body.replace("$T", &tenant.0.to_string()));
    Some(sql)
}

/// Whether a table of the store may be read, from within a view.
pub(super) fn is_stored(table: &str) -> bool {
    STORED.contains(&table)
}

const STORED: &[&str] = &[
    "users_auth",
    "users_data",
    "users_time",
    "users_messages",
    "pipes_messages",
    "pipes_settings",
    "pipes_members",
    "revoked_tokens",
];
