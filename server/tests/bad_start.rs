//! Starts that must fail, with the real binary: one line that says why, and the data directory as it was.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use cometql_server::storage::{Durability, Store};

/// The binary on free ports, without the variables of whoever runs the tests.
fn serve(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cometql"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COMETQL_")) {
        command.env_remove(name);
    }
    command.arg("serve").arg("--data-dir").arg(data);
    command.args(["--shards", "1", "--log-level", "error"]);
    command
}

fn on_free_ports(data: &Path) -> Command {
    let mut command = serve(data);
    for flag in ["--http", "--mysql", "--admin"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command
}

/// The process ends with an error and one line that has all of these words.
#[track_caller]
fn check(command: &mut Command, words: &[&str]) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(stdout.is_empty(), "{}", stdout.escape_ascii());
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.starts_with("cometql: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

/// Every file of a directory.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let content = files.map(|file| {
        let name = file.file_name().into_string().unwrap();
        (name, std::fs::read(file.path()).unwrap())
    });
    content.collect()
}

/// A data directory that a node has used.
fn used() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let store = Store::open(directory.path(), Durability::Process).unwrap();
    runtime.block_on(store.shutdown());
    directory
}

/// The start fails with these words, and apart from the lock's number nothing has changed.
#[track_caller]
fn check_untouched(data: &Path, words: &[&str]) {
    let mut before = content(data);
    check(&mut on_free_ports(data), words);
    let mut after = content(data);
    // The lock file says who tried last.
    before.remove("lock");
    after.remove("lock");
    // What SQLite needs beside the file to read it, nothing in it.
    before.remove("cometql.sqlite-shm");
    after.remove("cometql.sqlite-shm");
    before.retain(|_, content| !content.is_empty());
    after.retain(|_, content| !content.is_empty());
    let names = |files: &BTreeMap<String, _>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "a file was changed");
}

#[test]
fn a_directory_of_a_newer_version() {
    let data = used();
    let file = rusqlite::Connection::open(data.path().join("cometql.sqlite")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    file.close().unwrap();
    check_untouched(
        data.path(),
        &["format 99", "use a newer cometql", "(store_newer)"],
    );
}

#[test]
fn a_directory_in_use() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path(), Durability::Process).unwrap();
    let holder = format!("in use by another process (process {})", std::process::id());
    check_untouched(
        data.path(),
        &[&holder, data.path().to_str().unwrap(), "(store_in_use)"],
    );
    // Whoever has it goes on.
    assert!(store.settings().unwrap().is_empty());
}

#[test]
fn a_store_that_is_none() {
    let data = used();
    let file = data.path().join("cometql.sqlite");
    std::fs::write(&file, "this is no store, whatever its name says").unwrap();
    check_untouched(data.path(), &["not made by cometql", "(store_foreign)"]);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    check(
        &mut on_free_ports(data.path()),
        &["can't be used", "(store_inaccessible)"],
    );
    assert!(file.is_dir());
}

#[test]
fn a_store_with_damage() {
    let data = used();
    let file = data.path().join("cometql.sqlite");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4096..8192].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    check_untouched(
        data.path(),
        &["is damaged", "restore the last backup", "(store_damaged)"],
    );
}

#[test]
fn a_directory_that_is_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    check(
        &mut on_free_ports(&file),
        &["can't be used", "(store_inaccessible)"],
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for flag in ["--http", "--mysql", "--admin"] {
        let data = tempfile::tempdir().unwrap();
        let mut command = serve(data.path());
        for other in ["--http", "--mysql", "--admin"] {
            let free = "127.0.0.1:0".to_owned();
            let place = if other == flag {
                address.to_string()
            } else {
                free
            };
            command.args([other, &place]);
        }
        let choose = format!("Choose another with {flag} 127.0.0.1:PORT");
        let port = format!("port {}", address.port());
        check(&mut command, &[&address.to_string(), &port, &choose]);
        // The directory is free again, and whole.
        drop(Store::open(data.path(), Durability::Process).unwrap());
    }
}

#[test]
fn a_wrong_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (
        directory.path().join("c.toml"),
        directory.path().join("data"),
    );
    let cases: [(&str, &[&str]); 6] = [
        (
            "[http]\npign = \"3s\"\n",
            &["c.toml:2", "did you mean `ping`?"],
        ),
        ("\n[htpp]\n", &["c.toml:2", "did you mean `http`?"]),
        ("[http]\nping = \"soon\"\n", &["c.toml:2", "soon"]),
        ("[http]\n\nping\n", &["c.toml:3"]),
        (
            "[server]\ndurability = \"powr\"\n",
            &["c.toml:2", "did you mean `power`?"],
        ),
        ("[http]\nlisten = \"nowhere\"\n", &["c.toml:2"]),
    ];
    for (text, words) in cases {
        std::fs::write(&file, text).unwrap();
        check(on_free_ports(&data).arg("--config").arg(&file), words);
        assert!(!data.exists(), "{text:?}: nothing is made");
    }
    std::fs::remove_file(&file).unwrap();
    check(
        on_free_ports(&data).arg("--config").arg(&file),
        &["can't read", "c.toml"],
    );
}

#[test]
fn a_public_address_needs_a_good_key() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut command = serve(&data);
    for flag in ["--http", "--admin"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.args(["--mysql", "0.0.0.0:0", "--password", "short"]);
    check(&mut command, &["16"]);
}
