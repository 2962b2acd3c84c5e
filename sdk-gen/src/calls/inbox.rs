//! Private messages.

use std::sync::Arc;

use super::publish::{Message, Rows, id};
use super::{text, user_id};
use crate::core::Core;
use crate::{CometError, NewPrivateMessage, Sent, SentMany};

const SEND: &str = "INSERT INTO users_messages (id, event, message, `index`) VALUES ";
const ONE: &str = "INSERT INTO users_messages (id, event, message, `index`) VALUES (?, ?, ?, ?)";

impl Core {
    pub(crate) async fn send_to_user(
        &self,
        message: NewPrivateMessage,
    ) -> Result<Sent, CometError> {
        let user = user_id(message.user)?;
        let id = id(message.id)?;
        let values = [
            user,
            message.event.into(),
            message.message.into(),
            text(&id),
        ];
        self.send(ONE, values, id).await
    }

    pub(crate) async fn send_to_users(
        &self,
        users: Vec<u64>,
        message: String,
        event: String,
        one: Option<String>,
    ) -> Result<SentMany, CometError> {
        let (event, message) = (Arc::new(event), Arc::new(message));
        let one = one.map(|one| id(Some(one))).transpose()?;
        let row = |user| {
            Ok(Message {
                to: user_id(user)?,
                event: Arc::clone(&event),
                message: Arc::clone(&message),
                id: one.clone().map_or_else(|| id(None), Ok)?,
            })
        };
        let rows = users.into_iter().map(row);
        let rows = rows.collect::<Result<Vec<_>, CometError>>()?;
        self.send_many(Rows::new(SEND, rows)).await
    }
}
