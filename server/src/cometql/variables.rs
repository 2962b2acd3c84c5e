//! `@@variables`: what drivers read when they connect. Values that they depend on are true; the rest are harmless.

use super::{Context, SqlError, SqlSession, Value, errors};

/// The version that drivers parse: it must begin with a MySQL version.
pub(crate) const VERSION: &str = concat!("8.0.40-CometQL-", env!("CARGO_PKG_VERSION"));

/// What a variable's value is.
#[derive(Clone, Copy)]
enum Held {
    Text(&'static str),
    Number(i64),
    /// The longest INSERT.
    MaxPacket,
    /// The longest SELECT, in milliseconds.
    MaxTime,
    /// How long the connection may be idle, in seconds.
    Idle,
    /// The id of the session's last publication or private message.
    LastMessage,
    Hostname,
    ConnectionId,
}

use Held::{Number, Text};

/// By name. MySQL's defaults, but for what differs here: text is UTF-8, there are no transactions and no query cache.
static VARIABLES: &[(&str, Held)] = &[
    ("auto_increment_increment", Number(1)),
    ("auto_increment_offset", Number(1)),
    ("autocommit", Number(1)),
    ("back_log", Number(128)),
    ("big_tables", Number(0)),
    ("bind_address", Text("*")),
    ("character_set_client", Text("utf8mb4")),
    ("character_set_connection", Text("utf8mb4")),
    ("character_set_database", Text("utf8mb4")),
    ("character_set_filesystem", Text("binary")),
    ("character_set_results", Text("utf8mb4")),
    ("character_set_server", Text("utf8mb4")),
    ("character_set_system", Text("utf8mb3")),
    ("collation_connection", Text("utf8mb4_general_ci")),
    ("collation_database", Text("utf8mb4_general_ci")),
    ("collation_server", Text("utf8mb4_general_ci")),
    ("connect_timeout", Number(10)),
    ("default_storage_engine", Text("CometQL")),
    ("default_week_format", Number(0)),
    ("div_precision_increment", Number(4)),
    ("event_scheduler", Text("OFF")),
    ("explicit_defaults_for_timestamp", Number(1)),
    ("foreign_key_checks", Number(0)),
    ("group_concat_max_len", Number(1_048_576)),
    ("have_openssl", Text("YES")),
    ("have_ssl", Text("YES")),
    ("hostname", Held::Hostname),
    ("identity", Number(0)),
    ("init_connect", Text("")),
    ("innodb_version", Text("")),
    ("insert_id", Number(0)),
    ("interactive_timeout", Held::Idle),
    ("language", Text("english")),
    ("last_insert_id", Number(0)),
    ("last_message_id", Held::LastMessage),
    ("lc_messages", Text("en_US")),
    ("lc_time_names", Text("en_US")),
    ("license", Text("Apache-2.0 OR MIT")),
    ("local_infile", Number(0)),
    ("lock_wait_timeout", Number(31_536_000)),
    ("log_bin", Number(0)),
    ("lower_case_file_system", Text("OFF")),
    ("lower_case_table_names", Number(0)),
    ("max_allowed_packet", Held::MaxPacket),
    ("max_connections", Number(100_000)),
    ("max_execution_time", Held::MaxTime),
    ("max_prepared_stmt_count", Number(16_382)),
    ("net_buffer_length", Number(16_384)),
    ("net_read_timeout", Number(30)),
    ("net_write_timeout", Number(60)),
    ("performance_schema", Number(0)),
    ("port", Number(3307)),
    ("protocol_version", Number(10)),
    ("pseudo_thread_id", Held::ConnectionId),
    ("query_cache_size", Number(0)),
    ("query_cache_type", Text("OFF")),
    ("read_only", Number(0)),
    ("session_track_schema", Number(0)),
    ("session_track_system_variables", Text("")),
    ("skip_networking", Number(0)),
    ("socket", Text("")),
    ("sql_auto_is_null", Number(0)),
    (
        "sql_mode",
        Text("STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"),
    ),
    ("sql_quote_show_create", Number(1)),
    ("sql_safe_updates", Number(0)),
    ("sql_select_limit", Text("18446744073709551615")),
    ("sql_warnings", Number(0)),
    ("storage_engine", Text("CometQL")),
    ("super_read_only", Number(0)),
    ("system_time_zone", Text("UTC")),
    ("table_type", Text("CometQL")),
    ("time_zone", Text("+00:00")),
    ("timestamp", Number(0)),
    ("tls_version", Text("TLSv1.2,TLSv1.3")),
    ("transaction_isolation", Text("REPEATABLE-READ")),
    ("transaction_read_only", Number(0)),
    ("tx_isolation", Text("REPEATABLE-READ")),
    ("tx_read_only", Number(0)),
    ("unique_checks", Number(1)),
    ("version", Text(VERSION)),
    ("version_comment", Text("CometQL realtime server")),
    ("version_compile_machine", Text(std::env::consts::ARCH)),
    ("version_compile_os", Text(std::env::consts::OS)),
    ("wait_timeout", Held::Idle),
    ("warning_count", Number(0)),
    ("error_count", Number(0)),
];

/// The value of a variable, by its lower-case name without `@@`, `session.` or `global.`; `None` for an unknown one.
pub(crate) fn value(context: &Context, session: &SqlSession, name: &str) -> Option<Value> {
    held(name).map(|held| read(held, context, session))
}

/// All variables as SHOW VARIABLES tells them.
pub(crate) fn all(context: &Context, session: &SqlSession) -> Vec<(&'static str, Value)> {
    let rows = VARIABLES.iter();
    rows.map(|(name, held)| (*name, read(*held, context, session)))
        .collect()
}

/// A value of the same kind as the variable's, for a prepared statement's columns.
pub(crate) fn default_value(name: &str) -> Value {
    match held(name) {
        Some(Number(_) | Held::MaxPacket | Held::MaxTime | Held::Idle | Held::ConnectionId) => {
            Value::Integer(0)
        }
        Some(Text(_) | Held::LastMessage | Held::Hostname) | None => Value::Null,
    }
}

/// MySQL's refusal, which drivers know.
pub(crate) fn unknown(name: &str) -> SqlError {
    let names = VARIABLES.iter().map(|(name, _)| *name);
    SqlError::new(
        1193,
        format!(
            "Unknown system variable '{name}'{}",
            errors::suggestion(name, names)
        ),
    )
}

fn held(name: &str) -> Option<Held> {
    VARIABLES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, held)| *held)
}

fn read(held: Held, context: &Context, session: &SqlSession) -> Value {
    match held {
        Text(text) => Value::Text(text.to_owned()),
        Number(number) => Value::Integer(number),
        Held::MaxPacket => {
            Value::Integer(i64::try_from(context.settings.load().insert_bytes).unwrap_or(i64::MAX))
        }
        Held::MaxTime => {
            Value::Integer(i64::try_from(context.settings.load().select_ms).unwrap_or(i64::MAX))
        }
        Held::Idle => Value::Integer(session.idle.seconds()),
        Held::ConnectionId => Value::Integer(i64::from(session.connection)),
        Held::Hostname => {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            Value::Text(name.trim().to_owned())
        }
        Held::LastMessage => session.last_message_id.map_or(Value::Null, |id| {
            Value::Text(uuid::Uuid::from_u128(id.0).to_string())
        }),
    }
}
