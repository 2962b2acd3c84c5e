//! All rows of a store into the log, and all rows of the log into a store, for `cometql import` and `export`: neither follows
//! the log. A row that the log has is not written over unless that is asked for; when a user was last seen, the later time counts.

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::join::{self, MARK};
use super::log::{Log, Put, Unreachable};
use super::record;
use crate::cluster::Cluster;
use crate::cluster::moving::{Importing, MoveError, Part, Report, Step, Tally, Told};
use crate::cluster::names::StreamKind;
use crate::cluster::read::Pages;
use crate::storage::{Change, Membership, Row, Stage, Store, Table};

/// Rows read, and rows on their way at once.
const PAGE: u64 = 2_000;
const AT_ONCE: usize = 500;

impl From<Unreachable> for MoveError {
    fn from(error: Unreachable) -> Self {
        Self::NoLog(error.to_string())
    }
}

/// The log of rows, as one sees it that is no member.
pub(in crate::cluster) struct Rows<'a> {
    cluster: &'a Cluster,
    log: Log,
}

/// What became of a row.
enum Became {
    Copied,
    There,
    Replaced,
    /// Another one is there, or it was removed.
    Conflict,
}

impl<'a> Rows<'a> {
    pub(in crate::cluster) fn new(cluster: &'a Cluster) -> Self {
        let log = Log::new(cluster);
        Self { cluster, log }
    }

    /// Which life of the log this is.
    pub(in crate::cluster) async fn epoch(&self) -> Result<u64, MoveError> {
        Ok(self.log.epoch().await?)
    }

    /// Puts all rows of a store into the log.
    pub(in crate::cluster) async fn put_all(
        &self,
        store: &Store,
        how: Importing<'_>,
        report: &mut Report,
        told: Told<'_>,
    ) -> Result<(), MoveError> {
        self.found().await?;
        for table in Table::ALL {
            let tally = self.put_table(store, table, how, report, told).await?;
            report.parts.push((table.name(), tally));
        }
        Ok(())
    }

    /// Nobody is to wait for somebody who founds a log that has no mark.
    async fn found(&self) -> Result<(), MoveError> {
        let deadline = Instant::now() + self.log.patience();
        let mark = self.log.bare(MARK, join::mark(true));
        match self.log.put(mark, Some(0), Some(deadline)).await {
            Put::Stored(_) | Put::Conflict => Ok(()),
            Put::NoQuorum | Put::TooLarge => Err(Unreachable::no_quorum().into()),
        }
    }

    async fn put_table(
        &self,
        store: &Store,
        table: Table,
        how: Importing<'_>,
        report: &mut Report,
        told: Told<'_>,
    ) -> Result<Tally, MoveError> {
        let of = store.count(table).await?;
        let part = Part::Tables(Some(table));
        told(Step { part, done: 0, of });
        let (mut tally, mut done, mut after) = (Tally::default(), 0, None);
        loop {
            let page = store.rows(table, after.take(), PAGE).await?;
            let Some(last) = page.last().cloned() else {
                return Ok(tally);
            };
            let put = |change| async move { (self.put(&change, how).await, change) };
            let mut puts =
                futures_util::stream::iter(page.into_iter().map(put)).buffer_unordered(AT_ONCE);
            while let Some((became, change)) = puts.next().await {
                match became? {
                    Became::Copied => tally.copied += 1,
                    Became::There => tally.there += 1,
                    Became::Replaced => tally.replaced += 1,
                    Became::Conflict => {
                        tally.conflicts += 1;
                        report.conflict(|| key(&change));
                    }
                }
                done += 1;
            }
            told(Step { part, done, of });
            after = Some(last);
        }
    }

    async fn put(&self, change: &Change, how: Importing<'_>) -> Result<Became, MoveError> {
        let mut change = change.clone();
        if let Row::Length {
            length: Some(length),
            ..
        } = &mut change.row
        {
            *length = (*length).min(how.limits.history_publications);
        }
        let name = record::name(&change);
        let mut expected = 0;
        loop {
            let deadline = Instant::now() + self.log.patience();
            let message = self.log.prepare(&change);
            match self.log.put(message, Some(expected), Some(deadline)).await {
                Put::Stored(_) if expected == 0 => return Ok(Became::Copied),
                Put::Stored(_) => return Ok(Became::Replaced),
                Put::NoQuorum => return Err(Unreachable::no_quorum().into()),
                Put::TooLarge => {
                    return Err(MoveError::Refused {
                        what: key(&change),
                        why: "it is larger than max_payload of NATS".into(),
                    });
                }
                Put::Conflict => {}
            }
            let Some((place, _, body)) = self.log.message(&name).await? else {
                // What was there has just gone: a row that was removed long ago.
                expected = 0;
                continue;
            };
            let theirs = record::decode(&name, &body);
            if theirs.as_ref() == Some(&change) {
                return Ok(Became::There);
            }
            match (&change.row, theirs.map(|theirs| theirs.row)) {
                (Row::LastSeen { time, .. }, Some(Row::LastSeen { time: theirs, .. }))
                    if theirs > *time =>
                {
                    return Ok(Became::There);
                }
                (Row::LastSeen { .. }, _) => {}
                _ if !how.overwrite => return Ok(Became::Conflict),
                _ => {}
            }
            expected = place;
        }
    }

    /// Writes all rows of the log into a store that has none.
    pub(in crate::cluster) async fn read_all(
        &self,
        store: &Store,
        report: &mut Report,
        told: Told<'_>,
    ) -> Result<(), MoveError> {
        let kind = StreamKind::State;
        let mut pages = Pages::new(self.cluster, kind, self.cluster.names().all_of(kind));
        let (part, of) = (Part::Tables(None), pages.count().await?);
        let mut done = 0;
        let mut tallies = Table::ALL.map(|table| (table, Tally::default()));
        loop {
            told(Step { part, done, of });
            let rows = pages.next().await?;
            if rows.is_empty() {
                break;
            }
            done += rows.len() as u64;
            let changes = rows.iter().filter_map(|row| {
                let change = record::decode(self.log.name(&row.subject)?, &row.body)?;
                Some((0, change))
            });
            let changes: Vec<(u64, Change)> = changes.collect();
            for (_, change) in changes
                .iter()
                .filter(|(_, change)| !record::is_gone(change))
            {
                let table = change.row.table();
                let mut of_table = tallies.iter_mut().filter(|(of, _)| *of == table);
                of_table.next().expect("all tables are there").1.copied += 1;
            }
            // Removals too: a row may be read, and then removed while the rest is read.
            store.apply(changes, OF_ITS_OWN).await?;
        }
        let tallies = tallies.map(|(table, tally)| (table.name(), tally));
        report.parts.extend(tallies);
        Ok(())
    }
}

/// The store of a node that is no member.
const OF_ITS_OWN: Membership = Membership {
    epoch: 0,
    applied: 0,
    stage: Stage::Following,
    current_ms: 0,
};

/// The key of a row, for people. Tokens are secrets.
fn key(change: &Change) -> String {
    let tenant = change.tenant.0;
    let table = change.row.table().name();
    match &change.row {
        Row::Hash { user, .. } | Row::Data { user, .. } | Row::LastSeen { user, .. } => {
            format!("{table}: user {user}, tenant {tenant}")
        }
        Row::Length { channel, .. } => format!("{table}: {channel}, tenant {tenant}"),
        Row::Member { channel, user, .. } => {
            format!("{table}: user {user} in {channel}, tenant {tenant}")
        }
        Row::Token { .. } => format!("{table}: a token, tenant {tenant}"),
    }
}
