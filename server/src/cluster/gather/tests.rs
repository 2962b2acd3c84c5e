//! What members say is the same for every version: recorded questions and answers of version 1.

use std::net::{IpAddr, Ipv4Addr};

use cometql_engine::shard::inspect::{ChannelRow, ConnectionRow, SubscriberRow, Totals};
use cometql_engine::shard::trace::{Event, Happened};
use cometql_engine::{ConnectionId, Disconnect, Ending, MessageId, ShardId};
use cometql_protocol::wire::{Epoch, Member, Position};
use cometql_protocol::{ChannelName, CloseCode, ErrorCode, TenantId, UserId};
use serde_json::Value;

use super::wire::{self, Ask};
use crate::cluster::members::Beat;
use crate::cluster::presence::{UsersAsked, UsersTold};
use crate::cometql::ProcessRow;
use crate::hub::Found;
use crate::shard::{InOutbox, Outlook, Sought};

/// What version 1 says: the kind of a question, the question, and a row of an answer, in turn.
const VERSION_1: &str = include_str!("version_1.txt");

fn recorded(what: &str) -> (&'static str, &'static str) {
    let mut lines = VERSION_1.lines();
    lines.find(|line| *line == what).expect("it is recorded");
    (lines.next().unwrap(), lines.next().unwrap())
}

/// A question and a row are written as they are recorded, and read as they are recorded, also with more in them.
#[track_caller]
fn check<Q: Ask>(question: &Q, row: &Q::Row) {
    let (asked, told) = recorded(Q::WHAT);
    assert_eq!(wire::question(question), asked);
    assert_eq!(wire::json(row), told);
    let read: Q = serde_json::from_str(asked).unwrap();
    assert_eq!(wire::question(&read), asked);
    let more = |text: &str| match serde_json::from_str(text).unwrap() {
        Value::Object(mut fields) => {
            fields.insert("later".into(), Value::from(vec![1]));
            Value::Object(fields).to_string()
        }
        other => other.to_string(),
    };
    let read: Q = serde_json::from_str(&more(asked)).unwrap();
    assert_eq!(wire::question(&read), asked);
    let answer = wire::part("n1-0a1b2c3d", &[more(told)], false);
    let rows: Vec<Q::Row> = wire::rows(answer.as_bytes()).unwrap();
    assert_eq!(wire::json(&rows[0]), told);
}

fn channel() -> ChannelName {
    ChannelName::parse("web_a").unwrap()
}

fn user() -> UserId {
    UserId::new(5).unwrap()
}

fn connection() -> ConnectionId {
    ConnectionId::of_member(7, ShardId(1), 2, 3)
}

fn address() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

fn event(happened: Happened) -> wire::EventTold {
    wire::EventTold::from(Event {
        time_ms: 1_700_000_000_000,
        user: Some(user()),
        connection: Some(connection()),
        channel: Some(channel()),
        happened,
    })
}

#[test]
fn subscriptions_and_connections() {
    let channels = ChannelRow {
        channel: channel(),
        subscribers: 3,
    };
    let asked = wire::ChannelsAsked {
        tenant: 0,
        names: Some(vec!["web_a".into()]),
    };
    check(&asked, &channels.into());
    let subscriber = SubscriberRow {
        channel: channel(),
        connection: connection(),
        user: Some(user()),
        uuid: "u".into(),
        agent: "Firefox \"1\"".into(),
        address: address(),
        origin: "https://a.example".into(),
        language: "de".into(),
        since_ms: 1_700_000_000_000,
    };
    let asked = wire::SubscribersAsked {
        tenant: 0,
        names: None,
    };
    check(&asked, &subscriber.into());
    let open = ConnectionRow {
        connection: connection(),
        tenant: TenantId(0),
        user: None,
        kind: "sse",
        address: address(),
        agent: "a".into(),
        origin: "o".into(),
        subscriptions: 2,
        opened_ms: 1_700_000_000_000,
    };
    check(&wire::ConnectionsAsked { tenant: Some(0) }, &open.into());
    let asked = wire::OnlineAsked {
        tenant: 0,
        users: Some(vec![5]),
    };
    check(&asked, &5);
    let totals = Totals {
        connections: 1,
        subscriptions: 2,
        channels: 3,
        users_online: 4,
        users_first: 4,
    };
    check(&wire::TotalsAsked { tenant: None }, &totals.into());
}

#[test]
fn stories() {
    let asked = || wire::TraceAsked {
        tenant: 0,
        users: Some(vec![5]),
    };
    let position = Position {
        epoch: Epoch(0x0102),
        offset: 9,
    };
    let subscribed = Happened::Subscribed {
        position: Some(position),
        recovered: true,
        replayed: 2,
        reach: 3,
    };
    check(&asked(), &event(subscribed));
    let found = Found {
        channel: channel(),
        offset: 9,
        epoch: Epoch(0x0102),
        time_ms: 1_700_000_000_000,
    };
    let asked = wire::PublicationsAsked {
        tenant: 0,
        id: format!("{:032x}", 0x0190_a1b2),
    };
    check(&asked, &found.into());
    let sought = Sought {
        tenant: TenantId(0),
        user: user(),
        channel: Some(channel()),
        offset: 9,
        time_ms: 1_700_000_000_000,
    };
    let outlook = Outlook {
        connection: connection(),
        stuck_ms: 0,
        place: InOutbox::Waits,
    };
    check(&wire::OutlookAsked::from(&sought), &outlook.into());
    check(&wire::ForgottenAsked { tenant: 0 }, &7);
}

#[test]
fn changes() {
    let token = Disconnect::Token {
        tenant: TenantId(0),
        digest: [0xab; 32],
    };
    check(&wire::DisconnectAsked::from(&token), &1);
    let asked = wire::MembersRemovedAsked {
        tenant: 0,
        channel: "web_a".into(),
        users: None,
    };
    check(&asked, &true);
    check(
        &wire::KillAsked {
            id: 7,
            tenant: None,
        },
        &true,
    );
    let post = wire::PostAsked {
        connection: connection().number(),
        secret: "s".into(),
        text: "{}".into(),
    };
    check(&post, &true);
}

#[test]
fn who_is_there() {
    let beat = Beat {
        v: 1,
        node: "n1-0a1b2c3d".into(),
        name: "n1".into(),
        number: 7,
        version: "0.1.0".into(),
        http: "10.0.0.1:8080".into(),
        mysql: "10.0.0.1:3306".into(),
        started_ms: 1_700_000_000_000,
        ready: true,
        connected: 2,
        ..Beat::default()
    };
    check(&wire::BeatAsked {}, &beat);
    let process = ProcessRow {
        id: 7,
        user: "root".into(),
        tenant: Some(TenantId(0)),
        host: ([127, 0, 0, 1], 4000).into(),
        database: "CometQL_v1".into(),
        command: "Query",
        seconds: 2,
        info: "SELECT 1".into(),
    };
    check(&wire::ProcessesAsked { tenant: Some(0) }, &process.into());
    let member = Member {
        user: Some(user()),
        uuid: "u".into(),
    };
    let (tenant, channel) = (0, "web_a".to_owned());
    check(&wire::PresenceAsked { tenant, channel }, &member.into());
    let channel = "web_a".to_owned();
    check(&wire::PresenceCountAsked { tenant, channel }, &3);
    let users = [(TenantId(7), UserId::new(1).unwrap(), true)];
    check(&UsersAsked {}, &UsersTold::parts(3, 8, &users)[0]);
}

#[test]
fn every_question_is_recorded() {
    for what in wire::ALL.iter().chain([&UsersAsked::WHAT]) {
        recorded(what);
    }
}

#[track_caller]
fn comes_back(happened: Happened) {
    let told = wire::json(&event(happened));
    let read: wire::EventTold = serde_json::from_str(&told).unwrap();
    assert_eq!(read.row().unwrap().happened, happened, "{told}");
}

#[test]
fn all_that_the_trace_has_comes_back() {
    for ending in [Ending::Broke, Ending::Left(None), Ending::Left(Some(1001))] {
        comes_back(Happened::Closed(ending));
    }
    for code in CloseCode::ALL {
        comes_back(Happened::Closed(Ending::Closed(code)));
    }
    for code in ErrorCode::ALL {
        comes_back(Happened::Ended(code));
        let request = "publish";
        comes_back(Happened::Refused { request, code });
    }
    let (after, before, up_to, live) = (1, 2, 3, true);
    for happened in [
        Happened::Connected("legacy"),
        Happened::Authenticated,
        Happened::Unsubscribed,
        Happened::CaughtUp(1),
        Happened::Conflated { after, before },
        Happened::Dropped(1, 2),
        Happened::DroppedSince(1),
        Happened::Stored {
            id: MessageId(u128::MAX),
            offset: 1,
        },
        Happened::InboxRead { after, up_to, live },
        Happened::Acknowledged(1),
        Happened::Cleared,
    ] {
        comes_back(happened);
    }
    let later = wire::json(&event(Happened::Cleared)).replace("cleared", "teleported");
    let read: wire::EventTold = serde_json::from_str(&later).unwrap();
    assert_eq!(read.row(), None);
}

#[test]
fn what_is_no_answer_is_none() {
    for text in [
        "",
        "{}",
        "[]",
        "{\"node\":7}",
        "{\"node\":\"a\",\"rows\":7}",
    ] {
        let rows: Option<Vec<u64>> = wire::rows(text.as_bytes());
        let read = wire::head(text.as_bytes()).zip(rows);
        assert!(read.is_none(), "{text}");
    }
    let unsupported = wire::unsupported("n1-0a1b2c3d");
    let head = wire::head(unsupported.as_bytes()).unwrap();
    assert_eq!(head.error.as_deref(), Some("unsupported"));
}
