//! `POST /sql`: one statement in, JSON out. For curl, and for programs that have no MySQL client.

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Request, StatusCode};
use serde_json::{Value as Json, json};

use super::{Reply, Shared, guard, refusal, statement};
use crate::auth::Login;
use crate::cometql::{
    DATABASE, Idle, LogInKey, Outcome, RowSet, SqlError, SqlSession, Value, Warning, execute, parse,
};
use crate::metrics::StatementKind;

pub(super) async fn answer(shared: &Shared, peer: IpAddr, request: Request<Incoming>) -> Reply {
    let Some((user, key)) = guard::basic(request.headers()) else {
        return unauthorized("give user and key by HTTP basic authentication");
    };
    let Some(login) = guard::log_in(shared, peer, &user, &key).await else {
        return unauthorized("Authentication failure");
    };
    match statement(shared, &login, request.into_body()).await {
        Ok((sql, _memory)) => run(shared, &login, user, key, &sql).await,
        Err(reply) => reply,
    }
}

/// Carries out one statement for a log-in that was proved.
pub(super) async fn run(
    shared: &Shared,
    login: &Login,
    user: String,
    key: String,
    sql: &str,
) -> Reply {
    let mut session = SqlSession {
        tenant: login.tenant,
        admin: login.admin,
        connection: 0,
        user,
        key: LogInKey(key),
        database: DATABASE.to_owned(),
        last_message_id: None,
        idle: Idle::default(),
        warnings: Vec::new(),
    };
    let result = match parse(sql, shared.context.settings.load().of(login.tenant)) {
        Ok(statements) => match statements.as_slice() {
            [statement] => execute(&shared.context, &mut session, statement, &[]).await,
            _ => Err(SqlError::new(
                3,
                "Syntax error in query: give one statement",
            )),
        },
        Err(error) => {
            let metrics = &shared.context.metrics;
            metrics.statement(StatementKind::Unread, false);
            Err(error)
        }
    };
    match result {
        Ok(outcome) => super::json(StatusCode::OK, &outcome_json(outcome, &session.warnings)),
        Err(error) => refused(&error),
    }
}

fn refused(error: &SqlError) -> Reply {
    let mut reply = refusal(status(error.code), error.code, &error.message);
    if let Some(wait) = error.retry_ms {
        let seconds = HeaderValue::from(wait.div_ceil(1_000));
        reply.headers_mut().insert(RETRY_AFTER, seconds);
    }
    reply
}

fn outcome_json(outcome: Outcome, warnings: &[Warning]) -> Json {
    let mut answer = match outcome {
        Outcome::Done(done) => json!({
            "affected_rows": done.affected_rows,
            "last_insert_id": done.last_insert_id,
            "info": done.info,
        }),
        Outcome::Rows(RowSet { columns, rows }) => {
            let columns: Vec<_> = columns.into_iter().map(|column| column.name).collect();
            let rows = rows
                .into_iter()
                .map(|row| row.into_iter().map(value).collect());
            json!({"columns": columns, "rows": rows.collect::<Vec<Json>>()})
        }
    };
    if !warnings.is_empty() {
        let messages: Vec<_> = warnings.iter().map(|warning| &warning.message).collect();
        answer["warnings"] = json!(messages);
    }
    answer
}

/// Bytes that are no text lose what is not UTF-8: JSON has no other way to show them.
fn value(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!(String::from_utf8_lossy(&bytes)),
    }
}

fn status(code: u16) -> StatusCode {
    match code {
        2 => StatusCode::NOT_IMPLEMENTED,
        15 => StatusCode::NOT_FOUND,
        16 | 403 => StatusCode::FORBIDDEN,
        11 => StatusCode::PAYLOAD_TOO_LARGE,
        429 => StatusCode::TOO_MANY_REQUESTS,
        500 => StatusCode::INTERNAL_SERVER_ERROR,
        503 => StatusCode::SERVICE_UNAVAILABLE,
        507 => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn unauthorized(message: &str) -> Reply {
    let mut reply = refusal(StatusCode::UNAUTHORIZED, 16, message);
    let challenge = HeaderValue::from_static("Basic realm=\"CometQL\", charset=\"UTF-8\"");
    reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    reply
}
