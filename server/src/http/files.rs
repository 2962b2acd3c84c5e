//! Files of one folder: pages and scripts beside which the server runs. Nothing outside of the folder is ever read.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream;
use hyper::header::{
    CONTENT_LENGTH, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, StatusCode};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::answer::{self, Answer};

/// Bytes that are read and sent at a time.
const PIECE: usize = 64 << 10;

/// Answers a request for a file; `path` is the path of the URL as it was sent.
pub(super) async fn answer(root: &Path, path: &str, headers: &HeaderMap) -> Answer {
    let found = match find(root, path).await {
        Ok(found) => found,
        Err(Missing::NotFound) => return answer::text(StatusCode::NOT_FOUND, "not found"),
        Err(Missing::IsFolder) => return folder(path),
    };
    let Found {
        file,
        kind,
        len,
        tag,
    } = found;
    if headers.get(IF_NONE_MATCH).is_some_and(|sent| *sent == tag) {
        let mut answer = answer::empty(StatusCode::NOT_MODIFIED);
        answer.headers_mut().insert(ETAG, tag);
        return answer;
    }
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(piece), file)))
    });
    let mut answer = answer::stream(kind, pieces.boxed_local());
    answer.headers_mut().insert(CONTENT_LENGTH, len.into());
    answer.headers_mut().insert(ETAG, tag);
    answer::set(&mut answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

struct Found {
    file: File,
    kind: HeaderValue,
    len: u64,
    tag: HeaderValue,
}

enum Missing {
    NotFound,
    IsFolder,
}

async fn find(root: &Path, path: &str) -> Result<Found, Missing> {
    let relative = relative(path).ok_or(Missing::NotFound)?;
    let not_found = |_: io::Error| Missing::NotFound;
    let root = tokio::fs::canonicalize(root).await.map_err(not_found)?;
    // Links are followed before the check, so that none leads out of the folder.
    let wanted = root.join(&relative);
    let wanted = tokio::fs::canonicalize(&wanted).await.map_err(not_found)?;
    if !wanted.starts_with(&root) {
        return Err(Missing::NotFound);
    }
    let file = File::open(&wanted).await.map_err(not_found)?;
    let facts = file.metadata().await.map_err(not_found)?;
    if facts.is_dir() {
        return Err(Missing::IsFolder);
    }
    if !facts.is_file() {
        return Err(Missing::NotFound);
    }
    let changed = facts.modified().ok();
    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let tag = format!(
        "\"{:x}-{:x}\"",
        changed.unwrap_or_default().as_nanos(),
        facts.len()
    );
    Ok(Found {
        file,
        kind: kind(&relative),
        len: facts.len(),
        tag: HeaderValue::from_str(&tag).expect("digits are fit for a header"),
    })
}

/// The file that a URL's path means, if it is one that may be served: no `..`, no hidden files.
fn relative(path: &str) -> Option<PathBuf> {
    let path = percent_encoding::percent_decode_str(path.strip_prefix('/')?);
    let path = path.decode_utf8().ok()?;
    if path.contains(['\0', '\\']) {
        return None;
    }
    let mut relative = PathBuf::new();
    for part in Path::new(&*path).components() {
        match part {
            Component::Normal(name) if !name.as_encoded_bytes().starts_with(b".") => {
                relative.push(name);
            }
            _ => return None,
        }
    }
    if path.is_empty() || path.ends_with('/') {
        relative.push("index.html");
    }
    Some(relative)
}

fn kind(path: &Path) -> HeaderValue {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let text = kind.type_() == "text" || kind.subtype() == "javascript" || kind.subtype() == "json";
    let kind = if text {
        format!("{}; charset=utf-8", kind.essence_str())
    } else {
        kind.essence_str().to_owned()
    };
    HeaderValue::from_str(&kind).expect("a media type is fit for a header")
}

/// Relative links in a folder's page need the slash at its end.
fn folder(path: &str) -> Answer {
    // Two slashes at the beginning would name another host.
    let target = format!("/{}/", path.trim_matches('/'));
    match HeaderValue::from_str(&target) {
        Ok(target) => {
            let mut answer = answer::empty(StatusCode::PERMANENT_REDIRECT);
            answer.headers_mut().insert(LOCATION, target);
            answer
        }
        Err(_) => answer::text(StatusCode::NOT_FOUND, "not found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        assert_eq!(
            relative(path).as_deref(),
            expected.map(Path::new),
            "{path:?}"
        );
    }

    #[test]
    fn paths() {
        check("/", Some("index.html"));
        check("/a/b.js", Some("a/b.js"));
        check("/a/", Some("a/index.html"));
        check("/a%20b.txt", Some("a b.txt"));
        check("/../secret", None);
        check("/a/../../secret", None);
        check("/%2e%2e/secret", None);
        check("/..%2fsecret", None);
        check("//etc/passwd", None);
        check("/%2fetc/passwd", None);
        check("/a\\b", None);
        check("/a%00b", None);
        check("/%ff", None);
        check("/.git/config", None);
        check("no-slash", None);
    }

    #[test]
    fn kinds() {
        assert_eq!(kind(Path::new("a.html")), "text/html; charset=utf-8");
        assert_eq!(kind(Path::new("a.js")), "text/javascript; charset=utf-8");
        assert_eq!(kind(Path::new("a.wasm")), "application/wasm");
        assert_eq!(kind(Path::new("a")), "application/octet-stream");
    }
}
