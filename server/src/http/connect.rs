//! `GET /connect`: the handshake that turns a request into a session of our protocol.

use std::rc::Rc;

use cometql_engine::{ClientInfo, ConnectionId, SessionSettings};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, StatusCode};

use super::answer::{self, Answer};
use super::{Visit, client, query};
use crate::shard::Core;
use crate::shard::codec::Codec;
use crate::shard::link::Wire;
use crate::websocket::{UpgradeError, accept_key};

/// The session that a connection becomes.
pub(crate) struct Upgrade {
    settings: SessionSettings,
    info: ClientInfo,
    codec: Codec,
}

impl Upgrade {
    /// Opens the session.
    pub(crate) fn open(self, core: &Core, wire: Rc<Wire>) -> ConnectionId {
        core.open(self.settings, self.info, self.codec, wire)
    }
}

/// Answers `GET /connect`.
pub(super) fn answer(visit: &Visit, request: &Request<Incoming>) -> Answer {
    let accept = match accept_key(request.method(), request.version(), request.headers()) {
        Ok(accept) => accept,
        Err(error) => return refuse(error),
    };
    let query = match query::parse(request.uri().query().unwrap_or_default()) {
        Ok(query) => query,
        Err(error) => return answer::text(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let settings = SessionSettings {
        tenant: query.tenant,
        kind: "websocket",
        legacy: false,
    };
    let upgrade = Upgrade {
        settings,
        info: client::info(request.headers(), visit.peer),
        codec: Codec::WebSocket,
    };
    visit.upgrade.replace(Some(upgrade));
    switch(&accept)
}

/// 101.
fn switch(accept: &str) -> Answer {
    let mut answer = answer::empty(StatusCode::SWITCHING_PROTOCOLS);
    answer::set(&mut answer, UPGRADE, "websocket");
    answer::set(&mut answer, CONNECTION, "Upgrade");
    let accept = HeaderValue::from_str(accept).expect("base64 is fit for a header");
    answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

fn refuse(error: UpgradeError) -> Answer {
    let status = match error {
        UpgradeError::NotAnUpgrade | UpgradeError::Version => StatusCode::UPGRADE_REQUIRED,
        UpgradeError::Key => StatusCode::BAD_REQUEST,
    };
    let mut answer = answer::text(status, &error.to_string());
    answer::set(&mut answer, SEC_WEBSOCKET_VERSION, "13");
    if status == StatusCode::UPGRADE_REQUIRED {
        answer::set(&mut answer, UPGRADE, "websocket");
    }
    answer
}
