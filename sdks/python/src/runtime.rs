//! The runtime of all clients of a process, and the threads that drive it.
//!
//! A blocking call drives it on the calling thread: waking another thread would make the call a third slower. A call of an asyncio loop begins
//! on the loop's thread ([`crate::tasks`]). Its answer, and other work beside blocking calls (such as connections that a server closes
//! between calls), is driven by the runtime's thread, which does not drive while there are blocking calls only.

use std::{
    future::poll_fn,
    io, mem,
    pin::pin,
    process,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{AbortHandle, abortable},
};
use pyo3::{PyResult, exceptions::PyRuntimeError};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    time,
};

use crate::tasks::Tasks;

/// How often a blocking call looks for signals, Ctrl-C above all; and how long after the last one the runtime's thread drives again.
const TICK: Duration = Duration::from_millis(100);
/// Shorter than the default timeout of calls. A timer that becomes the earliest one makes the runtime wake itself: with a timer of this length
/// running, that of a call never is the earliest, which saves every call two system calls.
const BEAT: Duration = Duration::from_secs(10);

/// The runtime of this process, once it was asked for.
///
/// Locked only by threads that hold the GIL. A thread that forks holds the GIL too, so a child never inherits a locked mutex.
static DRIVER: Mutex<Option<Running>> = Mutex::new(None);

struct Running {
    pid: u32,
    driver: &'static Driver,
    /// Whether its thread has begun.
    begun: bool,
}

/// The runtime of this process, its thread begun.
pub(crate) fn get() -> PyResult<&'static Driver> {
    running(true)
}

/// The runtime of this process; perhaps without its thread: a process that makes a client and forks then has no other threads.
pub(crate) fn made() -> PyResult<&'static Driver> {
    running(false)
}

/// A forked child gets a new runtime. The parent's is leaked there: its thread does not exist in the child, and waiting for it would never end.
fn running(begun: bool) -> PyResult<&'static Driver> {
    let failed = |error: io::Error| PyRuntimeError::new_err(error.to_string());
    let mut known = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
    let running = match &mut *known {
        Some(running) if running.pid == process::id() => running,
        _ => {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
            let driver: &'static Driver = Box::leak(Box::new(Driver::new(runtime)));
            driver.runtime.spawn(driver.tasks.run());
            known.insert(Running { pid: process::id(), driver, begun: false })
        }
    };
    if begun && !running.begun {
        let (driver, thread) = (running.driver, thread::Builder::new().name("meetbot".to_owned()));
        thread.spawn(|| driver.run()).map_err(failed)?;
        running.begun = true;
    }
    Ok(running.driver)
}

/// A runtime for as long as the process lives.
pub(crate) struct Driver {
    runtime: Runtime,
    /// The calls of asyncio loops, and the connections of all clients.
    tasks: Tasks,
    work: Mutex<Work>,
    /// Notifies the runtime's thread of a task.
    begun: Condvar,
    /// Makes the runtime's thread stop driving and check whether it has to go on.
    look: Notify,
}

/// The work that the runtime has.
#[derive(Default)]
struct Work {
    /// Tasks in flight that no calling thread drives.
    tasks: usize,
    /// Blocking calls in flight, each on the thread that made it.
    blocking: usize,
    /// Whether a blocking call began since the runtime's thread last looked.
    called: bool,
    /// Whether the runtime's thread drives.
    driven: bool,
}

impl Driver {
    fn new(runtime: Runtime) -> Self {
        let work = Work { called: true, ..Work::default() };
        Self {
            runtime,
            tasks: Tasks::default(),
            work: Mutex::new(work),
            begun: Condvar::new(),
            look: Notify::new(),
        }
    }

    /// Begins a task on this thread; the runtime's thread finishes it.
    pub(crate) fn spawn(
        &'static self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let counted = Task::begin(self);
        let task = async move {
            let _until_its_end = counted;
            task.await;
        };
        let (task, abort) = abortable(task);
        let _context = self.runtime.enter();
        // The result does not say whether the task was aborted: no caller needs it.
        self.tasks.here(|| self.tasks.spawn(task.map(drop)));
        abort
    }

    /// Runs a connection in the background.
    pub(crate) fn connection(&'static self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Drives until the call has ended. Each tick it checks whether the call was interrupted, and then ends it with that error.
    pub(crate) fn block_on<T, E>(
        &'static self,
        call: impl Future<Output = T>,
        interrupted: impl Fn() -> Option<E>,
    ) -> Result<T, E> {
        let _until_its_end = Blocking::begin(self);
        // A call that is interrupted may still need the runtime: it has to be dropped before this.
        let _context = self.runtime.enter();
        let call = async {
            // First the runtime handles pending I/O: a connection that the server has closed meanwhile must not be used.
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
            call.await
        };
        let mut call = pin!(call);
        let mut call = poll_fn(|context| self.tasks.here(|| call.as_mut().poll(context)));
        loop {
            let tick = async { time::timeout(TICK, &mut call).await };
            if let Ok(result) = self.runtime.block_on(tick) {
                return Ok(result);
            }
            // This waits for the GIL as long as another thread holds it: the runtime's thread drives meanwhile, so that an answer is in time.
            let driven = Task::begin(self);
            let interrupted = interrupted();
            drop(driven);
            if let Some(error) = interrupted {
                // Keeps the runtime driven until the connection is closed.
                let until_driven = Task::begin(self);
                self.runtime.spawn(async move { drop(until_driven) });
                return Err(error);
            }
        }
    }

    /// The loop of the runtime's thread.
    fn run(&self) {
        let mut work = self.work();
        loop {
            let others_drive = work.blocking > 0 || mem::take(&mut work.called);
            if work.tasks == 0 && others_drive {
                let waited = self.begun.wait_timeout(work, TICK);
                work = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            work.driven = true;
            drop(work);
            self.runtime.block_on(async {
                while time::timeout(BEAT, self.look.notified()).await.is_err() {}
            });
            work = self.work();
            work.driven = false;
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task in flight.
struct Task(&'static Driver);

impl Task {
    fn begin(driver: &'static Driver) -> Self {
        let mut work = driver.work();
        work.tasks += 1;
        if !work.driven {
            driver.begun.notify_one();
        }
        Self(driver)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.work().tasks -= 1;
    }
}

/// A blocking call in flight.
struct Blocking(&'static Driver);

impl Blocking {
    fn begin(driver: &'static Driver) -> Self {
        let mut work = driver.work();
        work.blocking += 1;
        work.called = true;
        if work.driven && work.tasks == 0 {
            driver.look.notify_one();
        }
        Self(driver)
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        self.0.work().blocking -= 1;
    }
}
