//! What tests of several modules need.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::Claims;

struct WhenWoken<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for WhenWoken<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// A waker that does this, at once and in the thread that wakes: as the executors of other languages may.
pub(crate) fn when_woken(does: impl Fn() + Send + Sync + 'static) -> Waker {
    Arc::new(WhenWoken(does)).into()
}

/// User 7, for a minute.
pub(crate) fn claims() -> Claims {
    Claims {
        user: 7,
        life_s: 60,
        tenant: None,
        issuer: None,
        audience: None,
        further: String::new(),
    }
}
