//! INSERT, UPDATE and DELETE, one file for each table that can be changed. Rows are checked as a whole before the first
//! one is carried out.

use std::borrow::Cow;

use super::catalog::Table;
use super::parse::{
    Delete, Existing, Filter, Insert, Operand, Source, Update, key_columns, row_query,
};
use super::turns::Turn;
use super::{Context, Done, Outcome, SqlError, SqlSession, Value, errors, select};

mod attempts;
pub(super) mod fields;
mod keyed;
mod pipes_members;
mod pipes_messages;
mod pipes_settings;
mod revoked_tokens;
mod users_auth;
pub(super) mod users_data;
mod users_messages;

use attempts::Attempts;
pub(super) use pipes_messages::Started;
use pipes_settings::PipesSettings;
use users_auth::UsersAuth;
use users_data::UsersData;

/// Most rows that one UPDATE or DELETE may name.
const KEYS: usize = 100_000;
/// How many expressions one query computes: SQLite takes 2,000 columns.
const EXPRESSIONS: usize = 500;

/// Carries out an INSERT or REPLACE.
pub(super) async fn insert(
    context: &Context,
    session: &mut SqlSession,
    insert: &Insert,
    values: &[Value],
) -> Result<Done, SqlError> {
    let looks_first = !matches!(insert.existing, Existing::Replaced) || is_computed(&insert.source);
    let turn = turn(context, session, insert.table, looks_first).await;
    let mut attempts = Attempts::at(context, looks_first && turn.is_some());
    loop {
        let done = insert_once(attempts.context(), session, insert, values).await;
        if !attempts.again() {
            let mut done = done?;
            done.affected_rows += attempts.forgotten();
            return Ok(done);
        }
    }
}

async fn insert_once(
    context: &Context,
    session: &mut SqlSession,
    insert: &Insert,
    values: &[Value],
) -> Result<Done, SqlError> {
    let cells = match &insert.source {
        Source::Rows(rows) => computed(context, session, rows, values).await?,
        Source::Query(query) => {
            Cow::Owned(selected(context, session, insert, query, values).await?)
        }
    };
    let rows = Rows {
        insert,
        cells: &cells,
        values,
    };
    match insert.table.name {
        "users_auth" => keyed::insert::<UsersAuth>(context, session, &rows).await,
        "users_data" => keyed::insert::<UsersData>(context, session, &rows).await,
        "users_messages" => users_messages::insert(context, session, &rows).await,
        "pipes_messages" => pipes_messages::insert(context, session, &rows).await,
        "pipes_settings" => keyed::insert::<PipesSettings>(context, session, &rows).await,
        "pipes_members" => pipes_members::insert(context, session, &rows).await,
        "revoked_tokens" => revoked_tokens::insert(context, session, &rows).await,
        name => Err(errors::read_only(name)),
    }
}

/// Hands in an INSERT that is one publication, without waiting for its answer; `None` for every other INSERT.
pub(super) fn start(
    context: &Context,
    session: &SqlSession,
    insert: &Insert,
) -> Option<Result<Started, SqlError>> {
    let Source::Rows(rows) = &insert.source else {
        return None;
    };
    let [cells] = &rows[..] else { return None };
    let plain = cells
        .iter()
        .all(|cell| matches!(cell, Operand::Value(_) | Operand::Default));
    if insert.table.name != "pipes_messages" || !plain {
        return None;
    }
    let row = Row {
        insert,
        cells,
        values: &[],
    };
    Some(pipes_messages::start(context, session, row))
}

/// Carries out an UPDATE.
pub(super) async fn update(
    context: &Context,
    session: &SqlSession,
    update: &Update,
    values: &[Value],
) -> Result<Done, SqlError> {
    let _turn = turn(context, session, update.table, true).await;
    let mut attempts = Attempts::at(context, true);
    let changed = loop {
        let changed = update_once(attempts.context(), session, update, values).await;
        if !attempts.again() {
            break changed? + attempts.forgotten();
        }
    };
    Ok(Done {
        affected_rows: changed,
        last_insert_id: 0,
        info: format!("Rows matched: {changed}  Changed: {changed}  Warnings: 0"),
    })
}

async fn update_once(
    context: &Context,
    session: &SqlSession,
    update: &Update,
    values: &[Value],
) -> Result<u64, SqlError> {
    let changes = changes(context, session, update, values).await?;
    match update.table.name {
        "users_auth" => keyed::update::<UsersAuth>(context, session, &changes).await,
        "users_data" => keyed::update::<UsersData>(context, session, &changes).await,
        "pipes_settings" => keyed::update::<PipesSettings>(context, session, &changes).await,
        name => Err(errors::not_implemented(format_args!(
            "UPDATE of table `{name}`"
        ))),
    }
}

/// Carries out a DELETE. The original tells 0 affected rows; the number is in the info string.
pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    delete: &Delete,
    values: &[Value],
) -> Result<Done, SqlError> {
    let searches = matches!(delete.filter, Filter::Query(_));
    let turn = turn(context, session, delete.table, searches).await;
    let mut attempts = Attempts::at(context, searches && turn.is_some());
    loop {
        let done = delete_once(attempts.context(), session, delete, values).await;
        if !attempts.again() {
            return done;
        }
    }
}

async fn delete_once(
    context: &Context,
    session: &SqlSession,
    delete: &Delete,
    values: &[Value],
) -> Result<Done, SqlError> {
    let keys = keys(context, session, delete.table, &delete.filter, values).await?;
    let removed = match delete.table.name {
        "users_auth" => users_auth::delete(context, session, keys).await?,
        "users_data" => users_data::delete(context, session, keys).await?,
        "users_messages" => users_messages::delete(context, session, keys).await?,
        "pipes_messages" => pipes_messages::delete(context, session, keys).await?,
        "pipes_settings" => pipes_settings::delete(context, session, keys).await?,
        "revoked_tokens" => revoked_tokens::delete(context, session, keys).await?,
        "pipes_members" => {
            let affected_rows = pipes_members::delete(context, session, keys).await?;
            return Ok(Done {
                affected_rows,
                ..Done::default()
            });
        }
        name => return Err(errors::read_only(name)),
    };
    Ok(Done {
        info: format!("Deleted: {removed}"),
        ..Done::default()
    })
}

/// Waits for the turn to change a table whose rows have values that change. Who reads before it writes is alone: what it
/// read still holds then.
async fn turn(
    context: &Context,
    session: &SqlSession,
    table: &Table,
    reads_first: bool,
) -> Option<Turn> {
    if !matches!(table.name, "users_auth" | "users_data" | "pipes_settings") {
        return None;
    }
    let turn = context
        .turns
        .change(session.tenant, table.name, reads_first);
    Some(turn.await)
}

/// Whether the values of an INSERT come from a query.
fn is_computed(source: &Source) -> bool {
    match source {
        Source::Query(_) => true,
        Source::Rows(rows) => {
            let mut cells = rows.iter().flatten();
            cells.any(|cell| matches!(cell, Operand::Expression(_)))
        }
    }
}

/// The rows of an INSERT.
struct Rows<'a> {
    insert: &'a Insert,
    cells: &'a [Vec<Operand>],
    values: &'a [Value],
}

impl<'a> Rows<'a> {
    fn iter(&self) -> impl Iterator<Item = Row<'a>> {
        let (insert, values) = (self.insert, self.values);
        self.cells.iter().map(move |cells| Row {
            insert,
            cells,
            values,
        })
    }
}

/// One row of an INSERT.
#[derive(Clone, Copy)]
struct Row<'a> {
    insert: &'a Insert,
    cells: &'a [Operand],
    values: &'a [Value],
}

impl<'a> Row<'a> {
    /// The value of a column, if the statement gives one.
    fn get(&self, name: &str) -> Option<&'a Value> {
        let columns = &self.insert.table.columns;
        let at = self
            .insert
            .columns
            .iter()
            .position(|index| columns[*index].name == name)?;
        match self.cells.get(at)? {
            Operand::Default => None,
            operand => Some(operand.bind(self.values)),
        }
    }

    /// The value of a column, NULL counting as missing.
    fn required(&self, name: &str) -> Result<&'a Value, SqlError> {
        match self.get(name) {
            None | Some(Value::Null) => Err(errors::required(name)),
            Some(value) => Ok(value),
        }
    }
}

/// The keys of a row that a statement names, in the order of [`key_columns`]; `None` = that column was not named.
type KeyRow = Vec<Option<Value>>;

/// A row that an UPDATE changes: its key and the new value.
type Change<'a> = (Value, Cow<'a, Value>);

async fn changes<'a>(
    context: &Context,
    session: &SqlSession,
    update: &'a Update,
    values: &'a [Value],
) -> Result<Vec<Change<'a>>, SqlError> {
    let Some((_, operand)) = update.set.last() else {
        return Err(errors::syntax("nothing to set"));
    };
    let keys = keys(context, session, update.table, &update.filter, values).await?;
    let computed = matches!(operand, Operand::Expression(_));
    let change = |mut row: KeyRow| {
        let new = if computed {
            Cow::Owned(row.pop()??)
        } else {
            Cow::Borrowed(operand.bind(values))
        };
        Some((row.pop()??, new))
    };
    // The tables that can be updated have a key of one column.
    Ok(keys.into_iter().filter_map(change).collect())
}

/// The rows with what their expressions give.
async fn computed<'a>(
    context: &Context,
    session: &SqlSession,
    rows: &'a Vec<Vec<Operand>>,
    values: &[Value],
) -> Result<Cow<'a, Vec<Vec<Operand>>>, SqlError> {
    let expression = |operand: &'a Operand| match operand {
        Operand::Expression(expression) => Some(&**expression),
        _ => None,
    };
    let asked: Vec<_> = rows.iter().flatten().filter_map(expression).collect();
    if asked.is_empty() {
        return Ok(Cow::Borrowed(rows));
    }
    let mut given = Vec::with_capacity(asked.len());
    for some in asked.chunks(EXPRESSIONS) {
        let query = row_query(some)?;
        let answer = select::run(context, session, &query, values).await?;
        given.extend(rows_of(answer)?.into_iter().flatten());
    }
    let mut given = given.into_iter();
    let mut rows = rows.clone();
    for operand in rows.iter_mut().flatten() {
        if matches!(operand, Operand::Expression(_)) {
            *operand = Operand::Value(given.next().ok_or_else(errors::internal)?);
        }
    }
    Ok(Cow::Owned(rows))
}

async fn keys(
    context: &Context,
    session: &SqlSession,
    table: &Table,
    filter: &Filter,
    values: &[Value],
) -> Result<Vec<KeyRow>, SqlError> {
    let listed = match filter {
        Filter::Query(query) => {
            let rows = rows_of(select::run(context, session, query, values).await?)?;
            return Ok(rows
                .into_iter()
                .map(|row| row.into_iter().map(Some).collect())
                .collect());
        }
        Filter::Keys(listed) => listed,
    };
    let mut rows: Vec<KeyRow> = vec![Vec::new()];
    for column in key_columns(table) {
        let named = listed.iter().find(|(name, _)| name == column);
        let choices: KeyRow = match named {
            Some((_, operands)) => operands
                .iter()
                .map(|o| Some(o.bind(values).clone()))
                .collect(),
            None => vec![None],
        };
        if rows.len() * choices.len() > KEYS {
            return Err(SqlError::new(
                19,
                "Error in expression list, too many values.",
            ));
        }
        let longer = |row: &KeyRow, choice: &Option<Value>| {
            let mut row = row.clone();
            row.push(choice.clone());
            row
        };
        rows = rows
            .iter()
            .flat_map(|row| choices.iter().map(move |c| longer(row, c)))
            .collect();
    }
    Ok(rows)
}

async fn selected(
    context: &Context,
    session: &SqlSession,
    insert: &Insert,
    query: &super::parse::ast::Query,
    values: &[Value],
) -> Result<Vec<Vec<Operand>>, SqlError> {
    let rows = rows_of(select::run(context, session, query, values).await?)?;
    if rows
        .first()
        .is_some_and(|row| row.len() != insert.columns.len())
    {
        return Err(SqlError::new(
            14,
            "Error in columns list: the SELECT has another number of columns",
        ));
    }
    if rows.len() > context.settings.load().insert_rows {
        return Err(SqlError::new(
            19,
            "Error in expression list, too many values.",
        ));
    }
    let operands = |row: Vec<Value>| row.into_iter().map(Operand::Value).collect();
    Ok(rows.into_iter().map(operands).collect())
}

fn rows_of(outcome: Outcome) -> Result<Vec<Vec<Value>>, SqlError> {
    match outcome {
        Outcome::Rows(rows) => Ok(rows.rows),
        Outcome::Done(_) => Err(errors::internal()),
    }
}
