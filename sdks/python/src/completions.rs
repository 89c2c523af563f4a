//! How answers reach an asyncio loop: the thread that drives the runtime fills a queue without taking the GIL, and the loop's thread empties it.

use std::sync::{Arc, Mutex, PoisonError};
#[cfg(unix)]
use std::{
    io::{Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
};

use meetbot::{Error, Response};
use pyo3::{exceptions::PyNotImplementedError, intern, prelude::*};

use crate::convert::{Answer, exception};

/// A call that has ended, and the `asyncio.Future` that waits for it.
pub(crate) struct Done {
    pub(crate) future: Py<PyAny>,
    pub(crate) result: Result<Outcome, Error>,
}

/// What a call gives when it succeeds.
pub(crate) enum Outcome {
    Answer(Response),
    /// The next event of a job; `None` after the last.
    Event(Option<String>),
    /// The time to ask for a job again.
    Nothing,
}

/// The calls of one loop that have ended.
pub(crate) struct Queue {
    done: Mutex<Vec<Done>>,
    wake: Wake,
}

/// How the loop is notified that the queue is not empty.
enum Wake {
    /// The loop watches `reader`. Both ends live as long as the loop or a call in flight refers to the queue: a descriptor that is watched
    /// or written to is never reused for another file.
    #[cfg(unix)]
    Pipe { reader: UnixStream, writer: UnixStream },
    /// A weak reference to a loop that cannot watch files (Windows' proactor).
    Threadsafe(Py<PyAny>),
}

impl Queue {
    /// Called on the thread that drives the runtime.
    pub(crate) fn push(self: &Arc<Self>, done: Done) {
        let first = {
            let mut queue = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            queue.push(done);
            queue.len() == 1
        };
        // `drain` empties the whole queue: only the first of a batch has to wake the loop.
        if first {
            self.wake_loop();
        }
    }

    fn wake_loop(self: &Arc<Self>) {
        match &self.wake {
            #[cfg(unix)]
            Wake::Pipe { writer, .. } => {
                // Never full, since it holds a byte or two.
                let _ = (&mut &*writer).write(&[1]);
            }
            Wake::Threadsafe(_) => {
                // This runs Python, on a separate thread: a blocking call may drive the runtime on the main thread, where Python would also
                // run signal handlers, and their exceptions would be lost here.
                let queue = Arc::clone(self);
                tokio::task::spawn_blocking(move || Python::try_attach(|py| queue.call_soon(py)));
            }
        }
    }

    fn call_soon(self: &Arc<Self>, py: Python<'_>) {
        #[cfg_attr(not(unix), expect(irrefutable_let_patterns, reason = "there is no other there"))]
        let Wake::Threadsafe(weak) = &self.wake else { return };
        let scheduled = weak.call0(py).and_then(|target| {
            if target.is_none(py) {
                return Ok(());
            }
            let drain =
                Bound::new(py, Completions(Arc::clone(self)))?.getattr(intern!(py, "drain"))?;
            target.call_method1(py, intern!(py, "call_soon_threadsafe"), (drain,)).map(drop)
        });
        // An error means that the loop was closed with this call in flight: nothing waits for it.
        drop(scheduled);
    }
}

/// The completions of one loop.
#[pyclass(frozen, weakref)]
pub(crate) struct Completions(pub(crate) Arc<Queue>);

#[pymethods]
impl Completions {
    /// Completions of a loop that is to watch `fileno()` and to call `drain` when there is something to read.
    #[staticmethod]
    fn watched() -> PyResult<Self> {
        #[cfg(unix)]
        {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self::new(Wake::Pipe { reader, writer }))
        }
        #[cfg(not(unix))]
        Err(PyNotImplementedError::new_err("there is no file to watch on this system"))
    }

    /// Completions of a loop, given as a weak reference, that is woken by `call_soon_threadsafe`.
    #[staticmethod]
    fn threadsafe(weak_loop: Py<PyAny>) -> Self {
        Self::new(Wake::Threadsafe(weak_loop))
    }

    fn fileno(&self) -> PyResult<i32> {
        match &self.0.wake {
            #[cfg(unix)]
            Wake::Pipe { reader, .. } => Ok(reader.as_raw_fd()),
            Wake::Threadsafe(_) => Err(PyNotImplementedError::new_err("there is no file to watch")),
        }
    }

    /// Hands every answer to its future. Runs on the loop's thread.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        // Read first: a completion that is pushed from here on writes another byte, or is taken below.
        #[cfg(unix)]
        if let Wake::Pipe { reader, .. } = &self.0.wake {
            let _ = (&mut &*reader).read(&mut [0; 16]);
        }
        let all = std::mem::take(&mut *self.0.done.lock().unwrap_or_else(PoisonError::into_inner));
        for Done { future, result } in all {
            let future = future.bind(py);
            // A cancelled future accepts no result.
            if future.call_method0(intern!(py, "done"))?.is_truthy()? {
                continue;
            }
            match result {
                Ok(Outcome::Answer(response)) => {
                    future.call_method1(intern!(py, "set_result"), (Answer(response),))?
                }
                Ok(Outcome::Event(event)) => {
                    future.call_method1(intern!(py, "set_result"), (event,))?
                }
                Ok(Outcome::Nothing) => {
                    future.call_method1(intern!(py, "set_result"), (py.None(),))?
                }
                Err(error) => future.call_method1(
                    intern!(py, "set_exception"),
                    (exception(py, &error).into_value(py),),
                )?,
            };
        }
        Ok(())
    }
}

impl Completions {
    fn new(wake: Wake) -> Self {
        Self(Arc::new(Queue { done: Mutex::default(), wake }))
    }
}
