//! The tasks of all clients of a process, calls and connections, which any thread may poll.
//!
//! tokio runs a task only on a thread that drives its runtime, so that the thread that begins a call would have to wake the driver. Here the
//! thread that wakes a task from within [`Tasks::here`] polls it too: a call writes its request to its connection before the thread goes on.
//! Tasks that files and timers wake are polled by the driver, in [`Tasks::run`].

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use async_task::Runnable;
use futures_util::task::AtomicWaker;

/// How many polls a thread makes for the tasks that it woke, and how many the driver makes at a time. A call takes two or three.
const STEPS: usize = 16;

thread_local! {
    /// What this thread has woken from within `here`.
    static WOKEN: RefCell<Option<VecDeque<Runnable>>> = const { RefCell::new(None) };
}

#[derive(Default)]
pub(crate) struct Tasks {
    /// Tasks for the driver to poll.
    ready: Mutex<VecDeque<Runnable>>,
    driver: AtomicWaker,
}

impl Tasks {
    /// Adds a task. This thread polls it if it is within `here`, and the driver otherwise.
    pub(crate) fn spawn(&'static self, task: impl Future<Output = ()> + Send + 'static) {
        let schedule = |task| self.woken(task);
        // A task that panics does not end the driver.
        let (runnable, task) =
            async_task::Builder::new().propagate_panic(true).spawn(|()| task, schedule);
        runnable.schedule();
        task.detach();
    }

    /// Runs `act`, then polls the tasks that it woke, at most `STEPS` times.
    pub(crate) fn here<T>(&self, act: impl FnOnce() -> T) -> T {
        if WOKEN.with_borrow(Option::is_some) {
            return act();
        }
        let _until_its_end = Here::begin(self);
        let result = act();
        for _ in 0..STEPS {
            let Some(task) = WOKEN.with_borrow_mut(|woken| woken.as_mut()?.pop_front()) else {
                break;
            };
            task.run();
        }
        result
    }

    /// Polls the tasks that are ready, without end. Runs on the driver.
    pub(crate) async fn run(&self) {
        poll_fn(|context| -> Poll<()> {
            self.driver.register(context.waker());
            for _ in 0..STEPS {
                let Some(task) = self.ready().pop_front() else { return Poll::Pending };
                self.here(|| task.run());
            }
            // Lets tokio poll files and timers.
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn woken(&self, task: Runnable) {
        let others = WOKEN.with_borrow_mut(|woken| match woken {
            Some(woken) => {
                woken.push_back(task);
                None
            }
            None => Some(task),
        });
        if let Some(task) = others {
            self.ready().push_back(task);
            self.driver.wake();
        }
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<Runnable>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, this thread collects the tasks that it wakes; dropping it hands the rest to the driver.
struct Here<'tasks>(&'tasks Tasks);

impl<'tasks> Here<'tasks> {
    fn begin(tasks: &'tasks Tasks) -> Self {
        WOKEN.set(Some(VecDeque::new()));
        Self(tasks)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        let left = WOKEN.take().unwrap_or_default();
        if !left.is_empty() {
            self.0.ready().extend(left);
            self.0.driver.wake();
        }
    }
}
