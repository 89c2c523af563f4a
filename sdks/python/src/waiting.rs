//! A wait for a job's end, whose requests Python sends.

use std::{sync::Arc, time::Duration};

use meetbot::{Error, JobStatus};
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::{
    call::{Task, seconds, wait},
    completions::{Completions, Done, Outcome},
    convert::exception,
    runtime,
};

/// A wait; all times in seconds. Its lock is held while it listens; Python calls nothing else on it meanwhile.
#[pyclass(frozen)]
pub(crate) struct Wait(Arc<Mutex<meetbot::Wait>>);

#[pymethods]
impl Wait {
    /// A wait that polls only.
    #[new]
    fn polling(py: Python<'_>, job_id: String, timeout: Option<f64>) -> PyResult<Self> {
        Ok(Self::new(meetbot::Wait::new(job_id, seconds(py, timeout)?)))
    }

    /// How long the next request may take; `None` where the wait has no timeout.
    fn left(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.next(py, |wait| wait.left())
    }

    /// How long to wait for a change after the job was seen in this status; `None` when it has ended.
    fn answered(&self, py: Python<'_>, status: Option<String>) -> PyResult<Option<f64>> {
        let status = status.map(|word| JobStatus::from(word.as_str()));
        self.next(py, |wait| wait.answered(status.as_ref()))
    }

    /// How long to wait for a change after a request that failed; `None` when its error ends the wait.
    fn failed(&self, py: Python<'_>, transient: bool) -> PyResult<Option<f64>> {
        self.next(py, |wait| wait.failed(transient))
    }

    /// Returns when something may have happened to the job, and after the pause at the latest. A signal ends it within a tick.
    fn wait_for_change(&self, py: Python<'_>, pause: f64) -> PyResult<()> {
        let (listening, pause) = (Arc::clone(&self.0), seconds(py, Some(pause))?);
        wait(py, async move { listening.lock().await.news(pause.unwrap_or_default()).await })
    }

    /// Begins what `wait_for_change` does; its end completes `future`.
    fn start(
        &self,
        py: Python<'_>,
        completions: &Completions,
        future: Py<PyAny>,
        pause: f64,
    ) -> PyResult<Task> {
        let (listening, queue) = (Arc::clone(&self.0), Arc::clone(&completions.0));
        let pause = seconds(py, Some(pause))?.unwrap_or_default();
        let task = runtime::get()?.spawn(async move {
            listening.lock().await.news(pause).await;
            queue.push(Done { future, result: Ok(Outcome::Nothing) });
        });
        Ok(Task(task))
    }
}

impl Wait {
    pub(crate) fn new(wait: meetbot::Wait) -> Self {
        Self(Arc::new(Mutex::new(wait)))
    }

    fn next(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&mut meetbot::Wait) -> Result<Option<Duration>, Error>,
    ) -> PyResult<Option<f64>> {
        let next = ask(&mut self.0.blocking_lock());
        let next = next.map_err(|error| exception(py, &error))?;
        Ok(next.map(|next| next.as_secs_f64()))
    }
}
