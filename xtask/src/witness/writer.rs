//! A backend that writes rows over MySQL, one connection after the other, and notes which were answered.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{bail, ensure};

use super::Shared;
use super::ledger::{Fate, Written, text};
use crate::load::mysql;
use crate::random::Random;

/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(10);
/// Between two batches: the load is steady, not all that the machine has.
const PACE: Duration = Duration::from_millis(4);
/// All of a cluster runs on the machine that tests it.
const PACE_OF_A_CLUSTER: Duration = Duration::from_millis(25);

/// Shorter than the silence after which a browser leaves its node.
const IMPATIENCE: Duration = Duration::from_secs(3);

/// Where rows go.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Channel(String),
    User(u64),
}

impl Target {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Channel(name) => name.clone(),
            Self::User(user) => user.to_string(),
        }
    }

    /// One INSERT of these texts.
    pub(super) fn insert(&self, texts: &[String]) -> String {
        let (table, key, value) = match self {
            Self::Channel(name) => ("pipes_messages", "name", format!("'{name}'")),
            Self::User(user) => ("users_messages", "id", user.to_string()),
        };
        let rows: Vec<String> = texts
            .iter()
            .map(|text| format!("({value},'e','{text}')"))
            .collect();
        format!(
            "INSERT INTO {table} ({key},event,message) VALUES {}",
            rows.join(",")
        )
    }
}

/// Carries out statements on a connection of their own, and waits for the answers.
pub(super) fn execute(server: SocketAddr, key: &str, statements: &[String]) -> anyhow::Result<()> {
    let mut stream = mysql::log_in(server, key)?;
    mysql::insert_all(&mut stream, statements, 1)
}

/// Writes until told to stop; an error packet is an error of the test.
pub(super) fn run(
    writer: usize,
    target: &Target,
    shared: &Shared,
    mut random: Random,
) -> anyhow::Result<Written> {
    let mut written = Written {
        target: target.name(),
        writer,
        rows: Vec::new(),
    };
    while !shared.writers_stop() {
        let server = shared.server(&mut random).mysql;
        let Ok(mut stream) = mysql::log_in_within(server, shared.key, shared.handshake()) else {
            std::thread::sleep(AGAIN);
            continue;
        };
        stream.set_read_timeout(Some(patience(writer, shared)))?;
        while !shared.writers_stop() {
            let batch = batch(target, writer, written.rows.len(), &mut random);
            if !send(&mut stream, &batch, &mut written.rows, shared.is_cluster())? {
                break;
            }
            std::thread::sleep(if shared.is_cluster() {
                PACE_OF_A_CLUSTER
            } else {
                PACE
            });
        }
    }
    Ok(written)
}

/// In a cluster every second one goes elsewhere soon, so that there is something to hear while a node is silent; the others
/// wait for what an election delays.
fn patience(writer: usize, shared: &Shared) -> Duration {
    if shared.is_cluster() && writer.is_multiple_of(2) {
        IMPATIENCE
    } else {
        mysql::PATIENCE
    }
}

/// Statements, each with its number of rows.
type Batch = Vec<(String, usize)>;

/// One row, some rows in one statement, or some statements at once.
fn batch(target: &Target, writer: usize, first: usize, random: &mut Random) -> Batch {
    let texts = |from: usize, count: usize| -> Vec<String> {
        (from..from + count).map(|row| text(writer, row)).collect()
    };
    match random.below(4) {
        0 => vec![(target.insert(&texts(first, 5)), 5)],
        1 => (first..first + 8)
            .map(|row| (target.insert(&texts(row, 1)), 1))
            .collect(),
        _ => vec![(target.insert(&texts(first, 1)), 1)],
    }
}

/// Sends a batch and notes each row's fate. False = the connection is of no more use. In a cluster a statement may be refused, or
/// be answered with the warning that its row is not stored: nothing is promised of these.
fn send(
    stream: &mut TcpStream,
    batch: &Batch,
    fates: &mut Vec<Fate>,
    cluster: bool,
) -> anyhow::Result<bool> {
    let packets: Vec<u8> = batch
        .iter()
        .flat_map(|(sql, _)| mysql::query(sql))
        .collect();
    let sent = stream.write_all(&packets).is_ok();
    let mut held = Vec::new();
    let mut scratch = [0; 4096];
    let mut answers = Vec::new();
    while sent && answers.len() < batch.len() {
        let count = match stream.read(&mut scratch) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && !cluster => {
                bail!("a statement was not answered within {:?}", mysql::PATIENCE)
            }
            Ok(_) | Err(_) => break,
        };
        held.extend(&scratch[..count]);
        answers.extend(mysql::packets(&mut held));
    }
    // A node that stops says so in a packet more.
    ensure!(
        cluster || answers.len() <= batch.len(),
        "more answers than statements"
    );
    for (at, (_, rows)) in batch.iter().enumerate() {
        let fate = match answers.get(at) {
            Some(answer) => fate(answer, cluster)?,
            None => Fate::Unknown,
        };
        fates.extend(std::iter::repeat_n(fate, *rows));
    }
    let failed = answers
        .iter()
        .any(|answer| mysql::check_ok(answer).is_err());
    Ok(answers.len() == batch.len() && !failed)
}

fn fate(answer: &[u8], cluster: bool) -> anyhow::Result<Fate> {
    match mysql::check_ok(answer) {
        Ok(()) if mysql::warnings(answer) == Some(0) => Ok(Fate::Answered),
        Ok(()) if cluster => Ok(Fate::Unknown),
        Ok(()) => bail!("there was a warning"),
        Err(_) if cluster => Ok(Fate::Unknown),
        Err(error) => Err(error),
    }
}
