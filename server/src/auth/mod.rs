//! Who may log in: keys of tenants for backends, credentials of browsers.
//!
//! Owns what is known of keys and tokens. What a proved identity may do is decided by the engine's permission rules and
//! by the statements, never here. All handles are cheap to clone, and every clone sees a reload.

mod browser;
mod jwks;
mod jwt_key;
mod keyring;
mod throttle;
mod tokens;

pub use browser::Browser;
pub use jwt_key::{Algorithm, BadKey, JwtKey, KeySource};
pub use keyring::{Keyring, Keys, Login};
pub use throttle::Throttle;
pub use tokens::{TokenError, TokenSettings, Tokens, Verified};
