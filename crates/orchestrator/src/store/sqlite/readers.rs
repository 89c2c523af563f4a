//! The readers: threads of their own, each with a connection, so that no other work can keep a read waiting.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Outcome, times::Times};
use crate::store::StoreError;

/// Reads something and answers it; `None` ends the reader that takes it.
type Work = Option<Box<dyn FnOnce(&Connection, &Times) + Send>>;

/// The way to the readers. When the last one is dropped, they end.
#[derive(Clone)]
pub(super) struct Readers {
    work: mpsc::Sender<Work>,
}

impl Readers {
    /// Starts a thread for each connection.
    pub(super) fn start(
        connections: Vec<Connection>,
        times: &Times,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (work, waiting) = mpsc::channel::<Work>();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = Vec::new();
        for connection in connections {
            let (waiting, times) = (Arc::clone(&waiting), times.clone());
            let thread = std::thread::Builder::new().name("meetbot-reads".into());
            threads.push(thread.spawn(move || {
                // One reader at a time waits for work; the others wait for the lock.
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok(Some(work)) = next() {
                    work(&connection, &times);
                }
            })?);
        }
        Ok((Self { work }, threads))
    }

    /// So many of them end once all that was asked before is done; what is asked after the last one has ended is refused.
    pub(super) fn end(&self, readers: usize) {
        for _ in 0..readers {
            // Where they have ended already there is nothing to end.
            let _ = self.work.send(None);
        }
    }

    /// Reads in a transaction, so that several statements see one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let work: Work = Some(Box::new(move |connection, times| {
            // Nobody waits for it any more.
            if sender.is_closed() {
                return;
            }
            let begun = times.begin();
            // The transaction ends with the read, also where that panics.
            let seen = || -> Outcome<T> { read(&*connection.unchecked_transaction()?) };
            let outcome = catch_unwind(AssertUnwindSafe(seen))
                .map_err(|_| StoreError::Unavailable("a read panicked".into()))
                .and_then(|outcome| outcome.map_err(StoreError::from));
            times.end("read", begun, outcome.is_ok());
            let _ = sender.send(outcome);
        }));
        let closed = || StoreError::Unavailable("its readers have ended".into());
        self.work.send(work).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}
