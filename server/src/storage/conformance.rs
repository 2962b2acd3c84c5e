//! What every store must do, run on both locations: memory and directory.

use std::sync::Arc;

use cometql_engine::publication::Content;
use cometql_engine::store::Keep;
use cometql_engine::{MessageId, StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId};
use proptest::prelude::*;

use super::{Durability, Store};

mod replica;
mod retries;
mod rules;

pub(super) const TENANT: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);

/// Runs a check on a store in memory and on one in a directory.
#[track_caller]
fn on_both(check: impl Fn(&Store)) {
    check(&Store::in_memory());
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("new"), Durability::Process).unwrap();
    check(&store);
    wait(store.shutdown());
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

pub(super) fn try_ask(store: &Store, request: StoreRequest) -> Result<StoreAnswer, StoreFailure> {
    let (sender, receiver) = std::sync::mpsc::channel();
    store.ask(request, move |result| sender.send(result).unwrap());
    receiver.recv().unwrap()
}

#[track_caller]
pub(super) fn ask(store: &Store, request: StoreRequest) -> StoreAnswer {
    try_ask(store, request).unwrap()
}

pub(super) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(super) fn user(number: u64) -> UserId {
    UserId::new(number).unwrap()
}

pub(super) fn content(number: u64) -> Content {
    Content {
        id: MessageId(u128::from(number) << 64 | 7),
        event: EventName::parse("news").unwrap(),
        data: Arc::from(format!("text {number} \0 ü")),
        data_is_json: number.is_multiple_of(2),
        time_ms: 1_000_000 + number * 1000,
        user: UserId::new(number),
        from_browser: false,
        once: false,
    }
}

pub(super) const KEEP_ALL: Keep = Keep {
    publications: u64::MAX,
    age_ms: u64::MAX,
};

pub(super) fn open_channel(store: &Store, tenant: TenantId, name: &str, epoch: u64) -> Position {
    open_at(store, tenant, name, (epoch, 0), None)
}

fn open_at(
    store: &Store,
    tenant: TenantId,
    name: &str,
    (epoch, offset): (u64, u64),
    renewed: Option<u64>,
) -> Position {
    let request = StoreRequest::OpenChannel {
        tenant,
        channel: channel(name),
        start: Position {
            epoch: Epoch(epoch),
            offset,
        },
        renewed: renewed.map(Epoch),
        log: None,
    };
    match ask(store, request) {
        StoreAnswer::Channel { position } => position,
        other => panic!("{other:?}"),
    }
}

pub(super) fn append_request(name: &str, offset: u64, keep: Keep) -> StoreRequest {
    StoreRequest::Append {
        tenant: TENANT,
        channel: channel(name),
        offset,
        content: content(offset),
        keep,
        once: None,
        log: None,
    }
}

fn append(store: &Store, name: &str, offset: u64, keep: Keep) {
    ask(store, append_request(name, offset, keep));
}

pub(super) fn history(store: &Store, name: &str, after: u64, limit: u64, newest: bool) -> Vec<u64> {
    let request = StoreRequest::ReadHistory {
        tenant: TENANT,
        channel: channel(name),
        after,
        limit,
        newest,
        log: None,
    };
    let StoreAnswer::History(found) = ask(store, request) else {
        panic!("no history");
    };
    for row in &found {
        assert_eq!(
            format!("{:?}", row.content),
            format!("{:?}", content(row.offset)),
            "the content of offset {}",
            row.offset
        );
    }
    found.into_iter().map(|row| row.offset).collect()
}

fn delete(store: &Store, name: &str, id: Option<MessageId>) -> u64 {
    let request = StoreRequest::DeleteHistory {
        tenant: TENANT,
        channel: channel(name),
        id,
        log: None,
    };
    changed(ask(store, request))
}

fn set_history(store: &Store, name: &str, length: Option<u64>) -> u64 {
    let request = StoreRequest::SetHistory {
        tenant: TENANT,
        channel: channel(name),
        length,
    };
    changed(ask(store, request))
}

fn changed(answer: StoreAnswer) -> u64 {
    match answer {
        StoreAnswer::Changed(rows) => rows,
        other => panic!("{other:?}"),
    }
}

pub(super) fn inbox_append(store: &Store, of: u64, number: u64, limit: u64) -> StoreAnswer {
    let request = StoreRequest::InboxAppend {
        tenant: TENANT,
        user: user(of),
        content: content(number),
        limit,
        once: None,
    };
    ask(store, request)
}

pub(super) fn inbox(store: &Store, of: u64, after: u64) -> Vec<u64> {
    let request = StoreRequest::InboxRead {
        tenant: TENANT,
        user: user(of),
        after,
        limit: 100,
    };
    match ask(store, request) {
        StoreAnswer::Inbox { messages, .. } => {
            messages.iter().map(|message| message.offset).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn inbox_remove(store: &Store, of: u64, up_to: u64) -> u64 {
    let request = StoreRequest::InboxRemove {
        tenant: TENANT,
        user: user(of),
        up_to,
    };
    changed(ask(store, request))
}

pub(super) fn last_seen(store: &Store, of: u64) -> Option<u64> {
    let request = StoreRequest::LastSeen {
        tenant: TENANT,
        user: user(of),
    };
    match ask(store, request) {
        StoreAnswer::LastSeen(time) => time,
        other => panic!("{other:?}"),
    }
}

pub(super) fn set_last_seen(store: &Store, of: u64, time: Option<u64>) {
    let request = StoreRequest::SetLastSeen {
        tenant: TENANT,
        user: user(of),
        time,
    };
    assert_eq!(changed(ask(store, request)), 1);
}

#[test]
fn channels_keep_epoch_and_offset() {
    on_both(|store| {
        let first = open_channel(store, TENANT, "web_a", u64::MAX - 1);
        assert_eq!(
            (first.epoch, first.offset),
            (Epoch(u64::MAX - 1), 0),
            "a new channel"
        );
        append(store, "web_a", 1, KEEP_ALL);
        append(store, "web_a", 2, KEEP_ALL);
        assert_eq!(open_channel(store, OTHER, "web_a", 9).epoch, Epoch(9));
        assert_eq!(open_channel(store, TENANT, "web_A", 8).offset, 0);
        assert_eq!(delete(store, "web_a", None), 2);
        assert_eq!(set_history(store, "web_a", None), 0);
        let again = open_channel(store, TENANT, "web_a", 5);
        assert_eq!(again.offset, 2);
        assert!(![5, u64::MAX - 1].contains(&again.epoch.0), "given up");
        assert_eq!(open_channel(store, TENANT, "web_a", 5), again);
    });
}

#[test]
fn a_channel_that_was_in_use_without_the_store_keeps_its_place() {
    on_both(|store| {
        let told = |position: Position| (position.epoch.0, position.offset);
        let open = |start, renewed| told(open_at(store, TENANT, "web_a", start, renewed));
        assert_eq!(open((3, 4), Some(9)), (3, 4), "it has no record yet");
        append(store, "web_a", 5, KEEP_ALL);
        assert_eq!(open((7, 0), None), (3, 5));
        assert_eq!(open((3, 8), Some(9)), (9, 8));
        assert_eq!(open((3, 2), Some(10)), (10, 8));
        append(store, "web_a", 9, KEEP_ALL);
        append(store, "web_a", 11, KEEP_ALL);
        assert_eq!(set_history(store, "web_a", Some(7)), 1);
        assert_eq!(open((7, 0), None), (10, 11));
        assert_eq!(links(store), [(4, 5), (8, 9), (9, 11)]);
        assert_eq!(set_history(store, "web_a", Some(0)), 1);
        assert_ne!(open((7, 0), None).0, 10);
    });
}

/// The offsets before those of `web_a`, and its own.
fn links(store: &Store) -> Vec<(u64, u64)> {
    let request = StoreRequest::ReadHistory {
        tenant: TENANT,
        channel: channel("web_a"),
        after: 0,
        limit: 100,
        newest: false,
        log: None,
    };
    match ask(store, request) {
        StoreAnswer::History(found) => found.iter().map(|row| (row.previous, row.offset)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn history_is_read_from_both_ends() {
    on_both(|store| {
        open_channel(store, TENANT, "web_a", 1);
        open_channel(store, TENANT, "web_b", 1);
        for offset in 1..=5 {
            append(store, "web_a", offset, KEEP_ALL);
        }
        append(store, "web_b", 1, KEEP_ALL);
        assert_eq!(history(store, "web_a", 0, 2, false), [1, 2]);
        assert_eq!(history(store, "web_a", 0, 2, true), [4, 5]);
        assert_eq!(history(store, "web_a", 3, 100, false), [4, 5]);
        assert_eq!(history(store, "web_a", 0, u64::MAX, true), [1, 2, 3, 4, 5]);
        assert_eq!(history(store, "web_a", u64::MAX, 9, false), [0; 0]);
        assert_eq!(history(store, "web_c", 0, 9, false), [0; 0]);
        assert_eq!(delete(store, "web_b", Some(content(2).id)), 0);
        assert_eq!(delete(store, "web_a", Some(content(2).id)), 1);
        assert_eq!(history(store, "web_a", 0, 9, false), [1, 3, 4, 5]);
        assert_eq!(history(store, "web_b", 0, 9, false), [1]);
        let of = |tenant, number| wait(store.channels_of(tenant, content(number).id)).unwrap();
        assert_eq!(of(TENANT, 1), [channel("web_a"), channel("web_b")]);
        assert_eq!(of(TENANT, 3), [channel("web_a")]);
        assert_eq!(of(TENANT, 2), []);
        assert_eq!(of(OTHER, 3), []);
    });
}

#[test]
fn a_publication_needs_an_open_channel_and_a_free_offset() {
    on_both(|store| {
        assert!(try_ask(store, append_request("web_a", 1, KEEP_ALL)).is_err());
        open_channel(store, TENANT, "web_a", 1);
        append(store, "web_a", 1, KEEP_ALL);
        assert!(try_ask(store, append_request("web_a", 1, KEEP_ALL)).is_err());
        assert_eq!(history(store, "web_a", 0, 9, false), [1]);
        assert_eq!(store.stats().failures, 2);
    });
}

#[test]
fn histories_are_trimmed_by_number_and_by_age() {
    on_both(|store| {
        open_channel(store, TENANT, "web_a", 1);
        let three = Keep {
            publications: 3,
            ..KEEP_ALL
        };
        for offset in 1..=5 {
            append(store, "web_a", offset, three);
        }
        assert_eq!(history(store, "web_a", 0, 9, false), [3, 4, 5]);
        delete(store, "web_a", Some(content(4).id));
        append(store, "web_a", 6, three);
        assert_eq!(history(store, "web_a", 0, 9, false), [3, 5, 6]);
        open_channel(store, TENANT, "trust_a", 1);
        let two_seconds = Keep {
            age_ms: 2000,
            ..KEEP_ALL
        };
        for offset in 1..=5 {
            append(store, "trust_a", offset, two_seconds);
        }
        assert_eq!(history(store, "trust_a", 0, 9, false), [3, 4, 5]);
        assert_eq!(wait(store.purge(content(6).time_ms, u64::MAX)), Ok(1));
        assert_eq!(history(store, "trust_a", 0, 9, false), [4, 5]);
        assert_eq!(wait(store.purge(u64::MAX, u64::MAX)), Ok(2));
        assert_eq!(history(store, "web_a", 0, 9, false), [3, 5, 6]);
    });
}

#[test]
fn settings_go_with_their_history() {
    on_both(|store| {
        open_channel(store, TENANT, "web_a", 1);
        assert_eq!(set_history(store, "web_a", Some(10)), 1);
        assert_eq!(set_history(store, "web_a", Some(20)), 1);
        append(store, "web_a", 1, KEEP_ALL);
        let settings = store.settings().unwrap();
        assert_eq!(settings, [(TENANT, channel("web_a"), 20)]);
        assert_eq!(set_history(store, "web_a", None), 2);
        assert_eq!(store.settings().unwrap(), []);
        assert_eq!(history(store, "web_a", 0, 9, false), [0; 0]);
    });
}

#[test]
fn inboxes_fill_up_and_offsets_go_on() {
    on_both(|store| {
        let offset = |answer| match answer {
            StoreAnswer::InboxOffset(offset) => Some(offset),
            StoreAnswer::Full => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(offset(inbox_append(store, 7, 1, 2)), Some(1));
        assert_eq!(offset(inbox_append(store, 7, 2, 2)), Some(2));
        assert_eq!(offset(inbox_append(store, 7, 3, 2)), None);
        assert_eq!(offset(inbox_append(store, 8, 3, 2)), Some(1));
        assert_eq!(inbox(store, 7, 0), [1, 2]);
        assert_eq!(inbox(store, 7, 1), [2]);
        assert_eq!(inbox_remove(store, 7, 1), 1);
        assert_eq!(offset(inbox_append(store, 7, 4, 2)), Some(3));
        assert_eq!(inbox_remove(store, 7, u64::MAX), 2);
        assert_eq!(offset(inbox_append(store, 7, 5, 2)), Some(4));
        assert_eq!(wait(store.purge(content(5).time_ms, 1000)), Ok(1));
        assert_eq!(inbox(store, 8, 0), [0; 0]);
        assert_eq!(inbox(store, 7, 0), [4]);
        assert_eq!(offset(inbox_append(store, 8, 6, 1)), Some(2));
    });
}

#[test]
fn last_seen_is_the_last_time_of_leaving() {
    on_both(|store| {
        assert_eq!(last_seen(store, 7), None);
        set_last_seen(store, 7, None);
        assert_eq!(last_seen(store, 7), None);
        set_last_seen(store, 7, Some(50));
        set_last_seen(store, 7, None);
        assert_eq!(last_seen(store, 7), Some(50));
    });
}

#[test]
fn key_tables() {
    on_both(|store| {
        wait(async {
            let rows = vec![(user(7), "a=".to_owned()), (user(8), String::new())];
            assert_eq!(store.set_hashes(TENANT, rows).await, Ok(2));
            let rows = vec![(user(7), "B".to_owned())];
            assert_eq!(store.set_hashes(TENANT, rows.clone()).await, Ok(1));
            assert_eq!(store.hash(TENANT, user(7)).await, Ok(Some("B".into())));
            assert_eq!(store.hash(TENANT, user(8)).await, Ok(Some(String::new())));
            assert_eq!(store.hash(OTHER, user(7)).await, Ok(None));
            let both = vec![user(7), user(9)];
            assert_eq!(store.remove_hashes(TENANT, both.clone()).await, Ok(1));
            assert_eq!(store.hash(TENANT, user(7)).await, Ok(None));

            assert_eq!(store.set_data(TENANT, rows).await, Ok(1));
            assert_eq!(user_data(store, 7), "B");
            assert_eq!(store.remove_data(TENANT, both).await, Ok(1));
            assert_eq!(user_data(store, 7), "");

            let tokens = vec!["t1".to_owned(), "t1".to_owned(), "t2".to_owned()];
            assert_eq!(store.revoke_tokens(TENANT, tokens.clone()).await, Ok(2));
            assert_eq!(store.is_revoked(TENANT, "t1".into()).await, Ok(true));
            assert_eq!(store.is_revoked(TENANT, "T1".into()).await, Ok(false));
            assert_eq!(store.is_revoked(OTHER, "t1".into()).await, Ok(false));
            assert_eq!(store.unrevoke_tokens(TENANT, tokens).await, Ok(2));
        });
    });
}

pub(super) fn user_data(store: &Store, of: u64) -> String {
    let request = StoreRequest::UserData {
        tenant: TENANT,
        user: user(of),
    };
    match ask(store, request) {
        StoreAnswer::UserData(data) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn members() {
    on_both(|store| {
        let is_member = |name: &str, of| {
            let request = StoreRequest::IsMember {
                tenant: TENANT,
                channel: channel(name),
                user: user(of),
            };
            matches!(ask(store, request), StoreAnswer::Member(true))
        };
        let (a, b) = (channel("web_a"), channel("web_b"));
        let rows = vec![(a.clone(), user(7)), (a.clone(), user(8)), (b, user(7))];
        wait(async {
            assert_eq!(store.add_members(TENANT, rows.clone()).await, Ok(3));
            assert_eq!(store.add_members(TENANT, rows).await, Ok(0));
        });
        assert!(is_member("web_a", 7) && is_member("web_b", 7) && !is_member("web_b", 8));
        let removed = store.remove_members(TENANT, a.clone(), Some(vec![user(7), user(9)]));
        assert_eq!(wait(removed), Ok(1));
        assert!(!is_member("web_a", 7) && is_member("web_a", 8) && is_member("web_b", 7));
        assert_eq!(wait(store.remove_members(TENANT, a, None)), Ok(1));
        assert!(!is_member("web_a", 8) && is_member("web_b", 7));
    });
}

#[test]
fn readers_see_what_was_answered_and_change_nothing() {
    on_both(|store| {
        wait(store.set_data(TENANT, vec![(user(7), "x".into())])).unwrap();
        let reader = store.reader().unwrap();
        let count = |reader: &rusqlite::Connection| -> u32 {
            reader
                .query_row("SELECT count(*) FROM users_data", [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(count(&reader), 1);
        assert!(reader.execute("DELETE FROM users_data", []).is_err());
        // An open reading statement holds up nobody.
        let mut statement = reader.prepare("SELECT id FROM users_data").unwrap();
        let mut rows = statement.query([]).unwrap();
        assert!(rows.next().unwrap().is_some());
        wait(store.set_data(TENANT, vec![(user(8), "y".into())])).unwrap();
        wait(store.purge(0, 0)).unwrap();
        drop(rows);
        drop(statement);
        assert_eq!(count(&reader), 2);
    });
}

#[test]
fn a_closed_store_says_so() {
    on_both(|store| {
        wait(store.shutdown());
        wait(store.shutdown());
        let failure = wait(store.hash(TENANT, user(7))).unwrap_err();
        assert_eq!(failure, StoreFailure::Failed("the store is closed".into()));
    });
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        keep: u64,
    },
    Delete {
        which: usize,
    },
    Clear,
    Remove,
    Read {
        after: u64,
        limit: u64,
        newest: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_u64..6).prop_map(|keep| Step::Append { keep }),
        2 => (0_usize..8).prop_map(|which| Step::Delete { which }),
        1 => Just(Step::Clear),
        1 => Just(Step::Remove),
        4 => (0_u64..20, 0_u64..6, any::<bool>())
            .prop_map(|(after, limit, newest)| Step::Read { after, limit, newest }),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// A list of offsets, trimmed at the front, is all that a history is.
    #[test]
    fn a_history_is_a_list(steps in steps()) {
        let store = Store::in_memory();
        open_channel(&store, TENANT, "web_a", 1);
        let mut last = 0;
        let mut model: Vec<u64> = Vec::new();
        for step in steps {
            match step {
                Step::Append { keep } => {
                    last += 1;
                    append(&store, "web_a", last, Keep { publications: keep, ..KEEP_ALL });
                    model.push(last);
                    let excess = model.len().saturating_sub(usize::try_from(keep).unwrap());
                    model.drain(..excess);
                }
                Step::Delete { which } => {
                    let offset = if which < model.len() { model.remove(which) } else { 1000 };
                    let rows = delete(&store, "web_a", Some(content(offset).id));
                    prop_assert_eq!(rows, u64::from(offset != 1000));
                }
                Step::Clear => {
                    prop_assert_eq!(delete(&store, "web_a", None), model.len() as u64);
                    model.clear();
                }
                Step::Remove => {
                    prop_assert_eq!(set_history(&store, "web_a", None), model.len() as u64);
                    model.clear();
                }
                Step::Read { after, limit, newest } => {
                    let mut expected: Vec<u64> =
                        model.iter().copied().filter(|offset| *offset > after).collect();
                    let limited = usize::try_from(limit).unwrap().min(expected.len());
                    if newest {
                        expected.drain(..expected.len() - limited);
                    } else {
                        expected.truncate(limited);
                    }
                    prop_assert_eq!(history(&store, "web_a", after, limit, newest), expected);
                }
            }
            prop_assert_eq!(open_channel(&store, TENANT, "web_a", 2).offset, last);
        }
    }
}
