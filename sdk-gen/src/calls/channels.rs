//! Channels: how much they keep, and who is there.

use std::collections::HashMap;

use mysql_async::Value as Wire;

use super::text;
use crate::core::Core;
use crate::{ChannelSettings, CometError, Presence, Subscribers};

impl Core {
    pub(crate) async fn channel_settings(
        &self,
        channel: String,
    ) -> Result<Option<ChannelSettings>, CometError> {
        let sql = "SELECT length FROM pipes_settings WHERE name = ?";
        let rows: Vec<u64> = self.rows(sql, vec![channel.into()]).await?;
        let settings = rows.first().map(|&length| ChannelSettings { length });
        Ok(settings)
    }

    pub(crate) async fn set_channel_settings(
        &self,
        channel: String,
        settings: ChannelSettings,
    ) -> Result<(), CometError> {
        let sql = "INSERT INTO pipes_settings (name, length) VALUES (?, ?)";
        let length = Wire::UInt(settings.length);
        self.change(sql, vec![channel.into(), length]).await?;
        Ok(())
    }

    pub(crate) async fn reset_channel_settings(&self, channel: String) -> Result<(), CometError> {
        let sql = "DELETE FROM pipes_settings WHERE name = ?";
        self.change(sql, vec![channel.into()]).await?;
        Ok(())
    }

    pub(crate) async fn presence(&self, channel: String) -> Result<Vec<Presence>, CometError> {
        type Row = (u64, String, String, String, String, String);
        let sql = "SELECT user_id, user_uuid, user_agent, ip, origin, language FROM users_in_pipes WHERE name = ?";
        let rows: Vec<Row> = self.rows(sql, vec![channel.into()]).await?;
        let presence = |(user, uuid, user_agent, ip, origin, language)| Presence {
            user: (user != 0).then_some(user),
            uuid,
            user_agent,
            ip,
            origin,
            language,
        };
        Ok(rows.into_iter().map(presence).collect())
    }

    pub(crate) async fn subscribers(
        &self,
        channels: Vec<String>,
    ) -> Result<Vec<Subscribers>, CometError> {
        let keys = channels.iter().map(|channel| text(channel)).collect();
        let sql = "SELECT name, users FROM pipes WHERE name";
        let rows: Vec<(String, u64)> = self.rows_of(sql, keys).await?;
        // Names that no channel can have get no row.
        let counts: HashMap<String, u64> = rows.into_iter().collect();
        let counted = channels.into_iter().map(|channel| Subscribers {
            count: counts.get(&channel).copied().unwrap_or(0),
            channel,
        });
        Ok(counted.collect())
    }
}
