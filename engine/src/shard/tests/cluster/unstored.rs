//! Private messages while the log can't take them.

use super::*;
use crate::{Command, Draft, UserThere};

/// What stands for the offset of message 7.
const PLACE: u64 = cometql_protocol::UNSTORED_OFFSET | 7;
const SHOWN: &str = "message x at 4503599627370503";
const NOT_TAKEN: &str = "answer 1: Rejected(Reject { code: Unavailable, message: \"the cluster's log is out of reach; try again\", retry_ms: None })";
const TAKEN: &str = "answer 1: Sent { offset: 0, reached: 1, lossy: true }";

fn user() -> UserId {
    UserId::new(7).unwrap()
}

impl Member {
    /// A backend sends message 7, which the log does not take.
    fn send(&mut self, answer: u64) {
        let draft = Draft {
            id: MessageId(7),
            once: true,
            event: EventName::default(),
            data: "x".into(),
            data_is_json: false,
        };
        let command = Command::Send {
            tenant: TENANT,
            user: user(),
            draft,
        };
        self.put(Input::Command(command, answer));
        self.log(Err(StoreFailure::NoQuorum));
    }

    /// The user is here; what led there is told no more.
    fn with_user() -> (Self, ConnectionId) {
        let mut member = Self::new();
        let connection = member.user();
        member.log(Ok(StoreAnswer::Changed(1)));
        member.reads(Vec::new(), 0);
        // Its status is published.
        member.log(Ok(StoreAnswer::Appended { offset: 1 }));
        assert!(member.outside.asked.is_empty());
        member.outside.lines.clear();
        (member, connection)
    }

    /// The lines since, but for questions to the log.
    #[track_caller]
    fn check_told(&mut self, expected: &[&str]) {
        let mut lines = std::mem::take(&mut self.outside.lines);
        lines.retain(|line| !line.starts_with("log: InboxAppend"));
        assert_eq!(lines, expected);
    }

    fn elsewhere(&mut self) {
        self.put(Input::Log(LogEvent::User {
            node: NodeId(2),
            tenant: TENANT,
            user: user(),
            there: UserThere::Online { reads: true },
        }));
    }

    fn hears_unstored(&mut self) {
        self.put(Input::Log(LogEvent::Unstored {
            tenant: TENANT,
            user: user(),
            content: content("x"),
        }));
    }

    /// The log has it after all.
    fn arrives(&mut self, offset: u64) {
        let message = InboxMessage {
            id: MessageId(7),
            offset,
            event: EventName::default(),
            data: "x".into(),
            data_is_json: false,
            time_ms: 1_000_000,
            waited: false,
        };
        self.put(Input::Log(LogEvent::Inbox {
            tenant: TENANT,
            user: user(),
            message,
        }));
    }

    fn acks(&mut self, connection: ConnectionId, offset: u64) {
        let frame = format!(r#"{{"id":9,"ack":{{"offset":{offset}}}}}"#);
        self.ask(connection, &frame);
    }
}

#[test]
fn an_acknowledgement_answers_its_sender_and_retries() {
    let (mut member, connection) = Member::with_user();
    member.send(1);
    member.check_told(&[SHOWN]);
    member.acks(connection, PLACE);
    let acked = r#"{"id":9,"acknowledged":{}}"#;
    member.check_told(&["user 7 took 7", TAKEN, acked]);
    // A retry asks nobody.
    let draft = |data: &str| Draft {
        id: MessageId(7),
        once: true,
        event: EventName::default(),
        data: data.into(),
        data_is_json: false,
    };
    let (tenant, user) = (TENANT, user());
    let draft = draft("x");
    let command = Command::Send {
        tenant,
        user,
        draft,
    };
    member.put(Input::Command(command, 1));
    member.check_told(&[TAKEN]);
}

#[test]
fn without_one_it_is_refused_and_shown_once() {
    let (mut member, connection) = Member::with_user();
    member.send(1);
    member.later(4_999);
    member.check_told(&[SHOWN]);
    member.later(1);
    member.check_told(&[NOT_TAKEN]);
    member.send(1);
    member.later(6_000);
    member.check_told(&[NOT_TAKEN]);
    // It was acknowledged too late for both.
    member.acks(connection, PLACE);
    member.outside.lines.clear();
    member.send(1);
    member.check_told(&[TAKEN]);
}

#[test]
fn nobody_is_there() {
    let mut member = Member::new();
    member.send(1);
    member.check_told(&[NOT_TAKEN]);
}

#[test]
fn other_nodes_are_told_and_tell() {
    let mut member = Member::new();
    member.elsewhere();
    member.send(1);
    member.check_told(&["tell those who have user 7: x"]);
    member.put(Input::Log(LogEvent::Taken {
        tenant: TENANT,
        user: user(),
        id: MessageId(7),
    }));
    member.check_told(&["answer 1: Sent { offset: 0, reached: 0, lossy: true }"]);
    // The other side of that.
    let (mut member, connection) = Member::with_user();
    member.hears_unstored();
    member.hears_unstored();
    member.check_told(&[SHOWN]);
    member.acks(connection, PLACE);
    member.check_told(&["user 7 took 7", r#"{"id":9,"acknowledged":{}}"#]);
    member.hears_unstored();
    member.check_told(&["user 7 took 7"]);
}

#[test]
fn what_the_log_has_after_all_is_shown_to_nobody_again() {
    let (mut member, connection) = Member::with_user();
    member.hears_unstored();
    member.check_told(&[SHOWN]);
    member.arrives(12);
    member.check_told(&[]);
    // Who comes now gets it as the first one did.
    member.user();
    let waits = InboxMessage {
        id: MessageId(7),
        offset: 12,
        event: EventName::default(),
        data: "x".into(),
        data_is_json: false,
        time_ms: 1_000_000,
        waited: true,
    };
    member.reads(vec![waits], 12);
    let lines = std::mem::take(&mut member.outside.lines);
    assert!(lines.contains(&SHOWN.to_owned()), "{lines:?}");
    member.acks(connection, PLACE);
    let removed = "log: InboxRemoveOne { tenant: TenantId(1), user: UserId(7), offset: 12 }";
    member.check_told(&["user 7 took 7", removed, r#"{"id":9,"acknowledged":{}}"#]);
    // Asked again until the log has done it.
    member.log(Err(StoreFailure::NoQuorum));
    member.later(1_000);
    member.check_told(&[removed]);
    member.log(Ok(StoreAnswer::Changed(1)));
    member.later(1_000);
    member.check_told(&[]);
    // And what came by the log is not shown without it.
    let (mut member, _) = Member::with_user();
    member.arrives(12);
    member.check_told(&["message x at 12"]);
    member.hears_unstored();
    member.check_told(&[]);
}

#[test]
fn a_write_counts_where_none_of_ours_is_open() {
    let connect = |member: &mut Member| {
        let settings = SessionSettings {
            tenant: TENANT,
            kind: "legacy",
            legacy: true,
        };
        let info = ClientInfo {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            agent: "".into(),
            origin: "".into(),
            language: "".into(),
            uuid: "".into(),
        };
        let connection = member.shard.open(member.now, settings, info);
        member.log_in(connection);
        connection
    };
    for ours in [false, true] {
        let mut member = Member::new();
        if ours {
            member.elsewhere();
        }
        let connection = connect(&mut member);
        while !member.outside.asked.is_empty() {
            member.log(Err(StoreFailure::NoQuorum));
        }
        member.outside.lines.clear();
        member.hears_unstored();
        member.put(Input::Outbox(connection, Outbox::Written(PLACE)));
        let told = std::mem::take(&mut member.outside.lines);
        let taken = told.contains(&"user 7 took 7".to_owned());
        assert_eq!(told[0], SHOWN);
        assert_eq!(taken, !ours, "{told:?}");
    }
}
