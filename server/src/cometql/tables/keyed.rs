//! The tables with one value for each key: `users_auth`, `users_data`, `pipes_settings`. What INSERT and UPDATE do about
//! rows that are there already is the same in all of them.
//!
//! Whoever reads before it writes holds the table alone meanwhile (`turns`), which the caller sees to.

use std::collections::BTreeMap;
use std::future::Future;

use super::{Change, EXPRESSIONS, Row, Rows, rows_of};
use crate::cometql::parse::ast::Query;
use crate::cometql::parse::{Assigned, Computed, Existing, on_row, row_query};
use crate::cometql::{Context, Done, SqlError, SqlSession, Value, errors, select};

/// One of the tables.
pub(super) trait KeyTable {
    type Key: Ord + Clone + Send + Sync;
    type Value: Clone + Send + Sync;
    /// Its two columns: the key and the value.
    const COLUMNS: [&'static str; 2];

    /// The key that a new row gives.
    fn key(context: &Context, session: &SqlSession, row: &Row<'_>) -> Result<Self::Key, SqlError>;
    /// The key that a condition names, if there can be such a key.
    fn named(key: &Value) -> Option<Self::Key>;
    /// The value that a new row gives.
    fn given(row: &Row<'_>) -> Result<Self::Value, SqlError>;
    /// A new value, checked.
    fn value(value: &Value) -> Result<Self::Value, SqlError>;
    /// A row as expressions see it.
    fn cells(key: &Self::Key, value: &Self::Value) -> [Value; 2];
    /// What an INSERT of this row tells as its id.
    fn insert_id(key: &Self::Key) -> u64;
    /// Those of the rows that are there.
    fn known(
        context: &Context,
        session: &SqlSession,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<BTreeMap<Self::Key, Self::Value>, SqlError>> + Send;
    /// Puts rows, replacing.
    fn put(
        context: &Context,
        session: &SqlSession,
        rows: Vec<(Self::Key, Self::Value)>,
    ) -> impl Future<Output = Result<(), SqlError>> + Send;
}

/// INSERT and REPLACE.
pub(super) async fn insert<T: KeyTable>(
    context: &Context,
    session: &SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let mut new = Vec::new();
    for row in rows.iter() {
        let key = T::key(context, session, &row)?;
        new.push((key, T::given(&row)?));
    }
    let last_insert_id = new.last().map_or(0, |(key, _)| T::insert_id(key));
    let affected_rows = match &rows.insert.existing {
        Existing::Replaced => {
            let affected = new.len() as u64;
            T::put(context, session, new).await?;
            affected
        }
        Existing::Stays => merge::<T>(context, session, rows, None, new).await?,
        Existing::Set(to) => merge::<T>(context, session, rows, Some(to), new).await?,
    };
    Ok(Done {
        affected_rows,
        last_insert_id,
        info: String::new(),
    })
}

/// UPDATE; returns how many rows there were.
pub(super) async fn update<T: KeyTable>(
    context: &Context,
    session: &SqlSession,
    changes: &[Change<'_>],
) -> Result<u64, SqlError> {
    let mut put = BTreeMap::new();
    for (key, value) in changes {
        let value = T::value(value)?;
        if let Some(key) = T::named(key) {
            put.insert(key, value);
        }
    }
    let known = T::known(context, session, put.keys().cloned().collect()).await?;
    put.retain(|key, _| known.contains_key(key));
    let changed = put.len() as u64;
    T::put(context, session, put.into_iter().collect()).await?;
    Ok(changed)
}

/// An INSERT that does not simply replace; returns its affected rows. Each row sees what those before it did.
async fn merge<T: KeyTable>(
    context: &Context,
    session: &SqlSession,
    rows: &Rows<'_>,
    to: Option<&Assigned>,
    new: Vec<(T::Key, T::Value)>,
) -> Result<u64, SqlError> {
    let keys = new.iter().map(|(key, _)| key.clone()).collect();
    let known = T::known(context, session, keys).await?;
    let mut merge = Merge::<T> {
        context,
        session,
        rows,
        known,
        put: BTreeMap::new(),
        waiting: BTreeMap::new(),
    };
    let mut affected = 0;
    for (key, value) in new {
        if merge.waiting.len() >= EXPRESSIONS || merge.waiting.contains_key(&key) {
            merge.compute(to).await?;
        }
        let old = merge.put.get(&key).or_else(|| merge.known.get(&key));
        let Some(old) = old else {
            merge.put.insert(key, value);
            affected += 1;
            continue;
        };
        let value = match to {
            None => continue,
            Some(Assigned::Inserted) => value,
            Some(Assigned::Operand(operand)) => T::value(operand.bind(rows.values))?,
            Some(Assigned::Computed(_)) => {
                let cells = [T::cells(&key, old), T::cells(&key, &value)];
                merge.waiting.insert(key, cells);
                affected += 2;
                continue;
            }
        };
        merge.put.insert(key, value);
        affected += 2;
    }
    merge.compute(to).await?;
    T::put(context, session, merge.put.into_iter().collect()).await?;
    Ok(affected)
}

struct Merge<'a, T: KeyTable> {
    context: &'a Context,
    session: &'a SqlSession,
    rows: &'a Rows<'a>,
    /// What is in the table.
    known: BTreeMap<T::Key, T::Value>,
    /// What the statement will write.
    put: BTreeMap<T::Key, T::Value>,
    /// Rows whose new value is still to be computed, from what is there and what would be new.
    waiting: BTreeMap<T::Key, [[Value; 2]; 2]>,
}

impl<T: KeyTable> Merge<'_, T> {
    /// Computes what waits, in one query.
    async fn compute(&mut self, to: Option<&Assigned>) -> Result<(), SqlError> {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(Assigned::Computed(computed)) = to else {
            return Ok(());
        };
        if waiting.is_empty() {
            return Ok(());
        }
        let (query, values) = self.query(computed, waiting.values())?;
        let answer = select::run(self.context, self.session, &query, &values).await?;
        let mut given = rows_of(answer)?.into_iter().flatten();
        for key in waiting.into_keys() {
            let value = given.next().ok_or_else(errors::internal)?;
            self.put.insert(key, T::value(&value)?);
        }
        Ok(())
    }

    fn query<'r>(
        &self,
        computed: &Computed,
        rows: impl Iterator<Item = &'r [[Value; 2]; 2]>,
    ) -> Result<(Query, Vec<Value>), SqlError> {
        let mut values = self.rows.values.to_vec();
        let mut expressions = Vec::new();
        for cells in rows {
            let table = self.rows.insert.table;
            expressions.push(on_row(computed, table, T::COLUMNS, values.len())?);
            values.extend(cells.iter().flatten().cloned());
        }
        let query = row_query(&expressions.iter().collect::<Vec<_>>())?;
        Ok((query, values))
    }
}
