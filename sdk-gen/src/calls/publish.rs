//! Publications.

use std::sync::Arc;

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
/// What the payloads of one statement may have together, in bytes: half of what the server takes, if it is not configured otherwise.
const BYTES: usize = 8 << 20;

/// What is inserted, row by row.
pub(super) struct Rows {
    /// The statement up to its rows.
    insert: &'static str,
    rows: Vec<Message>,
}

/// One row. Many may share a text.
pub(super) struct Message {
    pub(super) to: Wire,
    pub(super) event: Arc<String>,
    pub(super) message: Arc<String>,
    pub(super) id: String,
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
        let row = |publication: NewPublication| {
            Ok(Message {
                to: publication.channel.into(),
                event: Arc::new(publication.event),
                message: Arc::new(publication.message),
                id: id(publication.id)?,
            })
        };
        let rows = publications.into_iter().map(row);
        let rows = rows.collect::<Result<Vec<_>, CometError>>()?;
        self.send_many(Rows::new(PUBLISH, rows)).await
    }

    /// Sends one message; the statement has its row.
    pub(super) async fn send(
        &self,
        insert: &'static str,
        values: [Wire; 4],
        id: String,
    ) -> Result<Sent, CometError> {
        let statement = (insert, values);
        let sent = self.run(
            self.due(),
            Again::Yes,
            &statement,
            |link, (insert, values)| {
                Box::pin(async move {
                    let done = link.change(*insert, values.to_vec()).await?;
                    what_came_of_it(link, &done).await
                })
            },
        );
        let (reached, stored) = sent.await?;
        Ok(Sent {
            id,
            reached,
            stored,
        })
    }

    /// Sends all rows in few statements, one after the other.
    pub(super) async fn send_many(&self, rows: Rows) -> Result<SentMany, CometError> {
        let Rows { insert, rows } = rows;
        let (due, mut reached, mut stored) = (self.due(), 0, true);
        let (mut rest, mut most) = (&rows[..], ROWS);
        while !rest.is_empty() {
            let (part, later) = rest.split_at(next_part(rest, most));
            let statement = (insert, part);
            let done = self.run(due, Again::Yes, &statement, |link, (insert, part)| {
                let sql = format!("{insert}{}", vec![ROW; part.len()].join(", "));
                let values = part.iter().flat_map(Message::values).collect();
                Box::pin(async move {
                    let done = link.change(sql, values).await?;
                    what_came_of_it(link, &done).await
                })
            });
            let done = done.await;
            if part.len() > 1 && too_much(&done) {
                most = part.len() / 2;
                continue;
            }
            let before = rows.len() - rest.len();
            let part = done.map_err(|error| error.after(before, rows.len()))?;
            reached += part.0;
            stored &= part.1;
            rest = later;
        }
        Ok(SentMany {
            ids: rows.into_iter().map(|row| row.id).collect(),
            reached,
            stored,
        })
    }
}

impl Rows {
    pub(super) fn new(insert: &'static str, rows: Vec<Message>) -> Self {
        Self { insert, rows }
    }
}

impl Message {
    fn values(&self) -> [Wire; 4] {
        [
            self.to.clone(),
            text(&self.event),
            text(&self.message),
            text(&self.id),
        ]
    }
}

/// How many of these rows go into the next statement: a power of two, so that few statements are prepared.
fn next_part(rows: &[Message], most: usize) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take(most).take_while(|row| {
        bytes += row.message.len();
        bytes <= BYTES
    });
    // A row that is too long alone is refused by the server, which says so.
    let fits = fits.count().max(1);
    1 << fits.ilog2()
}

/// Whether less might do: the server is configured to take shorter statements (11) or fewer rows (19), or a row is too long.
fn too_much<T>(done: &Result<T, CometError>) -> bool {
    matches!(done, Err(CometError::Refused { code: 11 | 19, .. }))
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
async fn what_came_of_it(link: &mut Link, done: &Done) -> Result<(u64, bool), Failure> {
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
        let message = Arc::new("x".repeat(bytes));
        let row = |_| Message {
            to: Wire::NULL,
            event: Arc::default(),
            message: Arc::clone(&message),
            id: String::new(),
        };
        let rows: Vec<_> = (0..rows).map(row).collect();
        assert_eq!(next_part(&rows, ROWS), expected);
    }

    #[test]
    fn parts() {
        check(1, 10, 1);
        check(2, 10, 2);
        check(3, 10, 2);
        check(100, 10, 64);
        check(1_000, 10, 256);
        check(100, 1 << 20, 8);
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
