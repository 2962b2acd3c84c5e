//! One connection and the statements that are prepared in it. Knows nothing of hosts and other connections.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Params, Row, Statement, Value as Wire};

use crate::CometError;
use crate::error::Failure;

/// What the statements that are kept prepared may cost the server, in bytes.
const PREPARED: usize = 64 << 10;
/// What the server counts for each beside its text. So there are 63 at most; it allows 1,024.
const EACH: usize = 1 << 10;
/// Longest text of a statement that is kept, in bytes. Our own ones are shorter.
const LONGEST: usize = 8 << 10;

/// A connection.
pub(crate) struct Link {
    /// `None` only while it is dropped.
    conn: Option<Conn>,
    /// The one used last comes first.
    prepared: Vec<(Cow<'static, str>, Statement)>,
    /// What was said here may have altered it for those who get it next, so nobody does.
    pub(crate) ends: bool,
    /// When it was put aside.
    pub(crate) idle_since: Instant,
}

/// What a statement without rows did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) affected: u64,
    pub(crate) insert_id: u64,
    pub(crate) info: String,
    pub(crate) warnings: u16,
}

/// What a statement answered.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) columns: Vec<mysql_async::Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) done: Done,
}

impl Done {
    /// The number behind this word in the info string.
    pub(crate) fn number(&self, word: &str) -> u64 {
        let number = self.info.strip_prefix(word).map(str::trim);
        number.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

impl Link {
    /// Connects and logs in.
    pub(crate) async fn open(opts: Opts) -> Result<Self, Failure> {
        Ok(Self {
            conn: Some(Conn::new(opts).await?),
            prepared: Vec::new(),
            ends: false,
            idle_since: Instant::now(),
        })
    }

    /// Asks the server whether it is there.
    pub(crate) async fn ping(&mut self) -> Result<(), Failure> {
        Ok(self.conn().ping().await?)
    }

    /// Whether the server answers within this time.
    pub(crate) async fn answers(&mut self, time: Duration) -> bool {
        matches!(tokio::time::timeout(time, self.ping()).await, Ok(Ok(())))
    }

    /// Says good-bye.
    pub(crate) async fn close(mut self) {
        if let Some(conn) = self.conn.take() {
            // Who closes does not care whether the other side still heard it.
            _ = conn.disconnect().await;
        }
    }

    /// Carries out a statement that has no rows.
    pub(crate) async fn change(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Wire>,
    ) -> Result<Done, Failure> {
        Ok(self.ask(sql, values).await?.done)
    }

    /// Carries out a statement and reads its rows.
    pub(crate) async fn ask(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Wire>,
    ) -> Result<Told, Failure> {
        let sql = sql.into();
        let known = self.prepared.iter().position(|(text, _)| *text == sql);
        if let Some(at) = known {
            self.prepared[..=at].rotate_right(1);
            let statement = self.prepared[0].1.clone();
            return self.carry_out(&statement, values).await;
        }
        let statement = self.conn().prep(&*sql).await?;
        let told = self.carry_out(&statement, values).await;
        let kept = self.keep(sql, statement).await;
        told.and_then(|told| kept.map(|()| told))
    }

    async fn carry_out(
        &mut self,
        statement: &Statement,
        values: Vec<Wire>,
    ) -> Result<Told, Failure> {
        // The driver would drop the connection.
        let (takes, given) = (usize::from(statement.num_params()), values.len());
        if takes != given {
            let detail = format!("the statement has {takes} `?`, and {given} values were given");
            return Err(CometError::Invalid { detail }.into());
        }
        let mut result = self.conn().exec_iter(statement, bound(values)).await?;
        let columns = result.columns_ref().to_vec();
        let rows = result.collect().await?;
        drop(result);
        Ok(Told {
            columns,
            rows,
            done: self.done(),
        })
    }

    /// Keeps a prepared statement for later, if it is not too long, in place of those that were not used for longest.
    async fn keep(&mut self, sql: Cow<'static, str>, statement: Statement) -> Result<(), Failure> {
        if sql.len() > LONGEST {
            return Ok(self.conn().close(statement).await?);
        }
        self.prepared.insert(0, (sql, statement));
        while self.prepared_bytes() > PREPARED
            && let Some((_, oldest)) = self.prepared.pop()
        {
            self.conn().close(oldest).await?;
        }
        Ok(())
    }

    fn prepared_bytes(&self) -> usize {
        let texts = self.prepared.iter();
        texts.map(|(text, _)| text.len() + EACH).sum()
    }

    /// The warnings of the last statement: code and text.
    pub(crate) async fn warnings(&mut self) -> Result<Vec<(u16, String)>, Failure> {
        let rows: Vec<(String, u16, String)> = self.conn().query("SHOW WARNINGS").await?;
        let warnings = rows.into_iter().map(|(_, code, text)| (code, text));
        Ok(warnings.collect())
    }

    fn done(&mut self) -> Done {
        let conn = self.conn();
        Done {
            affected: conn.affected_rows(),
            insert_id: conn.last_insert_id().unwrap_or(0),
            info: conn.info().into_owned(),
            warnings: conn.get_warnings(),
        }
    }

    fn conn(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            // Said if the system takes it at once. The driver would wait for however long it takes, and for the rest of an
            // answer before.
            _ = conn.disconnect().now_or_never();
        }
    }
}

fn bound(values: Vec<Wire>) -> Params {
    if values.is_empty() {
        Params::Empty
    } else {
        Params::Positional(values)
    }
}
