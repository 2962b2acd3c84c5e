//! `cometql sql`: statements from a prompt or from standard input, over the MySQL protocol like any client's.

use std::io::{IsTerminal, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row, SslOpts, Value};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::key::KeyOptions;
use super::{runtime, say};

/// Flags of `sql`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The node's MySQL port.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3307")]
    mysql: String,
    /// The user: root, a tenant's number, or admin.
    #[arg(long, value_name = "NAME", default_value = "root")]
    user: String,
    #[command(flatten)]
    key: KeyOptions,
    /// How the connection is encrypted and the server's certificate checked.
    #[arg(
        long,
        value_name = "MODE",
        default_value = "disabled",
        default_value_if("ssl_ca", clap::builder::ArgPredicate::IsPresent, "verify-identity")
    )]
    ssl_mode: SslMode,
    /// PEM file with the authority that signed the server's certificate; without it, those that browsers trust count.
    #[arg(long, value_name = "FILE")]
    ssl_ca: Option<PathBuf>,
    /// Where a key is looked for when none is given.
    #[arg(long, value_name = "DIR", default_value = "cometql-data")]
    data_dir: PathBuf,
    /// One statement; then it ends.
    #[arg(short, long, value_name = "SQL")]
    execute: Option<String>,
}

/// What the `mysql` client calls so too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SslMode {
    /// No TLS.
    Disabled,
    /// TLS with whoever answers.
    Required,
    /// TLS with a certificate that a known authority signed, for whatever host.
    VerifyCa,
    /// TLS with a certificate that a known authority signed for the host of --mysql.
    VerifyIdentity,
}

/// A host for which no certificate is: `.invalid` never is anybody's. The library forgives an error about the name only,
/// and only if its text has `NotValidForName` in it, as it had before rustls 0.23; since then it has the name that was
/// wanted. That error comes after the chain was verified, and no other one tells the name.
const ANY_HOST: &str = "NotValidForName.invalid";

/// What `help` says at the prompt.
const HELP: &str = "\
Statements end with ; and may go over several lines. Ctrl-C forgets what was typed; Ctrl-D, \\q, quit and exit end.

  SHOW TABLES;                          what there is
  DESCRIBE pipes_messages;              the columns of a table
  SELECT name, users FROM pipes;        channels with subscribers
  INSERT INTO pipes_messages (name, event, message) VALUES ('web_news', 'e', 'Hello');
  SHOW STATUS; SHOW CONNECTIONS; SHOW PROCESSLIST;
  EXPLAIN SUBSCRIBE 'channel' FOR USER 1;
";

/// Runs statements; fails when one of a script failed.
pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let login = login(&options)?;
    runtime()?.block_on(async {
        let mut connection = Conn::new(login)
            .await
            .with_context(|| format!("can't log in at {}", options.mysql))?;
        let script = match options.execute {
            Some(statement) => Some(statement),
            None if std::io::stdin().is_terminal() => None,
            None => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                Some(text)
            }
        };
        let code = match script {
            Some(script) => run_script(&mut connection, &script).await,
            None => prompt(&mut connection).await?,
        };
        connection.disconnect().await?;
        Ok(code)
    })
}

fn login(options: &Options) -> anyhow::Result<Opts> {
    let (host, port) = options
        .mysql
        .rsplit_once(':')
        .with_context(|| format!("--mysql {}: write it as ADDR:PORT", options.mysql))?;
    let key = options.key.read(&options.data_dir)?;
    let port = port.parse().context("--mysql: the port is no number")?;
    let builder = OptsBuilder::default()
        .ip_or_hostname(host.trim_matches(['[', ']']))
        .tcp_port(port)
        .user(Some(&options.user))
        .pass(Some(key))
        .db_name(Some(crate::cometql::DATABASE))
        .ssl_opts(ssl(options))
        .prefer_socket(false);
    Ok(builder.into())
}

fn ssl(options: &Options) -> Option<SslOpts> {
    let mode = options.ssl_mode;
    let authority = options.ssl_ca.iter().cloned().map(Into::into).collect();
    (mode != SslMode::Disabled).then(|| {
        SslOpts::default()
            .with_root_certs(authority)
            .with_disable_built_in_roots(options.ssl_ca.is_some())
            .with_danger_accept_invalid_certs(mode == SslMode::Required)
            .with_danger_skip_domain_validation(mode == SslMode::VerifyCa)
            .with_danger_tls_hostname_override((mode == SslMode::VerifyCa).then_some(ANY_HOST))
    })
}

/// Ends at the first error, so that a script does not go on after something it relied on.
async fn run_script(connection: &mut Conn, script: &str) -> ExitCode {
    for statement in statements(script) {
        if let Err(error) = run_statement(connection, &statement).await {
            tell(&error);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn prompt(connection: &mut Conn) -> anyhow::Result<ExitCode> {
    let mut editor = DefaultEditor::new()?;
    say("help says what can be typed.\n");
    let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cometql_history"));
    if let Some(file) = &history {
        // The first time there is none.
        _ = editor.load_history(file);
    }
    let mut text = String::new();
    loop {
        let sign = if text.is_empty() {
            "cometql> "
        } else {
            "      -> "
        };
        let line = match tokio::task::block_in_place(|| editor.readline(sign)) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                text.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        if text.is_empty() {
            match line.trim().trim_end_matches(';') {
                "exit" | "quit" | "\\q" => break,
                "help" | "\\h" | "?" => {
                    say(HELP);
                    continue;
                }
                _ => {}
            }
        }
        text.push_str(&line);
        text.push('\n');
        if !text.trim_end().ends_with(';') {
            if text.trim().is_empty() {
                text.clear();
            }
            continue;
        }
        _ = editor.add_history_entry(text.trim());
        for statement in statements(&text) {
            if let Err(error) = run_statement(connection, &statement).await {
                tell(&error);
            }
        }
        text.clear();
    }
    if let Some(file) = &history {
        only_for_owner(file)?;
        editor.save_history(file)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Statements hold messages and hashes of users: nobody else may read the history.
fn only_for_owner(file: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.create(true).append(true).mode(0o600).open(file)?;
    opened.set_permissions(std::fs::Permissions::from_mode(0o600))
}

async fn run_statement(connection: &mut Conn, statement: &str) -> Result<(), mysql_async::Error> {
    let mut result = connection.query_iter(statement).await?;
    let columns = result.columns();
    let rows: Vec<Row> = result.collect().await?;
    let names = columns.as_deref().unwrap_or_default();
    if names.is_empty() {
        let mut line = format!("OK, {} rows affected", result.affected_rows());
        let info = result.info();
        if !info.is_empty() {
            line += &format!(". {info}");
        }
        say(&format!("{line}\n"));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(names.iter().map(|column| column.name_str().into_owned()));
    let count = rows.len();
    for row in rows {
        table.add_row(row.unwrap().iter().map(shown));
    }
    say(&format!("{table}\n{count} rows\n"));
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes)
            .chars()
            // A payload must not steer the terminal.
            .map(|c| {
                if c.is_control() && c != '\n' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect(),
        other => other.as_sql(true),
    }
}

fn tell(error: &mysql_async::Error) {
    let text = match error {
        mysql_async::Error::Server(error) => format!("error {}: {}\n", error.code, error.message),
        other => format!("error: {other}\n"),
    };
    use std::io::Write;
    _ = std::io::stderr().write_all(text.as_bytes());
}

/// Splits at `;` outside of quotes and comments.
fn statements(script: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut current = String::new();
    let mut quote = None;
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(_) if c == '\\' => {
                current.push(c);
                current.extend(chars.next());
                continue;
            }
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '-' && chars.peek() == Some(&'-') => {
                for skipped in chars.by_ref() {
                    if skipped == '\n' {
                        break;
                    }
                }
                current.push('\n');
                continue;
            }
            None if matches!(c, '\'' | '"' | '`') => quote = Some(c),
            None if c == ';' => {
                all.push(std::mem::take(&mut current));
                continue;
            }
            None => {}
        }
        current.push(c);
    }
    all.push(current);
    all.retain(|statement| !statement.trim().is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, expected: &[&str]) {
        let found = statements(script);
        let found: Vec<_> = found.iter().map(|statement| statement.trim()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn scripts_are_split_outside_of_quotes_and_comments() {
        check("SELECT 1; SELECT 2", &["SELECT 1", "SELECT 2"]);
        check("INSERT ('a;b')", &["INSERT ('a;b')"]);
        check(r"INSERT ('it\'s;') ; x", &[r"INSERT ('it\'s;')", "x"]);
        check("-- a; b\nSELECT 1;;\n", &["SELECT 1"]);
        check("", &[]);
    }

    #[test]
    fn values_cannot_steer_the_terminal() {
        assert_eq!(shown(&Value::Bytes(b"\x1b[2Ja".to_vec())), "\u{fffd}[2Ja");
        assert_eq!(shown(&Value::NULL), "NULL");
        assert_eq!(shown(&Value::Int(-7)), "-7");
    }
}
