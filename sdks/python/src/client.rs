//! A client: calls that block, and calls that an asyncio loop waits for.

use std::{
    mem, process,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use meetbot::{Builder, CallOptions, Error, MeetBot, Request};
use pyo3::{
    prelude::*,
    pybacked::{PyBackedBytes, PyBackedStr},
};

use crate::{
    call::{Task, seconds, wait},
    completions::{Completions, Done, Outcome},
    convert::{Answer, configuration, exception},
    events::Events,
    exchange::Exchange,
    runtime,
    waiting::Wait,
};

/// The settings of a client, and its connections in this process.
#[pyclass(frozen)]
pub(crate) struct Core {
    builder: Builder,
    options: CallOptions,
    /// With the id of the process that made it; `None` once closed. Locked only with the GIL, so that no child inherits it locked.
    client: Mutex<Option<(u32, MeetBot)>>,
}

/// The settings that a client has from its construction on.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    api_key: Option<String>,
    base_url: Option<String>,
    user_agent: String,
    proxy: Option<String>,
    ca_bundle: Option<PyBackedBytes>,
    client_cert: Option<PyBackedBytes>,
}

/// The options of all calls of a client, or of a copy made by `with_options`; times in seconds.
#[derive(Clone, Copy, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    timeout: Option<f64>,
    connect_timeout: Option<f64>,
    deadline: Option<f64>,
    max_retries: Option<u32>,
}

/// A request: its method, path, JSON, and headers; then the time limit and the idempotency key of this call alone.
#[derive(FromPyObject)]
pub(crate) struct Parts(
    PyBackedStr,
    String,
    Option<PyBackedBytes>,
    Vec<(PyBackedStr, PyBackedStr)>,
    Option<f64>,
    Option<String>,
);

#[pymethods]
impl Core {
    #[new]
    fn new(py: Python<'_>, settings: Settings, options: Options) -> PyResult<Self> {
        let mut builder = MeetBot::builder().user_agent(settings.user_agent);
        if let Some(key) = settings.api_key {
            builder = builder.api_key(key);
        }
        if let Some(url) = settings.base_url {
            builder = builder.base_url(url);
        }
        if let Some(url) = settings.proxy {
            builder = builder.proxy(url);
        }
        if let Some(pem) = settings.ca_bundle {
            builder = builder.ca_bundle(pem.to_vec());
        }
        if let Some(pem) = settings.client_cert {
            builder = builder.client_cert(pem.to_vec());
        }
        // The environment is read once: a client in a forked child keeps its settings.
        Self::build(py, builder.with_environment(), options.read(py)?)
    }

    /// The same connections with these options.
    fn with_options(&self, py: Python<'_>, options: Options) -> PyResult<Self> {
        let options = options.read(py)?;
        let client =
            self.client(py)?.with(options.clone()).map_err(|error| exception(py, &error))?;
        Ok(Self::of(self.builder.clone(), options, client))
    }

    #[getter]
    fn base_url(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.client(py)?.base_url().to_owned())
    }

    /// Whether the API key goes over plain `http://` to another machine.
    #[getter]
    fn in_the_clear(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.client(py)?.is_in_the_clear())
    }

    /// Makes a call and waits for its answer, without the GIL. A signal ends it within a tick.
    fn call(&self, py: Python<'_>, parts: Parts) -> PyResult<Answer> {
        let (client, request) = self.prepare(py, parts)?;
        let result = wait(py, async move { client.request(request).await })?;
        result.map(Answer).map_err(|error| exception(py, &error))
    }

    /// Begins a call whose answer goes to `future`, an `asyncio.Future` of the loop that `completions` belongs to.
    fn start(
        &self,
        py: Python<'_>,
        completions: &Completions,
        future: Py<PyAny>,
        parts: Parts,
    ) -> PyResult<Task> {
        let (client, request) = self.prepare(py, parts)?;
        let queue = Arc::clone(&completions.0);
        let task = runtime::get()?.spawn(async move {
            let result = client.request(request).await.map(Outcome::Answer);
            queue.push(Done { future, result });
        });
        Ok(Task(task))
    }

    /// A call that Python sends through a custom transport.
    fn exchange(&self, py: Python<'_>, parts: Parts) -> PyResult<Exchange> {
        let (client, request) = self.prepare(py, parts)?;
        let exchange = client.exchange(request).map_err(|error| exception(py, &error))?;
        Ok(Exchange(Mutex::new(exchange)))
    }

    /// The events of a job from its first, each as it happens, asked for with these headers too.
    #[expect(clippy::needless_pass_by_value, reason = "Python hands over its arguments")]
    fn watch(
        &self,
        py: Python<'_>,
        job_id: &str,
        headers: Vec<(PyBackedStr, PyBackedStr)>,
    ) -> PyResult<Events> {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let events = self.client(py)?.watch_json(job_id, &headers);
        events.map(Events::new).map_err(|error| exception(py, &error))
    }

    /// A wait for the job's end that listens to its events.
    fn wait(&self, py: Python<'_>, job_id: &str, timeout: Option<f64>) -> PyResult<Wait> {
        let timeout = seconds(py, timeout)?;
        Ok(Wait::new(self.client(py)?.wait(job_id, timeout)))
    }

    /// The exception for an answer that cannot be decoded.
    fn unreadable(
        &self,
        py: Python<'_>,
        path: &str,
        answer: &Answer,
        why: String,
    ) -> PyResult<Py<PyAny>> {
        let error = self.client(py)?.unreadable(path, &answer.0, why);
        Ok(exception(py, &error).into_value(py).into_any())
    }

    /// Closes the connections; later calls fail.
    fn close(&self) {
        drop(self.take());
    }
}

impl Core {
    fn build(py: Python<'_>, builder: Builder, options: CallOptions) -> PyResult<Self> {
        let client = Self::connected(py, &builder, &options)?;
        Ok(Self::of(builder, options, client))
    }

    /// A client whose connections are this process's.
    fn connected(py: Python<'_>, builder: &Builder, options: &CallOptions) -> PyResult<MeetBot> {
        let driver = runtime::made()?;
        let builder = builder.clone().spawn_with(|task| driver.connection(task));
        let client = builder.build().and_then(|client| client.with(options.clone()));
        client.map_err(|error| exception(py, &error))
    }

    fn of(builder: Builder, options: CallOptions, client: MeetBot) -> Self {
        Self { builder, options, client: Mutex::new(Some((process::id(), client))) }
    }

    /// The client of this process. A forked child makes another one; the parent's is leaked there, since its connections belong to a thread
    /// that the child does not have.
    fn client(&self, py: Python<'_>) -> PyResult<MeetBot> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((pid, client)) = &*kept else {
            return Err(configuration(py, "the client is closed"));
        };
        if *pid == process::id() {
            return Ok(client.clone());
        }
        let own = Self::connected(py, &self.builder, &self.options)?;
        mem::forget(kept.replace((process::id(), own.clone())));
        Ok(own)
    }

    fn take(&self) -> Option<(u32, MeetBot)> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn prepare(&self, py: Python<'_>, parts: Parts) -> PyResult<(MeetBot, Request)> {
        let Parts(method, path, body, headers, timeout, idempotency_key) = parts;
        let (client, timeout) = (self.client(py)?, seconds(py, timeout)?);
        let prepared = || {
            let mut request = Request::new(&method, path)?;
            if let Some(body) = body {
                request = request.json(Bytes::copy_from_slice(&body));
            }
            for (name, value) in headers {
                request = request.header(&name, &value)?;
            }
            if timeout.is_none() && idempotency_key.is_none() {
                return Ok((client, request));
            }
            let mut once = CallOptions::new();
            if let Some(timeout) = timeout {
                once = once.timeout(timeout);
            }
            if let Some(key) = idempotency_key {
                once = once.idempotency_key(key);
            }
            Ok((client.with(once)?, request))
        };
        prepared().map_err(|error: Error| exception(py, &error))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // A forked child must not touch the parent's connections.
        match self.take() {
            Some(parents) if parents.0 != process::id() => mem::forget(parents),
            own => drop(own),
        }
    }
}

impl Options {
    fn read(self, py: Python<'_>) -> PyResult<CallOptions> {
        let mut options = CallOptions::new();
        if let Some(timeout) = seconds(py, self.timeout)? {
            options = options.timeout(timeout);
        }
        if let Some(timeout) = seconds(py, self.connect_timeout)? {
            options = options.connect_timeout(timeout);
        }
        if let Some(deadline) = seconds(py, self.deadline)? {
            options = options.deadline(deadline);
        }
        if let Some(retries) = self.max_retries {
            options = options.max_retries(retries);
        }
        Ok(options)
    }
}
