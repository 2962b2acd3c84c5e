//! `@@variables`: what drivers read when they connect. Values that they depend on are true; the rest are harmless.

use super::{Context, SqlSession, Value};

/// The value of a variable, by its lower-case name without `@@`, `session.` or `global.`; `None` for an unknown one.
pub(crate) fn value(context: &Context, session: &SqlSession, name: &str) -> Option<Value> {
    _ = (context, session, name);
    None
}
