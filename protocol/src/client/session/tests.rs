use super::super::testing::Record;
use super::super::{Publish, Question};
use super::*;
use crate::wire::{Epoch, Position, decode_incoming};

const A: TabId = TabId(1);
const B: TabId = TabId(2);

/// A session, what it caused, and a server played by hand.
struct World {
    session: Session,
    effects: Record,
    now: Now,
}

impl World {
    fn new(settings: Settings, credentials: Option<Credentials>) -> Self {
        let mut world = Self {
            session: Session::new(settings, credentials, "", 0),
            effects: Record::default(),
            now: Now(1_000_000),
        };
        world.tab(A, TabInput::Joined);
        world.input(Input::Open);
        world
    }

    /// An anonymous session with an open connection; tab A is there.
    fn online() -> Self {
        let mut world = Self::new(Settings::DEFAULT, None);
        world.opened();
        world.effects.take_told();
        world
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input, &mut self.effects);
    }

    fn tab(&mut self, tab: TabId, input: TabInput<'_>) {
        self.input(Input::Tab(tab, input));
    }

    fn subscribe(&mut self, tab: TabId, channel: &str, since: Option<Position>) {
        self.tab(tab, TabInput::Subscribe { channel, since });
    }

    fn socket(&self) -> SocketId {
        self.effects.opened.last().expect("one was opened").0
    }

    fn opened(&mut self) {
        let socket = self.socket();
        self.input(Input::Opened(socket));
    }

    fn text(&mut self, text: &str) {
        let socket = self.socket();
        let says = decode_incoming(text);
        self.input(Input::Text { socket, text, says });
    }

    fn closed(&mut self, code: u16, reason: &str) {
        let socket = self.socket();
        let closed = Input::Closed {
            socket,
            code,
            reason,
        };
        self.input(closed);
    }

    /// Lets the time pass to the next timer.
    fn wake(&mut self) {
        self.now = self.effects.timer.expect("something is due");
        self.input(Input::Time);
    }

    fn subscribed(&mut self, id: u32, offset: u64, recovered: bool, replayed: u64) {
        self.text(&format!(
            r#"{{"id":{id},"subscribed":{{"channel":"web_a","epoch":"00000000000000ff","offset":{offset},"recovered":{recovered},"replayed":{replayed}}}}}"#
        ));
    }

    fn publication(&mut self, offset: u64, previous: u64) {
        self.text(&format!(
            r#"{{"push":"publication","channel":"web_a","data":"x","offset":{offset},"previous":{previous},"time":1}}"#
        ));
    }

    #[track_caller]
    fn sent(&mut self, expected: &[&str]) {
        assert_eq!(self.effects.take_sent(), expected);
    }

    #[track_caller]
    fn told(&mut self, expected: &[&str]) {
        assert_eq!(self.effects.take_told(), expected);
    }
}

fn at(offset: u64) -> Option<Position> {
    let epoch = Epoch(255);
    Some(Position { epoch, offset })
}

#[test]
fn what_was_missed_comes_once_and_in_order() {
    let mut world = World::online();
    world.subscribe(A, "web_a", None);
    world.sent(&[r#"{"id":1,"subscribe":{"channel":"web_a"}}"#]);
    world.subscribed(1, 5, false, 0);
    world.publication(6, 5);
    world.told(&["1: subscribed web_a at 5 false", "1: publication web_a 6"]);
    world.closed(1006, "");
    world.told(&["1: offline until 1000000", "1: connecting"]);
    world.opened();
    world.sent(&[
        r#"{"id":2,"subscribe":{"channel":"web_a","epoch":"00000000000000ff","offset":6}}"#,
    ]);
    world.subscribed(2, 9, true, 2);
    world.publication(7, 6);
    world.publication(8, 7);
    // The ninth was taken back: it is in nobody's history.
    world.publication(10, 9);
    world.publication(10, 9);
    world.told(&[
        "1: online",
        "1: recovered web_a",
        "1: publication web_a 7",
        "1: publication web_a 8",
        "1: publication web_a 10",
    ]);
}

#[test]
fn a_gap_is_repaired_or_told() {
    let mut world = World::online();
    world.subscribe(A, "web_a", None);
    world.subscribed(1, 5, false, 0);
    world.effects.take_sent();
    world.publication(8, 7);
    world.sent(&[
        r#"{"id":2,"subscribe":{"channel":"web_a","epoch":"00000000000000ff","offset":5}}"#,
    ]);
    world.publication(9, 8);
    world.subscribed(2, 9, true, 4);
    for offset in 6..=9 {
        world.publication(offset, offset - 1);
    }
    world.told(&[
        "1: subscribed web_a at 5 false",
        "1: recovered web_a",
        "1: publication web_a 6",
        "1: publication web_a 7",
        "1: publication web_a 8",
        "1: publication web_a 9",
    ]);
    world.publication(12, 11);
    world.effects.take_sent();
    world.subscribed(3, 12, false, 0);
    world.publication(13, 12);
    world.told(&["1: gap web_a at 12", "1: publication web_a 13"]);
}

#[test]
fn a_server_that_tells_of_a_gap_is_asked_once() {
    let mut world = World::online();
    let gap = r#"{"push":"gap","channel":"web_a"}"#;
    world.text(gap);
    world.subscribe(A, "web_a", None);
    world.text(gap);
    world.subscribed(1, 5, false, 0);
    world.effects.take_sent();
    world.text(gap);
    world.text(gap);
    world.sent(&[
        r#"{"id":2,"subscribe":{"channel":"web_a","epoch":"00000000000000ff","offset":5}}"#,
    ]);
    world.subscribed(2, 3, false, 0);
    world.publication(4, 3);
    world.told(&[
        "1: subscribed web_a at 5 false",
        "1: gap web_a at 3",
        "1: publication web_a 4",
    ]);
}

#[test]
fn who_may_not_go_on_now_and_leaves_says_so() {
    let mut world = World::online();
    world.subscribe(A, "web_a", None);
    let refused = r#"{"id":1,"error":{"code":"unavailable","message":"m","channel":"web_a"}}"#;
    world.text(refused);
    world.tab(A, TabInput::Unsubscribe { channel: "web_a" });
    world.sent(&[r#"{"id":1,"subscribe":{"channel":"web_a"}}"#]);
    // A subscription that began, misses something, and is refused to go on may still be there.
    world.subscribe(A, "web_a", None);
    world.subscribed(2, 5, false, 0);
    world.publication(8, 7);
    world.effects.take_sent();
    world.text(&refused.replace(r#""id":1"#, r#""id":3"#));
    world.tab(A, TabInput::Unsubscribe { channel: "web_a" });
    world.sent(&[r#"{"id":4,"unsubscribe":"web_a"}"#]);
    // On a new connection nothing is.
    world.subscribe(A, "web_a", None);
    world.subscribed(5, 8, false, 0);
    world.effects.take_sent();
    world.closed(1006, "");
    world.tab(A, TabInput::Unsubscribe { channel: "web_a" });
    world.opened();
    world.sent(&[]);
}

#[test]
fn tabs_share_a_subscription() {
    let mut world = World::online();
    world.subscribe(A, "web_a", None);
    world.subscribed(1, 5, false, 0);
    world.effects.take_sent();
    world.subscribe(B, "web_a", None);
    world.sent(&[]);
    world.publication(6, 5);
    let at_six = "1: publication web_a 6";
    world.told(&[
        "1: subscribed web_a at 5 false",
        "2: subscribed web_a at 5 false",
        at_six,
        "2: publication web_a 6",
    ]);
    world.tab(A, TabInput::Unsubscribe { channel: "web_a" });
    world.sent(&[]);
    world.tab(B, TabInput::Left);
    world.sent(&[r#"{"id":2,"unsubscribe":"web_a"}"#]);
    // What was on its way is for nobody.
    world.publication(7, 6);
    world.told(&[]);
}

#[test]
fn a_late_tab_gets_what_it_missed_and_the_others_nothing_twice() {
    let mut world = World::online();
    world.subscribe(A, "web_a", None);
    world.subscribed(1, 5, false, 0);
    world.publication(6, 5);
    world.effects.take_sent();
    world.effects.take_told();
    world.subscribe(B, "web_a", at(4));
    world.sent(&[
        r#"{"id":2,"subscribe":{"channel":"web_a","epoch":"00000000000000ff","offset":4}}"#,
    ]);
    world.subscribed(2, 7, true, 3);
    (5..=7).for_each(|offset| world.publication(offset, offset - 1));
    world.told(&[
        "1: recovered web_a",
        "2: subscribed web_a at 7 true",
        "2: publication web_a 5",
        "2: publication web_a 6",
        "1: publication web_a 7",
        "2: publication web_a 7",
    ]);
}

#[test]
fn what_is_too_old_for_one_is_too_old_for_those_behind() {
    let mut world = World::online();
    world.subscribe(A, "web_a", at(6));
    world.subscribe(B, "web_a", at(2));
    world.effects.take_sent();
    world.subscribed(1, 8, false, 0);
    world.sent(&[]);
    world.told(&[
        "1: subscribed web_a at 8 false",
        "2: subscribed web_a at 8 false",
    ]);
    world.closed(4001, "slow_consumer");
    world.opened();
    world.effects.take_told();
    world.subscribed(2, 8, true, 0);
    world.told(&["1: recovered web_a", "2: recovered web_a"]);
}

#[test]
fn of_two_positions_the_later_one_is_asked_when_the_earlier_is_too_old() {
    let mut world = World::new(Settings::DEFAULT, None);
    world.subscribe(A, "web_a", at(6));
    world.subscribe(B, "web_a", at(2));
    world.opened();
    world.sent(&[
        r#"{"id":1,"subscribe":{"channel":"web_a","epoch":"00000000000000ff","offset":2}}"#,
    ]);
    world.subscribed(1, 8, false, 0);
    world.publication(9, 8);
    world.sent(&[
        r#"{"id":2,"subscribe":{"channel":"web_a","epoch":"00000000000000ff","offset":6}}"#,
    ]);
    world.effects.take_told();
    world.subscribed(2, 9, true, 3);
    (7..=9).for_each(|offset| world.publication(offset, offset - 1));
    world.told(&[
        "1: subscribed web_a at 9 true",
        "2: subscribed web_a at 9 false",
        "1: publication web_a 7",
        "1: publication web_a 8",
        "1: publication web_a 9",
    ]);
}

#[test]
fn refusals_end_a_subscription_or_put_it_off() {
    let mut world = World::online();
    world.subscribe(A, "web_a", None);
    world.text(r#"{"id":1,"error":{"code":"rate_limited","message":"slow","retry_after_ms":50},"channel":"web_a"}"#);
    world.effects.take_sent();
    let refused = world.now;
    world.wake();
    assert_eq!(world.now, Now(refused.0 + 51));
    world.sent(&[r#"{"id":2,"subscribe":{"channel":"web_a"}}"#]);
    world.text(r#"{"id":2,"error":{"code":"permission_denied","message":"no"},"channel":"web_a"}"#);
    world.told(&["1: unsubscribed web_a permission_denied"]);
    world.subscribe(A, "web_a", None);
    world.effects.take_sent();
    world.text(r#"{"push":"unsubscribed","channel":"web_a","error":{"code":"permission_denied","message":"no"}}"#);
    // Granted after all, while nobody wants it any more.
    world.subscribed(3, 5, false, 0);
    world.sent(&[r#"{"id":4,"unsubscribe":"web_a"}"#]);
    world.told(&["1: unsubscribed web_a permission_denied"]);
}

#[test]
fn a_dead_link_is_left_within_ten_seconds() {
    let mut world = World::online();
    let start = world.now.0;
    world.wake();
    world.sent(&[r#"{"id":1,"ping":{}}"#]);
    world.text(r#"{"id":1,"pong":{}}"#);
    world.wake();
    world.sent(&[r#"{"id":2,"ping":{}}"#]);
    let silent = world.now.0;
    world.wake();
    assert_eq!(world.effects.closed.len(), 1);
    assert!(world.now.0 - start > 10_000 && world.now.0 - silent < 4_000);
    let old = world.socket();
    world.wake();
    // What the old socket still says does not count.
    assert_ne!(world.socket(), old);
    world.effects.take_told();
    world.input(Input::Closed {
        socket: old,
        code: 4102,
        reason: "",
    });
    world.input(Input::Opened(old));
    world.told(&[]);
}

#[test]
fn log_in_comes_first_and_is_awaited() {
    let token = Credentials::Token("t".into());
    let mut world = World::new(Settings::DEFAULT, Some(token));
    world.tab(A, TabInput::InboxOn);
    world.subscribe(A, "web_a", None);
    world.opened();
    world.sent(&[r#"{"id":1,"connect":{"token":"t","inbox":true}}"#]);
    world.text(r#"{"id":1,"connected":{"session":9,"user":2}}"#);
    world.sent(&[r#"{"id":2,"subscribe":{"channel":"web_a"}}"#]);
    world.text(r#"{"push":"message","data":"x","offset":3,"time":1}"#);
    world.tab(A, TabInput::Handled { offset: 3 });
    world.sent(&[r#"{"id":3,"ack":{"offset":3}}"#]);
}

#[test]
fn who_wants_private_messages_moves_once_subscriptions_are_answered() {
    let token = Credentials::Token("t".into());
    let mut world = World::new(Settings::DEFAULT, Some(token));
    world.opened();
    world.text(r#"{"id":1,"connected":{"session":9,"user":2}}"#);
    world.subscribe(A, "web_a", None);
    world.tab(A, TabInput::InboxOn);
    world.subscribe(A, "web_b", None);
    world.sent(&[
        r#"{"id":1,"connect":{"token":"t","inbox":false}}"#,
        r#"{"id":2,"subscribe":{"channel":"web_a"}}"#,
    ]);
    assert_eq!(world.effects.opened.len(), 1);
    // It waits for the answer, not for the time.
    assert!(world.effects.timer > Some(world.now));
    world.text(r#"{"id":2,"subscribed":{"channel":"web_a","recovered":false,"replayed":0}}"#);
    assert_eq!(world.effects.opened.len(), 2);
    world.opened();
    world.sent(&[r#"{"id":3,"connect":{"token":"t","inbox":true}}"#]);
    world.text(r#"{"id":3,"connected":{"session":10,"user":2}}"#);
    world.sent(&[
        "{\"id\":4,\"subscribe\":{\"channel\":\"web_a\"}}\n{\"id\":5,\"subscribe\":{\"channel\":\"web_b\"}}",
    ]);
}

#[test]
fn refused_credentials_stop_the_session() {
    let token = Credentials::Token("t".into());
    let mut world = World::new(Settings::DEFAULT, Some(token));
    world.opened();
    world.effects.take_told();
    world.text(r#"{"id":1,"error":{"code":"unauthorized","message":"no"}}"#);
    world.told(&["1: stopped unauthorized"]);
    assert_eq!(world.effects.timer, None);
}

#[test]
fn tokens_are_asked_for_and_refreshed() {
    let settings = Settings {
        asks_for_tokens: true,
        ..Settings::DEFAULT
    };
    let mut world = World::new(settings, None);
    assert_eq!((world.effects.tokens, world.effects.opened.len()), (1, 0));
    world.input(Input::Credentials(Credentials::Token("t1".into())));
    world.opened();
    world.effects.take_sent();
    world.text(r#"{"id":1,"connected":{"session":9,"user":2,"expires":1004}}"#);
    world.wake();
    assert_eq!(world.effects.tokens, 2);
    world.input(Input::Credentials(Credentials::Token("t2".into())));
    world.sent(&[r#"{"id":2,"refresh":{"token":"t2"}}"#]);
    assert_eq!(world.effects.tokens, 2, "not again before the answer");
    world.text(r#"{"id":2,"refreshed":{"expires":2000}}"#);
    world.closed(4101, "token_expired");
    assert_eq!(world.effects.tokens, 3);
    world.input(Input::NoToken);
    assert_eq!(world.effects.tokens, 4);
}

#[test]
fn calls_wait_for_a_connection_and_are_answered_once() {
    let mut world = World::new(Settings::DEFAULT, None);
    let content = Publish {
        channel: "web_a",
        event: "",
        data: "1",
        id: None,
    };
    world.tab(A, TabInput::Publish { call: 7, content });
    let question = Question::PresenceCount("web_a".into());
    world.tab(A, TabInput::Ask { call: 8, question });
    world.sent(&[]);
    world.opened();
    let frames = world.effects.take_sent();
    assert_eq!(frames[0].lines().count(), 2);
    world.effects.take_told();
    let reply = r#"{"id":1,"published":{"reached":1,"offset":2}}"#;
    world.text(reply);
    world.text(reply);
    world.told(&[&format!("1: answer 7 {reply}")]);
    world.now = Now(world.now.0 + Settings::DEFAULT.question_ms);
    world.input(Input::Time);
    assert!(
        world
            .effects
            .take_told()
            .contains(&"1: answer 8 timeout".into())
    );
}

#[test]
fn stops_when_told_for_good_and_not_when_advised() {
    #[track_caller]
    fn check(code: u16, reason: &str, expected: &str) {
        let mut world = World::online();
        world.now = Now(2_000_000);
        world.closed(code, reason);
        let told = world.effects.take_told();
        assert!(told[0].contains(expected), "{told:?}");
    }
    check(4102, "revoked", "stopped revoked");
    check(4103, "killed", "stopped killed");
    check(4101, "token_expired", "stopped token_expired");
    check(4000, "restart retry_after_ms=900", "offline until 2000900");
    check(4001, "slow_consumer", "offline until 2000000");
}

#[test]
fn the_network_comes_back() {
    let mut world = World::online();
    world.effects.next_random = 400;
    world.closed(1006, "");
    world.effects.take_told();
    world.input(Input::Online);
    world.told(&["1: connecting"]);
    world.opened();
    world.input(Input::Online);
    world.sent(&[r#"{"id":1,"ping":{}}"#]);
    world.input(Input::Close);
    world.told(&["1: online", "1: stopped closed"]);
    world.input(Input::Open);
    world.told(&["1: connecting"]);
}
