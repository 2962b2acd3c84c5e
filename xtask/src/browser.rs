//! A browser of the tests: our protocol over a blocking socket, one message at a time.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tungstenite::{Message, WebSocket};

/// How long a server that is there may take for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// An open connection.
pub(crate) struct Browser {
    socket: WebSocket<TcpStream>,
}

impl Browser {
    /// Connects. A read returns after `tick` at the latest.
    pub(crate) fn open(server: SocketAddr, tick: Duration) -> anyhow::Result<Self> {
        Self::open_within(server, tick, HANDSHAKE)
    }

    /// The same with a patience of one's own.
    pub(crate) fn open_within(
        server: SocketAddr,
        tick: Duration,
        handshake: Duration,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, handshake)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(handshake))?;
        stream.set_write_timeout(Some(handshake))?;
        let (socket, _) = tungstenite::client(format!("ws://{server}/connect?v=1"), stream)
            .ok()
            .context("the handshake failed")?;
        socket.get_ref().set_read_timeout(Some(tick))?;
        Ok(Self { socket })
    }

    /// From now on a read returns at once.
    pub(crate) fn without_waiting(self) -> anyhow::Result<Self> {
        self.socket.get_ref().set_nonblocking(true)?;
        Ok(self)
    }

    /// Sends a close frame and drops the connection.
    pub(crate) fn close(mut self) {
        // The server may be gone, which is as good.
        _ = self.socket.close(None);
        _ = self.socket.flush();
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &Value) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(request.to_string()))?)
    }

    /// The next message; `None` when none came for a tick.
    pub(crate) fn read(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let message = serde_json::from_str(&text);
                    return message
                        .map(Some)
                        .with_context(|| format!("no JSON: {text}"));
                }
                Ok(Message::Close(why)) => bail!("closed: {why:?}"),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if is_no_news(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The reply to a request; what else comes before it is passed over.
    pub(crate) fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        self.send(request)?;
        for _ in 0..1000 {
            match self.read()? {
                Some(message) if message["id"] == request["id"] => return Ok(message),
                _ => {}
            }
        }
        bail!("no reply to {request}")
    }
}

fn is_no_news(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
