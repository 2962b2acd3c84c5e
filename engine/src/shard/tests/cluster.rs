//! A shard of a cluster's node, step by step: what it asks of the log, and what it makes of what the log tells.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cometql_protocol::wire::{self, Epoch, Reply, decode_requests};
use cometql_protocol::{CloseCode, EventName, UserId};

use super::super::*;
use super::harness::{TENANT, channel, publish};
use crate::effects::{Counted, PresenceAsk, Push};
use crate::publication::Content;
use crate::{
    Announce, Credentials, InboxMessage, LogKind, MessageId, NodeId, Publication, QuorumLoss,
    StoreRequest, StoredPublication,
};

mod elsewhere;
mod unstored;

/// One shard, its mailbox, and what it caused, as lines.
struct Member {
    shard: Shard<u64>,
    now: Now,
    outside: Outside,
    commands: u64,
}

#[derive(Default)]
struct Outside {
    mail: VecDeque<Message>,
    asked: VecDeque<u64>,
    logins: VecDeque<(ConnectionId, u32)>,
    lines: Vec<String>,
    random: u64,
}

impl Effects for Outside {
    type Token = u64;

    fn send(&mut self, _: ShardId, message: Message) {
        self.mail.push_back(message);
    }

    fn push(&mut self, _: ConnectionId, push: Push<'_>) {
        let line = match push {
            Push::Publication(one) => wire::encode_publication(one.view(None)),
            Push::Own(one, request) => wire::encode_publication(one.view(Some(request))),
            Push::Presence(channel, joined, who) => {
                wire::encode_presence_event(channel, joined, who)
            }
            Push::Inbox(message) => format!("message {} at {}", message.data, message.offset),
            Push::Gap(channel) => wire::encode_gap(channel),
            Push::Unsubscribed(..) => "unsubscribed".into(),
        };
        self.lines.push(line);
    }

    fn reply(&mut self, _: ConnectionId, request: u32, reply: Reply) {
        self.lines.push(wire::encode_reply(request, &reply));
    }

    fn refuse(&mut self, _: ConnectionId, request: u32, reject: &Reject, _: Option<&str>) {
        self.lines
            .push(format!("refused {request}: {}", reject.code.as_str()));
    }

    fn close(&mut self, _: ConnectionId, _: CloseCode) {}

    fn authenticate(&mut self, connection: ConnectionId, request: u32, _: Credentials) {
        self.logins.push_back((connection, request));
    }

    fn store(&mut self, ticket: u64, request: StoreRequest) {
        let line = match request {
            StoreRequest::SetLastSeen { time, .. } => format!("seen {time:?}"),
            StoreRequest::OpenChannel { channel, log, .. } => format!("open {channel} {log:?}"),
            StoreRequest::Append { content, log, .. } => format!("append {} {log:?}", content.data),
            StoreRequest::ReadHistory { after, .. } => format!("read after {after}"),
            StoreRequest::MarkGap { .. } => "mark a gap".into(),
            StoreRequest::InboxRead { after, .. } => format!("read messages after {after}"),
            other => format!("{other:?}"),
        };
        self.lines.push(format!("log: {line}"));
        self.asked.push_back(ticket);
    }

    fn answer(&mut self, token: u64, answer: Answer) {
        self.lines.push(format!("answer {token}: {answer:?}"));
    }

    fn unfollow(&mut self, _: TenantId, channel: &ChannelName, log: LogKind) {
        self.lines.push(format!("unfollow {channel} {log:?}"));
    }

    fn follow_user(&mut self, _: TenantId, user: UserId, wanted: bool) {
        self.lines.push(format!("follow user {user}: {wanted}"));
    }

    fn broadcast(&mut self, publication: &Arc<Publication>, lossy: bool) {
        self.lines
            .push(format!("broadcast {}, lossy: {lossy}", publication.data));
    }

    fn send_unstored(&mut self, _: TenantId, user: UserId, content: &Content) {
        let line = format!("tell those who have user {user}: {}", content.data);
        self.lines.push(line);
    }

    fn tell_taken(&mut self, _: TenantId, user: UserId, id: MessageId) {
        self.lines.push(format!("user {user} took {}", id.0));
    }

    fn announce(&mut self, announce: Announce) {
        if let Announce::User { there, .. } = announce {
            self.lines.push(format!("announce {there:?}"));
        }
    }

    fn ask_presence(&mut self, ask: PresenceAsk) {
        self.lines.push(format!("who is in {}", ask.channel));
    }

    fn count(&mut self, _: Counted, _: u64) {}

    fn random(&mut self) -> u64 {
        self.random += 1;
        self.random
    }
}

impl Member {
    fn new() -> Self {
        let mut shard = Shard::new(ShardId(0), 1, Arc::default(), Arc::default());
        shard.join_cluster(ClusterSettings {
            node: NodeId(1),
            on_quorum_loss: QuorumLoss::Live,
        });
        Self {
            shard,
            now: Now(1_000_000),
            outside: Outside::default(),
            commands: 0,
        }
    }

    fn put(&mut self, input: Input<u64>) {
        self.shard.handle(self.now, input, &mut self.outside);
        while let Some(message) = self.outside.mail.pop_front() {
            let input = Input::Message(message);
            self.shard.handle(self.now, input, &mut self.outside);
        }
    }

    fn open(&mut self) -> ConnectionId {
        let settings = SessionSettings {
            tenant: TENANT,
            kind: "websocket",
            legacy: false,
        };
        let info = ClientInfo {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            agent: "".into(),
            origin: "".into(),
            language: "".into(),
            uuid: "".into(),
        };
        self.shard.open(self.now, settings, info)
    }

    /// A browser that is user 7 and reads private messages.
    fn user(&mut self) -> ConnectionId {
        let connection = self.open();
        self.log_in(connection);
        connection
    }

    fn log_in(&mut self, connection: ConnectionId) {
        self.ask(
            connection,
            r#"{"id":1,"connect":{"user":7,"hash":"h","inbox":true}}"#,
        );
        let (_, request) = self.outside.logins.pop_front().unwrap();
        let result = Ok(Identity {
            user: UserId::new(7),
            ..Identity::default()
        });
        self.put(Input::Authenticated {
            connection,
            request,
            result,
        });
    }

    fn ask(&mut self, connection: ConnectionId, frame: &str) {
        for request in decode_requests(frame) {
            self.put(Input::Request(connection, request.unwrap()));
        }
    }

    fn publish(&mut self, data: &str) {
        self.commands += 1;
        self.put(Input::Command(publish("web_a", data), self.commands));
    }

    /// The log answers the oldest question.
    fn log(&mut self, result: Result<StoreAnswer, StoreFailure>) {
        let ticket = self.outside.asked.pop_front().unwrap();
        self.put(Input::Stored { ticket, result });
    }

    /// The log tells what waits for a user.
    fn reads(&mut self, messages: Vec<InboxMessage>, end: u64) {
        self.log(Ok(StoreAnswer::Inbox { messages, end }));
    }

    fn opened(&mut self, epoch: u64, offset: u64) {
        self.log(Ok(StoreAnswer::Opened {
            position: at(epoch, offset),
            floor: offset,
            recent: Vec::new(),
        }));
    }

    fn hears(&mut self, offset: u64, complete: bool, data: &str) {
        self.put(Input::Log(LogEvent::Publication {
            tenant: TENANT,
            channel: channel("web_a"),
            offset,
            complete,
            content: content(data),
        }));
    }

    fn later(&mut self, milliseconds: u64) {
        self.now.0 += milliseconds;
        self.put(Input::Tick);
    }

    /// A browser that is subscribed at offset 5 of epoch 9.
    fn subscribed() -> (Self, ConnectionId) {
        let mut member = Self::new();
        let connection = member.open();
        member.ask(connection, r#"{"id":1,"subscribe":"web_a"}"#);
        member.opened(9, 5);
        member.check(&[
            "log: open web_a Some(Window)",
            r#"{"id":1,"subscribed":{"channel":"web_a","epoch":"0000000000000009","offset":5,"recovered":false,"replayed":0}}"#,
        ]);
        (member, connection)
    }

    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.outside.lines), expected);
    }
}

fn at(epoch: u64, offset: u64) -> wire::Position {
    wire::Position {
        epoch: Epoch(epoch),
        offset,
    }
}

fn content(data: &str) -> Content {
    Content {
        id: MessageId(7),
        event: EventName::default(),
        data: data.into(),
        data_is_json: false,
        time_ms: 1_000_000,
        user: None,
        from_browser: false,
        once: false,
    }
}

fn told(data: &str, offset: u64, previous: u64) -> String {
    format!(
        r#"{{"push":"publication","channel":"web_a","data":"{data}","offset":{offset},"previous":{previous},"time":1000000}}"#
    )
}

fn rows(all: &[(u64, &str)], whole: bool) -> StoreAnswer {
    let row = |(offset, data): &(u64, &str)| StoredPublication {
        offset: *offset,
        previous: 0,
        content: content(data),
    };
    let rows = all.iter().map(row).collect();
    StoreAnswer::HistoryPart { rows, whole }
}

#[test]
fn the_log_delivers_in_its_order_and_nothing_twice() {
    let (mut member, _) = Member::subscribed();
    member.hears(8, true, "a");
    member.hears(8, true, "a");
    member.hears(6, true, "late");
    member.hears(20, false, "b");
    // Nobody has seen the offset before it: all ask.
    member.check(&[&told("a", 8, 5), &told("b", 20, 19)]);
}

#[test]
fn publishing_needs_no_opening_and_is_answered_when_the_log_has_it() {
    let mut member = Member::new();
    member.publish("x");
    member.check(&["log: append x Some(Window)"]);
    member.log(Ok(StoreAnswer::Appended { offset: 3 }));
    member.check(&["answer 1: Published { offset: Some(3), reached: 0, lossy: false }"]);
}

#[test]
fn an_own_copy_is_marked_whichever_comes_first() {
    for answered_first in [true, false] {
        let (mut member, connection) = Member::subscribed();
        let id = "00000000-0000-0000-0000-000000000007";
        let frame = format!(r#"{{"id":2,"publish":{{"channel":"web_a","data":"x","id":"{id}"}}}}"#);
        member.ask(connection, &frame);
        member.check(&["log: append x Some(Window)"]);
        let own = told("x", 6, 5).replace("}", r#","request":2}"#);
        let answer = r#"{"id":2,"published":{"reached":0,"offset":6}}"#;
        if answered_first {
            member.log(Ok(StoreAnswer::Appended { offset: 6 }));
            member.hears(6, true, "x");
            member.check(&[answer, &own]);
        } else {
            member.hears(6, true, "x");
            member.log(Ok(StoreAnswer::Appended { offset: 6 }));
            member.check(&[&own, answer]);
        }
        // The next one with that id is somebody else's.
        member.hears(7, true, "x");
        member.check(&[&told("x", 7, 6)]);
    }
}

#[test]
fn without_a_quorum_it_goes_on_and_tells_of_the_gap_later() {
    let (mut member, _) = Member::subscribed();
    member.publish("x");
    member.log(Err(StoreFailure::NoQuorum));
    member.check(&[
        "log: append x Some(Window)",
        "broadcast x, lossy: true",
        "answer 1: Published { offset: None, reached: 1, lossy: true }",
        r#"{"push":"publication","channel":"web_a","data":"x","time":1000000}"#,
    ]);
    // No position from before it is complete.
    let other = member.open();
    let since = r#""epoch":"0000000000000009","offset":5"#;
    let frame = format!(r#"{{"id":3,"subscribe":{{"channel":"web_a",{since}}}}}"#);
    member.ask(other, &frame);
    let answer = format!(
        r#"{{"id":3,"subscribed":{{"channel":"web_a",{since},"recovered":false,"replayed":0}}}}"#
    );
    member.check(&[&answer]);
    member.later(1_000);
    member.log(Err(StoreFailure::NoQuorum));
    member.later(5_000);
    member.log(Ok(StoreAnswer::Changed(1)));
    member.later(60_000);
    member.check(&["log: mark a gap", "log: mark a gap"]);
    member.put(Input::Log(LogEvent::Gap {
        tenant: TENANT,
        channel: channel("web_a"),
        offset: 6,
    }));
    let gap = r#"{"push":"gap","channel":"web_a"}"#;
    member.check(&[gap, gap]);
}

#[test]
fn a_channel_that_can_not_be_opened_is_live_until_it_can() {
    let mut member = Member::new();
    let connection = member.open();
    member.ask(connection, r#"{"id":1,"subscribe":"web_a"}"#);
    member.log(Err(StoreFailure::NoQuorum));
    member.later(5_000);
    member.opened(9, 5);
    member.check(&[
        "log: open web_a Some(Window)",
        r#"{"id":1,"subscribed":{"channel":"web_a","recovered":false,"replayed":0}}"#,
        "log: open web_a Some(Window)",
        r#"{"push":"gap","channel":"web_a"}"#,
    ]);
}

#[test]
fn who_comes_from_another_node_makes_this_one_catch_up() {
    #[track_caller]
    fn check(since: u64, part: StoreAnswer, expected: &[&str]) {
        let (mut member, _) = Member::subscribed();
        let other = member.open();
        let since = format!(r#""epoch":"0000000000000009","offset":{since}"#);
        let frame = format!(r#"{{"id":2,"subscribe":{{"channel":"web_a",{since}}}}}"#);
        member.ask(other, &frame);
        member.log(Ok(part));
        member.check(expected);
    }
    let answer = |offset, recovered, replayed| {
        format!(
            r#"{{"id":2,"subscribed":{{"channel":"web_a","epoch":"0000000000000009","offset":{offset},"recovered":{recovered},"replayed":{replayed}}}}}"#
        )
    };
    let both = [(7, "a"), (9, "b")];
    // Subscribers of this node hear what it lacked, and the newcomer what it lacked.
    let (a, b) = (told("a", 7, 5), told("b", 9, 7));
    check(
        7,
        rows(&both, true),
        &["log: read after 5", &a, &b, &answer(9, true, 1), &b],
    );
    check(
        8,
        rows(&[], true),
        &["log: read after 5", &answer(8, true, 0)],
    );
    check(
        8,
        rows(&both, false),
        &["log: read after 5", &answer(8, false, 0)],
    );
}

#[test]
fn what_the_window_lacks_the_log_tells() {
    let (mut member, _) = Member::subscribed();
    member.hears(8, true, "b");
    let other = member.open();
    let since = r#""epoch":"0000000000000009","offset":2"#;
    member.ask(
        other,
        &format!(r#"{{"id":2,"subscribe":{{"channel":"web_a",{since}}}}}"#),
    );
    // What comes while the log is asked is told to both.
    member.hears(10, true, "c");
    member.log(Ok(rows(&[(4, "a"), (8, "b")], true)));
    member.check(&[
        &told("b", 8, 5),
        "log: read after 2",
        &told("c", 10, 8),
        r#"{"id":2,"subscribed":{"channel":"web_a","epoch":"0000000000000009","offset":10,"recovered":true,"replayed":3}}"#,
        &told("a", 4, 2),
        &told("b", 8, 4),
        &told("c", 10, 8),
    ]);
}

#[test]
fn another_log_is_a_gap() {
    let (mut member, _) = Member::subscribed();
    let key = || (TENANT, channel("web_a"));
    let (tenant, channel) = key();
    member.put(Input::Log(LogEvent::Setting {
        tenant,
        channel,
        length: Some(10),
    }));
    member.opened(4, 2);
    let gap = r#"{"push":"gap","channel":"web_a"}"#;
    let open = "log: open web_a Some(Durable)";
    member.check(&["unfollow web_a Window", open, gap]);
    let reset = || {
        let (tenant, channel) = key();
        Input::Log(LogEvent::Reset { tenant, channel })
    };
    member.put(reset());
    // It begins anew once more before the answer.
    member.put(reset());
    member.opened(5, 0);
    member.opened(6, 0);
    member.hears(1, true, "x");
    member.check(&[open, open, gap, &told("x", 1, 0)]);
}

fn message(offset: u64) -> InboxMessage {
    InboxMessage {
        id: MessageId(7),
        offset,
        event: EventName::default(),
        data: "x".into(),
        data_is_json: false,
        time_ms: 0,
        waited: false,
    }
}

fn arrives(member: &mut Member, offset: u64) {
    member.put(Input::Log(LogEvent::Inbox {
        tenant: TENANT,
        user: UserId::new(7).unwrap(),
        message: message(offset),
    }));
}

#[test]
fn private_messages_come_once_and_in_order() {
    let mut member = Member::new();
    member.user();
    member.log(Ok(StoreAnswer::Changed(1)));
    member.outside.lines.clear();
    arrives(&mut member, 4);
    member.reads(vec![message(2), message(3)], 3);
    member.check(&[
        "log: read messages after 3",
        "message x at 2",
        "message x at 3",
    ]);
    // The online status, whose place does not matter here.
    member.log(Ok(StoreAnswer::Appended { offset: 1 }));
    member.reads(vec![message(4)], 4);
    arrives(&mut member, 4);
    arrives(&mut member, 9);
    arrives(&mut member, 6);
    member.check(&["message x at 4", "message x at 9"]);
    // The log counts from the beginning again.
    member.put(Input::Log(LogEvent::InboxReset {
        tenant: TENANT,
        user: UserId::new(7).unwrap(),
    }));
    member.reads(vec![message(1)], 1);
    arrives(&mut member, 2);
    member.check(&[
        "log: read messages after 0",
        "message x at 1",
        "message x at 2",
    ]);
}

#[test]
fn what_was_acknowledged_elsewhere_may_come_late() {
    let mut member = Member::new();
    member.user();
    member.log(Ok(StoreAnswer::Changed(1)));
    member.outside.lines.clear();
    member.reads(vec![message(3)], 8);
    arrives(&mut member, 8);
    arrives(&mut member, 9);
    member.check(&["message x at 3", "message x at 9"]);
}

/// Who goes on from the position of a history must not miss what came while it was read.
#[test]
fn a_history_ends_where_its_publications_do() {
    const HISTORY: &str =
        r#"{"id":2,"history":{"channel":"web_a","epoch":"0000000000000009","offset":2}}"#;
    for (read, offset) in [(vec![(3, "a")], 5), (vec![(3, "a"), (9, "c")], 9)] {
        let (mut member, connection) = Member::subscribed();
        member.ask(connection, HISTORY);
        member.hears(8, true, "meanwhile");
        member.outside.lines.clear();
        member.log(Ok(rows(&read, true)));
        let told = member.outside.lines.join("\n");
        let end = format!(r#""epoch":"0000000000000009","offset":{offset},"publications""#);
        assert!(told.contains(&end), "{told}");
    }
}
