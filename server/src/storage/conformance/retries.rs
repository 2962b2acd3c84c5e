//! Ids that senders choose.

use cometql_engine::publication::Content;
use cometql_engine::store::Once;
use cometql_engine::{StoreAnswer, StoreRequest};

use super::{
    KEEP_ALL, TENANT, append_request, ask, content, delete, inbox_remove, on_both, open_channel,
    user, wait,
};

fn chosen(request: StoreRequest, time_ms: u64) -> StoreRequest {
    let chosen = Some(Once {
        digest: u64::MAX - 1,
        until_ms: time_ms + 1000,
    });
    let at = |content: Content| Content { time_ms, ..content };
    match request {
        StoreRequest::Append {
            tenant,
            channel,
            offset,
            content,
            keep,
            ..
        } => StoreRequest::Append {
            tenant,
            channel,
            offset,
            content: at(content),
            keep,
            once: chosen,
            log: None,
        },
        StoreRequest::InboxAppend {
            tenant,
            user,
            content,
            limit,
            ..
        } => StoreRequest::InboxAppend {
            tenant,
            user,
            content: at(content),
            limit,
            once: chosen,
        },
        other => other,
    }
}

fn is_known(answer: &StoreAnswer, at: u64) -> bool {
    matches!(answer, StoreAnswer::Known { offset, digest } if (*offset, *digest) == (at, u64::MAX - 1))
}

#[test]
fn ids_that_senders_choose_are_known_whatever_becomes_of_the_message() {
    on_both(|store| {
        open_channel(store, TENANT, "web_a", 1);
        open_channel(store, TENANT, "web_b", 1);
        let publish = |name, offset, time_ms| {
            let StoreRequest::Append {
                tenant,
                channel,
                keep,
                ..
            } = append_request(name, offset, KEEP_ALL)
            else {
                unreachable!()
            };
            let content = content(1);
            let append = StoreRequest::Append {
                tenant,
                channel,
                offset,
                content,
                keep,
                once: None,
                log: None,
            };
            ask(store, chosen(append, time_ms))
        };
        assert!(matches!(publish("web_a", 1, 5000), StoreAnswer::Changed(1)));
        assert!(is_known(&publish("web_a", 2, 5999), 1));
        assert!(matches!(publish("web_b", 1, 5000), StoreAnswer::Changed(1)));
        delete(store, "web_a", None);
        assert!(is_known(&publish("web_a", 2, 5999), 1));
        assert!(matches!(publish("web_a", 2, 6000), StoreAnswer::Changed(1)));
        assert!(is_known(&publish("web_a", 3, 6001), 2));
        wait(store.purge(7000, u64::MAX)).unwrap();
        assert!(
            matches!(publish("web_a", 3, 6001), StoreAnswer::Changed(1)),
            "forgotten"
        );

        let send = |of, limit| {
            let request = StoreRequest::InboxAppend {
                tenant: TENANT,
                user: user(of),
                content: content(1),
                limit,
                once: None,
            };
            ask(store, chosen(request, 5000))
        };
        assert!(matches!(send(7, 0), StoreAnswer::Full), "not noted");
        assert!(matches!(send(7, 1), StoreAnswer::InboxOffset(1)));
        assert!(is_known(&send(7, 1), 1), "rather than full");
        assert!(matches!(send(8, 1), StoreAnswer::InboxOffset(1)));
        assert_eq!(inbox_remove(store, 7, 1), 1);
        assert!(is_known(&send(7, 1), 1));
    });
}
