//! The brain of one node: channels, subscriptions, presence, history, permissions and inboxes.
//!
//! No tokio, threads, sockets, files, clock or randomness: time, seeds and bytes are arguments. The one state machine is
//! [`Shard`]: `handle(now, input, effects)`. What a shard may cause is the trait [`Effects`], and nothing else.

pub mod cluster;
pub mod command;
pub mod conflated;
pub mod effects;
pub mod ids;
pub mod limits;
pub mod permission;
pub mod publication;
pub mod rates;
pub mod reject;
pub mod session;
pub mod shard;
pub mod store;

pub use cluster::{Announce, ClusterSettings, LogEvent, NodeId, QuorumLoss, UserThere};
pub use command::{Answer, Command, Draft};
pub use conflated::Conflated;
pub use effects::{Disconnect, Effects, Message, Push};
pub use ids::{ConnectionId, MessageId, Now, ShardId};
pub use limits::Limits;
pub use permission::Rules;
pub use publication::{InboxMessage, Publication};
pub use rates::Rates;
pub use reject::Reject;
pub use session::{ClientInfo, Credentials, Departure, Ending, Identity, Outbox, SessionSettings};
pub use shard::{Input, Shard};
pub use store::{LogKind, StoreAnswer, StoreFailure, StoreRequest, StoredPublication};
