//! A statement that reads before it writes, on a member of a cluster: another node may change a row in between, and then the
//! statement is computed anew. Without a cluster there is one attempt, and this costs nothing. It must not know statements.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cometql::Context;
use crate::storage::Seen;

/// So often a statement is computed, each time after it has seen what was in its way.
const MOST: u32 = 100;

/// The attempts at one statement.
pub(super) struct Attempts<'a> {
    context: Cow<'a, Context>,
    seen: Option<Arc<Seen>>,
    left: u32,
}

impl<'a> Attempts<'a> {
    /// At a statement that reads first, or at another one.
    pub(super) fn at(context: &'a Context, reads_first: bool) -> Self {
        let careful = if reads_first {
            context.store.careful()
        } else {
            None
        };
        let (context, seen) = match careful {
            None => (Cow::Borrowed(context), None),
            Some((store, seen)) => {
                let context = Context {
                    store,
                    ..context.clone()
                };
                (Cow::Owned(context), Some(seen))
            }
        };
        Self {
            context,
            seen,
            left: MOST,
        }
    }

    /// What the attempt uses.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Whether another attempt is due.
    pub(super) fn again(&mut self) -> bool {
        let Some(seen) = &self.seen else {
            return false;
        };
        self.left -= 1;
        let place = self.context.store.applied().unwrap_or_default();
        seen.take_conflict(place) && self.left > 0
    }

    /// Rows that attempts before the last one have changed, and it did not find any more.
    pub(super) fn forgotten(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.forgotten())
    }
}
