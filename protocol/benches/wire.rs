//! What encoding and decoding of our browser protocol costs. `cargo bench -p cometql-protocol`.

use std::hint::black_box;

use cometql_protocol::ChannelName;
use cometql_protocol::wire::{PublicationView, decode_requests, encode_publication};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn encode(criterion: &mut Criterion) {
    let channel = ChannelName::parse("web_bench").expect("a channel name");
    let long = "\"quoted\" and\nbroken ".repeat(500);
    let cases = [
        ("text of 20 bytes", "hello from a backend", false),
        ("JSON object", r#"{"user":12,"text":"hello"}"#, true),
        ("text of 10,000 bytes to escape", &long, false),
    ];
    let mut group = criterion.benchmark_group("encode a publication");
    for (name, data, data_is_json) in cases {
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                encode_publication(black_box(PublicationView {
                    channel: &channel,
                    event: "comment",
                    data,
                    data_is_json,
                    offsets: Some((1_000_000, 999_999)),
                    time_ms: 1_700_000_000_000,
                    user: None,
                    request: None,
                }))
            });
        });
    }
}

fn decode(criterion: &mut Criterion) {
    let cases = [
        ("subscribe", r#"{"id":1,"subscribe":"web_news"}"#.to_owned()),
        (
            "publish",
            r#"{"id":2,"publish":{"channel":"web_chat","event":"line","data":{"text":"hello"}}}"#
                .to_owned(),
        ),
        (
            "100 subscriptions in one message",
            r#"{"id":3,"subscribe":"web_news"}
"#
            .repeat(100),
        ),
    ];
    let mut group = criterion.benchmark_group("decode requests");
    for (name, text) in &cases {
        for request in decode_requests(text) {
            request.expect("the cases are requests");
        }
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| decode_requests(black_box(text)));
        });
    }
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
