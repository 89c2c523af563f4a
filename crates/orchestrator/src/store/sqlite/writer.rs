//! The single writer: a thread that groups concurrent calls into one transaction, so that many of them share one sync to disk.

use std::{cell::RefCell, ops::Deref, thread::JoinHandle, time::Duration};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Outcome, Problem, database_file::DatabaseFile, times::Times};
use crate::{jobs::JobEnd, store::StoreError};

/// The most that go into one transaction.
const BATCH: usize = 256;
/// How long work is added to a transaction before it is committed, so that a later caller does not wait for the whole queue before it.
const BUDGET: Duration = Duration::from_millis(20);
/// How much of it belongs to the senders of webhooks while others wait too.
const SENDERS_SHARE: Duration = Duration::from_millis(10);
/// How many of each kind may wait before callers wait themselves.
const QUEUE: usize = 1024;

/// A transaction.
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    /// The jobs that end in it: what is undone is not logged.
    ended: RefCell<Vec<JobEnd>>,
}

impl<'a> Transaction<'a> {
    /// One that was begun on this connection.
    pub(super) const fn begun(connection: &'a Connection) -> Self {
        Self { connection, ended: RefCell::new(Vec::new()) }
    }

    /// A job ends in it.
    pub(super) fn ends(&self, end: JobEnd) {
        self.ended.borrow_mut().push(end);
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// Work on the database, or none of it where there is no transaction; gives back how to answer it, once it is known whether that was committed.
type Work = Box<dyn FnOnce(Option<&Transaction<'_>>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Who asks. Senders ask once for each delivery, and those who report ask with all that they have: in one line, a flood of events would let none of them be
/// delivered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    /// A sender of webhooks.
    Sender,
    /// Anybody else.
    Other,
}

/// The way to the writer. When the last one is dropped, the writer ends.
#[derive(Clone)]
pub(super) struct Writer {
    senders: mpsc::Sender<Work>,
    others: mpsc::Sender<Work>,
    end: CancellationToken,
}

/// What waits for the writer.
struct Waiting {
    senders: mpsc::Receiver<Work>,
    others: mpsc::Receiver<Work>,
    end: CancellationToken,
}

impl Waiting {
    /// The next one, once there is one; `None` when there will be none.
    async fn first(&mut self) -> Option<Work> {
        tokio::select! {
            biased;
            Some(work) = self.senders.recv() => Some(work),
            work = self.others.recv() => work,
            () = self.end.cancelled() => None,
        }
    }

    /// The next one that is there already, for a transaction that has taken so long.
    fn next(&mut self, spent: Duration) -> Option<Work> {
        let (first, second) = if spent < SENDERS_SHARE {
            (&mut self.senders, &mut self.others)
        } else {
            (&mut self.others, &mut self.senders)
        };
        first.try_recv().or_else(|_| second.try_recv()).ok()
    }
}

impl Writer {
    /// Starts the writer on its own thread.
    pub(super) fn start(
        connection: Connection,
        file: DatabaseFile,
        times: Times,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let ((senders, from_senders), (others, from_others)) =
            (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let end = CancellationToken::new();
        let waiting = Waiting { senders: from_senders, others: from_others, end: end.clone() };
        let waits = tokio::runtime::Builder::new_current_thread().build()?;
        let thread = std::thread::Builder::new().name("meetbot-store".into()).spawn(move || {
            run(&connection, &file, &times, waiting, &waits);
            write_back(&connection);
        })?;
        Ok((Self { senders, others, end }, thread))
    }

    /// It ends once all that waits is done; what is asked later is refused.
    pub(super) fn end(&self) {
        self.end.cancel();
    }

    /// Does `work` in a transaction and answers once that is on disk. An error undoes this work alone; one of the commit undoes all of the batch.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_for(Asker::Other, work).await
    }

    /// [`Writer::write`], in the queue of the given kind.
    pub(super) async fn write_for<T: Send + 'static>(
        &self,
        asker: Asker,
        work: impl FnOnce(&Transaction<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let gone = || StoreError::Unavailable("its writer has ended".into());
        let work: Work = Box::new(move |connection| {
            let done = connection.map(|it| in_savepoint(it, work).map_err(StoreError::from));
            Box::new(move |committed| {
                // The caller may have gone; the work is done nevertheless.
                let _ = sender.send(committed.and_then(|()| done.unwrap_or_else(|| Err(gone()))));
            })
        });
        let line = match asker {
            Asker::Sender => &self.senders,
            Asker::Other => &self.others,
        };
        line.send(work).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    work: impl FnOnce(&Transaction<'_>) -> Outcome<T>,
) -> Outcome<T> {
    transaction.prepare_cached("SAVEPOINT one")?.execute([])?;
    let ended_before = transaction.ended.borrow().len();
    let outcome = work(transaction);
    if outcome.is_ok() {
        transaction.prepare_cached("RELEASE one")?.execute([])?;
        return outcome;
    }
    transaction.ended.borrow_mut().truncate(ended_before);
    if !transaction.is_autocommit() {
        transaction.execute_batch("ROLLBACK TO one; RELEASE one")?;
    }
    outcome
}

/// Writes what is in the journal into the database's file, which is whole by itself then. Where another process reads at this moment, that one does it when it
/// closes the database.
fn write_back(connection: &Connection) {
    let truncated = connection.busy_timeout(Duration::ZERO).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
    });
    match truncated {
        Ok(false) => {}
        Ok(true) => tracing::info!(
            "another process reads the database: its journal (-wal) stays beside it until that one ends"
        ),
        Err(error) => tracing::warn!(%error, "the journal (-wal) stays beside the database"),
    }
}

fn run(
    connection: &Connection,
    file: &DatabaseFile,
    times: &Times,
    mut waiting: Waiting,
    waits: &tokio::runtime::Runtime,
) {
    while let Some(first) = waits.block_on(waiting.first()) {
        let mut answers = Vec::new();
        let begun = times.begin();
        let spent = || times.since(begun);
        let committed = commit(connection, file, first, &mut waiting, spent, &mut answers);
        let committed = committed.map_err(StoreError::from);
        times.end("write", begun, committed.is_ok());
        let committed = match committed {
            Ok(ended) => {
                ended.iter().for_each(JobEnd::log);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, batch = answers.len(), "a batch of writes was undone");
                Err(error)
            }
        };
        for answer in answers {
            answer(committed.clone());
        }
    }
}

fn commit(
    connection: &Connection,
    file: &DatabaseFile,
    first: Work,
    waiting: &mut Waiting,
    spent: impl Fn() -> Duration,
    answers: &mut Vec<Answer>,
) -> Result<Vec<JobEnd>, Problem> {
    let mut first = Some(first);
    let mut batch = std::iter::from_fn(|| first.take().or_else(|| waiting.next(spent())));
    let committed = transact(connection, file, &mut batch, &spent, answers);
    if committed.is_err() && answers.is_empty() {
        // No transaction could begin: all waiting callers get the same error.
        answers.extend(batch.take(BATCH).map(|work| work(None)));
    }
    committed
}

fn transact(
    connection: &Connection,
    file: &DatabaseFile,
    batch: &mut impl Iterator<Item = Work>,
    spent: impl Fn() -> Duration,
    answers: &mut Vec<Answer>,
) -> Result<Vec<JobEnd>, Problem> {
    file.check().map_err(Problem::Store)?;
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let transaction = Transaction::begun(connection);
    while answers.len() < BATCH && (answers.is_empty() || spent() < BUDGET) {
        let Some(work) = batch.next() else { break };
        answers.push(work(Some(&transaction)));
        // Some errors, a full disk among them, end the whole transaction.
        if connection.is_autocommit() {
            return Err(Problem::Store(StoreError::Unavailable(
                "the transaction was undone; the disk may be full".into(),
            )));
        }
    }
    let committed = connection.prepare_cached("COMMIT")?.execute([]);
    if committed.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    committed?;
    Ok(transaction.ended.into_inner())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn senders_and_other_writers_do_not_starve_each_other() {
        let ((senders, from_senders), (others, from_others)) =
            (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let end = CancellationToken::new();
        let mut waiting = Waiting { senders: from_senders, others: from_others, end };
        let order = Arc::new(Mutex::new(String::new()));
        for (line, letter) in [(&senders, 's'), (&others, 'o')] {
            for _ in 0..3 {
                let order = Arc::clone(&order);
                let work: Work = Box::new(move |_| {
                    order.lock().unwrap().push(letter);
                    Box::new(|_| ())
                });
                assert!(line.try_send(work).is_ok());
            }
        }
        for spent in [0, 0, 15, 15, 0, 0] {
            let work = waiting.next(Duration::from_millis(spent));
            work.map(|work| work(None)(Ok(()))).expect("one waits");
        }
        assert!(waiting.next(Duration::ZERO).is_none());
        assert_eq!(*order.lock().unwrap(), "ssooso");
    }
}
