//! Carries out parsed statements: hands them to the tables, the look-ups, the SELECT engine and SHOW.

use cometql_engine::{ConnectionId, Disconnect};
use cometql_protocol::TenantId;

use super::parse::{Constant, Operand, Parsed, Plan};
use super::tables::fields;
use super::{
    Column, ColumnKind, Context, Done, Outcome, RowSet, SqlError, SqlSession, Value,
    choose_database, errors, explain, fate, lookup, select, show, tables, variables,
};

/// Carries out a statement whose placeholders have their values.
pub(super) async fn execute(
    context: &Context,
    session: &mut SqlSession,
    parsed: &Parsed,
    values: &[Value],
) -> Result<Outcome, SqlError> {
    if !matches!(parsed, Parsed::Show(_)) {
        session.warnings.clear();
    }
    match parsed {
        Parsed::Nothing => Ok(Outcome::Done(Done::default())),
        Parsed::Idle(limit) => {
            if *limit == Operand::Default {
                session.idle.reset();
            } else {
                let warning = session.idle.set(limit.bind(values))?;
                session.warnings.extend(warning.map(errors::other_value));
            }
            Ok(Outcome::Done(Done::default()))
        }
        Parsed::Insert(insert) => Box::pin(tables::insert(context, session, insert, values))
            .await
            .map(Outcome::Done),
        Parsed::Update(update) => Box::pin(tables::update(context, session, update, values))
            .await
            .map(Outcome::Done),
        Parsed::Delete(delete) => Box::pin(tables::delete(context, session, delete, values))
            .await
            .map(Outcome::Done),
        Parsed::Select(query) => match &query.plan {
            Plan::Constants(constants, limit) => {
                let (offset, rows) = limit.bind(values);
                constant_row(
                    context,
                    session,
                    constants,
                    offset == 0 && rows != Some(0),
                    values,
                )
            }
            Plan::Lookup(lookup) => Box::pin(lookup::run(context, session, lookup, values)).await,
            Plan::Engine => Box::pin(select::run(context, session, &query.query, values)).await,
        },
        Parsed::Show(show) => Box::pin(show::run(context, session, show, values)).await,
        Parsed::Use(name) => {
            choose_database(context, session, name)?;
            Ok(Outcome::Done(Done::default()))
        }
        Parsed::Kill { id, query } => kill(context, session, id.bind(values), *query).await,
        Parsed::Explain(parsed) => match &**parsed {
            Parsed::Select(query) => {
                Box::pin(select::explain(context, session, &query.query, values)).await
            }
            parsed => Ok(explain::statement(parsed)),
        },
        Parsed::ExplainSubscribe { channel, user } => {
            explain::subscribe(context, session, channel.bind(values), user.bind(values))
        }
        Parsed::ExplainMessage { message, user } => {
            let (message, user) = (message.bind(values), user.bind(values));
            Box::pin(fate::explain(context, session, message, user)).await
        }
    }
}

/// The columns of the rows that a statement will return; empty when it returns none.
pub(super) fn columns(parsed: &Parsed) -> Vec<Column> {
    match parsed {
        Parsed::Select(query) => match &query.plan {
            Plan::Constants(constants, _) => constants.iter().map(constant_column).collect(),
            Plan::Lookup(lookup) => lookup::columns(lookup),
            Plan::Engine => select::columns(&query.query),
        },
        Parsed::Show(show) => show::columns(&show.what),
        Parsed::Explain(_) => explain::statement_columns(),
        Parsed::ExplainSubscribe { .. } => explain::subscribe_columns(),
        Parsed::ExplainMessage { .. } => fate::columns(),
        Parsed::Nothing
        | Parsed::Idle(_)
        | Parsed::Insert(_)
        | Parsed::Update(_)
        | Parsed::Delete(_)
        | Parsed::Use(_)
        | Parsed::Kill { .. } => Vec::new(),
    }
}

async fn kill(
    context: &Context,
    session: &SqlSession,
    id: &Value,
    query: bool,
) -> Result<Outcome, SqlError> {
    let number = fields::whole(id).and_then(|n| u64::try_from(n).ok());
    let number = number.ok_or_else(|| errors::invalid("KILL needs the number of a connection"))?;
    let tenant = (!session.admin).then_some(session.tenant);
    let found = if query {
        // Statements are short here; stopping one has no meaning, but clients ask for it when a user hits Ctrl-C.
        true
    } else if let Some(connection) = ConnectionId::from_number(number) {
        context
            .hub
            .disconnect(Disconnect::Connection { tenant, connection })
            .await
            > 0
    } else {
        kill_process(context, number, tenant).await
    };
    if found {
        Ok(Outcome::Done(Done::default()))
    } else {
        Err(SqlError::new(1094, format!("Unknown thread id: {number}")))
    }
}

async fn kill_process(context: &Context, number: u64, tenant: Option<TenantId>) -> bool {
    match u32::try_from(number) {
        Ok(id) if context.processes.kill(id, tenant) => true,
        Ok(id) => context.hub.kill_elsewhere(id, tenant).await,
        Err(_) => false,
    }
}

fn constant_row(
    context: &Context,
    session: &SqlSession,
    constants: &[(String, Constant)],
    shown: bool,
    values: &[Value],
) -> Result<Outcome, SqlError> {
    let row = constants
        .iter()
        .map(|(_, constant)| constant_value(context, session, constant, values));
    let row = row.collect::<Result<Vec<_>, _>>()?;
    let mut columns: Vec<Column> = constants.iter().map(constant_column).collect();
    for (column, value) in columns.iter_mut().zip(&row) {
        column.kind = kind_of(value);
    }
    let rows = if shown { vec![row] } else { Vec::new() };
    Ok(Outcome::Rows(RowSet { columns, rows }))
}

fn constant_value(
    context: &Context,
    session: &SqlSession,
    constant: &Constant,
    values: &[Value],
) -> Result<Value, SqlError> {
    Ok(match constant {
        Constant::Variable(name) => {
            variables::value(context, session, name).ok_or_else(|| variables::unknown(name))?
        }
        Constant::Database => Value::Text(session.database.clone()),
        Constant::Version => Value::Text(variables::VERSION.to_owned()),
        Constant::ConnectionId => Value::Integer(i64::from(session.connection)),
        Constant::User => Value::Text(format!("{}@%", session.user)),
        Constant::Zero => Value::Integer(0),
        Constant::Operand(operand) => operand.bind(values).clone(),
    })
}

fn constant_column((name, constant): &(String, Constant)) -> Column {
    let kind = match constant {
        Constant::Variable(name) => kind_of(&variables::default_value(name)),
        Constant::Operand(Operand::Value(value)) => kind_of(value),
        Constant::ConnectionId | Constant::Zero => ColumnKind::Integer,
        Constant::Database | Constant::Version | Constant::User | Constant::Operand(_) => {
            ColumnKind::Text
        }
    };
    Column {
        name: name.clone(),
        kind,
    }
}

fn kind_of(value: &Value) -> ColumnKind {
    match value {
        Value::Integer(_) => ColumnKind::Integer,
        Value::Double(_) => ColumnKind::Double,
        Value::Bytes(_) => ColumnKind::Bytes,
        Value::Null | Value::Text(_) => ColumnKind::Text,
    }
}
