//! The SQL of each call. Values are bound, never spliced.

mod channels;
mod history;
mod inbox;
mod publish;
mod query;
mod users;

use mysql_async::prelude::FromRow;
use mysql_async::{FromRowError, Row, Value as Wire};

use crate::CometError;
use crate::core::{Again, Core};
use crate::error::Failure;
use crate::link::{Done, Link};

/// The server's largest user id.
const USERS: u64 = (1 << 53) - 1;
/// Most keys in one statement; longer lists are asked in parts. The server takes 4,000.
const KEYS: usize = 1_000;

/// A statement with its values.
type Statement = (&'static str, Vec<Wire>);

impl Core {
    /// Carries out a statement that twice does what once does. It carries no id: a first one that comes late, after a second
    /// one and what the program did then, would undo that.
    async fn change(&self, sql: &'static str, values: Vec<Wire>) -> Result<Done, CometError> {
        let statement: Statement = (sql, values);
        let done = self.run(
            self.due(),
            Again::IfBroken,
            &statement,
            |link, (sql, values)| Box::pin(link.change(*sql, values.clone())),
        );
        done.await
    }

    /// The rows of a statement.
    async fn rows<T>(&self, sql: &'static str, values: Vec<Wire>) -> Result<Vec<T>, CometError>
    where
        T: FromRow + Send + 'static,
    {
        let statement: Statement = (sql, values);
        let rows = self.run(self.due(), Again::Yes, &statement, |link, (sql, values)| {
            Box::pin(complete(link, *sql, values))
        });
        rows.await
    }

    /// The rows of `SELECT … IN (…)` for all these keys. `before` is the text up to the list.
    async fn rows_of<T>(&self, before: &'static str, keys: Vec<Wire>) -> Result<Vec<T>, CometError>
    where
        T: FromRow + Send + 'static,
    {
        let (due, mut rows) = (self.due(), Vec::new());
        for keys in keys.chunks(KEYS) {
            let statement = (format!("{before} IN ({})", marks(keys.len())), keys);
            let part = self.run(due, Again::Yes, &statement, |link, (sql, keys)| {
                Box::pin(complete(link, sql.clone(), keys))
            });
            rows.extend(part.await?);
        }
        Ok(rows)
    }
}

/// The rows, if all nodes told theirs.
async fn complete<T: FromRow>(
    link: &mut Link,
    sql: impl Into<std::borrow::Cow<'static, str>>,
    values: &[Wire],
) -> Result<Vec<T>, Failure> {
    let told = link.ask(sql, values.to_vec()).await?;
    if told.done.warnings > 0 {
        let mut warnings = link.warnings().await?.into_iter();
        if let Some((code, detail)) = warnings.find(|(code, _)| *code == SILENT_NODE) {
            return Err(Failure::Incomplete(CometError::Refused {
                code,
                state: "HY000".to_owned(),
                detail,
            }));
        }
    }
    read(told.rows)
}

/// The warning that a node of the cluster did not tell what it should.
const SILENT_NODE: u16 = 206;

/// The id of a user, checked: the server takes 0 for nobody.
pub(crate) fn user_id(user: u64) -> Result<Wire, CometError> {
    if (1..=USERS).contains(&user) {
        return Ok(Wire::UInt(user));
    }
    let detail = format!("a user's id is 1 to {USERS}, not {user}");
    Err(CometError::invalid(detail))
}

fn text(text: &str) -> Wire {
    Wire::Bytes(text.as_bytes().to_vec())
}

/// `?, ?, ?`
fn marks(count: usize) -> String {
    let mut marks = "?, ".repeat(count);
    marks.truncate(marks.len().saturating_sub(2));
    marks
}

/// The rows as what they have to be.
fn read<T: FromRow>(rows: Vec<Row>) -> Result<Vec<T>, Failure> {
    let rows = rows.into_iter().map(T::from_row_opt);
    rows.collect::<Result<_, FromRowError>>().map_err(|error| {
        let detail = format!("the answer of the server is not understood: {error}");
        Failure::Answer(CometError::Interrupted { detail })
    })
}
