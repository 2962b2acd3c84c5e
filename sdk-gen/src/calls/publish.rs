//! Publications.

use uuid::Uuid;

use super::text;
use crate::core::{Again, Core};
use crate::error::Failure;
use crate::link::{Done, Link};
use crate::{CometError, NewPublication, Sent};

const PUBLISH: &str = "INSERT INTO pipes_messages (name, event, message, id) VALUES (?, ?, ?, ?)";
/// The log of the cluster could not keep it.
const NOT_STORED: u16 = 207;

impl Core {
    pub(crate) async fn publish(&self, publication: NewPublication) -> Result<Sent, CometError> {
        let id = id(publication.id.as_deref())?;
        let arguments = (publication, id);
        let sent = self.run(Again::Yes, &arguments, |link, (publication, id)| {
            let NewPublication {
                channel,
                message,
                event,
                ..
            } = publication;
            let values = vec![text(channel), text(event), text(message), text(id)];
            Box::pin(async move {
                let done = link.change(PUBLISH, values).await?;
                reached(link, &done).await
            })
        });
        let (reached, stored) = sent.await?;
        let (_, id) = arguments;
        Ok(Sent {
            id,
            reached,
            stored,
        })
    }
}

/// The id that was given, as the server writes it, or a new one.
pub(super) fn id(given: Option<&str>) -> Result<String, CometError> {
    let Some(given) = given else {
        return Ok(Uuid::now_v7().to_string());
    };
    // The server ignores what is no UUID: then a retry would be a second message.
    match Uuid::try_parse(given) {
        Ok(id) if !id.is_nil() => Ok(id.to_string()),
        _ => Err(CometError::invalid(format!("the id {given:?} is no UUID"))),
    }
}

/// To how many it was sent, and whether it was stored.
pub(super) async fn reached(link: &mut Link, done: &Done) -> Result<(u64, bool), Failure> {
    let mut stored = true;
    if done.warnings > 0 {
        let warnings = link.warnings().await?;
        stored = !warnings.iter().any(|(code, _)| *code == NOT_STORED);
    }
    Ok((done.number("Reached:"), stored))
}
