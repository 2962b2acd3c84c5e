//! Whatever happens in whatever order: nothing panics, nobody is forgotten, nothing is lost in silence.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cometql_protocol::UserId;
use cometql_protocol::wire::decode_requests;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::super::*;
use super::harness::{Logged, Node, TENANT, channel, draft};
use crate::permission::{Pattern, Retention, Rule, UserDataRule, Who};
use crate::{Disconnect, MessageId};

/// Names by what a test's rules keep of them; `private_` may be taken away.
const CHANNELS: [&str; 4] = ["log_a", "web_a", "live_a", "private_a"];

/// For eight publications on each shard.
const WINDOW_BYTES: usize = 3 * 8 * 270;

fn limits() -> Limits {
    Limits {
        window_bytes: WINDOW_BYTES,
        ..Limits::default()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Open {
        shard: u8,
        user: u64,
    },
    Subscribe {
        by: usize,
        to: usize,
        /// From which of the positions that were told; beyond them: anew.
        since: usize,
    },
    Unsubscribe {
        by: usize,
        from: usize,
    },
    Ask {
        by: usize,
        what: usize,
        of: usize,
    },
    Publish(usize),
    Send(u64),
    Close(usize),
    Vanish(usize),
    Revoke(u64),
    ClearHistory(usize),
    DeleteNewest(usize),
    Later(u64),
    Sleeps(bool),
    Fails(bool),
    /// So many things happen, in an order that the number tells.
    Happen(usize, usize),
    /// Only where settings may change.
    Setting(usize, Option<u64>),
    /// Only where settings may change.
    Rules(usize),
    /// The process dies, after the store has done so much more; only where settings may change.
    Crash(usize),
}

fn steady() -> impl Strategy<Value = Step> {
    let by = 0_usize..6;
    let on = 0..CHANNELS.len();
    prop_oneof![
        2 => (0_u8..3, 0_u64..4).prop_map(|(shard, user)| Step::Open { shard, user }),
        6 => (by.clone(), on.clone(), 0_usize..4)
            .prop_map(|(by, to, since)| Step::Subscribe { by, to, since }),
        3 => (by.clone(), on.clone()).prop_map(|(by, from)| Step::Unsubscribe { by, from }),
        3 => (by.clone(), 0_usize..8, on.clone()).prop_map(|(by, what, of)| Step::Ask { by, what, of }),
        6 => on.clone().prop_map(Step::Publish),
        2 => (1_u64..4).prop_map(Step::Send),
        2 => by.clone().prop_map(Step::Close),
        2 => by.prop_map(Step::Vanish),
        1 => (1_u64..4).prop_map(Step::Revoke),
        1 => on.clone().prop_map(Step::ClearHistory),
        1 => on.prop_map(Step::DeleteNewest),
        2 => prop_oneof![Just(500_u64), Just(61_000)].prop_map(Step::Later),
        2 => any::<bool>().prop_map(Step::Sleeps),
        2 => any::<bool>().prop_map(Step::Fails),
        8 => (0_usize..12, any::<usize>()).prop_map(|(times, pick)| Step::Happen(times, pick % 997)),
    ]
}

fn unsteady() -> impl Strategy<Value = Step> {
    let on = 0..CHANNELS.len();
    prop_oneof![
        8 => steady(),
        1 => (on, prop::option::of(1_u64..4)).prop_map(|(on, length)| Step::Setting(on, length)),
        1 => (0_usize..4).prop_map(Step::Rules),
        1 => (0_usize..4).prop_map(Step::Crash),
    ]
}

fn rules(which: usize) -> Rules {
    let durable = Retention::Durable {
        publications: 5,
        age_ms: u64::MAX,
    };
    let rule = |prefix: &str, retention, who| Rule {
        retention: Some(retention),
        subscribe: Some(who),
        publish: Some(Who::Anyone),
        join_leave: Some(prefix == "web_"),
        ..Rule::new(prefix, Pattern::Prefix(prefix.into()))
    };
    let private = match which {
        0 | 1 => Who::Members,
        2 => Who::Nobody,
        _ => Who::Anyone,
    };
    let kinds = [durable, Retention::Window, Retention::Ephemeral];
    let kind = |turn: usize| kinds[(which + turn) % 3];
    let rules = vec![
        rule("log_", kind(0), Who::Anyone),
        rule("web_", kind(1), Who::Anyone),
        rule("live_", kind(2), Who::Anyone),
        rule("private_", durable, private),
    ];
    Rules::new(rules, UserDataRule::Anyone)
}

/// A browser: what it knows, and what it checks of all that it is told.
struct Browser {
    connection: ConnectionId,
    user: u64,
    requests: u32,
    /// Requests without an answer yet, and the channel if they subscribe.
    waits: BTreeMap<u64, Option<&'static str>>,
    /// The positions that they gave.
    gave: HashMap<u64, (String, u64)>,
    /// Recovered subscriptions: which publication of the channel's log must come next.
    next: HashMap<String, usize>,
    /// Active subscriptions: the last offset, if the channel has offsets, and how many replayed ones are due.
    subscribed: HashMap<String, Option<u64>>,
    replaying: HashMap<String, (u64, u64)>,
    inbox: u64,
    seen: BTreeSet<(String, String)>,
}

/// Epochs and offsets that were told, by channel.
type Positions = HashMap<String, Vec<(String, u64)>>;

struct World {
    node: Node,
    browsers: Vec<Browser>,
    positions: Positions,
    commands: Vec<u64>,
    published: u128,
    /// Settings may change, so a gap may show (but never be hidden).
    unsteady: bool,
    rules: usize,
}

impl World {
    fn new(unsteady: bool) -> Self {
        let mut node = Node::with(limits(), rules(0));
        for user in 1..3 {
            let member = ((TENANT, channel("private_a")), UserId::new(user).unwrap());
            node.world.store.members.push(member);
        }
        Self {
            node,
            browsers: Vec::new(),
            positions: HashMap::new(),
            commands: Vec::new(),
            published: 0,
            unsteady,
            rules: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Open { shard, user } => self.open(shard, user),
            Step::Subscribe { by, to, since } => {
                let name = CHANNELS[to];
                let told = self.positions.get(name);
                let position = told.and_then(|told| told.get(since));
                let since = position.map_or_else(String::new, |(epoch, offset)| {
                    format!(r#","epoch":"{epoch}","offset":{offset}"#)
                });
                let body = format!(r#""subscribe":{{"channel":"{name}"{since}}}"#);
                let position = position.cloned();
                self.ask(by, &body, Some(name));
                if let (Some(browser), Some(position)) = (self.browsers.get_mut(by), position) {
                    let request = u64::from(browser.requests);
                    browser.gave.insert(request, position);
                }
            }
            Step::Unsubscribe { by, from } => {
                let name = CHANNELS[from];
                self.ask(by, &format!(r#""unsubscribe":"{name}""#), None);
                if let Some(browser) = self.browsers.get_mut(by) {
                    browser.waits.retain(|_, waits| *waits != Some(name));
                }
            }
            Step::Ask { by, what, of } => self.ask_anything(by, what, CHANNELS[of]),
            Step::Publish(on) => self.publish(CHANNELS[on]),
            Step::Send(user) => {
                let draft = draft(&format!("private {user}"));
                let (tenant, user) = (TENANT, UserId::new(user).unwrap());
                self.command(Command::Send {
                    tenant,
                    user,
                    draft,
                });
            }
            Step::Close(by) => self.end_browser(by, Ending::Left(None)),
            Step::Vanish(by) => self.end_browser(by, Ending::Broke),
            other => self.take_from_backend(other),
        }
    }

    fn end_browser(&mut self, by: usize, ending: Ending) {
        if by < self.browsers.len() {
            let connection = self.browsers.swap_remove(by).connection;
            let closed = Input::Closed(connection, ending);
            self.node.put(connection.shard(), closed);
        }
    }

    fn take_from_backend(&mut self, step: Step) {
        let tenant = TENANT;
        match step {
            Step::Revoke(user) => {
                let user = UserId::new(user).unwrap();
                let which = Disconnect::User { tenant, user };
                self.every_shard(|| Input::Message(Message::Disconnect(which.clone())));
            }
            Step::ClearHistory(on) => {
                let channel = channel(CHANNELS[on]);
                self.command(Command::ClearHistory { tenant, channel });
            }
            Step::DeleteNewest(on) => {
                let channel = channel(CHANNELS[on]);
                let id = MessageId(self.published);
                let delete = Command::DeletePublication {
                    tenant,
                    channel,
                    id,
                };
                self.command(delete);
            }
            Step::Later(milliseconds) => {
                self.node.now.0 += milliseconds;
                self.every_shard(|| Input::Tick);
            }
            Step::Sleeps(sleeps) => self.node.world.store_sleeps = sleeps,
            Step::Fails(fails) => self.node.world.store_fails = fails,
            Step::Happen(times, pick) => {
                for turn in 0..times {
                    self.node.step(pick.wrapping_mul(turn + 1) % 7);
                }
            }
            Step::Setting(on, length) => {
                let channel = channel(CHANNELS[on]);
                self.command(match length {
                    Some(length) => Command::SetHistory {
                        tenant,
                        channel,
                        length,
                    },
                    None => Command::RemoveHistory { tenant, channel },
                });
            }
            Step::Rules(which) => {
                self.rules = which;
                let rules = Arc::new(rules(which));
                self.every_shard(|| Input::Rules(Arc::clone(&rules)));
            }
            Step::Crash(unheard) => self.crash(unheard),
            other => unreachable!("{other:?} is a browser's"),
        }
    }

    fn crash(&mut self, unheard: usize) {
        let mut node = std::mem::replace(&mut self.node, Node::new());
        if !node.world.store_fails {
            (0..unheard).for_each(|_| node.store_unheard());
        }
        self.node = node.restarted_with(limits(), rules(self.rules));
        self.browsers.clear();
        self.commands.clear();
    }

    fn every_shard(&mut self, input: impl Fn() -> Input<u64>) {
        for shard in 0..3 {
            self.node.put(ShardId(shard), input());
        }
    }

    fn command(&mut self, command: Command) {
        let number = self.node.start(command);
        self.commands.push(number);
    }

    fn publish(&mut self, name: &str) {
        self.published += 1;
        let mut draft = draft(&format!("p{}", self.published));
        draft.id = MessageId(self.published);
        let channel = channel(name);
        self.command(Command::Publish {
            tenant: TENANT,
            channel,
            draft,
        });
    }

    fn open(&mut self, shard: u8, user: u64) {
        if self.browsers.len() == 6 {
            return;
        }
        let connection = self.node.open(shard);
        self.browsers.push(Browser {
            connection,
            user,
            requests: 0,
            waits: BTreeMap::new(),
            gave: HashMap::new(),
            next: HashMap::new(),
            subscribed: HashMap::new(),
            replaying: HashMap::new(),
            inbox: 0,
            seen: BTreeSet::new(),
        });
        if user > 0 {
            let connect = format!(r#""connect":{{"user":{user},"hash":"h","inbox":true}}"#);
            self.ask(self.browsers.len() - 1, &connect, None);
        }
    }

    fn ask_anything(&mut self, by: usize, what: usize, name: &'static str) {
        self.published += 1;
        let body = match what {
            0 => format!(r#""presence":{{"channel":"{name}"}}"#),
            1 => format!(r#""presence_count":{{"channel":"{name}"}}"#),
            2 => format!(r#""history":{{"channel":"{name}","limit":3}}"#),
            3 => r#""ack":{"offset":1}"#.to_owned(),
            4 => r#""user_status":{"user":2}"#.to_owned(),
            5 => r#""user_data":{"user":2}"#.to_owned(),
            6 => r#""refresh":{"token":"2"}"#.to_owned(),
            _ => {
                let data = format!("p{}", self.published);
                format!(r#""publish":{{"channel":"{name}","data":"{data}"}}"#)
            }
        };
        self.ask(by, &body, None);
    }

    fn ask(&mut self, by: usize, body: &str, subscribes: Option<&'static str>) {
        let Some(browser) = self.browsers.get_mut(by) else {
            return;
        };
        browser.requests += 1;
        let id = browser.requests;
        browser.waits.insert(u64::from(id), subscribes);
        let connection = browser.connection;
        for request in decode_requests(&format!(r#"{{"id":{id},{body}}}"#)) {
            let request = Input::Request(connection, request.unwrap());
            self.node.put(connection.shard(), request);
        }
    }

    /// Every browser reads what it was told; those that the server closed go.
    fn listen(&mut self) {
        for browser in &mut self.browsers {
            for text in self.node.told(browser.connection) {
                let told: Value = serde_json::from_str(&text).unwrap();
                browser.hear(&told, &mut self.positions, self.unsteady);
                browser.follow(&told, &self.node.world.log);
            }
        }
        for (connection, code) in std::mem::take(&mut self.node.world.closed) {
            self.browsers
                .retain(|browser| browser.connection != connection);
            let closed = Input::Closed(connection, Ending::Closed(code));
            self.node.put(connection.shard(), closed);
        }
    }

    /// The store works again and everything comes to rest: all is answered, and who is subscribed hears.
    fn end(&mut self) {
        self.node.world.store_sleeps = false;
        self.node.world.store_fails = false;
        self.node.run();
        self.listen();
        self.node.run();
        self.listen();
        for command in &self.commands {
            assert!(self.node.answer(*command).is_some(), "command {command}");
        }
        for name in CHANNELS {
            self.publish(name);
            let text = format!("p{}", self.published);
            self.node.run();
            self.listen();
            for browser in &self.browsers {
                let hears = browser.seen.contains(&(name.to_owned(), text.clone()));
                let subscribed = browser.subscribed.contains_key(name);
                assert_eq!(hears, subscribed, "{name}: {:?}", browser.connection);
            }
        }
        for browser in &self.browsers {
            assert_eq!(browser.waits, BTreeMap::new(), "requests are answered");
            assert_eq!(browser.replaying, HashMap::new(), "replays are whole");
        }
    }
}

impl Browser {
    fn hear(&mut self, told: &Value, positions: &mut Positions, unsteady: bool) {
        if let Some(id) = told["id"].as_u64() {
            self.waits.remove(&id);
        }
        if let Some(answer) = told.get("subscribed") {
            self.begin(answer, positions);
        } else if let Some(answer) = told.get("unsubscribed") {
            self.leave(answer["channel"].as_str().unwrap());
        } else if told["push"] == "unsubscribed" {
            let name = told["channel"].as_str().unwrap().to_owned();
            self.waits.retain(|_, waits| *waits != Some(name.as_str()));
            self.leave(&name);
        } else if told["push"] == "message" {
            assert_eq!(told["data"], format!("private {}", self.user));
            let offset = told["offset"].as_u64().unwrap();
            assert!(offset > self.inbox, "{told}: after {}", self.inbox);
            self.inbox = offset;
        } else if told["push"] == "publication" {
            self.receive(told, unsteady);
        }
    }

    /// What was recovered is the log from there on, with nothing missing.
    fn follow(&mut self, told: &Value, log: &[Logged]) {
        let name = told["subscribed"]["channel"].as_str();
        if let Some(name) = name.or_else(|| told["channel"].as_str()) {
            let mut log = log.iter().filter(|logged| logged.channel == name);
            if told["subscribed"]["recovered"] == true {
                let gave = self.gave.get(&told["id"].as_u64().unwrap());
                let at = log.position(|logged| Some(&logged.position) == gave);
                if let Some(at) = at {
                    self.next.insert(name.to_owned(), at + 1);
                }
            } else if told["push"] == "publication"
                && let Some(next) = self.next.get_mut(name)
            {
                let expected = log.nth(*next).map(|logged| logged.data.as_str());
                assert_eq!(told["data"].as_str(), expected, "{told}: the log's {next}");
                *next += 1;
            }
        }
    }

    fn leave(&mut self, name: &str) {
        self.next.remove(name);
        self.subscribed.remove(name);
        self.replaying.remove(name);
    }

    fn begin(&mut self, answer: &Value, positions: &mut Positions) {
        let name = answer["channel"].as_str().unwrap().to_owned();
        let replayed = answer["replayed"].as_u64().unwrap();
        let offset = answer["offset"].as_u64();
        if let Some(offset) = offset {
            let epoch = answer["epoch"].as_str().unwrap().to_owned();
            let told = positions.entry(name.clone()).or_default();
            told.push((epoch, offset));
        }
        if replayed > 0 {
            assert_eq!(answer["recovered"], true, "{answer}");
            self.replaying
                .insert(name.clone(), (replayed, offset.unwrap()));
            self.subscribed.insert(name, None);
        } else {
            self.subscribed.insert(name, offset);
        }
    }

    fn receive(&mut self, told: &Value, unsteady: bool) {
        let name = told["channel"].as_str().unwrap().to_owned();
        let data = told["data"].as_str().unwrap().to_owned();
        let last = self.subscribed.get_mut(&name);
        let last = last.unwrap_or_else(|| panic!("{told}: not subscribed"));
        self.seen.insert((name.clone(), data));
        let Some(offset) = told["offset"].as_u64() else {
            assert!(unsteady || name == "live_a", "{told}");
            return;
        };
        let previous = told["previous"].as_u64().unwrap();
        if let Some(last) = *last {
            assert!(offset > last, "{told}: after {last}");
            let gap = unsteady && previous > last;
            assert!(previous == last || gap, "{told}: after {last}");
        }
        *last = Some(offset);
        if let Some((due, position)) = self.replaying.get_mut(&name) {
            *due -= 1;
            if *due == 0 {
                // What was deleted at the end, or refused by the store, is behind the position.
                *last = Some(offset.max(*position));
                self.replaying.remove(&name);
            }
        }
    }
}

fn check(steps: Vec<Step>, unsteady: bool) {
    let mut world = World::new(unsteady);
    for step in steps {
        world.take(step);
        world.listen();
        for shard in world.node.shards() {
            shard.sequencer.windows.check(WINDOW_BYTES / 3);
        }
    }
    world.end();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_anything(steps in vec(steady(), 1..120)) {
        check(steps, false);
    }

    #[test]
    fn any_order_while_settings_and_rules_change(steps in vec(unsteady(), 1..120)) {
        check(steps, true);
    }
}
