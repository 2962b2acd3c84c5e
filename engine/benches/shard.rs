//! What one shard spends on publishing, subscribing and recovering, apart from sockets. `cargo bench -p cometql-engine`.

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cometql_engine::effects::Counted;
use cometql_engine::{
    Answer, ClientInfo, Command, ConnectionId, Credentials, Draft, Effects, Input, Limits, Message,
    MessageId, Now, Push, Reject, Rules, SessionSettings, Shard, ShardId, StoreRequest,
};
use cometql_protocol::wire::{Reply, decode_requests};
use cometql_protocol::{ChannelName, CloseCode, EventName, TenantId};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const TENANT: TenantId = TenantId(1);
const NOW: Now = Now(1_700_000_000_000);

/// Effects that keep a shard's messages to itself and count the rest.
#[derive(Default)]
struct Sink {
    mail: VecDeque<Message>,
    pushes: usize,
    random: u64,
}

impl Effects for Sink {
    type Token = ();

    fn send(&mut self, _to: ShardId, message: Message) {
        self.mail.push_back(message);
    }

    fn push(&mut self, to: ConnectionId, push: Push<'_>) {
        black_box((to, push));
        self.pushes += 1;
    }

    fn reply(&mut self, to: ConnectionId, request: u32, reply: Reply) {
        black_box((to, request, reply));
    }

    fn refuse(&mut self, _: ConnectionId, _: u32, reject: &Reject, _: Option<&str>) {
        panic!("{reject:?}");
    }

    fn close(&mut self, _connection: ConnectionId, _code: CloseCode) {}

    fn authenticate(&mut self, _connection: ConnectionId, _request: u32, _: Credentials) {}

    fn store(&mut self, _ticket: u64, _request: StoreRequest) {}

    fn answer(&mut self, (): (), answer: Answer) {
        black_box(answer);
    }

    fn count(&mut self, _event: Counted, _times: u64) {}

    fn random(&mut self) -> u64 {
        self.random += 1;
        self.random
    }
}

struct Node {
    shard: Shard<()>,
    sink: Sink,
}

impl Node {
    fn new(subscribers: usize) -> Self {
        let rules = Arc::new(Rules::default());
        let mut node = Self {
            shard: Shard::new(ShardId(0), 1, Arc::new(Limits::default()), rules),
            sink: Sink::default(),
        };
        for _ in 0..subscribers {
            node.subscribe("");
        }
        node
    }

    fn handle(&mut self, input: Input<()>) {
        self.shard.handle(NOW, input, &mut self.sink);
        while let Some(message) = self.sink.mail.pop_front() {
            self.shard
                .handle(NOW, Input::Message(message), &mut self.sink);
        }
    }

    /// `since`: more fields of the request, a position.
    fn subscribe(&mut self, since: &str) {
        let settings = SessionSettings {
            tenant: TENANT,
            kind: "websocket",
            legacy: false,
        };
        let info = ClientInfo {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            agent: Box::default(),
            origin: Box::default(),
            language: Box::default(),
            uuid: Box::default(),
        };
        let connection = self.shard.open(NOW, settings, info);
        let text = format!(r#"{{"id":1,"subscribe":{{"channel":"web_bench"{since}}}}}"#);
        for request in decode_requests(&text) {
            let request = request.expect("the request above is one");
            self.handle(Input::Request(connection, request));
        }
    }

    fn publish(&mut self, number: u128) {
        let draft = Draft {
            id: MessageId(number),
            once: false,
            event: EventName::parse("e").expect("an event name"),
            data: "a payload of the usual size: a name, a time, a sentence or two".into(),
            data_is_json: false,
        };
        let channel = ChannelName::parse("web_bench").expect("a channel name");
        let command = Command::Publish {
            tenant: TENANT,
            channel,
            draft,
        };
        self.handle(Input::Command(command, ()));
    }
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish to subscribers");
    for subscribers in [1, 1_000, 100_000] {
        group.throughput(Throughput::Elements(subscribers));
        let count = usize::try_from(subscribers).expect("a small number");
        group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
            let mut node = Node::new(count);
            let mut number = 0;
            bencher.iter(|| {
                number += 1;
                node.publish(number);
            });
            assert_eq!(node.sink.pushes % count, 0);
        });
    }
}

fn subscribe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open and subscribe");
    let replays = [("anew", None), ("replaying 50 publications", Some(50))];
    for (name, replayed) in replays {
        group.bench_function(name, |bencher| {
            let full = || {
                let mut node = Node::new(1);
                (1..=100).for_each(|number| node.publish(number));
                node
            };
            // The first random number that a node draws is the channel's epoch.
            let since = replayed.map_or(String::new(), |replayed| {
                let offset = 100 - replayed;
                format!(r#","epoch":"0000000000000001","offset":{offset}"#)
            });
            bencher.iter_batched_ref(full, |node| node.subscribe(&since), BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, publish, subscribe);
criterion_main!(benches);
