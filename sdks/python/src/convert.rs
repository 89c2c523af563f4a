//! Converts the results of the Rust SDK to Python objects: answers and exceptions.

use std::error::Error as _;

use meetbot::{Error, Response};
use pyo3::{
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict},
};

/// A successful answer. Its parts are copied to Python when they are read.
#[pyclass(frozen)]
pub(crate) struct Answer(pub(crate) Response);

#[pymethods]
impl Answer {
    #[getter]
    fn status(&self) -> u16 {
        self.0.status()
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.body())
    }

    #[getter]
    fn headers(&self) -> Vec<(&str, &str)> {
        self.0.headers().collect()
    }

    #[getter]
    fn attempts(&self) -> u32 {
        self.0.attempts()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.0.header(name)
    }
}

/// The Python exception of an error; `meetbot._errors` chooses its class by the kind.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let fields = || {
        let fields = PyDict::new(py);
        fields.set_item("status", error.status())?;
        fields.set_item("code", error.code().map(ToString::to_string))?;
        fields.set_item("message", error.message())?;
        fields.set_item("request_id", error.request_id())?;
        fields.set_item("retry_after", error.retry_after().map(|wait| wait.as_secs_f64()))?;
        fields.set_item("attempts", error.attempts())?;
        fields.set_item("transient", error.is_transient())?;
        fields.set_item("idempotency_key", error.idempotency_key())?;
        Ok(fields)
    };
    fields()
        .and_then(|fields| make(py, error.kind().as_str(), &text(error), error.body(), fields))
        .unwrap_or_else(|broken| broken)
}

/// The exception for a setting or an argument that cannot be used.
pub(crate) fn configuration(py: Python<'_>, text: &str) -> PyErr {
    make(py, "configuration", text, None, PyDict::new(py)).unwrap_or_else(|broken| broken)
}

fn make<'py>(
    py: Python<'py>,
    kind: &str,
    text: &str,
    body: Option<&str>,
    fields: Bound<'py, PyDict>,
) -> PyResult<PyErr> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = MAKE.import(py, "meetbot._errors", "from_core")?;
    Ok(PyErr::from_value(make.call1((kind, text, body, fields))?))
}

/// The error's text and its root cause, such as "connection refused".
fn text(error: &Error) -> String {
    let mut bottom = error.source();
    while let Some(deeper) = bottom.and_then(|error| error.source()) {
        bottom = Some(deeper);
    }
    bottom.map_or_else(|| error.to_string(), |bottom| format!("{error}: {bottom}"))
}
