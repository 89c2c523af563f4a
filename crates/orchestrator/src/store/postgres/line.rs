//! What one task of a server writes: all that waits at a moment, in one transaction.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What waits to be written, the first first.
pub(super) struct Line<T>(Mutex<Queue<T>>);

struct Queue<T> {
    waiting: VecDeque<T>,
    /// Whether a task writes.
    is_busy: bool,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self(Mutex::new(Queue { waiting: VecDeque::new(), is_busy: false }))
    }
}

impl<T> Line<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a task must be started that writes it.
    pub(super) fn push(&self, waiting: T) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(waiting);
        !std::mem::replace(&mut queue.is_busy, true)
    }

    /// The first of what waits, and what can be written with it; where nothing waits, the task ends.
    pub(super) fn take(&self, most: usize, together: impl Fn(&T, &T) -> bool) -> Vec<T> {
        let mut queue = self.queue();
        queue.is_busy = !queue.waiting.is_empty();
        let mut taken: Vec<T> = Vec::new();
        let mut left = VecDeque::new();
        for waiting in queue.waiting.drain(..) {
            let fits =
                taken.len() < most && taken.first().is_none_or(|first| together(first, &waiting));
            if fits { taken.push(waiting) } else { left.push_back(waiting) }
        }
        queue.waiting = left;
        taken
    }

    /// What was taken, and not written, is the first again.
    pub(super) fn put_back(&self, waiting: Vec<T>) {
        let mut queue = self.queue();
        for waiting in waiting.into_iter().rev() {
            queue.waiting.push_front(waiting);
        }
    }

    /// Drops what need not be written any more.
    pub(super) fn retain(&self, keep: impl FnMut(&T) -> bool) {
        self.queue().waiting.retain(keep);
    }
}
