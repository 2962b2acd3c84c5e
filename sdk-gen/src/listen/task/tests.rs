use cometql_protocol::client::Input;

use super::super::options::Home;
use super::super::{ChannelSince, Listening};
use super::*;
use crate::{Algorithm, TokenKey, testing};

/// Listens to `web_a` at these nodes, with a queue for two events; nothing is sent anywhere.
fn task(nodes: usize, credentials: Option<Credentials>) -> Task {
    let listening = Listening {
        urls: (1..=nodes)
            .map(|port| format!("ws://127.0.0.1:{port}"))
            .collect(),
        queue_events: 2,
        credentials,
        ..Listening::default()
    };
    let channels = vec![ChannelSince {
        channel: "web_a".to_owned(),
        since: None,
    }];
    let plan = Plan::new(channels, listening, Home::default()).unwrap();
    let queue = Queue::new(plan.queue_events, plan.queue_bytes, true, []);
    let mut task = Task::new(plan, Arc::new(queue));
    task.begin();
    task
}

impl Task {
    /// So much later.
    fn later(&mut self, ms: u64) {
        self.shell.clock.base_ms += ms;
    }

    /// The node accepts the connection: what it is told then.
    fn opens(&mut self) -> String {
        self.shell.link.unsent();
        self.on_socket(Happened::Opened);
        self.shell.link.unsent().join("\n")
    }

    fn says(&mut self, text: &str) {
        self.on_socket(Happened::Text(text.into()));
    }

    /// The node is gone, and it is time for the next attempt.
    fn fails(&mut self) {
        self.on_socket(Happened::Closed {
            code: 1006,
            reason: String::new(),
        });
        self.later(60_000);
        self.lets(Input::Time);
    }
}

fn fill(task: &Task) {
    for _ in 0..2 {
        task.shell.tell(Event::Recovered {
            channel: "web_a".to_owned(),
        });
    }
}

#[test]
fn who_is_not_read_is_not_silent() {
    let mut task = task(1, None);
    task.opens();
    task.queue.take_now(9).unwrap();
    task.later(7_000);
    task.lets(Input::Time);
    assert!(task.shell.link.unsent().concat().contains("ping"));
    // The answer can't be read.
    fill(&task);
    for offset in 1..4 {
        task.queue.acknowledge(offset);
        assert!(task.carry_out(), "it is full");
        task.later(10_000);
    }
    task.queue.take_now(9).unwrap();
    assert!(!task.carry_out());
    task.queue.acknowledge(4);
    assert!(!task.carry_out());
    assert!(task.shell.is_online);
}

/// A key whose tokens all differ.
fn key() -> Option<Credentials> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
    let key = TokenKey {
        key: pair.unwrap().serialize_pem(),
        algorithm: Some(Algorithm::Es256),
        id: None,
    };
    let claims = testing::claims();
    Some(Credentials::Key { key, claims })
}

#[test]
fn each_connection_gets_a_token_of_its_own() {
    let mut task = task(1, key());
    let mut said = Vec::new();
    for _ in 0..3 {
        let body = task.opens();
        assert!(body.contains("token"), "{body}");
        said.push(body);
        task.fails();
    }
    said.dedup();
    assert_eq!(said.len(), 3);
}

#[test]
fn a_key_that_one_node_refuses_may_be_good_for_another() {
    const REFUSES: &str = r#"{"id":ID,"error":{"code":"unauthorized","message":"no"}}"#;
    let refuses = |task: &mut Task| {
        let said = task.opens();
        let (id, _) = said[6..].split_once(',').unwrap();
        task.says(&REFUSES.replace("ID", id));
    };
    let mut task = task(2, key());
    let first = task.shell.socket;
    refuses(&mut task);
    assert!(!task.is_over());
    assert_ne!(task.shell.socket, first, "the other one is tried at once");
    refuses(&mut task);
    assert!(task.is_over());
    let events = task.queue.take_now(9).unwrap().unwrap();
    assert!(matches!(&events[0], Event::Trouble { code, .. } if code == "unauthorized"));
    let ended = task.queue.take_now(9).unwrap_err();
    assert!(matches!(ended, CometError::Ended { code, .. } if code == "unauthorized"));
}

#[test]
fn a_token_is_replaced_before_it_ends() {
    let mut task = task(1, key());
    task.opens();
    let expires = task.shell.now().0 / 1_000 + 60;
    task.says(&format!(
        r#"{{"id":1,"connected":{{"expires":{expires}}}}}"#
    ));
    task.shell.link.unsent();
    task.later(31_000);
    task.lets(Input::Time);
    let said = task.shell.link.unsent().concat();
    assert!(said.contains("refresh"), "{said}");
    assert!(task.shell.is_online);
}
