//! Users: who may log in, who is there, and what is known of them.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use super::user_id;
use crate::core::Core;
use crate::{CometError, LastSeen};

impl Core {
    pub(crate) async fn online(&self, users: Vec<u64>) -> Result<Vec<u64>, CometError> {
        let seen = self.last_seen(users).await?;
        let online = seen.into_iter().filter(|seen| seen.online);
        Ok(online.map(|seen| seen.user).collect())
    }

    pub(crate) async fn last_seen(&self, users: Vec<u64>) -> Result<Vec<LastSeen>, CometError> {
        let keys = users.iter().map(|&user| user_id(user));
        let keys = keys.collect::<Result<_, _>>()?;
        let sql = "SELECT id, time FROM users_time WHERE id";
        let rows: Vec<(u64, i64)> = self.rows_of(sql, keys).await?;
        let times: HashMap<u64, i64> = rows.into_iter().collect();
        let seen = |user| {
            let time = times.get(&user).copied().unwrap_or(-1);
            let seconds = u64::try_from(time).ok().filter(|&seconds| seconds > 0);
            LastSeen {
                user,
                online: time == 0,
                at: seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
            }
        };
        Ok(users.into_iter().map(seen).collect())
    }

    pub(crate) async fn authorize(&self, user: u64, hash: String) -> Result<(), CometError> {
        let sql = "INSERT INTO users_auth (id, hash) VALUES (?, ?)";
        self.change(sql, vec![user_id(user)?, hash.into()]).await?;
        Ok(())
    }

    pub(crate) async fn deauthorize(&self, user: u64) -> Result<(), CometError> {
        let sql = "DELETE FROM users_auth WHERE id = ?";
        self.change(sql, vec![user_id(user)?]).await?;
        Ok(())
    }

    pub(crate) async fn revoke(&self, token: String) -> Result<(), CometError> {
        let sql = "INSERT INTO revoked_tokens (token) VALUES (?)";
        self.change(sql, vec![token.into()]).await?;
        Ok(())
    }

    pub(crate) async fn user_data(&self, user: u64) -> Result<Option<String>, CometError> {
        let sql = "SELECT data FROM users_data WHERE id = ?";
        let rows: Vec<String> = self.rows(sql, vec![user_id(user)?]).await?;
        Ok(rows.into_iter().next())
    }

    pub(crate) async fn set_user_data(&self, user: u64, data: String) -> Result<(), CometError> {
        let sql = "INSERT INTO users_data (id, data) VALUES (?, ?)";
        self.change(sql, vec![user_id(user)?, data.into()]).await?;
        Ok(())
    }

    pub(crate) async fn delete_user_data(&self, user: u64) -> Result<(), CometError> {
        let sql = "DELETE FROM users_data WHERE id = ?";
        self.change(sql, vec![user_id(user)?]).await?;
        Ok(())
    }
}
