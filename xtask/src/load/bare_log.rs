//! The least that a cluster's log can cost: a publication goes into a stream that three servers keep in memory, and what is
//! stored comes back to a subscriber. NATS' own protocol over two sockets, as its client library speaks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::frames::{payload, scan_marks};
use super::generator::{Delivered, Run};
use crate::cluster::nats::{PASSWORD, USER};

const STREAM: &str = "BARE";
/// What is missing after so long is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client with one subscription.
struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(server: SocketAddr, subject: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let options = json!({"verbose": false, "headers": true, "user": USER, "pass": PASSWORD});
        let hello = format!("CONNECT {options}\r\nSUB {subject} 1\r\nPING\r\n");
        stream.write_all(hello.as_bytes())?;
        let reader = BufReader::new(stream.try_clone()?);
        let mut client = Self { stream, reader };
        client.until_pong()?;
        Ok(client)
    }

    fn until_pong(&mut self) -> anyhow::Result<()> {
        loop {
            let line = self.line()?;
            ensure!(!line.starts_with("-ERR"), "{line}");
            if line == "PONG" {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line)?;
        ensure!(count > 0, "NATS closed the connection");
        Ok(line.trim_end().to_owned())
    }

    /// The next message: headers and payload as they are.
    fn message(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            let line = self.line()?;
            if line == "PING" {
                self.stream.write_all(b"PONG\r\n")?;
            } else if line.starts_with("MSG ") || line.starts_with("HMSG ") {
                let length = line.rsplit(' ').next().unwrap_or_default();
                let mut body = vec![0; length.parse::<usize>()? + 2];
                self.reader.read_exact(&mut body)?;
                body.truncate(body.len() - 2);
                return Ok(body);
            } else {
                ensure!(!line.starts_with("-ERR"), "{line}");
            }
        }
    }

    fn ask(&mut self, subject: &str, reply: &str, body: &Value) -> anyhow::Result<Value> {
        let body = body.to_string();
        let length = body.len();
        write!(self.stream, "PUB {subject} {reply} {length}\r\n{body}\r\n")?;
        let answer: Value = serde_json::from_slice(&self.message()?)?;
        ensure!(answer["error"].is_null(), "{answer}");
        Ok(answer)
    }
}

/// Publishes at one server, in step with the clock, and listens at another one.
pub(super) fn publish(
    servers: &[SocketAddr],
    count: u64,
    size: usize,
    rate: u32,
) -> anyhow::Result<Delivered> {
    let mut publisher = Client::connect(servers[0], "bare.answers")?;
    let settings = json!({
        "name": STREAM, "subjects": ["bare.w.>"], "storage": "memory", "num_replicas": servers.len(),
        "retention": "limits", "discard": "old", "max_msgs_per_subject": 100,
        "republish": {"src": "bare.w.>", "dest": "bare.live.>"},
    });
    let create = format!("$JS.API.STREAM.CREATE.{STREAM}");
    publisher.ask(&create, "bare.answers", &settings)?;
    let mut listener = Client::connect(servers[1], "bare.live.channel")?;
    let clock = Instant::now();
    let now_us = move || u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
    let listening = std::thread::spawn(move || -> anyhow::Result<Run> {
        let mut run = Run::new(0, count)?;
        for _ in 0..count {
            let message = listener.message()?;
            let now = now_us();
            scan_marks(&message, |sequence, time| {
                run.count(sequence, now.saturating_sub(time), 1);
            });
        }
        Ok(run)
    });
    for sequence in 0..count {
        let due = Duration::from_micros(sequence * 1_000_000 / u64::from(rate));
        std::thread::sleep(due.saturating_sub(clock.elapsed()));
        let body = payload(sequence, now_us(), size);
        // The acknowledgement is asked for, as a node asks for it, and read by nobody here: the listener waits for the message.
        let length = body.len();
        let text = format!("PUB bare.w.channel bare.acknowledged {length}\r\n{body}\r\n");
        publisher.stream.write_all(text.as_bytes())?;
    }
    let Ok(run) = listening.join() else {
        bail!("the listener panicked");
    };
    let run = run.context("bare loop")?;
    let delete = format!("$JS.API.STREAM.DELETE.{STREAM}");
    publisher.ask(&delete, "bare.answers", &json!({}))?;
    Ok(run.delivered(clock.elapsed().as_secs_f64()))
}
