//! A subscribed browser: collects what a channel delivers over the browser protocol.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use serde_json::value::RawValue;
use tungstenite::{Message, WebSocket};

/// How long one read waits before it is looked whether it is over.
const TICK: Duration = Duration::from_millis(50);
/// How long the last messages of a client that ended may take, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long messages that came twice are watched for.
const LISTEN_ON: Duration = Duration::from_millis(200);

/// Event and payload text, as a page would see them.
pub(super) type Seen = (String, String);

/// A browser that reads all the time, so that it answers pings however long the client takes.
pub(super) struct Watch {
    told: Receiver<anyhow::Result<Seen>>,
    over: Arc<AtomicBool>,
    reading: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(reading) = self.reading.take() {
            // It has told what it found.
            _ = reading.join();
        }
    }
}

impl Watch {
    /// Connects and returns once the server has confirmed the subscription.
    pub(super) fn open(server: SocketAddr, channel: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let (mut socket, _) = tungstenite::client(format!("ws://{server}/connect?v=1"), stream)
            .context("the WebSocket handshake failed")?;
        socket.send(Message::text(format!(
            r#"{{"id":1,"subscribe":"{channel}"}}"#
        )))?;
        let reply = socket.read()?;
        let reply: Value = serde_json::from_str(reply.to_text()?)?;
        ensure!(
            reply["subscribed"]["channel"] == channel,
            "not subscribed: {reply}"
        );
        socket.get_ref().set_read_timeout(Some(TICK))?;
        let (tell, told) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let reading = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                match read(&mut socket).transpose() {
                    None => {}
                    // Whoever asked may have gone.
                    Some(Ok(seen)) => _ = tell.send(Ok(seen)),
                    Some(Err(error)) => {
                        _ = tell.send(Err(error));
                        return;
                    }
                }
            }
        });
        Ok(Self {
            told,
            over,
            reading: Some(reading),
        })
    }

    /// Waits for `count` publications, and a moment longer for one too many.
    pub(super) fn collect(self, count: usize) -> anyhow::Result<Vec<Seen>> {
        let mut all = Vec::new();
        let until = Instant::now() + PATIENCE;
        while all.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(seen) = self.told.recv_timeout(left) else {
                return Ok(all);
            };
            all.push(seen?);
        }
        while let Ok(seen) = self.told.recv_timeout(LISTEN_ON) {
            all.push(seen?);
        }
        Ok(all)
    }
}

/// The next publication; `None` when none came for a tick.
fn read(socket: &mut WebSocket<TcpStream>) -> anyhow::Result<Option<Seen>> {
    match socket.read() {
        Ok(Message::Text(text)) => publication(&text),
        Ok(Message::Close(frame)) => bail!("the server closed the connection: {frame:?}"),
        Ok(_) => Ok(None),
        Err(tungstenite::Error::Io(error))
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// A push of a publication: a payload that is JSON is compared byte for byte, any other as the text that it carries.
fn publication(frame: &str) -> anyhow::Result<Option<Seen>> {
    let push: std::collections::HashMap<String, &RawValue> = serde_json::from_str(frame)?;
    if push.get("push").map(|value| value.get()) != Some(r#""publication""#) {
        return Ok(None);
    }
    let event = push.get("event").map_or(r#""""#, |value| value.get());
    let data = push
        .get("data")
        .context("a publication without data")?
        .get();
    let text = if data.starts_with('"') {
        serde_json::from_str(data)?
    } else {
        data.to_owned()
    };
    Ok(Some((serde_json::from_str(event)?, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frame: &str, expected: Option<(&str, &str)>) {
        let expected = expected.map(|(event, data)| (event.to_owned(), data.to_owned()));
        assert_eq!(publication(frame).unwrap(), expected);
    }

    #[test]
    fn publications_are_read_as_a_page_does() {
        check(
            r#"{"push":"publication","channel":"web_a","event":"e","data":"it's \"x\""}"#,
            Some(("e", "it's \"x\"")),
        );
        check(
            r#"{"push":"publication","channel":"web_a","data":{"a": "\u0441"}}"#,
            Some(("", r#"{"a": "\u0441"}"#)),
        );
        check(
            r#"{"push":"join","channel":"track_a","member":{"uuid":""}}"#,
            None,
        );
    }
}
