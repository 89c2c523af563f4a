//! A job's events as they happen, one after the other.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _};
use meetbot::Error;
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::{
    call::{Task, wait},
    completions::{Completions, Done, Outcome},
    convert::exception,
    runtime,
};

type Json = Pin<Box<dyn Stream<Item = Result<String, Error>> + Send>>;

/// The events of a job, each as its JSON.
#[pyclass(frozen)]
pub(crate) struct Events(Arc<Mutex<Json>>);

#[pymethods]
impl Events {
    /// The next event; `None` after the last. Waits for it without the GIL, and a signal ends the wait within a tick.
    fn next(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let stream = Arc::clone(&self.0);
        let next = wait(py, async move { stream.lock().await.next().await })?;
        next.transpose().map_err(|error| exception(py, &error))
    }

    /// Begins to wait for the next event, which goes to `future`.
    fn start(&self, completions: &Completions, future: Py<PyAny>) -> PyResult<Task> {
        let (stream, queue) = (Arc::clone(&self.0), Arc::clone(&completions.0));
        let task = runtime::get()?.spawn(async move {
            let next = stream.lock().await.next().await.transpose();
            queue.push(Done { future, result: next.map(Outcome::Event) });
        });
        Ok(Task(task))
    }
}

impl Events {
    pub(crate) fn new(stream: impl Stream<Item = Result<String, Error>> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::pin(stream))))
    }
}
