//! The binary on a file system that is really full for a while: a small one of its own, in memory.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::binary::{JWT, KEY, Node};
use common::{http, skipped, within};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use rustix::process::Signal;

/// A command that mounts a file system at `data` for itself and the program behind it only; `None` where that is not
/// allowed.
fn with_small_disk() -> Option<Command> {
    let flags: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];
    flags.into_iter().find_map(|flags| {
        let folder = tempfile::tempdir().unwrap();
        let mut probe = Command::new("unshare");
        probe.args(flags).args(["mount", "-t", "tmpfs", "tmpfs"]);
        let probe = probe.arg(folder.path()).output();
        let mut command = Command::new("unshare");
        let mount = "mkdir data && mount -t tmpfs -o size=8m tmpfs data && exec \"$0\" \"$@\"";
        command
            .args(flags)
            .args(["sh", "-c", mount, env!("CARGO_BIN_EXE_cometql")]);
        probe
            .is_ok_and(|probe| probe.status.success())
            .then_some(command)
    })
}

/// The data directory as the process sees it.
fn data(node: &Node) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", node.process.id()));
    let inside = node.file("data");
    root.join(inside.strip_prefix("/").unwrap())
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for piece in [64 << 10, 4 << 10, 1] {
        let full = loop {
            if let Err(error) = file.write_all(&vec![b'x'; piece]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
}

async fn publish(backend: &mut Conn, channel: &str, message: &str) -> Result<(), Error> {
    let insert = "INSERT INTO pipes_messages (name, event, message) VALUES (?, '', ?)";
    within(backend.exec_drop(insert, (channel, message))).await
}

#[track_caller]
fn check_full(refused: Result<(), Error>) {
    match refused {
        Err(Error::Server(error)) => {
            assert_eq!(error.code, 503, "{error}");
            assert!(
                error.message.contains("disk of the data directory is full"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_must_last_delivers_the_rest_and_recovers() {
    let Some(command) = with_small_disk() else {
        return skipped("a full disk", "no file system can be mounted here");
    };
    let mut node = Node::start_as(command, &[], |text| {
        text + "[[channels]]\nprefix = 'log:'\nhistory = 'durable'\n"
    });
    let mut backend = node.backend(KEY).await.unwrap();
    let mut browser = node.browser().await;
    for (id, channel) in [(1, "log:a"), (2, "web_a")] {
        browser
            .ask(&format!(r#"{{"id":{id},"subscribe":"{channel}"}}"#))
            .await;
    }
    publish(&mut backend, "log:a", "before").await.unwrap();
    assert_eq!(browser.json().await["data"], "before");

    let filler = data(&node).join("filler");
    fill(&filler);
    let large = "x".repeat(200 << 10);
    for _ in 0..2 {
        check_full(publish(&mut backend, "log:a", &large).await);
        let private = "INSERT INTO users_messages (id, event, message) VALUES (5, '', ?)";
        check_full(within(backend.exec_drop(private, (&large,))).await);
        let stored = "REPLACE INTO users_auth (id, hash) VALUES (?, ?)";
        let rows = (1..400).map(|id| (id, "h".repeat(30)));
        check_full(within(backend.exec_batch(stored, rows)).await);
        publish(&mut backend, "web_a", "meanwhile").await.unwrap();
        assert_eq!(browser.json().await["data"], "meanwhile");
    }
    let kept: Option<String> =
        within(backend.query_first("SELECT message FROM pipes_messages WHERE name = 'log:a'"))
            .await
            .unwrap();
    assert_eq!(kept.as_deref(), Some("before"));
    assert!(node.takes(JWT).await, "log-ins need no disk");
    let live = http(node.browsers, "GET /health HTTP/1.1").await;
    assert!(live.starts_with("HTTP/1.1 200"), "{live}");

    std::fs::remove_file(&filler).unwrap();
    publish(&mut backend, "log:a", "after").await.unwrap();
    let push = browser.json().await;
    assert_eq!(
        (&push["data"], &push["previous"]),
        (&"after".into(), &1.into()),
        "{push}"
    );
    let select = "SELECT message FROM pipes_messages WHERE name = 'log:a' ORDER BY id";
    let all: Vec<String> = within(backend.query(select)).await.unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    node.signal(Signal::TERM);
    assert!(node.process.wait().unwrap().success());
}
