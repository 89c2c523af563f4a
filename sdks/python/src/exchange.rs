//! A call that Python sends through a custom transport.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use meetbot::{Error, Verdict};
use pyo3::{
    IntoPyObjectExt as _,
    prelude::*,
    pybacked::{PyBackedBytes, PyBackedStr},
    types::PyBytes,
};

use crate::convert::{Answer, exception};

#[pyclass(frozen)]
pub(crate) struct Exchange(pub(crate) Mutex<meetbot::Exchange>);

#[pymethods]
impl Exchange {
    #[getter]
    fn method(&self) -> String {
        self.with(|exchange| exchange.method().to_owned())
    }

    #[getter]
    fn url(&self) -> String {
        self.with(|exchange| exchange.url())
    }

    #[getter]
    fn headers(&self) -> Vec<(String, String)> {
        self.with(|exchange| exchange.headers())
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.with(|exchange| exchange.body().map(|body| PyBytes::new(py, body)))
    }

    /// How many seconds the next try may take.
    #[getter]
    fn limit(&self) -> f64 {
        self.with(|exchange| exchange.limit().as_secs_f64())
    }

    /// The answer when the call has succeeded, or how many seconds to wait before the next try.
    #[expect(clippy::needless_pass_by_value, reason = "Python hands over its arguments")]
    fn answered(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Vec<(PyBackedStr, PyBackedStr)>,
        body: PyBackedBytes,
    ) -> PyResult<Py<PyAny>> {
        let headers = headers.iter().map(|(name, value)| (&**name, &**value));
        let body = Bytes::copy_from_slice(&body);
        verdict(py, self.with(|exchange| exchange.answered(status, headers, body)))
    }

    /// How many seconds to wait before the next try.
    fn broken(&self, py: Python<'_>, why: String, timed_out: bool) -> PyResult<Py<PyAny>> {
        verdict(py, self.with(|exchange| exchange.broken(why, timed_out)))
    }
}

impl Exchange {
    fn with<T>(&self, act: impl FnOnce(&mut meetbot::Exchange) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn verdict(py: Python<'_>, verdict: Result<Verdict, Error>) -> PyResult<Py<PyAny>> {
    match verdict {
        Ok(Verdict::Done(response)) => Answer(response).into_py_any(py),
        Ok(Verdict::Again(wait)) => wait.as_secs_f64().into_py_any(py),
        Err(error) => Err(exception(py, &error)),
    }
}
