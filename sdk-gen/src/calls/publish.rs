//! Publications.

use mysql_async::Value as Wire;
use uuid::Uuid;

use super::text;
use crate::core::{Again, Core};
use crate::error::Failure;
use crate::link::{Done, Link};
use crate::{CometError, NewPublication, Sent, SentMany};

/// A statement that sends messages, up to its rows.
const PUBLISH: &str = "INSERT INTO pipes_messages (name, event, message, id) VALUES ";
const ROW: &str = "(?, ?, ?, ?)";
const ONE: &str = "INSERT INTO pipes_messages (name, event, message, id) VALUES (?, ?, ?, ?)";
/// The log of the cluster could not keep it.
const NOT_STORED: u16 = 207;
/// Most rows of a statement. Smaller statements have half of it, a quarter, and so on: a connection prepares few.
const ROWS: usize = 256;
/// What the payloads of one statement may have together, in bytes: half of what the server takes.
const BYTES: usize = 8 << 20;

/// What is inserted, row by row.
pub(super) struct Rows {
    /// The statement up to its rows.
    pub(super) insert: &'static str,
    pub(super) rows: Vec<[Wire; 4]>,
    pub(super) ids: Vec<String>,
}

impl Core {
    pub(crate) async fn publish(&self, publication: NewPublication) -> Result<Sent, CometError> {
        let id = id(publication.id)?;
        let values = [
            publication.channel.into(),
            publication.event.into(),
            publication.message.into(),
            text(&id),
        ];
        self.send(ONE, values, id).await
    }

    pub(crate) async fn publish_many(
        &self,
        publications: Vec<NewPublication>,
    ) -> Result<SentMany, CometError> {
        let mut rows = Rows::new(PUBLISH, publications.len());
        for publication in publications {
            let id = id(publication.id)?;
            rows.add(
                publication.channel.into(),
                publication.event,
                publication.message,
                id,
            );
        }
        self.send_many(rows).await
    }

    /// Sends one message; the statement has its row.
    pub(super) async fn send(
        &self,
        insert: &'static str,
        values: [Wire; 4],
        id: String,
    ) -> Result<Sent, CometError> {
        let statement = (insert, values);
        let sent = self.run(Again::Yes, &statement, |link, (insert, values)| {
            Box::pin(async move {
                let done = link.change(*insert, values.to_vec()).await?;
                reached(link, &done).await
            })
        });
        let (reached, stored) = sent.await?;
        Ok(Sent {
            id,
            reached,
            stored,
        })
    }

    /// Sends all rows in few statements, one after the other.
    pub(super) async fn send_many(&self, rows: Rows) -> Result<SentMany, CometError> {
        let Rows { insert, rows, ids } = rows;
        let mut sent = SentMany {
            ids,
            reached: 0,
            stored: true,
        };
        let mut rest = &rows[..];
        while !rest.is_empty() {
            let (part, later) = rest.split_at(next_part(rest));
            let statement = (insert, part);
            let done = self.run(Again::Yes, &statement, |link, (insert, part)| {
                let sql = format!("{insert}{}", vec![ROW; part.len()].join(", "));
                let values = part.iter().flatten().cloned().collect();
                Box::pin(async move {
                    let done = link.change(sql, values).await?;
                    reached(link, &done).await
                })
            });
            let before = rows.len() - rest.len();
            let (reached, stored) = done.await.map_err(|error| error.after(before))?;
            sent.reached += reached;
            sent.stored &= stored;
            rest = later;
        }
        Ok(sent)
    }
}

impl Rows {
    pub(super) fn new(insert: &'static str, rows: usize) -> Self {
        Self {
            insert,
            rows: Vec::with_capacity(rows),
            ids: Vec::with_capacity(rows),
        }
    }

    pub(super) fn add(&mut self, to: Wire, event: String, message: String, id: String) {
        self.rows
            .push([to, event.into(), message.into(), text(&id)]);
        self.ids.push(id);
    }
}

/// How many of these rows go into the next statement: a power of two, so that few statements are prepared.
fn next_part(rows: &[[Wire; 4]]) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take(ROWS).take_while(|row| {
        bytes += row.iter().map(|value| value.bin_len()).sum::<u64>();
        bytes <= BYTES as u64
    });
    // A row that is too long alone is refused by the server, which says so.
    let fits = fits.count().max(1);
    1 << fits.ilog2()
}

/// The id that was given, as the server writes it, or a new one.
pub(super) fn id(given: Option<String>) -> Result<String, CometError> {
    let Some(given) = given else {
        return Ok(Uuid::now_v7().to_string());
    };
    // The server ignores what is no UUID: then a retry would be a second message.
    match Uuid::try_parse(&given) {
        Ok(id) if !id.is_nil() => Ok(id.to_string()),
        _ => Err(CometError::invalid(format!("the id {given:?} is no UUID"))),
    }
}

/// To how many it was sent, and whether it was stored.
async fn reached(link: &mut Link, done: &Done) -> Result<(u64, bool), Failure> {
    let mut stored = true;
    if done.warnings > 0 {
        let warnings = link.warnings().await?;
        stored = !warnings.iter().any(|(code, _)| *code == NOT_STORED);
    }
    Ok((done.number("Reached:"), stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: usize, bytes: usize, expected: usize) {
        let row = [Wire::NULL, Wire::NULL, vec![b'x'; bytes].into(), Wire::NULL];
        assert_eq!(next_part(&vec![row; rows]), expected);
    }

    #[test]
    fn parts() {
        check(1, 10, 1);
        check(2, 10, 2);
        check(3, 10, 2);
        check(100, 10, 64);
        check(1_000, 10, 256);
        check(100, 1 << 20, 4);
        check(2, 9 << 20, 1);
    }

    #[test]
    fn ids() {
        assert_eq!(id(None).unwrap().len(), 36);
        let given = "0190A1B2C3D47E5F8A9B0C1D2E3F4051".to_owned();
        let told = id(Some(given)).unwrap();
        assert_eq!(told, "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051");
        for bad in ["", "1", "00000000-0000-0000-0000-000000000000"] {
            assert!(id(Some(bad.to_owned())).is_err(), "{bad}");
        }
    }
}
