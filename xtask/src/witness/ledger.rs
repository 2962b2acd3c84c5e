//! What was written, what came, and whether the one fits the other. Does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};

/// The text that stands behind everything else in each channel and inbox.
pub(super) const END: &str = "end";

/// What a writer knows of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was answered OK.
    Answered,
    /// There was no such answer, because the connection broke or the log was out of reach: it is stored or it is not.
    Unknown,
}

/// The rows of one writer, by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    /// The channel, or the user.
    pub(super) target: String,
    /// Sets its rows apart from those of others.
    pub(super) writer: usize,
    /// The fates of rows 0, 1, 2 …
    pub(super) rows: Vec<Fate>,
}

/// The text of a row.
pub(super) fn text(writer: usize, row: usize) -> String {
    format!("w{writer}-{row}")
}

fn parse(text: &str) -> Option<(usize, usize)> {
    let (writer, row) = text.strip_prefix('w')?.split_once('-')?;
    Some((writer.parse().ok()?, row.parse().ok()?))
}

/// Counts of a run in which nothing was wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) answered: usize,
    pub(super) unknown_stored: usize,
    pub(super) unknown_lost: usize,
}

/// Checks what one receiver saw of one target, in its order: every answered row, none twice, each writer's in order. In a cluster
/// (`late`) a row without an answer may come after later ones: it waited where nobody knew of it.
pub(super) fn judge(written: &[&Written], seen: &[String], late: bool) -> anyhow::Result<Counts> {
    let mut next = BTreeMap::new();
    let mut found = BTreeSet::new();
    let by_writer: BTreeMap<usize, &Written> = written.iter().map(|w| (w.writer, *w)).collect();
    for text in seen {
        if text == END {
            continue;
        }
        let (writer, row) = parse(text).with_context(|| format!("{text:?} was never written"))?;
        let written = by_writer.get(&writer);
        let fate = written.and_then(|written| written.rows.get(row));
        let fate = fate.with_context(|| format!("{text} was not written here"))?;
        ensure!(found.insert((writer, row)), "{text} came twice");
        if late && *fate == Fate::Unknown {
            continue;
        }
        let least = next.insert(writer, row + 1).unwrap_or(0);
        ensure!(row >= least, "{text} came after row {}", least - 1);
    }
    ensure!(seen.last().is_some_and(|last| last == END), "no end came");
    let mut counts = Counts::default();
    for written in written {
        for (row, fate) in written.rows.iter().enumerate() {
            match (fate, found.contains(&(written.writer, row))) {
                (Fate::Answered, true) => counts.answered += 1,
                (Fate::Answered, false) => {
                    bail!("{} was answered OK and is lost", text(written.writer, row))
                }
                (Fate::Unknown, true) => counts.unknown_stored += 1,
                (Fate::Unknown, false) => counts.unknown_lost += 1,
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seen: &[&str], expected: Result<(usize, usize, usize), &str>) {
        judged(seen, false, expected);
    }

    #[track_caller]
    fn judged(seen: &[&str], late: bool, expected: Result<(usize, usize, usize), &str>) {
        let writer = |writer, rows: &[Fate]| Written {
            target: "web_witness0".into(),
            writer,
            rows: rows.to_vec(),
        };
        let first = writer(1, &[Fate::Answered, Fate::Unknown, Fate::Answered]);
        let second = writer(2, &[Fate::Answered]);
        let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
        let counts = judge(&[&first, &second], &seen, late);
        let counts = counts.map(|c| (c.answered, c.unknown_stored, c.unknown_lost));
        assert_eq!(
            counts.map_err(|error| error.to_string()),
            expected.map_err(String::from)
        );
    }

    #[test]
    fn what_is_lost_doubled_swapped_or_strange_is_noticed() {
        check(&["w1-0", "w2-0", "w1-1", "w1-2", "end"], Ok((3, 1, 0)));
        check(&["w2-0", "w1-0", "w1-2", "end"], Ok((3, 0, 1)));
        check(
            &["w1-0", "w1-2", "end"],
            Err("w2-0 was answered OK and is lost"),
        );
        check(
            &["w1-0", "w1-2", "w1-1", "w2-0", "end"],
            Err("w1-1 came after row 2"),
        );
        check(&["w1-0", "w1-0", "end"], Err("w1-0 came twice"));
        check(&["w3-0", "end"], Err("w3-0 was not written here"));
        check(&["w2-1", "end"], Err("w2-1 was not written here"));
        check(&["x", "end"], Err("\"x\" was never written"));
        check(&["w1-0", "w2-0", "w1-2"], Err("no end came"));
    }

    #[test]
    fn in_a_cluster_what_was_not_answered_may_come_late() {
        let late = ["w1-0", "w2-0", "w1-2", "w1-1", "end"];
        judged(&late, true, Ok((3, 1, 0)));
        check(&late, Err("w1-1 came after row 2"));
        let swapped = ["w1-2", "w1-0", "w2-0", "end"];
        judged(&swapped, true, Err("w1-0 came after row 2"));
    }
}
