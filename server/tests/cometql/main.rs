//! The language over a whole node.

mod changes;
mod commands;
mod fuzz;
mod tables;

use std::sync::Arc;

use cometql_protocol::TenantId;
use cometql_server::app::{App, AppSettings};
use cometql_server::auth::{Keyring, Tokens};
use cometql_server::cometql::{
    self, Context, Idle, LogInKey, Outcome, Processes, Settings, SqlSession, Value,
};
use cometql_server::metrics::Metrics;
use cometql_server::storage::Store;

struct Node {
    app: App,
    context: Context,
    session: SqlSession,
}

async fn node() -> Node {
    node_with(|_| {}).await
}

async fn node_with(change: impl FnOnce(&mut AppSettings)) -> Node {
    let store = Store::in_memory();
    let mut settings = AppSettings::new(store.clone());
    change(&mut settings);
    let app = App::start(settings).await.expect("a node on a free port");
    let context = Context {
        hub: app.hub().clone(),
        store,
        settings: Arc::default(),
        keyring: Arc::new(Keyring::default()),
        tokens: Arc::new(Tokens::default()),
        processes: Arc::new(Processes::default()),
        metrics: Arc::new(Metrics::default()),
        turns: Settings::default().turns(),
        memory: Settings::default().statement_memory(),
    };
    let session = SqlSession {
        tenant: TenantId(15),
        admin: false,
        connection: 7,
        user: "15".to_owned(),
        key: LogInKey::default(),
        database: "CometQL_v1".to_owned(),
        last_message_id: None,
        idle: Idle::default(),
        warnings: Vec::new(),
    };
    Node {
        app,
        context,
        session,
    }
}

impl Node {
    /// What came of a text: `ok affected/id info`, `error code`, or rows as `a,b | c,d`.
    async fn answer(&mut self, sql: &str, values: &[Value]) -> String {
        let statements = match cometql::parse(sql, &self.context.settings.load()) {
            Ok(statements) => statements,
            Err(error) => return format!("error {}", error.code),
        };
        let mut answers = Vec::new();
        for statement in statements {
            let outcome =
                cometql::execute(&self.context, &mut self.session, &statement, values).await;
            if let Ok(Outcome::Rows(rows)) = &outcome {
                let promised: Vec<_> = statement.columns().into_iter().map(|c| c.name).collect();
                let got: Vec<_> = rows.columns.iter().map(|c| c.name.clone()).collect();
                assert_eq!(promised, got, "{sql}: columns before and after");
            }
            answers.push(match outcome {
                Err(error) => format!("error {}", error.code),
                Ok(Outcome::Done(done)) => {
                    let told = format!(
                        "ok {}/{} {}",
                        done.affected_rows, done.last_insert_id, done.info
                    );
                    told.trim_end().to_owned()
                }
                Ok(Outcome::Rows(rows)) => {
                    let row =
                        |row: &Vec<Value>| row.iter().map(shown).collect::<Vec<_>>().join(",");
                    rows.rows.iter().map(row).collect::<Vec<_>>().join(" | ")
                }
            });
        }
        answers.join("; ")
    }

    /// The text of an error.
    async fn refusal(&mut self, sql: &str) -> String {
        let statement = cometql::parse(sql, &self.context.settings.load())
            .expect(sql)
            .remove(0);
        let outcome = cometql::execute(&self.context, &mut self.session, &statement, &[]).await;
        outcome.expect_err(sql).message
    }

    async fn check(&mut self, table: &[(&str, &str)]) {
        for (sql, expected) in table {
            assert_eq!(self.answer(sql, &[]).await, *expected, "{sql}");
        }
    }

    async fn stop(self) {
        self.app.stop().await;
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Double(n) => n.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => format!("{bytes:?}"),
    }
}
