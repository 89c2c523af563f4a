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

    /// The first of what waits, and those behind it that can be written with it; where nothing waits, the task ends.
    pub(super) fn take(&self, most: usize, together: impl Fn(&T, &T) -> bool) -> Vec<T> {
        let mut queue = self.queue();
        queue.is_busy = !queue.waiting.is_empty();
        let fits = |waiting: &T| queue.waiting.front().is_none_or(|first| together(first, waiting));
        let count = queue.waiting.iter().take(most).take_while(|waiting| fits(waiting)).count();
        queue.waiting.drain(..count).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_comes_before_what_came_later_and_nothing_is_overtaken() {
        let (line, same) = (Line::default(), |one: &char, other: &char| one == other);
        assert!(line.push('a'));
        assert!(!line.push('a') && !line.push('b') && !line.push('a'));
        assert_eq!(line.take(9, same), ['a', 'a']);
        line.put_back(vec!['a']);
        assert_eq!(line.take(9, same), ['a']);
        assert_eq!(line.take(9, same), ['b']);
        line.put_back(vec!['b']);
        line.retain(|waiting| *waiting != 'b');
        assert_eq!(line.take(0, same), Vec::<char>::new());
        assert_eq!(line.take(9, same), ['a']);
        assert!(!line.push('c'), "its task is still there");
        assert_eq!(line.take(1, same), ['c']);
        assert!(line.take(1, same).is_empty());
        assert!(line.push('d'), "the task has ended");
    }
}
