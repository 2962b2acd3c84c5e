//! The short way from a socket to a session: a handshake that came whole in the first bytes is answered without an HTTP
//! conversation, which costs as much as all the rest of a session's beginning. Everything else is left to hyper.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::header::{
    CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri, Version};
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::Visit;
use super::connect::{self, Upgrade};

/// Most bytes that are read at first: handshakes of browsers have 500 to 1,500.
const FIRST: usize = 4 << 10;
/// Most header fields of a handshake that takes the short way: browsers send about 15.
const FIELDS: usize = 32;

/// What the first bytes were.
pub(super) enum First {
    /// A handshake, which is answered. Bytes that came behind it.
    Session(Upgrade, Bytes),
    /// Something else.
    Other(Bytes),
}

/// Reads what comes first and answers it, if it is a handshake that can be granted.
///
/// # Errors
/// When the socket is broken.
pub(super) async fn first(visit: &Visit, stream: &mut TcpStream) -> io::Result<First> {
    let bytes = std::future::poll_fn(|context| poll_first(stream, context)).await?;
    let Some((request, early)) = handshake(&bytes, visit.front.settings.head_bytes) else {
        return Ok(First::Other(bytes));
    };
    // A refusal is said by hyper, which sees the request anew.
    let Ok((upgrade, accept)) = connect::session(visit, &request) else {
        return Ok(First::Other(bytes));
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(First::Session(upgrade, early))
}

/// Reads once. The buffer lives in the call, so that waiting costs no memory.
fn poll_first(stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    let mut space = [MaybeUninit::uninit(); FIRST];
    let mut read = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(context, &mut read))?;
    Poll::Ready(Ok(Bytes::copy_from_slice(read.filled())))
}

/// The request for a session, and what came behind it; `None` when the bytes are anything else, or more than that.
fn handshake(bytes: &Bytes, most: usize) -> Option<(Request<()>, Bytes)> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= most => length,
        _ => return None,
    };
    let target = head.path?;
    let path = target.split('?').next();
    if (head.method, path, head.version) != (Some("GET"), Some("/connect"), Some(1)) {
        return None;
    }
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        if [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT].contains(&name) {
            return None;
        }
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).ok()?;
        headers.append(name, value);
    }
    let target = PathAndQuery::from_maybe_shared(bytes.slice_ref(target.as_bytes())).ok()?;
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    Some((request, bytes.slice(length..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = "GET /connect?v=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n";

    /// The query, the number of headers and what follows, of a request that takes the short way.
    #[track_caller]
    fn check(bytes: &str, most: usize, expected: Option<(Option<&str>, usize, &str)>) {
        let seen = handshake(&Bytes::copy_from_slice(bytes.as_bytes()), most);
        let seen = seen
            .as_ref()
            .map(|(request, early)| (request.uri().query(), request.headers().len(), &early[..]));
        let expected = expected.map(|(query, headers, early)| (query, headers, early.as_bytes()));
        assert_eq!(seen, expected, "{bytes}");
    }

    #[test]
    fn only_whole_handshakes_take_the_short_way() {
        let whole = format!("{SHORT}\r\n");
        check(&whole, 999, Some((Some("v=1"), 2, "")));
        check(&format!("{whole}next"), 999, Some((Some("v=1"), 2, "next")));
        check("GET /connect HTTP/1.1\r\n\r\n", 999, Some((None, 0, "")));
        check(SHORT, 999, None);
        check(&whole, whole.len() - 1, None);
        check(&whole.replace("GET", "POST"), 999, None);
        check(&whole.replace("/connect", "/connected"), 999, None);
        check(&whole.replace("1.1", "1.0"), 999, None);
        check(&format!("{SHORT}Content-Length: 1\r\n\r\nx"), 999, None);
        check(
            &format!("{SHORT}Transfer-Encoding: chunked\r\n\r\n"),
            999,
            None,
        );
        check(&format!("{SHORT}Expect: 100-continue\r\n\r\n"), 999, None);
        check(
            &format!("{SHORT}{}\r\n", "a: b\r\n".repeat(FIELDS)),
            999,
            None,
        );
        check("GET http://a/connect HTTP/1.1\r\n\r\n", 999, None);
        check("\u{16}\u{3}\u{1}", 999, None);
    }
}
