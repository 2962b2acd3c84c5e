//! Any statement.

use mysql_async::Value as Wire;

use crate::core::{Again, Core};
use crate::error::Failure;
use crate::link::Link;
use crate::{Answer, CometError, Value, Warning};

impl Core {
    pub(crate) async fn query(
        &self,
        sql: String,
        params: Vec<Value>,
    ) -> Result<Answer, CometError> {
        let again = match first_word(&sql).to_ascii_uppercase().as_str() {
            "SELECT" | "SHOW" => Again::IfBroken,
            "USE" => {
                let detail = "USE would change one of several connections: name the database when you connect";
                return Err(CometError::invalid(detail));
            }
            _ => Again::No,
        };
        let values: Vec<Wire> = params.into_iter().map(Wire::from).collect();
        let arguments = (sql, values);
        let asked = self.run(self.due(), again, &arguments, |link, (sql, values)| {
            Box::pin(ask(link, sql, values.clone()))
        });
        asked.await
    }

    pub(crate) async fn ping(&self) -> Result<(), CometError> {
        self.run(self.due(), Again::Yes, &(), |link, ()| {
            Box::pin(link.ping())
        })
        .await
    }
}

async fn ask(link: &mut Link, sql: &str, values: Vec<Wire>) -> Result<Answer, Failure> {
    let told = link.ask(sql.to_owned(), values).await?;
    let mut warnings = Vec::new();
    if told.done.warnings > 0 {
        let told = link.warnings().await?.into_iter();
        warnings.extend(told.map(|(code, detail)| Warning { code, detail }));
    }
    let kinds: Vec<_> = told
        .columns
        .iter()
        .map(|column| column.column_type())
        .collect();
    let row = |row: mysql_async::Row| {
        let values = row.unwrap_raw().into_iter().zip(&kinds);
        let values = values.map(|(value, kind)| Value::read(value.unwrap_or(Wire::NULL), *kind));
        values.collect()
    };
    Ok(Answer {
        columns: told
            .columns
            .iter()
            .map(|column| column.name_str().into_owned())
            .collect(),
        rows: told.rows.into_iter().map(row).collect(),
        affected: told.done.affected,
        insert_id: told.done.insert_id,
        info: told.done.info,
        warnings,
    })
}

fn first_word(sql: &str) -> &str {
    let sql = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    let end = sql.find(|c: char| !c.is_ascii_alphabetic());
    &sql[..end.unwrap_or(sql.len())]
}
