//! What each command of the MySQL protocol does. Statements go to `cometql`; everything else is answered here.

use mysql_common::constants::{CapabilityFlags, Command};
use mysql_common::io::ParseBuf;
use mysql_common::proto::MySerialize;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::connection::Connection;
use super::gate::GateError;
use super::handshake;
use super::log_in;
use super::packets::{PrepareOk, mysql_error};
use super::resultset::{self, Form, Frame};
use super::status::Status;
use crate::cometql::{
    self, Column, ColumnKind, Done, Outcome, RowSet, SqlError, Statement, Value, choose_database,
};
use crate::metrics::StatementKind;

/// How the connection goes on after a command.
pub(super) enum Flow {
    /// With the next command.
    Next,
    /// It ends without a word.
    Close,
    /// It ends, and the client is told why.
    Refuse(SqlError),
}

type Result<T> = std::result::Result<T, GateError>;

/// Most publications of a connection that are on their way at once.
const OVERLAP: usize = 128;
/// From so many bytes on, reading a statement takes milliseconds.
const LENGTHY: usize = 128 << 10;

/// Carries out a command and queues its answer.
pub(super) async fn carry_out(c: &mut Connection<'_>, packet: &[u8]) -> Result<Flow> {
    let (code, body) = match packet.split_first() {
        Some((&code, body)) => (code, body),
        None => (u8::MAX, packet),
    };
    if code != Command::COM_QUERY as u8 {
        settle(c).await?;
    }
    match code {
        code if code == Command::COM_QUIT as u8 => return Ok(Flow::Close),
        code if code == Command::COM_PING as u8 => c.send_ok(&Done::default(), false),
        code if code == Command::COM_CHANGE_USER as u8 => return change_user(c, packet).await,
        _ if c.session.is_none() => c.send_error(&SqlError::new(403, "Access denied")),
        code if code == Command::COM_QUERY as u8 => query(c, body).await?,
        code if code == Command::COM_STMT_EXECUTE as u8 => execute(c, body).await?,
        code if code == Command::COM_STMT_PREPARE as u8 => prepare(c, body),
        code if code == Command::COM_STMT_SEND_LONG_DATA as u8 => c.prepared.send_long_data(body),
        code if code == Command::COM_STMT_CLOSE as u8 => c.prepared.close(body),
        code if code == Command::COM_STMT_RESET as u8 => {
            let reset = c.prepared.reset(body);
            send_done(c, reset);
        }
        code if code == Command::COM_INIT_DB as u8 => init_db(c, body),
        code if code == Command::COM_RESET_CONNECTION as u8 => reset_connection(c),
        code if code == Command::COM_SET_OPTION as u8 => set_option(c, body),
        code if code == Command::COM_STATISTICS as u8 => statistics(c),
        code if code == Command::COM_FIELD_LIST as u8 => field_list(c, body).await?,
        code if code == Command::COM_PROCESS_INFO as u8 => run(c, "SHOW PROCESSLIST").await?,
        _ => c.send_error(&mysql_error(1047, "08S01", "Unknown command")),
    }
    Ok(Flow::Next)
}

async fn query(c: &mut Connection<'_>, body: &[u8]) -> Result<()> {
    match statement_text(body) {
        Ok(sql) => run(c, sql).await,
        Err(refusal) => {
            settle(c).await?;
            c.send_error(&refusal);
            Ok(())
        }
    }
}

/// Answers the publications that are on their way, in their order.
pub(super) async fn settle(c: &mut Connection<'_>) -> Result<()> {
    while !c.started.is_empty() {
        answer_first(c).await?;
    }
    Ok(())
}

/// Answers the publication that is on its way for longest.
async fn answer_first(c: &mut Connection<'_>) -> Result<()> {
    let (Some(started), Some(session)) = (c.started.pop_front(), c.session.as_mut()) else {
        return Ok(());
    };
    let outcome = started.finish(&c.shared.context, session).await;
    let counted = c.gate.counted();
    c.gate.count_from(1);
    send_outcome(c, outcome, Form::Text, false).await?;
    c.gate.count_from(counted);
    Ok(())
}

/// Hands in a statement, if it is a publication. Its answer is awaited only while the client sends nothing more: a run of
/// pipelined publications costs one round through the shards, and none waits for what the log says of another.
async fn overlap(c: &mut Connection<'_>, statements: &[Statement]) -> Result<bool> {
    let ([statement], Some(session)) = (statements, &c.session) else {
        return Ok(false);
    };
    let Some(started) = cometql::start(&c.shared.context, session, statement) else {
        return Ok(false);
    };
    c.started.push_back(started);
    loop {
        let ahead = c.started.len() < OVERLAP && c.gate.may_read_ahead();
        let Some(first) = c.started.front_mut() else {
            return Ok(true);
        };
        if ahead && c.gate.has_next() {
            return Ok(true);
        }
        if first.has_arrived() {
            answer_first(c).await?;
            continue;
        }
        c.gate.flush().await?;
        tokio::select! {
            biased;
            () = first.arrival() => {}
            read = c.gate.read_ahead(), if ahead => if let Err(error) = read {
                settle(c).await?;
                return Err(error);
            }
        }
    }
}

/// Carries out a text of one or several statements. The first error ends it.
async fn run(c: &mut Connection<'_>, sql: &str) -> Result<()> {
    c.process.does("Query", sql);
    let statements = read(c, sql);
    if let Ok(statements) = &statements
        && overlap(c, statements).await?
    {
        return Ok(());
    }
    settle(c).await?;
    let statements = match statements {
        Ok(statements) => statements,
        Err(refusal) => {
            let metrics = &c.shared.context.metrics;
            metrics.statement(StatementKind::Unread, false);
            c.send_error(&refusal);
            return Ok(());
        }
    };
    if statements.is_empty() {
        c.send_ok(&Done::default(), false);
    }
    let last = statements.len().saturating_sub(1);
    for (index, statement) in statements.iter().enumerate() {
        let outcome = execute_one(c, statement, &[]).await;
        if outcome.is_ok() && last == 0 {
            c.status.follow(sql);
        }
        let failed = outcome.is_err();
        send_outcome(c, outcome, Form::Text, index < last).await?;
        if failed {
            break;
        }
    }
    Ok(())
}

fn read(c: &Connection<'_>, sql: &str) -> std::result::Result<Vec<Statement>, SqlError> {
    let statements = parse(c, sql)?;
    if statements.len() > 1 && !c.multi_statements {
        let message = "Syntax error in query: several statements, but the client did not ask for multi-statements";
        return Err(SqlError::new(3, message));
    }
    if statements
        .iter()
        .any(|statement| statement.parameters() > 0)
    {
        let message = "Syntax error in query: ? stands for a value in prepared statements only";
        return Err(SqlError::new(3, message));
    }
    Ok(statements)
}

/// Reads a text by the settings of the tenant.
fn parse(c: &Connection<'_>, sql: &str) -> std::result::Result<Vec<Statement>, SqlError> {
    let common = c.shared.context.settings.load();
    let settings = match &c.session {
        Some(session) => common.of(session.tenant),
        None => &common,
    };
    let read = || cometql::parse(sql, settings);
    if sql.len() < LENGTHY || Handle::current().runtime_flavor() != RuntimeFlavor::MultiThread {
        return read();
    }
    // The thread's other connections go on in another one.
    tokio::task::block_in_place(read)
}

async fn execute_one(
    c: &mut Connection<'_>,
    statement: &Statement,
    values: &[Value],
) -> std::result::Result<Outcome, SqlError> {
    let Some(session) = c.session.as_mut() else {
        return Err(SqlError::new(403, "Access denied"));
    };
    let tenant = session.tenant;
    let database = session.database.len();
    let outcome = cometql::execute(&c.shared.context, session, statement, values).await;
    if session.tenant != tenant || session.database.len() != database {
        c.process.uses(&session.database, session.tenant);
    }
    outcome
}

async fn send_outcome(
    c: &mut Connection<'_>,
    outcome: std::result::Result<Outcome, SqlError>,
    form: Form,
    more: bool,
) -> Result<()> {
    match outcome {
        Ok(Outcome::Done(done)) => c.send_ok(&done, more),
        Ok(Outcome::Rows(rows)) => {
            let frame = frame(c, form, more);
            resultset::send(&mut c.gate, &rows, frame).await?;
        }
        Err(refusal) => c.send_error(&refusal),
    }
    Ok(())
}

fn frame(c: &Connection<'_>, form: Form, more: bool) -> Frame {
    Frame {
        form,
        status: c.status.flags(more),
        warnings: c.warnings(),
        new_eof: c
            .capabilities
            .contains(CapabilityFlags::CLIENT_DEPRECATE_EOF),
    }
}

fn prepare(c: &mut Connection<'_>, body: &[u8]) {
    match try_prepare(c, body) {
        Ok((id, parameters, columns)) => send_prepared(c, id, parameters, &columns),
        Err(refusal) => c.send_error(&refusal),
    }
}

fn try_prepare(
    c: &mut Connection<'_>,
    body: &[u8],
) -> std::result::Result<(u32, u16, Vec<Column>), SqlError> {
    let mut statements = parse(c, statement_text(body)?)?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        let message = "Syntax error in query: exactly one statement can be prepared at a time";
        return Err(SqlError::new(3, message));
    };
    let parameters = u16::try_from(statement.parameters()).map_err(|_| {
        mysql_error(
            1390,
            "HY000",
            "Prepared statement contains too many placeholders",
        )
    })?;
    let columns = statement.columns();
    let id = c.prepared.add(statement, body.len())?;
    Ok((id, parameters, columns))
}

fn send_prepared(c: &mut Connection<'_>, statement: u32, parameters: u16, columns: &[Column]) {
    let frame = frame(c, Form::Binary, false);
    c.gate.send(&PrepareOk {
        statement,
        columns: u16::try_from(columns.len()).unwrap_or(u16::MAX),
        parameters,
    });
    let parameter = Column {
        name: "?".to_owned(),
        kind: ColumnKind::Text,
    };
    for _ in 0..parameters {
        c.gate.send(&resultset::definition(&parameter));
    }
    if parameters > 0 && !frame.new_eof {
        resultset::end(&mut c.gate, frame);
    }
    for column in columns {
        c.gate.send(&resultset::definition(column));
    }
    if !columns.is_empty() && !frame.new_eof {
        resultset::end(&mut c.gate, frame);
    }
}

async fn execute(c: &mut Connection<'_>, body: &[u8]) -> Result<()> {
    c.process.does("Execute", "");
    let outcome = match c.prepared.execute(body) {
        Ok((statement, values)) => execute_one(c, &statement, &values).await,
        Err(refusal) => Err(refusal),
    };
    send_outcome(c, outcome, Form::Binary, false).await
}

fn init_db(c: &mut Connection<'_>, body: &[u8]) {
    let chosen = match (statement_text(body), c.session.as_mut()) {
        (Ok(name), Some(session)) => choose_database(&c.shared.context, session, name),
        (Err(refusal), _) => Err(refusal),
        (_, None) => Err(SqlError::new(403, "Access denied")),
    };
    if let Some(session) = &c.session {
        c.process.uses(&session.database, session.tenant);
    }
    send_done(c, chosen);
}

fn send_done(c: &mut Connection<'_>, done: std::result::Result<(), SqlError>) {
    match done {
        Ok(()) => c.send_ok(&Done::default(), false),
        Err(refusal) => c.send_error(&refusal),
    }
}

fn reset_connection(c: &mut Connection<'_>) {
    c.prepared.clear();
    c.status = Status::default();
    if let Some(session) = c.session.as_mut() {
        session.last_message_id = None;
        session.idle.reset();
        session.warnings.clear();
    }
    c.send_ok(&Done::default(), false);
}

/// Switches multi-statements on (0) or off (1).
fn set_option(c: &mut Connection<'_>, body: &[u8]) {
    match body {
        [0, 0] => c.multi_statements = true,
        [1, 0] => c.multi_statements = false,
        _ => return c.send_error(&mysql_error(1047, "08S01", "Unknown option")),
    }
    let frame = Frame {
        // The answer is an EOF packet of the old form, whatever the client understands.
        new_eof: false,
        ..frame(c, Form::Text, false)
    };
    resultset::end(&mut c.gate, frame);
}

/// One line of text, in the words that `mysqladmin status` knows.
fn statistics(c: &mut Connection<'_>) {
    let tenant = c.session.as_ref().map(|session| session.tenant);
    let threads = c.shared.context.processes.list(tenant).len();
    let uptime = c.shared.started.elapsed().as_secs();
    let line = format!("Uptime: {uptime}  Threads: {threads}");
    c.gate
        .send_with(|payload| payload.extend_from_slice(line.as_bytes()));
}

/// The columns of a table, for the completion of command lines.
async fn field_list(c: &mut Connection<'_>, body: &[u8]) -> Result<()> {
    let table = ParseBuf(body).eat_null_str();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let table = str::from_utf8(table)
        .ok()
        .filter(|_| table.iter().all(is_name));
    let columns = match table {
        Some(table) => columns_of(c, table).await,
        None => Vec::new(),
    };
    for name in columns {
        let column = Column {
            name,
            kind: ColumnKind::Text,
        };
        c.gate.send_with(|payload| {
            resultset::definition(&column).serialize(payload);
            // The column's default value: none.
            payload.push(0xfb);
        });
    }
    let frame = frame(c, Form::Text, false);
    resultset::end(&mut c.gate, frame);
    Ok(())
}

/// As `SHOW COLUMNS` names them; none for a table that it does not know.
async fn columns_of(c: &mut Connection<'_>, table: &str) -> Vec<String> {
    let sql = format!("SHOW COLUMNS FROM `{table}`");
    let Ok(statements) = parse(c, &sql) else {
        return Vec::new();
    };
    let Some(statement) = statements.first() else {
        return Vec::new();
    };
    match execute_one(c, statement, &[]).await {
        Ok(Outcome::Rows(RowSet { rows, .. })) => rows.into_iter().filter_map(first_text).collect(),
        Ok(Outcome::Done(_)) | Err(_) => Vec::new(),
    }
}

fn first_text(row: Vec<Value>) -> Option<String> {
    match row.into_iter().next() {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// Authenticates anew, as another user or the same. Whoever fails is out, as at log-in.
async fn change_user(c: &mut Connection<'_>, packet: &[u8]) -> Result<Flow> {
    let Ok(log_in) = handshake::change_user(packet, c.capabilities) else {
        return Ok(Flow::Refuse(mysql_error(1043, "08S01", "Bad handshake")));
    };
    let shared = c.shared;
    let proof = log_in::authenticate(&mut c.gate, shared, &log_in, &mut c.scramble, true);
    let verdict = match tokio::time::timeout(shared.settings.log_in_time, proof).await {
        Ok(verdict) => verdict?,
        Err(_) => return Ok(Flow::Close),
    };
    Ok(match c.admit(&log_in, verdict).await {
        Ok(()) => Flow::Next,
        Err(refusal) => Flow::Refuse(refusal),
    })
}

/// Statements and names are UTF-8, whatever character set the client declares.
fn statement_text(body: &[u8]) -> std::result::Result<&str, SqlError> {
    simdutf8::basic::from_utf8(body).map_err(|_| {
        SqlError::new(
            12,
            "Contains an invalid characters: the statement is not UTF-8",
        )
    })
}
