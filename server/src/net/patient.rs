//! A stream whose peer must read: a write that gets no further for too long fails, and the connection with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose peer must read.
pub struct Patient<S> {
    stream: S,
    most: Duration,
    /// Runs while a write gets no further.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Waits so long for the peer to read.
    pub fn new(stream: S, most: Duration) -> Self {
        Self {
            stream,
            most,
            waiting: None,
        }
    }

    /// The stream.
    pub fn into_inner(self) -> S {
        self.stream
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let most = self.most;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(most)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Poll::Ready(written) = Pin::new(&mut this.stream).poll_write(cx, buf) else {
            return this.wait(cx);
        };
        this.waiting = None;
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Poll::Ready(flushed) = Pin::new(&mut this.stream).poll_flush(cx) else {
            return this.wait(cx);
        };
        this.waiting = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Poll::Ready(shut) = Pin::new(&mut this.stream).poll_shutdown(cx) else {
            return this.wait(cx);
        };
        this.waiting = None;
        Poll::Ready(shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn who_reads_gets_all() {
        let (stream, mut peer) = duplex(10);
        let mut stream = Patient::new(stream, Duration::from_hours(1));
        let mut read = [0; 30];
        let (written, all) = tokio::join!(stream.write_all(&[7; 30]), peer.read_exact(&mut read));
        assert_eq!((written.unwrap(), all.unwrap()), ((), 30));
    }

    #[tokio::test]
    async fn who_does_not_read_is_left() {
        let (stream, _peer) = duplex(10);
        let mut stream = Patient::new(stream, Duration::from_millis(20));
        let error = stream.write_all(&[7; 30]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
