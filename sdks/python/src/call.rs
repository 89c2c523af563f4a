//! A call in flight: waited for, or cancelled.

use std::time::Duration;

use futures_util::future::AbortHandle;
use pyo3::prelude::*;

use crate::{convert::configuration, runtime};

/// A time limit from Python, in seconds.
pub(crate) fn seconds(py: Python<'_>, seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let read = seconds.map(Duration::try_from_secs_f64).transpose();
    read.map_err(|_| configuration(py, "a time limit is a number of seconds, not below 0"))
}

/// Waits for the end of a call, without the GIL. A signal ends it within a tick. Where Python itself has ended, as under a daemon thread, nothing is looked at any more.
pub(crate) fn wait<T: Send>(py: Python<'_>, call: impl Future<Output = T> + Send) -> PyResult<T> {
    let driver = runtime::get()?;
    let signal = || Python::try_attach(|py| py.check_signals().err()).flatten();
    py.detach(|| driver.block_on(call, signal))
}

/// A call in flight.
#[pyclass(frozen)]
pub(crate) struct Task(pub(crate) AbortHandle);

#[pymethods]
impl Task {
    /// Cancels the call and closes its socket.
    fn abort(&self) {
        self.0.abort();
    }
}
