//! A native WebSocket, with TLS where the url wants it: opens, reads, writes. What frames mean is the session's.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, SinkExt, Stream};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::GOOD_BYE;
use super::url::Address;

/// The code of a connection that ended without a close frame (RFC 6455 §7.1.5).
const ABNORMAL: u16 = 1006;
/// The longest frame that is read. Servers allow payloads of 1 MiB unless they are configured otherwise.
const MOST_BYTES: usize = 64 << 20;

/// TCP, or TLS over it.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

type Socket = WebSocketStream<Box<dyn Wire>>;
type Opening = Pin<Box<dyn Future<Output = Result<Socket, String>> + Send>>;

/// The newest socket, if there is one.
#[derive(Default)]
pub(super) struct Link {
    stage: Stage,
    outgoing: VecDeque<String>,
    /// Nothing can be written any more, and why. What the server said before it went is still there to be read.
    broken: Option<String>,
}

#[derive(Default)]
enum Stage {
    #[default]
    None,
    Opening(Opening),
    Open(Box<Socket>),
}

/// What happened to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Opened,
    Text(Utf8Bytes),
    /// It is gone.
    Closed {
        code: u16,
        reason: String,
    },
}

impl Link {
    /// Opens another one. The older one is dropped: servers wait a while before they tell others that it has gone.
    pub(super) fn open(
        &mut self,
        address: Address,
        tls: Option<(Arc<ClientConfig>, Option<String>)>,
    ) {
        self.drop_it();
        self.stage = Stage::Opening(Box::pin(open(address, tls)));
    }

    /// Forgets it.
    pub(super) fn drop_it(&mut self) {
        *self = Self::default();
    }

    /// Sends a text frame, when it can be written.
    pub(super) fn send(&mut self, text: &str) {
        if self.broken.is_none() {
            self.outgoing.push_back(text.to_owned());
        }
    }

    /// Writes what waits and, if `reads`, waits for what comes. Dropping the future loses nothing.
    pub(super) fn happens(&mut self, reads: bool) -> impl Future<Output = Happened> {
        std::future::poll_fn(move |context| self.poll(context, reads))
    }

    fn poll(&mut self, context: &mut Context<'_>, reads: bool) -> Poll<Happened> {
        let happened = match &mut self.stage {
            Stage::None => return Poll::Pending,
            Stage::Opening(_) if !reads => return Poll::Pending,
            Stage::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                Ok(socket) => {
                    self.stage = Stage::Open(Box::new(socket));
                    return Poll::Ready(Happened::Opened);
                }
                Err(reason) => closed(reason),
            },
            Stage::Open(socket) => {
                if self.broken.is_none()
                    && let Poll::Ready(Err(error)) = write(socket, &mut self.outgoing, context)
                {
                    self.outgoing.clear();
                    self.broken = Some(error.to_string());
                }
                if !reads {
                    return Poll::Pending;
                }
                ready!(read(socket, context))
            }
        };
        let Happened::Closed { code, reason } = happened else {
            return Poll::Ready(happened);
        };
        let broken = self.broken.take().filter(|_| code == ABNORMAL);
        self.drop_it();
        let reason = broken.unwrap_or(reason);
        Poll::Ready(Happened::Closed { code, reason })
    }

    /// Writes what waits and says good-bye, so that servers tell others at once that it has gone.
    pub(super) async fn say_good_bye(&mut self) {
        let Stage::Open(socket) = &mut self.stage else {
            return self.drop_it();
        };
        if self.broken.is_some() {
            return self.drop_it();
        }
        let outgoing = &mut self.outgoing;
        let frame = Message::Close(Some(CloseFrame {
            code: CloseCode::Normal,
            reason: Utf8Bytes::default(),
        }));
        let good_bye = async {
            std::future::poll_fn(|context| write(socket, outgoing, context)).await?;
            socket.send(frame).await?;
            while std::future::poll_fn(|context| Pin::new(&mut *socket).poll_next(context))
                .await
                .is_some_and(|message| message.is_ok())
            {}
            Ok::<_, Error>(())
        };
        // A server that does not answer has lost the connection, or will find out that it has.
        _ = tokio::time::timeout(GOOD_BYE, good_bye).await;
        self.drop_it();
    }
}

fn closed(reason: String) -> Happened {
    Happened::Closed {
        code: ABNORMAL,
        reason,
    }
}

fn write(
    socket: &mut Socket,
    outgoing: &mut VecDeque<String>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    while !outgoing.is_empty() {
        ready!(socket.poll_ready_unpin(context))?;
        if let Some(text) = outgoing.pop_front() {
            socket.start_send_unpin(Message::text(text))?;
        }
    }
    Pin::new(socket).poll_flush(context)
}

/// The next text, or the end. Pings are answered on the way.
fn read(socket: &mut Socket, context: &mut Context<'_>) -> Poll<Happened> {
    loop {
        let happened = match ready!(Pin::new(&mut *socket).poll_next(context)) {
            Some(Ok(Message::Text(text))) => Happened::Text(text),
            Some(Ok(Message::Close(Some(frame)))) => Happened::Closed {
                code: frame.code.into(),
                reason: frame.reason.to_string(),
            },
            Some(Ok(Message::Close(None))) | None => closed("closed without a reason".to_owned()),
            Some(Ok(_)) => continue,
            Some(Err(error)) => closed(error.to_string()),
        };
        return Poll::Ready(happened);
    }
}

async fn open(
    address: Address,
    tls: Option<(Arc<ClientConfig>, Option<String>)>,
) -> Result<Socket, String> {
    let say = |what: String| format!("{}: {what}", address.base());
    let tcp = TcpStream::connect((address.host(), address.port())).await;
    let tcp = tcp.map_err(|error| say(error.to_string()))?;
    tcp.set_nodelay(true)
        .map_err(|error| say(error.to_string()))?;
    let wire: Box<dyn Wire> = match tls.filter(|_| address.is_secure()) {
        None => Box::new(tcp),
        Some((config, name)) => {
            let name = name.unwrap_or_else(|| address.host().to_owned());
            let name = ServerName::try_from(name).map_err(|error| say(error.to_string()))?;
            let tls = TlsConnector::from(config).connect(name, tcp).await;
            Box::new(tls.map_err(|error| say(error.to_string()))?)
        }
    };
    // The host in the request is that of the url, TLS or not.
    let limits = WebSocketConfig::default()
        .max_frame_size(Some(MOST_BYTES))
        .max_message_size(Some(MOST_BYTES));
    let opened =
        tokio_tungstenite::client_async_with_config(address.to_string(), wire, Some(limits)).await;
    opened
        .map(|(socket, _)| socket)
        .map_err(|error| say(error.to_string()))
}

#[cfg(test)]
impl Link {
    /// What waits to be written.
    pub(super) fn unsent(&mut self) -> Vec<String> {
        self.outgoing.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::FutureExt;
    use tokio::io::ReadBuf;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// A connection that the server has closed: what it said can be read, and nothing can be written.
    struct Gone(&'static [u8]);

    impl AsyncRead for Gone {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.put_slice(std::mem::take(&mut self.0));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Gone {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[track_caller]
    fn check(said: &'static [u8], expected_code: u16, expected_reason: &str) {
        let wire: Box<dyn Wire> = Box::new(Gone(said));
        let socket = WebSocketStream::from_raw_socket(wire, Role::Client, None);
        let mut link = Link {
            stage: Stage::Open(Box::new(socket.now_or_never().unwrap())),
            ..Link::default()
        };
        link.send("an acknowledgement");
        assert_eq!(link.happens(false).now_or_never(), None);
        let Some(Happened::Closed { code, reason }) = link.happens(true).now_or_never() else {
            panic!("it is not closed");
        };
        assert_eq!(code, expected_code);
        assert!(reason.contains(expected_reason), "{reason}");
    }

    #[test]
    fn what_the_server_said_counts_more_than_what_could_not_be_written() {
        check(b"\x88\x08\x10\x07killed", 4103, "killed");
        check(b"", ABNORMAL, "broken pipe");
    }
}
