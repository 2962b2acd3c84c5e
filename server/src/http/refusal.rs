//! Why a request gets no session, and how that is said in HTTP.

use hyper::StatusCode;
use hyper::header::{CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};

use super::answer::{self, Answer};
use super::query::QueryError;
use crate::metrics::Full;
use crate::shard::Core;
use crate::websocket::UpgradeError;

/// Why a request gets no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It comes from another page than the configuration allows.
    #[error("this origin is not allowed")]
    Origin,
    /// There is no place for one more.
    #[error("{} has as many connections as it may: try again later", match .0 {
        Full::Node => "this node",
        Full::Tenant => "this tenant",
    })]
    Full(Full),
    /// It is no handshake.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// It asks for something that there is not.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Its `Authorization` is none that we know.
    #[error("the Authorization header must be: Bearer <token>")]
    Authorization,
}

impl Refusal {
    /// The answer; counts what there was no place for.
    pub(super) fn answer(self, core: &Core) -> Answer {
        let mut answer = answer::text(self.status(), &self.to_string());
        match self {
            Self::Full(why) => {
                core.refused(why);
                answer::set(&mut answer, RETRY_AFTER, "5");
                answer::set(&mut answer, CONNECTION, "close");
            }
            Self::Upgrade(UpgradeError::Key) => {
                answer::set(&mut answer, SEC_WEBSOCKET_VERSION, "13");
            }
            Self::Upgrade(UpgradeError::NotAnUpgrade | UpgradeError::Version) => {
                answer::set(&mut answer, SEC_WEBSOCKET_VERSION, "13");
                answer::set(&mut answer, UPGRADE, "websocket");
            }
            Self::Origin | Self::Query(_) | Self::Authorization => {}
        }
        answer
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upgrade(UpgradeError::NotAnUpgrade | UpgradeError::Version) => {
                StatusCode::UPGRADE_REQUIRED
            }
            Self::Upgrade(UpgradeError::Key) | Self::Query(_) | Self::Authorization => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}
