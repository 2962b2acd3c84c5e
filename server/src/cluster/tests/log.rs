//! What only a log does, on a real one: events, what is whole, windows, and a quorum that is lost.

use std::sync::Arc;
use std::time::Duration;

use cometql_engine::publication::Content;
use cometql_engine::store::{Keep, LogKind, Once};
use cometql_engine::{
    Limits, LogEvent, MessageId, StoreAnswer, StoreFailure, StoreRequest, StoredPublication,
};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;

use super::super::nats_server::NatsServers;
use super::super::{Cluster, Log, Settings, streams};
use super::{PATIENCE, nats, settings, within};
use crate::shard::Mail;

const TENANT: TenantId = TenantId(3);
const EVER: Keep = Keep {
    publications: u64::MAX,
    age_ms: u64::MAX,
};

/// A log with one shard, which is the test.
pub(super) struct Shard {
    pub(super) cluster: Cluster,
    log: Log,
    mails: UnboundedReceiver<Mail>,
}

impl Shard {
    pub(super) async fn start(
        nats: &NatsServers,
        limits: Limits,
        quorum_timeout: Duration,
    ) -> Self {
        let settings = Settings {
            quorum_timeout,
            ..settings(nats, "a")
        };
        let cluster = Cluster::connect(settings).await.unwrap();
        streams::prepare(&cluster, &limits).await.unwrap();
        let (log, unstarted) = Log::new(cluster.clone(), Arc::new(limits));
        let (door, mails) = mpsc::unbounded_channel();
        unstarted.start(&log, &[door]);
        Self {
            cluster,
            log,
            mails,
        }
    }

    pub(super) async fn try_ask(&self, request: StoreRequest) -> Result<StoreAnswer, StoreFailure> {
        let (told, answer) = oneshot::channel();
        self.log
            .ask(request, Box::new(|result| _ = told.send(result)));
        within(answer).await.unwrap()
    }

    async fn ask(&self, request: StoreRequest) -> StoreAnswer {
        self.try_ask(request).await.unwrap()
    }

    async fn open(&self, log: LogKind) -> u64 {
        let start = cometql_protocol::wire::Position {
            epoch: cometql_protocol::wire::Epoch(0),
            offset: 0,
        };
        let request = StoreRequest::OpenChannel {
            tenant: TENANT,
            channel: channel(),
            start,
            renewed: None,
            log: Some(log),
        };
        match self.ask(request).await {
            StoreAnswer::Opened { position, .. } => position.offset,
            other => panic!("{other:?}"),
        }
    }

    async fn append(&self, log: LogKind, number: u128) -> u64 {
        match self.ask(append(log, number, None)).await {
            StoreAnswer::Appended { offset } => offset,
            other => panic!("{other:?}"),
        }
    }

    /// What is read after an offset, by the numbers of ids, and whether it is whole.
    async fn read(&self, log: LogKind, after: u64, limit: u64, newest: bool) -> (Vec<u128>, bool) {
        let request = StoreRequest::ReadHistory {
            tenant: TENANT,
            channel: channel(),
            after,
            limit,
            newest,
            log: Some(log),
        };
        match self.ask(request).await {
            StoreAnswer::HistoryPart { rows, whole } => {
                let id = |row: &StoredPublication| row.content.id.0;
                (rows.iter().map(id).collect(), whole)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn delete(&self, log: LogKind, id: Option<MessageId>) -> u64 {
        let request = StoreRequest::DeleteHistory {
            tenant: TENANT,
            channel: channel(),
            id,
            log: Some(log),
        };
        match self.ask(request).await {
            StoreAnswer::Changed(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    /// The next event of the channel or inbox.
    async fn event(&mut self) -> String {
        match within(self.mails.recv()).await.unwrap() {
            Mail::Log(event) => told(&event),
            _ => panic!("a log sends events only"),
        }
    }
}

fn told(event: &LogEvent) -> String {
    match event {
        LogEvent::Publication {
            content, complete, ..
        } => format!("publication {} {complete}", content.id.0),
        LogEvent::Removed { id, .. } => format!("removed {:?}", id.map(|id| id.0)),
        LogEvent::Gap { .. } => "gap".into(),
        LogEvent::Reset { .. } => "reset".into(),
        LogEvent::InboxReset { .. } => "inbox reset".into(),
        LogEvent::Inbox { message, .. } => format!("inbox {}", message.id.0),
        LogEvent::InboxRemoved { .. } => "inbox removed".into(),
        other => format!("{other:?}"),
    }
}

fn channel() -> ChannelName {
    ChannelName::parse("news:a.b").unwrap()
}

fn content(number: u128) -> Content {
    Content {
        id: MessageId(number),
        event: EventName::default(),
        data: format!("{number}").into(),
        data_is_json: false,
        time_ms: crate::cluster::now_ms(),
        user: None,
        from_browser: false,
        once: false,
    }
}

fn append(log: LogKind, number: u128, digest: Option<u64>) -> StoreRequest {
    StoreRequest::Append {
        tenant: TENANT,
        channel: channel(),
        offset: 0,
        content: content(number),
        keep: EVER,
        once: digest.map(|digest| Once {
            digest,
            until_ms: 0,
        }),
        log: Some(log),
    }
}

async fn shard(what: &str, limits: Limits) -> Option<(Shard, NatsServers, tempfile::TempDir)> {
    let (nats, folder) = nats(1, what)?;
    let shard = Shard::start(&nats, limits, PATIENCE / 2).await;
    Some((shard, nats, folder))
}

#[tokio::test]
async fn a_durable_history_is_a_list() {
    let Some((mut shard, _nats, _folder)) = shard("a durable history", Limits::default()).await
    else {
        return;
    };
    let log = LogKind::Durable;
    let start = shard.open(log).await;
    let mut offsets = vec![start];
    for number in 1..=6 {
        offsets.push(shard.append(log, number).await);
        assert_eq!(shard.event().await, format!("publication {number} true"));
    }
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    assert_eq!(
        shard.read(log, start, 10, false).await,
        (vec![1, 2, 3, 4, 5, 6], true)
    );
    assert_eq!(
        shard.read(log, offsets[4], 10, false).await,
        (vec![5, 6], true)
    );
    assert_eq!(shard.read(log, offsets[6], 10, false).await, (vec![], true));
    assert_eq!(
        shard.read(log, start, 4, false).await,
        (vec![1, 2, 3, 4], false)
    );
    assert_eq!(shard.read(log, 0, 2, true).await.0, [5, 6]);
    let place = crate::cluster::history::Place {
        kind: super::StreamKind::History,
        subject: shard
            .cluster
            .names()
            .channel(super::StreamKind::History, TENANT, &channel()),
    };
    let keep = Keep {
        publications: 3,
        ..EVER
    };
    shard.cluster.trim(&place, keep).await.unwrap();
    assert!(!shard.read(log, offsets[2], 10, false).await.1);
    assert_eq!(
        shard.read(log, offsets[3], 10, false).await,
        (vec![4, 5, 6], true)
    );
    assert_eq!(shard.delete(log, Some(MessageId(5))).await, 1);
    assert_eq!(shard.event().await, "removed Some(5)");
    assert_eq!(shard.delete(log, Some(MessageId(5))).await, 0);
    assert_eq!(
        shard.read(log, offsets[4], 10, false).await,
        (vec![6], false)
    );
    assert_eq!(
        shard.delete(log, None).await,
        3,
        "with the one that trimming left"
    );
    assert_eq!(shard.event().await, "removed None");
    assert_eq!(
        shard.read(log, offsets[6], 10, false).await,
        (vec![], false)
    );
    let after = shard.append(log, 7).await;
    assert_eq!(shard.read(log, 0, 10, true).await.0, [7]);
    assert_eq!(shard.open(log).await, after);
}

#[tokio::test]
async fn a_window_keeps_the_newest_and_says_what_is_whole() {
    let limits = Limits {
        window_publications: 3,
        ..Limits::default()
    };
    let Some((shard, _nats, _folder)) = shard("a window", limits).await else {
        return;
    };
    let log = LogKind::Window;
    let start = shard.open(log).await;
    let first = shard.append(log, 1).await;
    assert_eq!(shard.read(log, start, 10, false).await, (vec![1], true));
    for number in 2..=4 {
        shard.append(log, number).await;
    }
    assert_eq!(
        shard.read(log, start, 10, false).await,
        (vec![2, 3, 4], false)
    );
    assert_eq!(
        shard.read(log, first + 1, 10, false).await,
        (vec![3, 4], true)
    );
}

#[tokio::test]
async fn an_id_counts_once() {
    let Some((shard, _nats, _folder)) = shard("ids in a log", Limits::default()).await else {
        return;
    };
    for log in [LogKind::Window, LogKind::Durable] {
        let StoreAnswer::Appended { offset: first } = shard.ask(append(log, 1, Some(5))).await
        else {
            panic!("it is new");
        };
        let StoreAnswer::Known { offset, digest } = shard.ask(append(log, 1, Some(6))).await else {
            panic!("it is known");
        };
        assert_eq!((offset, digest), (first, 5));
    }
}

fn send(user: UserId, number: u128) -> StoreRequest {
    StoreRequest::InboxAppend {
        tenant: TENANT,
        user,
        content: content(number),
        limit: 2,
        once: Some(Once {
            digest: 1,
            until_ms: 0,
        }),
    }
}

async fn waiting(shard: &Shard, user: UserId, after: u64) -> Vec<u128> {
    let request = StoreRequest::InboxRead {
        tenant: TENANT,
        user,
        after,
        limit: 10,
    };
    match shard.ask(request).await {
        StoreAnswer::Inbox { messages, .. } => {
            messages.iter().map(|message| message.id.0).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_inbox_waits_until_it_is_acknowledged() {
    let limits = Limits {
        inbox_messages: 2,
        ..Limits::default()
    };
    let Some((mut shard, _nats, _folder)) = shard("inboxes in a log", limits).await else {
        return;
    };
    let user = UserId::new(9).unwrap();
    let StoreAnswer::InboxOffset(first) = shard.ask(send(user, 1)).await else {
        panic!("it is new");
    };
    shard.log.follow_user(TENANT, user, true);
    assert_eq!(waiting(&shard, user, 0).await, [1]);
    shard.ask(send(user, 2)).await;
    assert_eq!(shard.event().await, "inbox 2");
    assert!(matches!(
        shard.ask(send(user, 2)).await,
        StoreAnswer::Known { .. }
    ));
    assert!(matches!(shard.ask(send(user, 3)).await, StoreAnswer::Full));
    assert_eq!(waiting(&shard, user, first).await, [2]);
    let remove = StoreRequest::InboxRemove {
        tenant: TENANT,
        user,
        up_to: first,
    };
    assert!(matches!(shard.ask(remove).await, StoreAnswer::Changed(1)));
    assert!(matches!(
        shard.ask(send(user, 3)).await,
        StoreAnswer::InboxOffset(_)
    ));
    assert_eq!(shard.event().await, "inbox 3");
    assert_eq!(waiting(&shard, user, 0).await, [2, 3]);
}

#[tokio::test]
async fn a_lost_inbox_is_followed_anew() {
    let Some((mut shard, _nats, _folder)) = shard("inboxes that are lost", Limits::default()).await
    else {
        return;
    };
    let user = UserId::new(9).unwrap();
    shard.ask(send(user, 1)).await;
    shard.ask(send(user, 2)).await;
    shard.log.follow_user(TENANT, user, true);
    assert_eq!(waiting(&shard, user, 0).await, [1, 2]);
    let name = shard.cluster.names().stream(super::StreamKind::Inbox);
    shard.cluster.log().delete_stream(&name).await.unwrap();
    assert_eq!(shard.event().await, "inbox reset");
    assert!(waiting(&shard, user, 0).await.is_empty());
    shard.ask(send(user, 3)).await;
    assert_eq!(shard.event().await, "inbox 3");
}

#[tokio::test]
async fn a_lost_log_is_told_and_comes_back() {
    let Some((mut nats, _folder)) = nats(1, "a log out of reach") else {
        return;
    };
    let quorum_timeout = Duration::from_secs(3);
    let mut shard = Shard::start(&nats, Limits::default(), quorum_timeout).await;
    shard.open(LogKind::Window).await;
    shard.append(LogKind::Window, 1).await;
    assert_eq!(shard.event().await, "publication 1 true");
    nats.kill(0);
    for number in [2, 3] {
        let lost = shard.try_ask(append(LogKind::Window, number, None)).await;
        assert_eq!(lost.unwrap_err(), StoreFailure::NoQuorum);
    }
    assert_eq!(shard.cluster.counters().quorum_lost.get(), 1);
    nats.run(0);
    // The stream was in memory.
    assert_eq!(shard.event().await, "reset");
    // That was read from it; whether it takes messages again is tried by itself.
    let kind = crate::cluster::StreamKind::Windows;
    within(async {
        while shard.cluster.health().is_lost(kind) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    shard.open(LogKind::Window).await;
    shard.append(LogKind::Window, 4).await;
    assert_eq!(shard.event().await, "publication 4 true");
}

#[tokio::test]
async fn what_is_too_old_is_swept_by_one_member() {
    let Some((shard, _nats, _folder)) = shard("what is too old", Limits::default()).await else {
        return;
    };
    let log = LogKind::Durable;
    shard.open(log).await;
    let keep = Keep {
        age_ms: 60_000,
        ..EVER
    };
    for (number, ago_ms) in [(1, 90_000), (2, 80_000), (3, 70_000), (4, 1_000)] {
        let mut content = content(number);
        content.time_ms -= ago_ms;
        let request = StoreRequest::Append {
            tenant: TENANT,
            channel: channel(),
            offset: 0,
            content,
            keep,
            once: None,
            log: Some(log),
        };
        shard.ask(request).await;
    }
    let kind = super::StreamKind::History;
    let subject = shard.cluster.names().channel(kind, TENANT, &channel());
    let count = async || {
        let counted = shard.cluster.count_from(kind, &subject, 0).await.unwrap();
        counted.map_or(0, |(_, count)| count)
    };
    assert_eq!(shard.read(log, 0, 10, true).await.0, [4]);
    // One of them tells that nothing after it is missing.
    let pause = Duration::ZERO;
    assert_eq!(shard.cluster.sweep(pause).await.unwrap(), 1);
    assert_eq!(count().await, 2);
    assert_eq!(shard.read(log, 0, 10, true).await.0, [4]);
    assert_eq!(shard.cluster.sweep(pause).await.unwrap(), 1);
    assert_eq!(count().await, 2);
    let turns = [5, 5, 6].map(|turn| shard.cluster.takes_turn(turn));
    let turns = futures_util::future::join_all(turns).await;
    assert_eq!(
        turns
            .into_iter()
            .map(Result::unwrap)
            .filter(|took| *took)
            .count(),
        2
    );
}
