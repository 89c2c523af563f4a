//! The one thread that sends and receives, for all clients of a process.

use std::{
    process,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use pyo3::{PyErr, PyResult, exceptions::PyRuntimeError};
use tokio::runtime::{Builder, Handle};

/// Shorter than what calls are given by default.
const BEAT: Duration = Duration::from_secs(10);

/// The runtime of this process, with the process's id.
///
/// Locked only by threads that hold the GIL, as whoever forks does: a child never inherits it locked.
static RUNTIME: Mutex<Option<(u32, &'static Handle)>> = Mutex::new(None);

/// The runtime of this process.
///
/// A forked child gets one of its own. The parent's is leaked there: its thread does not exist in the child, and waiting for it would take for ever.
pub(crate) fn get() -> PyResult<&'static Handle> {
    let mut kept = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match *kept {
        Some((pid, runtime)) if pid == process::id() => Ok(runtime),
        _ => {
            let runtime: &'static Handle = Box::leak(Box::new(begin()?));
            *kept = Some((process::id(), runtime));
            Ok(runtime)
        }
    }
}

/// A runtime on a thread of its own, for as long as the process lives.
fn begin() -> PyResult<Handle> {
    let failed = |error: std::io::Error| -> PyErr { PyRuntimeError::new_err(error.to_string()) };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let thread = thread::Builder::new().name("meetbot".to_owned());
    thread.spawn(move || runtime.block_on(beat())).map_err(failed)?;
    Ok(handle)
}

/// Wakes now and then, for ever. A timer that is due before all others makes the runtime wake itself to take note of it; beside this one
/// that of a call never is, which saves every call two system calls.
async fn beat() {
    loop {
        tokio::time::sleep(BEAT).await;
    }
}
