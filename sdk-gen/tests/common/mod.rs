//! A whole node in this process, and clients of it.

pub(crate) mod node;

use std::sync::Arc;

use cometql_sdk::{Client, CometError, NewPublication, Options};

pub(crate) use node::{KEY, host, node};

/// A client of tenant 0.
pub(crate) async fn connect(
    hosts: Vec<String>,
    options: Options,
) -> Result<Arc<Client>, CometError> {
    let (user, key) = ("root".to_owned(), KEY.to_owned());
    Client::connect(hosts, user, key, String::new(), options).await
}

/// A publication.
pub(crate) fn publication(channel: &str, message: &str) -> NewPublication {
    NewPublication {
        channel: channel.to_owned(),
        message: message.to_owned(),
        event: String::new(),
        id: None,
    }
}
