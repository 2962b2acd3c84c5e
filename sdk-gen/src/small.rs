//! Small things that several parts need.

use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Locks what a panic leaves whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is changed in one step each time, so a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A random number. What of one half of a UUID is fixed is by chance in the other.
pub(crate) fn random() -> u64 {
    let (first, second) = Uuid::new_v4().as_u64_pair();
    first ^ second.rotate_left(32)
}
