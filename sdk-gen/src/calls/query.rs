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
        let (again, alters) = treatment(&sql)?;
        let values: Vec<Wire> = params.into_iter().map(Wire::from).collect();
        let arguments = (sql, values, alters);
        let asked = self.run(self.due(), again, &arguments, |link, arguments| {
            let (sql, values, alters) = arguments;
            link.ends |= alters;
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

/// Whether a statement may be sent again, and whether it may alter the connection for those who get it next: what is not known
/// to leave it as it was, does.
fn treatment(sql: &str) -> Result<(Again, bool), CometError> {
    match first_word(sql).to_ascii_uppercase().as_str() {
        "SELECT" | "SHOW" => Ok((Again::IfBroken, false)),
        "INSERT" | "REPLACE" | "UPDATE" | "DELETE" => Ok((Again::No, false)),
        "USE" => {
            let detail =
                "USE would change one of several connections: name the database when you connect";
            Err(CometError::invalid(detail))
        }
        _ => Ok((Again::No, true)),
    }
}

/// The first word behind what the server passes over: white space, `;`, comments (but not `/*! … */`, which it reads) and `(`.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || ";(".contains(c));
        let end = if rest.starts_with("/*") && !rest.starts_with("/*!") {
            rest.find("*/").map(|at| at + 2)
        } else if rest.starts_with('#') || rest.starts_with("-- ") {
            rest.find('\n')
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            return &rest[..end.unwrap_or(rest.len())];
        };
        match end {
            Some(end) => rest = &rest[end..],
            None => return "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, again: Again, alters: bool) {
        assert_eq!(treatment(sql).unwrap(), (again, alters), "{sql}");
    }

    #[test]
    fn statements() {
        for sql in [
            "SELECT 1",
            " ((select 1))",
            "/* why */ SELECT 1",
            "-- why\n # x\n;SELECT(1)",
            "Show tables",
        ] {
            check(sql, Again::IfBroken, false);
        }
        for sql in ["INSERT INTO a", ";/**/replace", "Update x", "DELETE"] {
            check(sql, Again::No, false);
        }
        for sql in [
            "",
            "SET a = 1",
            "/*!USE db_7 */",
            "/*! SELECT */ 1",
            "/* SELECT 1",
            "--\tx\nSELECT 1",
            "`SELECT`",
            "SELECT1",
            "KILL 1",
        ] {
            check(sql, Again::No, true);
        }
        for sql in ["USE db_7", ";use db_7", "/**/ USE db_7", "# x\nUSE db_7"] {
            assert!(treatment(sql).is_err(), "{sql}");
        }
    }
}
