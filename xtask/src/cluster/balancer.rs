//! HAProxy with the repository's `deploy/haproxy.cfg`, in which only addresses and files are replaced.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::child::{Program, tied};
use super::ports::{BALANCER, until};
use crate::process::{find_program, output, root};

/// What to install where it is missing.
pub(crate) const MISSING: &str = "HAProxy is missing: sudo apt-get install haproxy";
const START: Duration = Duration::from_secs(20);

/// The addresses of a filled configuration.
pub(crate) struct Addresses {
    /// Where browsers connect.
    pub(crate) browsers: SocketAddr,
    /// Where they do without TLS: there, or elsewhere if it is there for https.
    pub(crate) plain: SocketAddr,
    /// Where backends connect.
    pub(crate) sql: SocketAddr,
    /// Where people see who is up.
    pub(crate) overview: SocketAddr,
    /// Name, browser port and MySQL port of each node.
    pub(crate) nodes: Vec<(String, SocketAddr, SocketAddr)>,
    /// Certificate and key in one file, for https.
    pub(crate) certificate: Option<PathBuf>,
}

/// A HAProxy, or the place where it was.
pub(crate) struct Balancer {
    program: Program,
    binary: PathBuf,
    file: PathBuf,
    socket: PathBuf,
    /// What it was told.
    pub(crate) addresses: Addresses,
}

impl Balancer {
    /// Prepares one, and does not start it. Its configuration must be one that HAProxy takes.
    pub(crate) fn new(folder: &Path, addresses: Addresses) -> anyhow::Result<Self> {
        let binary = find_program("haproxy").context(MISSING)?;
        let (file, socket) = (folder.join("haproxy.cfg"), folder.join("haproxy.sock"));
        let template = std::fs::read_to_string(root().join("deploy/haproxy.cfg"))?;
        std::fs::write(&file, fill(&template, &socket, &addresses))?;
        output(Command::new(&binary).arg("-c").arg("-f").arg(&file))?;
        Ok(Self {
            program: Program::new(folder.join("haproxy.log")),
            binary,
            file,
            socket,
            addresses,
        })
    }

    /// Starts it and waits until it has looked at every node.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let mut command = tied(&self.binary);
        self.program
            .spawn(command.arg("-db").arg("-f").arg(&self.file))?;
        until("HAProxy has looked at every node", START, || {
            self.program.check()?;
            let states = self.states().unwrap_or_default();
            Ok(!states.is_empty() && states.values().all(|state| state != "UNCHECKED"))
        })
    }

    /// By backend and node: `UP`, `DOWN`, `DRAIN`, `MAINT`; `UNCHECKED` before the first check.
    pub(crate) fn states(&self) -> anyhow::Result<BTreeMap<(String, String), String>> {
        Ok(states(&self.ask("show stat")?))
    }

    /// Whether a node gets new sessions, on both ports.
    pub(crate) fn is_up(&self, node: &str) -> anyhow::Result<bool> {
        let states = self.states()?;
        let of = |backend: &str| states.get(&(backend.to_owned(), node.to_owned()));
        let up = |backend| of(backend).is_some_and(|state| state.starts_with("UP"));
        Ok(up("cometql_browsers") && up("cometql_sql"))
    }

    /// Carries out a command of its admin socket.
    pub(crate) fn ask(&self, command: &str) -> anyhow::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The process.
    pub(crate) fn program(&mut self) -> &mut Program {
        &mut self.program
    }
}

/// The template with other addresses: ports, nodes, files, and from where nodes expect the PROXY protocol.
fn fill(template: &str, socket: &Path, addresses: &Addresses) -> String {
    let mut filled = String::new();
    let mut has_nodes = false;
    for line in template.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = match (words.as_slice(), &addresses.certificate) {
            // Each takes two files, and a user may often open 20,000.
            (["maxconn", _], _) => "    maxconn 8000".to_owned(),
            (["stats", "socket", _, rest @ ..], _) => {
                format!("    stats socket {} {}", socket.display(), rest.join(" "))
            }
            (["bind", ":80"], _) => format!("    bind {}", addresses.plain),
            (["#bind", ":443", "ssl", "crt", _, rest @ ..], Some(file)) => {
                let (address, file) = (addresses.browsers, file.display());
                format!("    bind {address} ssl crt {file} {}", rest.join(" "))
            }
            (["bind", ":3306"], _) => format!("    bind {}", addresses.sql),
            (["bind", "127.0.0.1:8404"], _) => format!("    bind {}", addresses.overview),
            (["default-server", ..], _) => {
                has_nodes = false;
                format!("{line} source {BALANCER}")
            }
            (["server", ..], _) if has_nodes => continue,
            (["server", _, address, rest @ ..], _) => {
                has_nodes = true;
                servers(address, &rest.join(" "), &addresses.nodes)
            }
            _ => line.to_owned(),
        };
        filled += &text;
        filled.push('\n');
    }
    filled
}

fn servers(example: &str, rest: &str, nodes: &[(String, SocketAddr, SocketAddr)]) -> String {
    let is_mysql = example.ends_with(":3307");
    let lines = nodes.iter().map(|(name, http, mysql)| {
        let address = if is_mysql { mysql } else { http };
        format!("    server {name} {address} {rest}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn states(table: &str) -> BTreeMap<(String, String), String> {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let rows = rows.map(|line| line.split(',').collect::<Vec<_>>());
    let of_nodes = rows.filter(|row| row.len() > 36 && !matches!(row[1], "FRONTEND" | "BACKEND"));
    let state = |row: Vec<&str>| {
        // Columns 17 and 36 are `status` and `check_status`; INI is a check that was not made yet, with a star while one runs.
        let last = row[36].trim_start_matches("* ");
        let unchecked = last == "INI" || last.is_empty();
        let state = if unchecked { "UNCHECKED" } else { row[17] };
        ((row[0].to_owned(), row[1].to_owned()), state.to_owned())
    };
    of_nodes.map(state).collect()
}

#[cfg(test)]
mod tests {
    use super::super::certificates::Certificates;
    use super::*;

    fn filled(certificate: Option<PathBuf>) -> String {
        let template = std::fs::read_to_string(root().join("deploy/haproxy.cfg")).unwrap();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses {
            browsers: at(1),
            plain: at(if certificate.is_some() { 8 } else { 1 }),
            sql: at(2),
            overview: at(3),
            nodes: vec![("a".into(), at(4), at(5)), ("b".into(), at(6), at(7))],
            certificate,
        };
        fill(&template, Path::new("/s"), &addresses)
    }

    #[track_caller]
    fn check(text: &str, line: &str, times: usize) {
        let found = text.lines().filter(|other| other.trim() == line).count();
        assert_eq!(found, times, "{line}\n{text}");
    }

    #[test]
    fn every_address_of_the_template_is_replaced() {
        let text = filled(None);
        check(&text, "bind 127.0.0.1:1", 1);
        check(&text, "bind 127.0.0.1:2", 1);
        check(&text, "bind 127.0.0.1:3", 1);
        check(&text, "server a 127.0.0.1:4 weight 100", 2);
        check(&text, "server b 127.0.0.1:7 weight 100", 2);
        check(&text, "stats socket /s mode 660 level admin", 1);
        let left = text.lines().filter(|line| !line.trim().starts_with('#'));
        let left = left.filter(|line| line.contains("192.0.2") || line.contains("bind :"));
        assert_eq!(left.count(), 0, "{text}");
        let with_source = text.lines().filter(|line| line.ends_with(BALANCER)).count();
        assert_eq!(with_source, text.matches("default-server ").count());
    }

    #[test]
    fn https_takes_the_place_of_http_and_that_goes_elsewhere() {
        let text = filled(Some("/c.pem".into()));
        check(&text, "bind 127.0.0.1:1 ssl crt /c.pem alpn h2,http/1.1", 1);
        check(&text, "bind 127.0.0.1:8", 1);
    }

    #[test]
    fn haproxy_takes_the_file_as_it_is_and_filled() {
        let Some(haproxy) = find_program("haproxy") else {
            eprintln!("skipped: {MISSING}");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(folder.path()).unwrap();
        let site = certificates.in_one_file(folder.path()).unwrap();
        let file = folder.path().join("filled.cfg");
        let check = |file: &Path| output(Command::new(&haproxy).arg("-c").arg("-f").arg(file));
        check(&root().join("deploy/haproxy.cfg")).unwrap();
        for text in [filled(None), filled(Some(site))] {
            std::fs::write(&file, text).unwrap();
            check(&file).unwrap();
        }
        std::fs::write(&file, "frontend x\n  bind nowhere\n").unwrap();
        assert!(check(&file).is_err());
    }

    #[test]
    fn states_are_read_from_the_table() {
        let row = |name: &str, state: &str, check: &str| {
            let mut cells = vec![""; 40];
            (cells[0], cells[1], cells[17], cells[36]) = ("b", name, state, check);
            cells.join(",")
        };
        let table = [
            "# pxname,svname".to_owned(),
            row("BACKEND", "UP", "L7OK"),
            row("one", "UP 1/2", "L7OK"),
            row("two", "UP", "INI"),
            row("three", "DOWN", "L4CON"),
            row("four", "UP 1/3", "* INI"),
        ];
        let states: Vec<_> = states(&table.join("\n")).into_values().collect();
        assert_eq!(states, ["UNCHECKED", "UP 1/2", "DOWN", "UNCHECKED"]);
    }
}
