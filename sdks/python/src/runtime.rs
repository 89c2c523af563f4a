//! The one thread that sends and receives, for all clients of a process.

use std::{
    process,
    sync::{Mutex, PoisonError},
};

use pyo3::{PyResult, exceptions::PyRuntimeError};
use tokio::runtime::{Builder, Runtime};

/// The runtime of this process, with the process's id.
///
/// Locked only by threads that hold the GIL, as whoever forks does: a child never inherits it locked.
static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// The runtime of this process.
///
/// A forked child gets one of its own. The parent's is leaked there: its thread does not exist in the child, and waiting for it would take for ever.
pub(crate) fn get() -> PyResult<&'static Runtime> {
    let mut kept = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match *kept {
        Some((pid, runtime)) if pid == process::id() => Ok(runtime),
        _ => {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("meetbot")
                .enable_all()
                .build()
                .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
            let runtime: &'static Runtime = Box::leak(Box::new(runtime));
            *kept = Some((process::id(), runtime));
            Ok(runtime)
        }
    }
}
