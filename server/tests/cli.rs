//! The `cometql` binary as people run it.

#![expect(clippy::unwrap_used, reason = "these are the tests' own helpers")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The binary, without the variables of whoever runs the tests.
fn cometql() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cometql"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COMETQL_")) {
        command.env_remove(name);
    }
    command
}

/// A node that runs; killed with the test.
struct Node {
    process: Child,
    mysql: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Node {
    /// Starts a node on free ports and waits until it has said which.
    fn start(data: &Path, flags: &[&str]) -> Self {
        let mut process = cometql()
            .args(["serve", "--http", "127.0.0.1:0", "--mysql", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0", "--shards", "1", "--data-dir"])
            .arg(data)
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut mysql = String::new();
        for line in lines.map_while(Result::ok) {
            match line.split_once(' ') {
                Some(("mysql", address)) => address.trim().clone_into(&mut mysql),
                Some(("capacity", _)) => break,
                _ => {}
            }
        }
        Self { process, mysql }
    }

    /// Runs statements with `cometql sql`.
    fn sql(&self, key_file: &Path, statement: &str) -> Output {
        let mut command = cometql();
        command
            .args(["sql", "--mysql", &self.mysql, "--password-file"])
            .arg(key_file);
        command.args(["-e", statement]).output().unwrap()
    }

    /// Stops the node as systemd does.
    fn stop(mut self) {
        let id = i32::try_from(self.process.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

#[track_caller]
fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn backup(data: &Path, target: &Path) -> Output {
    let mut command = cometql();
    command.args(["backup", "--data-dir"]).arg(data).arg(target);
    command.output().unwrap()
}

#[test]
fn a_backup_of_a_running_node_is_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (data, copy) = (directory.path().join("data"), directory.path().join("copy"));
    let node = Node::start(&data, &[]);
    let key = data.join("key");
    let insert = "INSERT INTO users_auth (id, hash) VALUES (7, 'hashOfSeven')";
    text(&node.sql(&key, insert));
    let said = text(&backup(&data, &copy));
    assert_eq!(said.trim_end(), copy.to_str().unwrap());
    let again = backup(&data, &copy);
    assert!(!again.status.success());
    let errors = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(errors.contains("the target exists"), "{errors}");
    // Was not in the way of anybody.
    text(&node.sql(&key, "DELETE FROM users_auth WHERE id = 7"));
    node.stop();

    let node = Node::start(&copy, &["--password-file", key.to_str().unwrap()]);
    let found = text(&node.sql(&key, "SELECT hash FROM users_auth WHERE id = 7"));
    assert!(found.contains("hashOfSeven"), "{found}");
    node.stop();
}
