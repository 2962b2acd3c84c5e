//! What whoever keeps channels and inboxes must answer: one list of questions, asked of the embedded store and of a cluster's
//! log on a real NATS server. Where the two answer otherwise by design, the list says so, and why.

use std::sync::Arc;

use cometql_engine::publication::Content;
use cometql_engine::store::{Keep, LogKind, Once};
use cometql_engine::{
    Limits, MessageId, StoreAnswer, StoreFailure, StoreRequest, StoredPublication,
};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::oneshot;

use super::log::Shard;
use super::{PATIENCE, StreamKind, nats};
use crate::cluster::history::Place;
use crate::storage::{Durability, Store};

const TENANT: TenantId = TenantId(3);
/// Messages that wait for a user at most.
const INBOX: u64 = 3;
/// Publications that the kept channels keep.
const KEPT: u64 = 3;
/// How long they are kept in one of them, milliseconds.
const AGE_MS: u64 = 60_000;

/// A question. Publications and private messages have numbers; offsets are told by them, 0 = where the channel began.
#[derive(Debug, Clone, Copy)]
enum Ask {
    /// Where does the channel stand?
    Open(&'static str),
    /// Adds a publication.
    Append(&'static str, u64),
    /// Adds one that was published so many milliseconds ago, to a channel that keeps for [`AGE_MS`].
    AppendOld(&'static str, u64, u64),
    /// Adds one whose id its sender chose, with this digest.
    Once(&'static str, u64, u64),
    /// Publications after one: at most so many, the oldest.
    Oldest(&'static str, u64, u64),
    /// The newest.
    Newest(&'static str, u64, u64),
    /// Deletes all, or one.
    Delete(&'static str, Option<u64>),
    /// Lets the time come at which a channel is trimmed.
    Trim(&'static str),
    /// A private message.
    Push(u64, u64),
    /// One whose id its sender chose, with this digest.
    PushOnce(u64, u64, u64),
    /// What waits for a user after a message.
    Inbox(u64, u64),
    /// Messages up to this one are acknowledged.
    Acknowledge(u64, u64),
    /// All of them are removed.
    Clear(u64),
    /// This one alone.
    RemoveOne(u64, u64),
}
use Ask::*;

/// What is expected.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// Of both.
    Both(&'static str),
    /// Each its own, and why.
    Differs {
        store: &'static str,
        log: &'static str,
        #[expect(dead_code, reason = "for who reads the list")]
        why: &'static str,
    },
}
use Expect::*;

const MARK: &str = "one more stays: it tells that nothing after it is missing";

/// Channels: `all` keeps everything, `few` keeps [`KEPT`], `young` for [`AGE_MS`].
const LIST: &[(Ask, Expect)] = &[
    // A channel begins, and stands where its last publication is.
    (Open("all"), Both("at 0")),
    (Oldest("all", 0, 9), Both("")),
    (Append("all", 1), Both("stored")),
    (Append("all", 2), Both("stored")),
    (Open("all"), Both("at 2, as before")),
    // Another one has another place.
    (Open("few"), Both("at 0")),
    (Append("few", 3), Both("stored")),
    (Append("all", 4), Both("stored")),
    (Open("all"), Both("at 4, as before")),
    (Open("few"), Both("at 3, as before")),
    // Read from both ends.
    (Oldest("all", 0, 9), Both("1 2 4")),
    (Oldest("all", 0, 2), Both("1 2")),
    (Newest("all", 0, 2), Both("2 4")),
    (Oldest("all", 1, 9), Both("2 4")),
    (Oldest("all", 4, 9), Both("")),
    (Newest("all", 2, 9), Both("4")),
    (Newest("all", 0, 0), Both("")),
    // An id that its sender chose is there once, whatever comes with it.
    (Once("all", 5, 50), Both("stored")),
    (Once("all", 5, 50), Both("known at 5: 50")),
    (Once("all", 5, 51), Both("known at 5: 50")),
    (Oldest("all", 4, 9), Both("5")),
    (Open("all"), Both("at 5, as before")),
    // And counts in its channel only.
    (Once("few", 5, 51), Both("stored")),
    // Deleted, one or all; places go on.
    (Delete("all", Some(2)), Both("1")),
    (Delete("all", Some(2)), Both("0")),
    (Delete("all", Some(3)), Both("0")),
    (Oldest("all", 0, 9), Both("1 4 5")),
    (Delete("all", None), Both("3")),
    (Delete("all", None), Both("0")),
    (Oldest("all", 0, 9), Both("")),
    (
        Once("all", 5, 51),
        Differs {
            store: "known at 5: 50",
            log: "known at 5: 51",
            why: "what it was is known as long as it is kept; gone, it counts as the same",
        },
    ),
    (Append("all", 6), Both("stored")),
    (Oldest("all", 0, 9), Both("6")),
    (Open("all"), Both("at 6, as before")),
    // Kept by number.
    (Append("few", 7), Both("stored")),
    (Append("few", 8), Both("stored")),
    (Append("few", 9), Both("stored")),
    (Trim("few"), Both("")),
    (
        Oldest("few", 0, 9),
        Differs {
            store: "7 8 9",
            log: "5 7 8 9",
            why: MARK,
        },
    ),
    (Newest("few", 0, KEPT), Both("7 8 9")),
    (Oldest("few", 7, 9), Both("8 9")),
    // Kept for a time. What is too old is not read, whether or not it is removed already.
    (Open("young"), Both("at 0")),
    (AppendOld("young", 10, 2 * AGE_MS), Both("stored")),
    (AppendOld("young", 11, AGE_MS / 2), Both("stored")),
    (AppendOld("young", 12, 0), Both("stored")),
    (Oldest("young", 0, 9), Both("11 12")),
    (Trim("young"), Both("")),
    (Oldest("young", 0, 9), Both("11 12")),
    (Open("young"), Both("at 12, as before")),
    // Private messages wait in order, until they are acknowledged.
    (Inbox(7, 0), Both("")),
    (Push(7, 1), Both("stored")),
    (Push(7, 2), Both("stored")),
    (Push(8, 3), Both("stored")),
    (Inbox(7, 0), Both("1 2")),
    (Inbox(7, 1), Both("2")),
    (Inbox(7, 2), Both("")),
    (PushOnce(7, 4, 40), Both("stored")),
    (PushOnce(7, 4, 40), Both("known at 4: 40")),
    (PushOnce(7, 4, 41), Both("known at 4: 40")),
    // No more than so many, and none is dropped.
    (Push(7, 5), Both("full")),
    (Inbox(7, 0), Both("1 2 4")),
    (Acknowledge(7, 1), Both("1")),
    (Acknowledge(7, 1), Both("0")),
    (Push(7, 5), Both("stored")),
    (Inbox(7, 0), Both("2 4 5")),
    // One alone, of its user.
    (RemoveOne(7, 4), Both("1")),
    (RemoveOne(7, 4), Both("0")),
    (RemoveOne(7, 3), Both("0")),
    (Inbox(7, 0), Both("2 5")),
    (Push(7, 6), Both("stored")),
    (Push(7, 9), Both("full")),
    (Acknowledge(7, 5), Both("2")),
    (Inbox(7, 0), Both("6")),
    (Clear(7), Both("1")),
    (Clear(7), Both("0")),
    (Inbox(7, 0), Both("")),
    (Inbox(8, 0), Both("3")),
];

/// Who is asked.
trait Keeper {
    /// Its log, if it is one.
    const LOG: Option<LogKind>;

    /// Asks.
    fn ask(&self, request: StoreRequest) -> BoxFuture<'_, Result<StoreAnswer, StoreFailure>>;

    /// The time has come to trim a channel.
    fn trim(&self, channel: ChannelName, keep: Keep) -> BoxFuture<'_, ()>;
}

/// What was told before: by channel or user, the offsets of numbers, and how the channel began.
#[derive(Default)]
struct Told {
    places: Vec<(String, u64, u64)>,
    began: Vec<(String, Position)>,
    last: u64,
}

impl Told {
    fn offset(&self, of: &str, number: u64) -> u64 {
        let places = self.places.iter();
        let found = places
            .rev()
            .find(|place| place.0 == of && place.1 == number);
        found.map_or(u64::from(number > 0) * u64::MAX / 4, |place| place.2)
    }

    fn number(&self, of: &str, offset: u64) -> u64 {
        let places = self.places.iter();
        let found = places
            .rev()
            .find(|place| place.0 == of && place.2 == offset);
        found.map_or(u64::MAX, |place| place.1)
    }

    fn opened(&mut self, of: &str, position: Position) -> String {
        let Some((_, began)) = self.began.iter().find(|(channel, _)| channel == of) else {
            self.began.push((of.to_owned(), position));
            self.places.push((of.to_owned(), 0, position.offset));
            return "at 0".into();
        };
        let same = if began.epoch == position.epoch {
            "as before"
        } else {
            "another life"
        };
        format!("at {}, {same}", self.number(of, position.offset))
    }

    fn stored(&mut self, of: &str, number: u64, offset: u64) -> String {
        let places = self.places.iter();
        let last = places.filter(|place| place.0 == of).map(|place| place.2);
        assert!(last.max() < Some(offset), "{of}: {number} at {offset}");
        self.places.push((of.to_owned(), number, offset));
        "stored".into()
    }

    fn answer(&mut self, of: &str, number: u64, offset: u64, answer: StoreAnswer) -> String {
        match answer {
            StoreAnswer::Channel { position } | StoreAnswer::Opened { position, .. } => {
                self.opened(of, position)
            }
            StoreAnswer::Appended { offset } | StoreAnswer::InboxOffset(offset) => {
                self.stored(of, number, offset)
            }
            // The store adds at the place that it was told.
            StoreAnswer::Changed(_) if number > 0 => self.stored(of, number, offset),
            StoreAnswer::Changed(rows) => rows.to_string(),
            StoreAnswer::Known { offset, digest } => {
                format!("known at {}: {digest}", self.number(of, offset))
            }
            StoreAnswer::Full => "full".into(),
            StoreAnswer::History(rows) | StoreAnswer::HistoryPart { rows, .. } => {
                let row = |row: &StoredPublication| (row.offset, row.content.id);
                self.listed(of, rows.iter().map(row))
            }
            StoreAnswer::Inbox { messages, .. } => {
                self.listed(of, messages.iter().map(|row| (row.offset, row.id)))
            }
            other => format!("{other:?}"),
        }
    }

    fn listed(&self, of: &str, rows: impl Iterator<Item = (u64, MessageId)>) -> String {
        let number = |(offset, id)| {
            let number = self.number(of, offset);
            assert_eq!(id, content(number, 0).id, "{of}: at {offset}");
            number.to_string()
        };
        rows.map(number).collect::<Vec<_>>().join(" ")
    }
}

fn content(number: u64, ago_ms: u64) -> Content {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Content {
        id: MessageId(u128::from(number) << 64 | 7),
        event: EventName::parse("news").unwrap(),
        data: Arc::from(format!("text {number} ü")),
        data_is_json: false,
        time_ms: u64::try_from(now.as_millis()).unwrap() - ago_ms,
        user: None,
        from_browser: false,
        once: false,
    }
}

fn keep(channel: &str) -> Keep {
    let all = Keep {
        publications: u64::MAX,
        age_ms: u64::MAX,
    };
    match channel {
        "few" => Keep {
            publications: KEPT,
            ..all
        },
        "young" => Keep {
            age_ms: AGE_MS,
            ..all
        },
        _ => all,
    }
}

fn once(digest: u64) -> Option<Once> {
    let until_ms = u64::MAX >> 1;
    (digest > 0).then_some(Once { digest, until_ms })
}

/// Asks all, in order.
async fn run<K: Keeper>(keeper: K) {
    let mut told = Told::default();
    for (at, (ask, expect)) in LIST.iter().enumerate() {
        let answer = step(&keeper, &mut told, *ask).await;
        let expected = match expect {
            Both(expected) => expected,
            Differs { store, .. } if K::LOG.is_none() => store,
            Differs { log, .. } => log,
        };
        assert_eq!(&answer, expected, "question {at}: {ask:?}");
    }
}

async fn step<K: Keeper>(keeper: &K, told: &mut Told, ask: Ask) -> String {
    let of = match ask {
        Open(channel)
        | Append(channel, _)
        | AppendOld(channel, ..)
        | Once(channel, ..)
        | Oldest(channel, ..)
        | Newest(channel, ..)
        | Delete(channel, _)
        | Trim(channel) => channel.to_owned(),
        Push(user, _)
        | PushOnce(user, ..)
        | Inbox(user, _)
        | Acknowledge(user, _)
        | Clear(user)
        | RemoveOne(user, _) => format!("user {user}"),
    };
    if let Trim(channel) = ask {
        keeper.trim(name(channel), keep(channel)).await;
        return String::new();
    }
    // The store is told the next place; a log gives one.
    told.last += 1;
    let offset = if K::LOG.is_none() { told.last } else { 0 };
    let number = match ask {
        Append(_, number)
        | AppendOld(_, number, _)
        | Once(_, number, _)
        | Push(_, number)
        | PushOnce(_, number, _) => number,
        _ => 0,
    };
    let request = request(ask, K::LOG, offset, |number| told.offset(&of, number));
    let answer = keeper.ask(request).await.unwrap();
    told.answer(&of, number, offset, answer)
}

fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).unwrap()
}

/// A question as it is asked; `place` tells the offset of a number.
fn request(
    ask: Ask,
    log: Option<LogKind>,
    offset: u64,
    place: impl Fn(u64) -> u64,
) -> StoreRequest {
    let append = |channel, number, ago_ms, digest| StoreRequest::Append {
        tenant: TENANT,
        channel: name(channel),
        offset,
        content: content(number, ago_ms),
        keep: keep(channel),
        once: once(digest),
        log,
    };
    let read = |channel, after, limit, newest| StoreRequest::ReadHistory {
        tenant: TENANT,
        channel: name(channel),
        after: place(after),
        limit,
        newest,
        log,
    };
    match ask {
        Open(channel) => StoreRequest::OpenChannel {
            tenant: TENANT,
            channel: name(channel),
            start: Position {
                epoch: Epoch(5),
                offset: 0,
            },
            renewed: None,
            log,
        },
        Append(channel, number) => append(channel, number, 0, 0),
        AppendOld(channel, number, ago_ms) => append(channel, number, ago_ms, 0),
        Once(channel, number, digest) => append(channel, number, 0, digest),
        Oldest(channel, after, limit) => read(channel, after, limit, false),
        Newest(channel, after, limit) => read(channel, after, limit, true),
        Delete(channel, number) => StoreRequest::DeleteHistory {
            tenant: TENANT,
            channel: name(channel),
            id: number.map(|number| content(number, 0).id),
            log,
        },
        Trim(_) => unreachable!("nobody is asked"),
        Push(..) | PushOnce(..) | Inbox(..) | Acknowledge(..) | Clear(_) | RemoveOne(..) => {
            of_inbox(ask, place)
        }
    }
}

fn of_inbox(ask: Ask, place: impl Fn(u64) -> u64) -> StoreRequest {
    let tenant = TENANT;
    let user = |number| UserId::new(number).unwrap();
    let push = |of, number, digest| StoreRequest::InboxAppend {
        tenant,
        user: user(of),
        content: content(number, 0),
        limit: INBOX,
        once: once(digest),
    };
    let remove = |of, up_to| StoreRequest::InboxRemove {
        tenant,
        user: user(of),
        up_to,
    };
    match ask {
        Push(of, number) => push(of, number, 0),
        PushOnce(of, number, digest) => push(of, number, digest),
        Inbox(of, after) => StoreRequest::InboxRead {
            tenant,
            user: user(of),
            after: place(after),
            limit: 100,
        },
        Acknowledge(of, number) => remove(of, place(number)),
        Clear(of) => remove(of, u64::MAX),
        RemoveOne(of, number) => StoreRequest::InboxRemoveOne {
            tenant,
            user: user(of),
            offset: place(number),
        },
        other => unreachable!("of a channel: {other:?}"),
    }
}

impl Keeper for Store {
    const LOG: Option<LogKind> = None;

    fn ask(&self, request: StoreRequest) -> BoxFuture<'_, Result<StoreAnswer, StoreFailure>> {
        let (told, answer) = oneshot::channel();
        Self::ask(self, request, |result| _ = told.send(result));
        async { answer.await.unwrap() }.boxed()
    }

    /// It trims what it adds to.
    fn trim(&self, _: ChannelName, _: Keep) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

#[tokio::test]
async fn the_store_in_memory() {
    run(Store::in_memory()).await;
}

#[tokio::test]
async fn the_store_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("new"), Durability::Process).unwrap();
    run(store.clone()).await;
    store.shutdown().await;
}

impl Keeper for Shard {
    const LOG: Option<LogKind> = Some(LogKind::Durable);

    fn ask(&self, request: StoreRequest) -> BoxFuture<'_, Result<StoreAnswer, StoreFailure>> {
        self.try_ask(request).boxed()
    }

    fn trim(&self, channel: ChannelName, keep: Keep) -> BoxFuture<'_, ()> {
        let kind = StreamKind::History;
        let subject = self.cluster.names().channel(kind, TENANT, &channel);
        let place = Place { kind, subject };
        async move { self.cluster.trim(&place, keep).await.unwrap() }.boxed()
    }
}

#[tokio::test]
async fn the_log_on_nats() {
    let Some((nats, _folder)) = nats(1, "the answers of a log") else {
        return;
    };
    let limits = Limits {
        inbox_messages: INBOX,
        ..Limits::default()
    };
    run(Shard::start(&nats, limits, PATIENCE / 2).await).await;
}
