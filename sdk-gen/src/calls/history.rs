//! What channels keep.

use std::time::{Duration, UNIX_EPOCH};

use mysql_async::Value as Wire;

use crate::core::Core;
use crate::options::within;
use crate::{CometError, HistoryPage, Publication, PublicationPage};

impl Core {
    pub(crate) async fn history(
        &self,
        channel: String,
        page: HistoryPage,
    ) -> Result<PublicationPage, CometError> {
        type Row = (String, u64, String, String, u64, u64);
        let limit = within("limit", page.limit.into(), 1..=1_000)?;
        let sql = "SELECT id, time, event, message, user_id, `offset` FROM pipes_messages WHERE name = ? AND `offset` > ? LIMIT ?";
        let values = vec![channel.into(), Wire::UInt(page.after), Wire::UInt(limit)];
        let rows: Vec<Row> = self.rows(sql, values).await?;
        let publication = |(id, time, event, message, user, offset)| Publication {
            id,
            event,
            message,
            user: (user != 0).then_some(user),
            at: UNIX_EPOCH + Duration::from_secs(time),
            offset,
        };
        let publications: Vec<_> = rows.into_iter().map(publication).collect();
        let full = publications.len() as u64 == limit;
        let next = publications.last().filter(|_| full).map(|last| last.offset);
        Ok(PublicationPage { publications, next })
    }

    pub(crate) async fn delete_history(&self, channel: String) -> Result<u64, CometError> {
        let sql = "DELETE FROM pipes_messages WHERE name = ?";
        let done = self.change(sql, vec![channel.into()]).await?;
        Ok(done.number("Deleted:"))
    }
}
