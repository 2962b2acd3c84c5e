//! SELECT by listed keys of one table, without the SELECT engine: rows in the order of the keys, duplicates included.

use std::collections::{BTreeSet, HashMap};

use cometql_engine::shard::inspect::Channels;
use cometql_engine::{
    InboxMessage, LogKind, MessageId, StoreAnswer, StoreFailure, StoreRequest, StoredPublication,
};
use cometql_protocol::{ChannelName, TenantId, UserId};

use super::parse::Lookup;
use super::tables::fields;
use super::{Column, Context, Outcome, RowSet, SqlError, SqlSession, Value, errors, tables};
use crate::cluster::{Log, NotAll};

/// Publications of a channel that a SELECT without LIMIT shows, as in the original.
const PUBLICATIONS: u64 = 99;
/// Rows of one key at most.
const ROWS_PER_KEY: u64 = 1_000;

/// The result's columns.
pub(super) fn columns(lookup: &Lookup) -> Vec<Column> {
    let column = |(index, name): &(usize, String)| Column {
        name: name.clone(),
        kind: lookup.table.columns[*index].wire,
    };
    lookup.columns.iter().map(column).collect()
}

/// Carries out a look-up.
pub(super) async fn run(
    context: &Context,
    session: &SqlSession,
    lookup: &Lookup,
    values: &[Value],
) -> Result<Outcome, SqlError> {
    let (offset, limit) = lookup.limit.bind(values);
    let keys: Vec<&Value> = lookup.keys.iter().map(|key| key.bind(values)).collect();
    let look = Look { context, session };
    let rows = match lookup.table.name {
        "users_auth" => look.users_auth(&keys).await?,
        "users_data" => look.users_data(&keys).await?,
        "users_time" => look.users_time(&keys).await?,
        "users_messages" => look.users_messages(&keys, ROWS_PER_KEY).await?,
        "pipes_messages" => {
            let wanted = limit.map(|limit| limit.saturating_add(offset) as u64);
            let part = Part {
                after: lookup
                    .after
                    .as_ref()
                    .map_or(Some(0), |after| offset_of(after.bind(values))),
                limit: wanted.unwrap_or(PUBLICATIONS).min(ROWS_PER_KEY),
            };
            look.pipes_messages(&keys, part, true).await?
        }
        "pipes_settings" => look.pipes_settings(&keys).await?,
        "pipes" => look.pipes(&keys).await,
        "users_in_pipes" => look.users_in_pipes(&keys).await,
        "revoked_tokens" => look.revoked_tokens(&keys).await?,
        _ => return Err(errors::internal()),
    };
    let rows = rows
        .into_iter()
        .skip(offset)
        .take(limit.unwrap_or(usize::MAX));
    let shown = |row: Vec<Value>| {
        lookup
            .columns
            .iter()
            .map(|(index, _)| row[*index].clone())
            .collect()
    };
    Ok(Outcome::Rows(RowSet {
        columns: columns(lookup),
        rows: rows.map(shown).collect(),
    }))
}

/// Asks what keeps it, the store or the cluster's log, and waits.
pub(super) async fn ask(
    context: &Context,
    request: StoreRequest,
) -> Result<StoreAnswer, StoreFailure> {
    let (send, receive) = tokio::sync::oneshot::channel();
    let answered = move |answer| {
        // Nobody waits any more when the connection is gone.
        _ = send.send(answer);
    };
    match context.hub.log() {
        Some(log) if Log::takes(&request) => log.ask(request, Box::new(answered)),
        Some(_) | None => context.store.ask(request, answered),
    }
    receive
        .await
        .unwrap_or_else(|_| Err(StoreFailure::Failed("the node is stopping".to_owned())))
}

/// In a cluster: the messages of these channels or users, or (`None`) of all, that its log has, in the catalog's columns.
pub(super) async fn logged(
    context: &Context,
    session: &SqlSession,
    log: &Log,
    table: &str,
    keys: Option<&[Value]>,
) -> Result<Vec<Row>, SqlError> {
    let looked = Look { context, session };
    let most = context.settings.load().select_rows;
    let Some(keys) = keys else {
        return all(log, session.tenant, table, most).await;
    };
    let mut keys: Vec<&Value> = keys.iter().collect();
    // One more than may be shows that it is too much.
    let most = most as u64 + 1;
    if table == "pipes_messages" {
        let mut seen = BTreeSet::new();
        keys.retain(|key| fields::known_channel(key).is_some_and(|name| seen.insert(name)));
        return looked.pipes_messages(&keys, Part::first(most), false).await;
    }
    let mut seen = BTreeSet::new();
    keys.retain(|key| fields::known_user(key).is_some_and(|user| seen.insert(user)));
    looked.users_messages(&keys, most).await
}

/// All messages of a tenant, channel by channel, or user by user.
async fn all(log: &Log, tenant: TenantId, table: &str, most: usize) -> Result<Vec<Row>, SqlError> {
    let refuse = |why| match why {
        NotAll::TooMuch => errors::too_big(format!(
            "More than {most} rows, or 256 MiB: add WHERE with the key of the table"
        )),
        NotAll::Failed(failure) => failure.into(),
    };
    let mut rows = Vec::new();
    if table == "pipes_messages" {
        let channels = log.publications(tenant, most).await.map_err(refuse)?;
        for (channel, publications) in channels {
            let shown = publications.into_iter().enumerate();
            rows.extend(shown.map(|(index, row)| publication(&channel, index, row)));
        }
        return Ok(rows);
    }
    let users = log.private_messages(tenant, most).await.map_err(refuse)?;
    for (user, messages) in users {
        rows.extend(messages.into_iter().map(|row| private(user, row)));
    }
    Ok(rows)
}

/// The channels that keep a publication.
pub(super) async fn channels_of(
    context: &Context,
    tenant: TenantId,
    id: MessageId,
) -> Result<Vec<ChannelName>, SqlError> {
    Ok(match context.hub.log() {
        Some(log) => log.channels_of(tenant, id).await?.into_iter().collect(),
        None => context.store.channels_of(tenant, id).await?,
    })
}

fn publication(channel: &ChannelName, index: usize, row: StoredPublication) -> Row {
    let content = row.content;
    vec![
        Value::Text(uuid_text(content.id.0)),
        number(content.time_ms / 1000),
        Value::Text(channel.as_str().to_owned()),
        number(index as u64),
        Value::Text(content.event.as_str().to_owned()),
        Value::Text(content.data.to_string()),
        number(content.user.map_or(0, UserId::get)),
        number(row.offset),
    ]
}

fn private(user: UserId, message: InboxMessage) -> Row {
    vec![
        number(user.get()),
        Value::Text(uuid_text(message.id.0)),
        Value::Text(message.event.as_str().to_owned()),
        Value::Text(message.data.to_string()),
    ]
}

/// A row as the catalog's columns, all of them.
type Row = Vec<Value>;

/// Which publications of each channel.
#[derive(Clone, Copy)]
struct Part {
    /// Only larger offsets; `None` = none at all, as `> NULL`.
    after: Option<u64>,
    limit: u64,
}

impl Part {
    fn first(limit: u64) -> Self {
        Self {
            after: Some(0),
            limit,
        }
    }
}

/// The whole number below which offsets are not wanted, by MySQL's rules for what is compared with a number.
fn offset_of(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Null => return None,
        Value::Integer(number) => return Some(u64::try_from(*number).unwrap_or(0)),
        Value::Double(number) => *number,
        Value::Text(text) => text.trim().parse().unwrap_or(0.0),
        Value::Bytes(_) => 0.0,
    };
    // 2^53 is above every offset.
    let floor = number.floor().clamp(0.0, 9_007_199_254_740_992.0);
    format!("{floor:.0}").parse().ok()
}

struct Look<'a> {
    context: &'a Context,
    session: &'a SqlSession,
}

impl Look<'_> {
    async fn users_auth(&self, keys: &[&Value]) -> Result<Vec<Row>, SqlError> {
        let mut rows = Vec::new();
        for user in users(keys) {
            if let Some(hash) = self.context.store.hash(self.session.tenant, user).await? {
                rows.push(vec![number(user.get()), Value::Text(hash)]);
            }
        }
        Ok(rows)
    }

    async fn users_data(&self, keys: &[&Value]) -> Result<Vec<Row>, SqlError> {
        let mut rows = Vec::new();
        for user in users(keys) {
            if let Some(data) = tables::users_data::read(self.context, self.session, user).await? {
                rows.push(vec![number(user.get()), Value::Text(data)]);
            }
        }
        Ok(rows)
    }

    /// One row for each id: 0 = online, -1 = never seen.
    async fn users_time(&self, keys: &[&Value]) -> Result<Vec<Row>, SqlError> {
        let tenant = self.session.tenant;
        let asked = Some(users(keys).collect());
        let online = self.context.hub.users_online(tenant, asked).await;
        let mut rows = Vec::new();
        for id in keys
            .iter()
            .filter_map(|key| fields::whole(key))
            .filter(|id| *id >= 0)
        {
            let time = match fields::known_user(&Value::Integer(id)) {
                None => -1,
                Some(user) if online.contains(&user) => 0,
                Some(user) => match ask(self.context, StoreRequest::LastSeen { tenant, user })
                    .await?
                {
                    StoreAnswer::LastSeen(Some(seconds)) => i64::try_from(seconds).unwrap_or(-1),
                    _ => -1,
                },
            };
            rows.push(vec![Value::Integer(id), Value::Integer(time)]);
        }
        Ok(rows)
    }

    async fn users_messages(&self, keys: &[&Value], limit: u64) -> Result<Vec<Row>, SqlError> {
        let tenant = self.session.tenant;
        let mut rows = Vec::new();
        for user in users(keys) {
            let request = StoreRequest::InboxRead {
                tenant,
                user,
                after: 0,
                limit,
            };
            let StoreAnswer::Inbox { messages, .. } = ask(self.context, request).await? else {
                return Err(errors::internal());
            };
            rows.extend(messages.into_iter().map(|message| private(user, message)));
        }
        Ok(rows)
    }

    /// `of_all` = `index` counts over all channels, as the original does.
    async fn pipes_messages(
        &self,
        keys: &[&Value],
        Part { after, limit }: Part,
        of_all: bool,
    ) -> Result<Vec<Row>, SqlError> {
        let tenant = self.session.tenant;
        let mut rows = Vec::new();
        let Some(after) = after else {
            return Ok(rows);
        };
        for channel in channels(keys) {
            let request = StoreRequest::ReadHistory {
                tenant,
                channel: channel.clone(),
                after,
                limit,
                newest: false,
                log: self.context.hub.log().map(|_| LogKind::Durable),
            };
            let (StoreAnswer::History(publications)
            | StoreAnswer::HistoryPart {
                rows: publications, ..
            }) = ask(self.context, request).await?
            else {
                return Err(errors::internal());
            };
            for (index, row) in publications.into_iter().enumerate() {
                let index = if of_all { rows.len() } else { index };
                rows.push(publication(&channel, index, row));
            }
        }
        Ok(rows)
    }

    async fn pipes_settings(&self, keys: &[&Value]) -> Result<Vec<Row>, SqlError> {
        let named = channels(keys).collect();
        let store = &self.context.store;
        let known = store.lengths(self.session.tenant, named).await?;
        let known: HashMap<_, _> = known.into_iter().collect();
        let row = |channel: ChannelName| {
            let length = *known.get(&channel)?;
            Some(vec![
                Value::Text(channel.as_str().to_owned()),
                number(length),
            ])
        };
        Ok(channels(keys).filter_map(row).collect())
    }

    async fn pipes(&self, keys: &[&Value]) -> Vec<Row> {
        let named: Vec<_> = channels(keys).collect();
        let counted = self
            .context
            .hub
            .channels(self.session.tenant, Channels::Named(named.clone()))
            .await;
        let counted: HashMap<_, _> = counted
            .into_iter()
            .map(|row| (row.channel, row.subscribers))
            .collect();
        let row = |channel: ChannelName| {
            let users = counted.get(&channel).copied().unwrap_or(0);
            vec![Value::Text(channel.as_str().to_owned()), number(users)]
        };
        named.into_iter().map(row).collect()
    }

    async fn users_in_pipes(&self, keys: &[&Value]) -> Vec<Row> {
        let named: Vec<_> = channels(keys).collect();
        let found = self
            .context
            .hub
            .subscribers(self.session.tenant, Channels::Named(named.clone()))
            .await;
        let mut by_channel: HashMap<ChannelName, Vec<Row>> = HashMap::new();
        for row in found {
            by_channel
                .entry(row.channel.clone())
                .or_default()
                .push(vec![
                    Value::Text(row.channel.as_str().to_owned()),
                    number(row.user.map_or(0, UserId::get)),
                    Value::Text(row.uuid.into()),
                    Value::Text(row.agent.into()),
                    Value::Text(row.address.to_string()),
                    Value::Text(row.origin.into()),
                    Value::Text(row.language.into()),
                ]);
        }
        named
            .iter()
            .flat_map(|name| by_channel.get(name).cloned().unwrap_or_default())
            .collect()
    }

    async fn revoked_tokens(&self, keys: &[&Value]) -> Result<Vec<Row>, SqlError> {
        let mut rows = Vec::new();
        for key in keys {
            let token = fields::text(key, "token")?.into_owned();
            if self
                .context
                .store
                .is_revoked(self.session.tenant, token.clone())
                .await?
            {
                rows.push(vec![Value::Text(token)]);
            }
        }
        Ok(rows)
    }
}

fn users<'a>(keys: &'a [&Value]) -> impl Iterator<Item = UserId> + use<'a> {
    keys.iter().filter_map(|key| fields::known_user(key))
}

fn channels<'a>(keys: &'a [&Value]) -> impl Iterator<Item = ChannelName> + use<'a> {
    keys.iter().filter_map(|key| fields::known_channel(key))
}

fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn uuid_text(id: u128) -> String {
    uuid::Uuid::from_u128(id).to_string()
}
