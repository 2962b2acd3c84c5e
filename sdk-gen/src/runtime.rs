//! The one runtime of the process, for what goes on while no call is under way.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::CometError;

/// Started when it is first needed; it ends with the process. A child process that was forked has to make clients of its own.
pub(crate) fn shared() -> Result<&'static Runtime, CometError> {
    static SHARED: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = SHARED.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("cometql")
        .enable_all()
        .build()
        .map_err(no_threads)?;
    // Who came second drops its own.
    if let Err(second) = SHARED.set(runtime) {
        second.shutdown_background();
    }
    Ok(SHARED.get().expect("one of them was set"))
}

/// A runtime that runs on the threads that wait for it: a call costs no change of threads.
pub(crate) fn of_callers() -> Result<Runtime, CometError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_threads)
}

fn no_threads(error: std::io::Error) -> CometError {
    CometError::Unreachable {
        detail: format!("the system refuses a thread: {error}"),
    }
}
