//! The runtime of all clients of a process, and who drives it.
//!
//! A blocking call drives it on the thread that makes the call: no other thread has to be woken, which would cost a third of the rest of the
//! call again. A call of an asyncio loop begins on the loop's thread ([`crate::tasks`]). Its answer, and what else goes on beside blocking calls
//! (connections that a server closes while nobody calls), is driven by a thread of the runtime's own, which steps back while those alone
//! are made.

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
/// Shorter than what calls are given by default. A timer that is due before all others makes the runtime wake itself to take note of it:
/// beside one of this length that of a call never is, which saves every call two system calls.
const BEAT: Duration = Duration::from_secs(10);

/// The runtime of this process, once it was asked for.
///
/// Locked only by threads that hold the GIL, as whoever forks does: a child never inherits it locked.
static DRIVER: Mutex<Option<Kept>> = Mutex::new(None);

struct Kept {
    pid: u32,
    driver: &'static Driver,
    /// Whether its thread has begun.
    begun: bool,
}

/// The runtime of this process, its thread begun.
pub(crate) fn get() -> PyResult<&'static Driver> {
    kept(true)
}

/// The runtime of this process; perhaps without its thread: a process that makes a client and forks then has no other threads.
pub(crate) fn made() -> PyResult<&'static Driver> {
    kept(false)
}

/// A forked child gets a runtime of its own. The parent's is leaked there: its thread does not exist in the child, and waiting for it would
/// take for ever.
fn kept(begun: bool) -> PyResult<&'static Driver> {
    let failed = |error: io::Error| PyRuntimeError::new_err(error.to_string());
    let mut known = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = match &mut *known {
        Some(kept) if kept.pid == process::id() => kept,
        _ => {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
            let driver: &'static Driver = Box::leak(Box::new(Driver::new(runtime)));
            driver.runtime.spawn(driver.tasks.run());
            known.insert(Kept { pid: process::id(), driver, begun: false })
        }
    };
    if begun && !kept.begun {
        let (driver, thread) = (kept.driver, thread::Builder::new().name("meetbot".to_owned()));
        thread.spawn(|| driver.run()).map_err(failed)?;
        kept.begun = true;
    }
    Ok(kept.driver)
}

/// A runtime for as long as the process lives.
pub(crate) struct Driver {
    runtime: Runtime,
    /// The calls of asyncio loops, and the connections of all clients.
    tasks: Tasks,
    work: Mutex<Work>,
    /// Tells the runtime's thread that there is a task.
    begun: Condvar,
    /// Makes the runtime's thread stop driving, and look again whether it has to.
    look: Notify,
}

/// What there is to drive.
#[derive(Default)]
struct Work {
    /// Tasks in flight, which wait for nobody's thread.
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

    /// Begins a task on this thread, and leaves what is left of it to the runtime's.
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
        // Given up or done: nobody asks which.
        self.tasks.here(|| self.tasks.spawn(task.map(drop)));
        abort
    }

    /// Runs a connection, which nobody waits for.
    pub(crate) fn connection(&'static self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Drives until the call has ended. Each tick it asks whether the call was interrupted, and then ends it with that error.
    pub(crate) fn block_on<T, E>(
        &'static self,
        call: impl Future<Output = T>,
        interrupted: impl Fn() -> Option<E>,
    ) -> Result<T, E> {
        let _until_its_end = Blocking::begin(self);
        // A call that is given up may still need the runtime: it has to be gone before this is.
        let _context = self.runtime.enter();
        let call = async {
            // First the runtime sees to what came while nobody drove: a connection that the server has closed is not to be taken.
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
            // That takes as long as another thread keeps the GIL: an answer that comes meanwhile is not to look late.
            let driven = Task::begin(self);
            let interrupted = interrupted();
            drop(driven);
            if let Some(error) = interrupted {
                // Its connection is not closed before somebody drives.
                let until_driven = Task::begin(self);
                self.runtime.spawn(async move { drop(until_driven) });
                return Err(error);
            }
        }
    }

    /// What the runtime's thread does.
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
