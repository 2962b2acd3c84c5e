//! The `cometql` binary as people run it.

#![expect(clippy::unwrap_used, reason = "these are the tests' own helpers")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
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

    /// Types into `cometql sql` at a terminal, which `script` (bsdutils, on every Debian) makes.
    fn prompt(&self, key_file: &Path, home: &Path, typed: &str) -> String {
        let line = format!(
            "{} sql --mysql {} --password-file {}",
            env!("CARGO_BIN_EXE_cometql"),
            self.mysql,
            key_file.display()
        );
        let mut script = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("HOME", home)
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = script.stdin.take().unwrap();
        input.write_all(typed.as_bytes()).unwrap();
        let output = script.wait_with_output().unwrap();
        drop(input);
        text(&output)
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

#[test]
fn a_person_at_the_prompt() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let node = Node::start(&data, &[]);
    let typed = "help\nSELECT 'a;b'\nAS one;\nSELEC;\n\\q\n";
    let shown = node.prompt(&data.join("key"), home.path(), typed);
    for part in ["SHOW TABLES;", "a;b", "1 rows", "error 3: Syntax error"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let history = home.path().join(".cometql_history");
    let mode = std::fs::metadata(&history).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let history = std::fs::read_to_string(&history).unwrap();
    assert!(history.contains("AS one"), "{history}");
    node.stop();
}

#[test]
fn the_shell_checks_the_certificate_as_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(path("c.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("k.pem"), made.signing_key.serialize_pem()).unwrap();
    let config = format!(
        "[mysql]\ntls_certificate = {:?}\ntls_key = {:?}\n",
        path("c.pem"),
        path("k.pem")
    );
    std::fs::write(path("c.toml"), config).unwrap();
    let node = Node::start(
        &path("data"),
        &["--config", path("c.toml").to_str().unwrap()],
    );
    let authority = path("c.pem");
    let (_, port) = node.mysql.rsplit_once(':').unwrap();
    let ask = |host: &str, flags: &[&str]| {
        let mut command = cometql();
        command.args([
            "sql",
            "--mysql",
            &format!("{host}:{port}"),
            "-e",
            "SELECT 'here'",
        ]);
        command.arg("--password-file").arg(path("data").join("key"));
        let output = command.args(flags).output().unwrap();
        output.status.success()
    };
    let authority = authority.to_str().unwrap();
    assert!(ask("127.0.0.1", &["--ssl-mode", "required"]));
    assert!(ask("localhost", &["--ssl-ca", authority]));
    assert!(!ask("127.0.0.1", &["--ssl-ca", authority]));
    let any_name = ["--ssl-mode", "verify-ca", "--ssl-ca", authority];
    assert!(ask("127.0.0.1", &any_name));
    assert!(ask("localhost", &any_name));
    // Nobody whom browsers trust has signed it.
    assert!(!ask("localhost", &["--ssl-mode", "verify-identity"]));
    assert!(!ask("localhost", &["--ssl-mode", "verify-ca"]));
    // Another authority, with a certificate for the very name.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(path("other.pem"), other.cert.pem()).unwrap();
    let other = path("other.pem");
    let other = [
        "--ssl-mode",
        "verify-ca",
        "--ssl-ca",
        other.to_str().unwrap(),
    ];
    assert!(!ask("localhost", &other));
    assert!(!ask("127.0.0.1", &other));
    node.stop();
}
