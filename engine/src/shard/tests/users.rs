//! Users: private messages, online status, revocation.

use cometql_protocol::{CloseCode, ErrorCode, UserId};

use super::harness::{Node, TENANT, data, draft};
use crate::ids::shard_of_user;
use crate::{Answer, Command, Disconnect, Limits, Rules};

fn send(user: u64, text: &str) -> Command {
    Command::Send {
        tenant: TENANT,
        user: UserId::new(user).unwrap(),
        draft: draft(text),
    }
}

#[test]
fn a_private_message_goes_to_all_connections_and_waits_until_acknowledged() {
    let mut node = Node::new();
    let (one, two, other) = (node.user(0, 7), node.user(1, 7), node.user(2, 8));
    assert_eq!(
        node.send(7, "hi"),
        Answer::Sent {
            offset: 1,
            reached: 2,
            lossy: false
        }
    );
    assert_eq!(data(&node.told(one)), ["hi"]);
    assert_eq!(data(&node.told(two)), ["hi"]);
    assert_eq!(node.told(other), Vec::<String>::new());
    let later = node.open(0);
    let told = node.ask(
        later,
        r#"{"id":1,"connect":{"user":7,"hash":"h","inbox":true}}"#,
    );
    assert_eq!(data(&told), ["hi"], "nobody has acknowledged it yet");
    assert_eq!(
        node.ask(one, r#"{"id":2,"ack":{"offset":1}}"#),
        [r#"{"id":2,"acknowledged":{}}"#]
    );
    let last = node.open(0);
    let told = node.ask(
        last,
        r#"{"id":1,"connect":{"user":7,"hash":"h","inbox":true}}"#,
    );
    assert_eq!(data(&told), Vec::<String>::new());
}

#[test]
fn offline_messages_survive_a_crash_and_keep_their_order() {
    let mut node = Node::new();
    for text in ["a", "b", "c"] {
        assert!(matches!(
            node.send(7, text),
            Answer::Sent { reached: 0, .. }
        ));
    }
    let mut node = node.restarted();
    let one = node.open(0);
    let told = node.ask(
        one,
        r#"{"id":1,"connect":{"user":7,"hash":"h","inbox":true}}"#,
    );
    assert_eq!(data(&told), ["a", "b", "c"]);
}

#[test]
fn without_an_inbox_flag_nothing_is_sent_or_acknowledged() {
    let mut node = Node::new();
    let one = node.open(0);
    node.ask(one, r#"{"id":1,"connect":{"user":7,"hash":"h"}}"#);
    assert_eq!(
        node.send(7, "a"),
        Answer::Sent {
            offset: 1,
            reached: 0,
            lossy: false
        }
    );
    assert_eq!(node.told(one), Vec::<String>::new());
}

#[test]
fn long_inboxes_come_in_pages() {
    let mut node = Node::new();
    for index in 0..250 {
        node.send(7, &index.to_string());
    }
    let one = node.open(0);
    let mut got = data(&node.ask(
        one,
        r#"{"id":1,"connect":{"user":7,"hash":"h","inbox":true}}"#,
    ));
    assert_eq!(got.len(), 100);
    node.send(7, "250");
    for upto in [100, 200] {
        got.extend(data(
            &node.ask(one, &format!(r#"{{"id":2,"ack":{{"offset":{upto}}}}}"#)),
        ));
    }
    let expected: Vec<_> = (0..=250).map(|index| index.to_string()).collect();
    assert_eq!(got, expected);
    node.send(7, "251");
    assert_eq!(data(&node.told(one)), ["251"]);
}

#[test]
fn the_originals_sockets_acknowledge_by_being_written_to() {
    let mut node = Node::new();
    for index in 0..150 {
        node.send(7, &index.to_string());
    }
    let one = node.open_on(0, true);
    let connect = r#"{"id":1,"connect":{"user":7,"hash":"h"}}"#;
    assert_eq!(data(&node.ask(one, connect)).len(), 150);
    node.send(7, "live");
    assert_eq!(data(&node.told(one)), ["live"]);
    let two = node.open_on(1, true);
    assert_eq!(data(&node.ask(two, connect)), Vec::<String>::new());
}

#[test]
fn with_a_connection_of_ours_open_only_that_acknowledges() {
    let connect = r#"{"id":1,"connect":{"user":7,"hash":"h"}}"#;
    let inbox = r#"{"id":1,"connect":{"user":7,"hash":"h","inbox":true}}"#;
    // Whether or not it takes private messages: who takes none acknowledges none, and nobody does it in its place.
    for ours in [connect, inbox] {
        let mut node = Node::new();
        let original = node.open_on(0, true);
        node.ask(original, connect);
        let open = node.open(2);
        node.ask(open, ours);
        node.send(7, "kept");
        assert_eq!(data(&node.told(original)), ["kept"]);
        node.close(open);
        let again = node.open(1);
        assert_eq!(data(&node.ask(again, inbox)), ["kept"], "{ours}");
        node.close(again);
        // Now none is open: the next write counts, for all before it too.
        node.send(7, "gone");
        let last = node.open(1);
        assert_eq!(data(&node.ask(last, inbox)), Vec::<String>::new(), "{ours}");
    }
}

#[test]
fn what_waits_for_a_full_socket_is_not_acknowledged() {
    let mut node = Node::new();
    let connect = r#"{"id":1,"connect":{"user":7,"hash":"h"}}"#;
    let one = node.open_on(0, true);
    node.ask(one, connect);
    node.world.sockets_are_full = true;
    node.send(7, "x");
    assert_eq!(data(&node.told(one)), ["x"]);
    let two = node.open_on(1, true);
    assert_eq!(data(&node.ask(two, connect)), ["x"], "it still waits");
    node.vanish(one);
    node.world.sockets_are_full = false;
    node.run();
    let three = node.open_on(2, true);
    assert_eq!(data(&node.ask(three, connect)), Vec::<String>::new());
}

#[test]
fn an_original_gets_the_next_page_when_its_socket_took_the_last() {
    let mut node = Node::new();
    for index in 0..150 {
        node.send(7, &index.to_string());
    }
    node.world.sockets_are_full = true;
    let one = node.open_on(0, true);
    let connect = r#"{"id":1,"connect":{"user":7,"hash":"h"}}"#;
    assert_eq!(data(&node.ask(one, connect)).len(), 100);
    node.later(250);
    assert_eq!(node.told(one), Vec::<String>::new());
    node.world.sockets_are_full = false;
    node.run();
    assert_eq!(data(&node.told(one)).len(), 50);
}

#[test]
fn a_socket_that_is_gone_was_not_written_to() {
    let mut node = Node::new();
    let connect = r#"{"id":1,"connect":{"user":7,"hash":"h"}}"#;
    let one = node.open_on(0, true);
    node.ask(one, connect);
    node.world.store_sleeps = true;
    let number = node.start(send(7, "x"));
    node.run();
    node.world.store_sleeps = false;
    // The message is on its way to the connection's shard, which hears first that the socket is gone.
    let home = shard_of_user(TENANT, UserId::new(7).unwrap(), 3);
    assert!(node.step(3 + usize::from(home.0)));
    assert!(node.answer(number).is_some());
    node.close(one);
    let two = node.open_on(1, true);
    assert_eq!(data(&node.ask(two, connect)), ["x"]);
    node.close(two);
    let three = node.open_on(1, true);
    assert_eq!(data(&node.ask(three, connect)), Vec::<String>::new());
}

#[test]
fn a_private_message_is_stored_then_sent_then_answered() {
    let mut node = Node::new();
    let one = node.user(0, 7);
    node.world.store_sleeps = true;
    let number = node.start(send(7, "x"));
    node.run();
    assert_eq!(node.answer(number), None);
    assert_eq!(node.told(one), Vec::<String>::new());
    node.world.store_sleeps = false;
    node.run();
    let (offset, reached) = (1, 1);
    let lossy = false;
    let sent = Answer::Sent {
        offset,
        reached,
        lossy,
    };
    assert_eq!(node.answer(number), Some(sent));
    assert_eq!(data(&node.told(one)), ["x"]);
    node.world.store_fails = true;
    assert!(matches!(node.send(7, "y"), Answer::Rejected(_)));
    assert_eq!(node.told(one), Vec::<String>::new());
}

#[test]
fn who_asks_for_no_private_messages_acknowledges_none() {
    let mut node = Node::new();
    let connect = r#"{"id":1,"connect":{"user":7,"hash":"h"}}"#;
    let deaf = node.open(0);
    node.ask(deaf, connect);
    node.send(7, "x");
    assert_eq!(node.told(deaf), Vec::<String>::new());
    let inbox = r#"{"id":1,"connect":{"user":7,"hash":"h","inbox":true}}"#;
    let one = node.open(1);
    assert_eq!(data(&node.ask(one, inbox)), ["x"]);
    node.close(one);
    // It was not acknowledged: it comes again, under the offset by which a client knows it.
    let two = node.open(2);
    let told = node.ask(two, inbox);
    assert_eq!(data(&told), ["x"]);
    assert!(told[1].contains(r#""offset":1"#), "{told:?}");
    // An acknowledgement that is repeated does no harm, and takes nothing that came later.
    node.send(7, "y");
    for _ in 0..2 {
        node.ask(two, r#"{"id":2,"ack":{"offset":1}}"#);
    }
    let three = node.open(0);
    assert_eq!(data(&node.ask(three, inbox)), ["y"]);
}

#[test]
fn a_full_inbox_is_an_error_for_the_sender() {
    let limits = Limits {
        inbox_messages: 1,
        ..Limits::default()
    };
    let mut node = Node::with(limits, Rules::default());
    node.send(7, "a");
    let Answer::Rejected(reject) = node.send(7, "b") else {
        panic!("the inbox is full")
    };
    assert_eq!(reject.code, ErrorCode::InboxFull);
}

#[test]
fn status_is_told_when_the_first_connection_comes_and_the_last_goes() {
    let mut node = Node::new();
    let watcher = node.open(0);
    node.ask(watcher, r#"{"id":1,"subscribe":"user_status_7"}"#);
    let (one, two) = (node.user(1, 7), node.user(2, 7));
    assert_eq!(data(&node.told(watcher)), ["online"]);
    assert_eq!(
        node.ask(watcher, r#"{"id":2,"user_status":{"user":7}}"#),
        [r#"{"id":2,"user_status":{"user":7,"online":true}}"#]
    );
    node.close(one);
    assert_eq!(node.told(watcher), Vec::<String>::new());
    node.close(two);
    assert_eq!(data(&node.told(watcher)), ["offline"]);
    assert_eq!(
        node.ask(watcher, r#"{"id":3,"user_status":{"user":7}}"#),
        [r#"{"id":3,"user_status":{"user":7,"online":false,"last_seen":1000}}"#]
    );
}

#[test]
fn revocation_and_kill_close_only_whom_they_mean() {
    let mut node = Node::new();
    let (one, other, anonymous) = (node.user(0, 7), node.user(1, 8), node.open(2));
    let user = UserId::new(7).unwrap();
    node.disconnect(&Disconnect::User {
        tenant: TENANT,
        user,
    });
    assert_eq!(node.world.closed, [(one, CloseCode::Revoked)]);
    node.world.closed.clear();
    let foreign = Some(cometql_protocol::TenantId(9));
    node.disconnect(&Disconnect::Connection {
        tenant: foreign,
        connection: other,
    });
    assert!(node.world.closed.is_empty());
    node.disconnect(&Disconnect::Connection {
        tenant: Some(TENANT),
        connection: anonymous,
    });
    assert_eq!(node.world.closed, [(anonymous, CloseCode::Killed)]);
}

#[test]
fn who_is_closed_is_gone_at_once_whatever_its_socket_does() {
    let mut node = Node::new();
    let (one, watcher) = (node.user(0, 7), node.open(1));
    node.ask(one, r#"{"id":1,"subscribe":"track_a"}"#);
    node.ask(
        watcher,
        r#"{"id":1,"subscribe":["track_a","user_status_7"]}"#,
    );
    node.told(one);
    let user = UserId::new(7).unwrap();
    node.tell_disconnect(&Disconnect::User {
        tenant: TENANT,
        user,
    });
    assert_eq!(node.world.closed, [(one, CloseCode::Revoked)]);
    let told = node.told(watcher).join("\n");
    assert!(told.contains("offline") && told.contains("leave"), "{told}");
    assert_eq!(
        node.publish("track_a", "x"),
        Answer::Published {
            offset: Some(1),
            reached: 1,
            lossy: false,
        }
    );
    assert_eq!(node.ask(one, r#"{"id":9,"ping":{}}"#), Vec::<String>::new());
    // The socket still has its slot: a newcomer does not get it.
    let newcomer = node.open(0);
    assert_ne!(newcomer.slot(), one.slot());
    node.close(one);
    assert_eq!(node.told(watcher).len(), 1, "only the publication");
}

#[test]
fn tokens_end_sessions_unless_refreshed() {
    let mut node = Node::new();
    let one = node.open(0);
    let told = node.ask(one, r#"{"id":1,"connect":{"token":"7"}}"#);
    assert!(
        told[0].ends_with(r#""user":7,"expires":2000}}"#),
        "{told:?}"
    );
    let told = node.ask(one, r#"{"id":2,"refresh":{"token":"8"}}"#);
    assert!(told[0].contains(r#""code":"unauthorized""#), "{told:?}");
    assert_eq!(
        node.ask(one, r#"{"id":3,"refresh":{"token":"7"}}"#),
        [r#"{"id":3,"refreshed":{"expires":2000}}"#]
    );
    node.later(999_000);
    assert!(node.world.closed.is_empty());
    node.later(1_000);
    assert_eq!(node.world.closed, [(one, CloseCode::TokenExpired)]);
}
