//! Channels: who is there.

use super::{marks, read, text};
use crate::core::{Again, Core};
use crate::{CometError, Subscribers};

impl Core {
    pub(crate) async fn subscribers(
        &self,
        channels: Vec<String>,
    ) -> Result<Vec<Subscribers>, CometError> {
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        let marks = marks(channels.len());
        let sql = format!("SELECT name, users FROM pipes WHERE name IN ({marks})");
        let arguments = (sql, channels);
        let rows = self.run(Again::Yes, &arguments, |link, (sql, channels)| {
            let values = channels.iter().map(|channel| text(channel)).collect();
            Box::pin(
                async move { read::<(String, u64)>(link.ask(sql.clone(), values).await?.rows) },
            )
        });
        let rows = rows.await?.into_iter();
        let rows = rows.map(|(channel, count)| Subscribers { channel, count });
        Ok(rows.collect())
    }
}
