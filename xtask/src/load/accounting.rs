//! What a server costs: processor time and memory of a process and its children, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, bail};

/// Microseconds per clock tick of `/proc`: Linux shows 100 a second to user space on every machine.
const TICK_US: u64 = 10_000;

/// A process with all its children.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accounts {
    pid: u32,
}

impl Accounts {
    pub(super) fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// User and system time since the start, in microseconds; ended children that were waited for are included.
    pub(super) fn cpu_us(self) -> anyhow::Result<u64> {
        let mut ticks = 0;
        for pid in self.tree() {
            ticks += stat_fields(&format!("/proc/{pid}/stat"))?[13..17]
                .iter()
                .sum::<u64>();
        }
        Ok(ticks * TICK_US)
    }

    /// Memory of its own (no file mappings, no kernel buffers), in bytes.
    pub(super) fn memory(self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for pid in self.tree() {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("RssAnon:"))
                .context("no RssAnon in /proc")?;
            let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
            bytes += kilobytes * 1024;
        }
        Ok(bytes)
    }

    /// Processor time of each thread that had any, in microseconds, by thread id and name.
    pub(super) fn threads_us(self) -> anyhow::Result<BTreeMap<(u32, String), u64>> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let folder = entry?.path();
            let id: u32 = folder
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .parse()?;
            let stat = stat_fields(&folder.join("stat").to_string_lossy());
            let name = fs::read_to_string(folder.join("comm"));
            // A thread may end between the listing and the reading.
            let (Ok(fields), Ok(name)) = (stat, name) else {
                continue;
            };
            let name = name.trim().to_owned();
            threads.insert((id, name), (fields[13] + fields[14]) * TICK_US);
        }
        Ok(threads)
    }

    fn tree(self) -> Vec<u32> {
        let mut tree = vec![self.pid];
        let mut next = 0;
        while let Some(pid) = tree.get(next).copied() {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            tree.extend(
                children
                    .unwrap_or_default()
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
            next += 1;
        }
        tree
    }
}

/// The numeric fields as proc(5) counts them, from 0; what is no number reads as 0.
fn stat_fields(path: &str) -> anyhow::Result<Vec<u64>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{path}: has the server ended?"))?;
    let fields = parse_stat(&text);
    if fields.len() < 17 {
        bail!("{path} has {} fields only", fields.len());
    }
    Ok(fields)
}

fn parse_stat(text: &str) -> Vec<u64> {
    // The second field is the program's name in brackets and may hold spaces.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    [0, 0]
        .into_iter()
        .chain(
            after_name
                .split_whitespace()
                .map(|field| field.parse().unwrap_or(0)),
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_shift_nothing() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4 0 0 0 0 11 22 33 44 20 0 1";
        assert_eq!(parse_stat(stat)[13..17], [11, 22, 33, 44]);
    }

    #[test]
    fn we_can_read_our_own() {
        let own = Accounts::of(std::process::id());
        assert!(own.memory().unwrap() > 0);
        assert!(own.cpu_us().is_ok());
        assert!(!own.threads_us().unwrap().is_empty());
    }
}
