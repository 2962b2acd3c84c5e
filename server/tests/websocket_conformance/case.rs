//! What a case is, and how one is run.

use cometql_server::app::App;

use crate::common::{node, within};
use crate::peer::{self, Came, Peer, Seen};

/// The channel that a connection echoes itself with. Each case has a tenant of its own, so that none hears another.
const CHANNEL: &str = "web_echo";
/// Longer than the longest message of group 9.
const MESSAGE_BYTES: usize = 17 << 20;

/// One step of the client.
#[derive(Clone)]
pub(crate) enum Step {
    /// Bytes, written so many at once.
    Write(Vec<u8>, usize),
    /// Nothing is written before this came.
    Await(Seen),
}

/// How a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closes with 1000, and so does the server.
    Normal,
    /// The client's close frame is among what it wrote; the server answers with this payload.
    Answered(Vec<u8>),
    /// The client closes with 1000, and the server drops TCP: what the original's clients depend on.
    Dropped,
    /// The server fails the connection with this code. What it answered before may be lost.
    Failed(u16),
}

/// The endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Ours,
    Original,
}

/// One row of the table.
#[derive(Clone)]
pub(crate) struct Case {
    /// See [`Case::id`].
    id: String,
    protocol: Protocol,
    steps: Vec<Step>,
    expected: Vec<Seen>,
    end: End,
}

impl Case {
    /// A case in which the client writes these frames in one go.
    pub(crate) fn new(id: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self::chopped(id, bytes, usize::MAX)
    }

    /// A case in which the client writes these frames so many bytes at a time.
    pub(crate) fn chopped(id: impl Into<String>, bytes: Vec<u8>, chop: usize) -> Self {
        Self::stepwise(id, vec![Step::Write(bytes, chop)])
    }

    /// A case with its steps.
    pub(crate) fn stepwise(id: impl Into<String>, steps: Vec<Step>) -> Self {
        Self {
            id: id.into(),
            protocol: Protocol::Ours,
            steps,
            expected: Vec::new(),
            end: End::Normal,
        }
    }

    /// Autobahn's number, or a name for what Autobahn does not ask.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// On the endpoint of the original's protocol.
    pub(crate) fn of_the_original(self) -> Self {
        Self {
            protocol: Protocol::Original,
            end: End::Dropped,
            ..self
        }
    }

    /// What the server says, echoes in their order and pongs in theirs.
    pub(crate) fn says(mut self, seen: impl IntoIterator<Item = Seen>) -> Self {
        self.expected.extend(seen);
        self
    }

    /// The server echoes this.
    pub(crate) fn echoes(self, text: impl Into<String>) -> Self {
        self.says([Seen::Echo(text.into())])
    }

    /// The server answers a ping.
    pub(crate) fn pongs(self, payload: &[u8]) -> Self {
        self.says([Seen::Pong(payload.to_vec())])
    }

    /// The server closes with this code.
    pub(crate) fn fails(self, code: u16) -> Self {
        Self {
            end: End::Failed(code),
            ..self
        }
    }

    /// The server answers the client's close frame with this payload.
    pub(crate) fn closes(self, payload: Vec<u8>) -> Self {
        Self {
            end: End::Answered(payload),
            ..self
        }
    }
}

/// A text message that comes back with this payload.
pub(crate) fn says(data: &str) -> Vec<u8> {
    let data = serde_json::to_string(data).unwrap();
    format!(r#"{{"id":1,"publish":{{"channel":"{CHANNEL}","data":{data}}}}}"#).into_bytes()
}

/// The same for the endpoint of the original's protocol.
pub(crate) fn says_originally(data: &str) -> Vec<u8> {
    format!("web_pipe2\n{CHANNEL}\ne\n*\n{data}").into_bytes()
}

/// A node.
pub(crate) struct Scene(App);

impl Scene {
    pub(crate) async fn new() -> Self {
        let app = node(|settings| {
            let limits = &mut settings.limits;
            limits.browser_publication_bytes = MESSAGE_BYTES;
            limits.publication_bytes = MESSAGE_BYTES;
            limits.outbox_bytes = 4 * MESSAGE_BYTES;
            (limits.publish_rate, limits.publish_burst) = (1_000_000, 1_000_000);
            (limits.request_rate, limits.request_burst) = (1_000_000, 1_000_000);
        });
        Self(app.await)
    }

    pub(crate) async fn end(self) {
        within(self.0.stop()).await;
    }

    /// Runs a case in a tenant of its own; returns what was wrong.
    pub(crate) async fn run(&self, tenant: u32, case: Case) -> Option<String> {
        let path = match case.protocol {
            Protocol::Ours => format!("/connect?v=1&tenant={tenant}"),
            Protocol::Original => {
                format!("/ws/sesion=&myid=&devid={tenant}&v=4.08&uuid=&api=js")
            }
        };
        let mut peer = Peer::connect(self.0.http_address(), &path).await;
        if case.protocol == Protocol::Ours {
            let subscribe = format!(r#"{{"id":1,"subscribe":"{CHANNEL}"}}{}"#, "\n{\"ping\":{}}");
            let subscribe = peer::frame(peer::FIN | peer::TEXT, subscribe.as_bytes());
            peer.write(&subscribe, usize::MAX).await;
            assert_eq!(peer.next().await, Came::Said(Seen::Answer));
        }
        let mut run = Run {
            peer,
            seen: Vec::new(),
            close: None,
        };
        let verdict = run.carry_out(&case).await;
        verdict.err().map(|why| format!("{}: {why}", case.id))
    }
}

/// A case under way.
struct Run {
    peer: Peer,
    seen: Vec<Seen>,
    /// The payload of the server's close frame, once it came.
    close: Option<Vec<u8>>,
}

impl Run {
    async fn carry_out(&mut self, case: &Case) -> Result<(), String> {
        for step in &case.steps {
            match step {
                Step::Write(bytes, chop) => self.peer.write(bytes, *chop).await,
                Step::Await(seen) => self.until(|run| run.seen.contains(seen)).await?,
            }
        }
        match &case.end {
            End::Normal | End::Dropped => {
                self.until(|run| run.seen.len() >= case.expected.len())
                    .await?;
                // All that was to come came: what comes before this pong was too much.
                let last = Seen::Pong(b"the last".to_vec());
                let ping = peer::frame(peer::FIN | peer::PING, b"the last");
                self.peer.write(&ping, usize::MAX).await;
                self.until(|run| run.seen.contains(&last)).await?;
                self.seen.retain(|seen| *seen != last);
                self.peer.write(&peer::close(1000, ""), usize::MAX).await;
                if case.end == End::Normal {
                    self.closed(&1000_u16.to_be_bytes()).await?;
                } else {
                    self.ended().await?;
                }
            }
            End::Answered(payload) => self.closed(payload).await?,
            End::Failed(code) => {
                self.until(|run| run.close.is_some()).await?;
                self.peer.shutdown().await;
                let code = code.to_be_bytes();
                let close = self.close.as_ref().filter(|close| close.starts_with(&code));
                close.ok_or_else(|| self.wrong("the server's close", &code))?;
                self.ended().await?;
                let allowed = |seen| case.expected.contains(seen);
                return match self.seen.iter().find(|seen| !allowed(seen)) {
                    None => Ok(()),
                    Some(seen) => Err(format!("{seen:?} came")),
                };
            }
        }
        self.compare(&case.expected)
    }

    /// Takes what comes until something holds.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        while !done(self) {
            match self.peer.next().await {
                Came::Said(seen) => self.seen.push(seen),
                Came::Close(payload) if self.close.is_none() => self.close = Some(payload),
                Came::Close(_) => return Err("a second close frame came".into()),
                Came::End => return Err(self.wrong("the end of TCP", b"")),
            }
            if self.close.is_some() && !done(self) {
                return Err(self.wrong("a close", b""));
            }
        }
        Ok(())
    }

    /// The server answers the close, and it is the server who ends TCP (§7.1.1).
    async fn closed(&mut self, payload: &[u8]) -> Result<(), String> {
        self.until(|run| run.close.is_some()).await?;
        if self.close.as_deref() != Some(payload) {
            return Err(self.wrong("the answer to the close", payload));
        }
        self.ended().await
    }

    async fn ended(&mut self) -> Result<(), String> {
        match self.peer.next().await {
            Came::End => Ok(()),
            other => Err(format!("{other:?} came after the close")),
        }
    }

    fn wrong(&self, what: &str, expected: &[u8]) -> String {
        let close = self
            .close
            .as_ref()
            .map(|bytes| bytes.escape_ascii().to_string());
        let expected = expected.escape_ascii();
        let latest = &self.seen[self.seen.len().saturating_sub(4)..];
        format!("{what}: {close:?}, expected {expected}, after {latest:?}")
    }

    fn compare(&self, expected: &[Seen]) -> Result<(), String> {
        let part = |all: &[Seen], pongs: bool| -> Vec<Seen> {
            let wanted = |seen: &&Seen| matches!(seen, Seen::Pong(_)) == pongs;
            all.iter().filter(wanted).cloned().collect()
        };
        for pongs in [false, true] {
            let (seen, expected) = (part(&self.seen, pongs), part(expected, pongs));
            if seen != expected {
                return Err(format!("{seen:?} instead of {expected:?}"));
            }
        }
        Ok(())
    }
}
