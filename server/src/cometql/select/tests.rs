//! A store with two tenants, made-up live state, and tables of queries with their results.

mod functions;
mod isolation;
mod limits;
mod queries;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use cometql_engine::publication::Content;
use cometql_engine::shard::inspect::{ChannelRow, SubscriberRow};
use cometql_engine::store::Keep;
use cometql_engine::{ConnectionId, MessageId, ShardId, StoreRequest};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId};

use super::sqlite::{Job, execute};
use super::translate::{Fact, Parameter, Pins, translate};
use super::vtab::{Snapshot, Snapshots};
use super::*;
use crate::cometql::Settings;
use crate::cometql::parse::{self, Parsed};
use crate::storage::Store;

const OURS: TenantId = TenantId(1);
const THEIRS: TenantId = TenantId(2);

/// What every test reads.
struct World {
    store: Store,
    live: Snapshots,
}

fn user(number: u64) -> UserId {
    UserId::new(number).unwrap()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn ask(store: &Store, request: StoreRequest) {
    let (sender, receiver) = std::sync::mpsc::channel();
    store.ask(request, move |answer| sender.send(answer).unwrap());
    receiver.recv().unwrap().unwrap();
}

fn content(number: u64, event: &str, data: &str, from: Option<u64>) -> Content {
    Content {
        id: MessageId(u128::from(number)),
        event: EventName::parse(event).unwrap(),
        data: data.into(),
        data_is_json: data.starts_with('{'),
        time_ms: 1_700_000_000_000 + number * 1000,
        user: from.and_then(UserId::new),
        from_browser: false,
        once: false,
    }
}

fn publish(store: &Store, tenant: TenantId, name: &str, contents: Vec<Content>) {
    let channel = channel(name);
    let open = StoreRequest::OpenChannel {
        tenant,
        channel: channel.clone(),
        start: Position {
            epoch: Epoch(1),
            offset: 0,
        },
        renewed: None,
        log: None,
    };
    ask(store, open);
    for (content, offset) in contents.into_iter().zip(1..) {
        let append = StoreRequest::Append {
            tenant,
            channel: channel.clone(),
            offset,
            content,
            keep: Keep {
                publications: u64::MAX,
                age_ms: u64::MAX,
            },
            once: None,
            log: None,
        };
        ask(store, append);
    }
}

async fn fill(store: &Store) {
    let hashes = [(5, "h5"), (7, "h7"), (9, "H9")];
    let hashes = hashes.map(|(id, hash)| (user(id), hash.to_owned()));
    store.set_hashes(OURS, hashes.into()).await.unwrap();
    let data = [(5, r#"{"lang":"ru","age":30,"tag":null}"#), (7, "Hello")];
    let data = data.map(|(id, text)| (user(id), text.to_owned()));
    store.set_data(OURS, data.into()).await.unwrap();
    let members = vec![(channel("web_x"), user(5)), (channel("web_x"), user(9))];
    store.add_members(OURS, members).await.unwrap();
    for (tenant, id, time) in [
        (OURS, 7, Some(1000)),
        (OURS, 9, Some(2000)),
        (THEIRS, 77, Some(1)),
    ] {
        let user = user(id);
        ask(store, StoreRequest::SetLastSeen { tenant, user, time });
    }
    let log = vec![
        content(1, "news", r#"{"n":1,"t":"Abc"}"#, Some(5)),
        content(2, "News", "plain text", None),
        content(3, "", r#"{"n":3,"t":"it's"}"#, Some(7)),
    ];
    publish(store, OURS, "web_log", log);
    publish(store, OURS, "web_old", vec![content(4, "x", "100%", None)]);
    publish(
        store,
        THEIRS,
        "web_log",
        vec![content(8, "x", "secret", Some(77))],
    );
    store
        .set_hashes(THEIRS, vec![(user(77), "secret".to_owned())])
        .await
        .unwrap();
    store
        .set_data(THEIRS, vec![(user(77), "secret".to_owned())])
        .await
        .unwrap();
    store
        .add_members(THEIRS, vec![(channel("secret"), user(77))])
        .await
        .unwrap();
    store
        .revoke_tokens(THEIRS, vec!["secret".to_owned()])
        .await
        .unwrap();
    for (tenant, of, number, text) in [
        (OURS, 7, 5, "hi"),
        (OURS, 7, 6, "ho"),
        (THEIRS, 77, 9, "secret"),
    ] {
        let append = StoreRequest::InboxAppend {
            tenant,
            user: user(of),
            content: content(number, "im", text, None),
            limit: 10,
            once: None,
        };
        ask(store, append);
    }
}

fn subscriber(name: &str, id: Option<u64>, slot: usize) -> SubscriberRow {
    SubscriberRow {
        channel: channel(name),
        connection: ConnectionId::new(ShardId(0), slot, 1),
        user: id.and_then(UserId::new),
        uuid: format!("uuid{slot}").into(),
        agent: "Mozilla".into(),
        address: "10.0.0.1".parse().unwrap(),
        origin: "https://example.org".into(),
        language: "en".into(),
        since_ms: 0,
    }
}

/// In `web_x` are 5, 7 and somebody anonymous; in `web_y` is 5.
fn live() -> HashMap<String, Snapshot> {
    let channels = [("web_x", 3), ("web_y", 1)].map(|(name, subscribers)| ChannelRow {
        channel: channel(name),
        subscribers,
    });
    let subscribers = [
        subscriber("web_x", Some(5), 1),
        subscriber("web_x", Some(7), 2),
        subscriber("web_x", None, 3),
        subscriber("web_y", Some(5), 1),
    ];
    let mut live: HashMap<String, Snapshot> = information_schema::TABLES
        .iter()
        .map(|table| {
            (
                format!("information_schema.{}", table.name),
                table.snapshot(),
            )
        })
        .collect();
    live.insert("trace".to_owned(), live::trace(&[]));
    live.insert("pipes".to_owned(), live::pipes(&channels));
    live.insert(
        "users_in_pipes".to_owned(),
        live::users_in_pipes(&subscribers),
    );
    live.insert(durable::ONLINE.to_owned(), live::user_list(&[user(5)]));
    live.insert(
        durable::ASKED.to_owned(),
        live::user_list(&[user(5), user(123)]),
    );
    live
}

impl World {
    fn new() -> Self {
        let store = Store::in_memory();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(fill(&store));
        let live = live()
            .into_iter()
            .map(|(name, rows)| (name, Arc::new(rows)));
        let live = Arc::new(live.collect());
        Self { store, live }
    }

    fn job(&self, sql: &str, values: &[Value]) -> Result<Job, SqlError> {
        let translation = translate(&*parsed(sql)?)?;
        let bound = translation
            .parameters
            .iter()
            .map(|parameter| match parameter {
                Parameter::Placeholder(number) => values[*number].clone(),
                Parameter::Text(text) => Value::Text(text.clone()),
                Parameter::Bytes(bytes) => Value::Bytes(bytes.clone()),
                Parameter::Variable(name) => Value::Text(name.clone()),
                Parameter::Session(Fact::Connection) => Value::Integer(4),
                Parameter::Session(fact) => Value::Text(format!("{fact:?}")),
            });
        Ok(Job {
            values: bound.collect(),
            sql: translation.sql,
            output: translation.output,
            tables: translation.tables.into_keys().collect(),
            snapshots: Arc::clone(&self.live),
            tenant: OURS,
            time: Duration::from_secs(60),
            rows: 1000,
        })
    }

    fn run(&self, sql: &str, values: &[Value]) -> Result<RowSet, SqlError> {
        let job = self.job(sql, values)?;
        execute(
            self.store.reader().unwrap(),
            &job,
            &Arc::new(AtomicU8::new(0)),
        )
    }

    /// The rows, their values apart by `|`, one row a line.
    fn rows(&self, sql: &str, values: &[Value]) -> String {
        match self.run(sql, values) {
            Ok(set) => set
                .rows
                .iter()
                .map(|row| line(row))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(failure) => format!("{failure}"),
        }
    }

    #[track_caller]
    fn check(&self, sql: &str, expected: &str) {
        assert_eq!(self.rows(sql, &[]), expected, "{sql}");
    }
}

fn line(row: &[Value]) -> String {
    let shown = |value: &Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => format!("{bytes:?}"),
    };
    row.iter().map(shown).collect::<Vec<_>>().join("|")
}

fn parsed(sql: &str) -> Result<Arc<Query>, SqlError> {
    let mut statements = parse::parse(sql, &Settings::default())?;
    match statements.remove(0).0 {
        Parsed::Select(select) => Ok(select.query),
        other => panic!("{sql} is {other:?}"),
    }
}
