//! The one writer: a thread that puts what is asked at the same time into one transaction, so that many answers cost one sync to disk.

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Outcome, Problem, place::Place};
use crate::{metrics::StoreTimes, store::StoreError};

/// The most that go into one transaction.
const BATCH: usize = 256;
/// How many may wait before callers wait themselves.
const QUEUE: usize = 1024;

/// Work on the database, or none of it where there is no transaction; gives back how to answer it, once it is known whether that was committed.
type Work = Box<dyn FnOnce(Option<&Connection>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The way to the writer. When the last one is dropped, the writer ends.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Work>,
}

impl Writer {
    /// Starts the writer on its own thread.
    pub(super) fn start(
        connection: Connection,
        place: Place,
        times: StoreTimes,
    ) -> std::io::Result<Self> {
        let (queue, work) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("meetbot-store".into())
            .spawn(move || run(&connection, &place, &times, work))?;
        Ok(Self { queue })
    }

    /// Does `work` in a transaction and answers once that is on disk. An error undoes this work alone; one of the commit undoes all of the batch.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let gone = || StoreError::Unavailable("its writer has ended".into());
        let work: Work = Box::new(move |connection| {
            let done = connection.map(|it| in_savepoint(it, work).map_err(StoreError::from));
            Box::new(move |committed| {
                // Whoever asked may have gone; the work is done all the same.
                let _ = sender.send(committed.and_then(|()| done.unwrap_or_else(|| Err(gone()))));
            })
        });
        self.queue.send(work).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Outcome<T>,
) -> Outcome<T> {
    connection.prepare_cached("SAVEPOINT one")?.execute([])?;
    let outcome = work(connection);
    if outcome.is_ok() {
        connection.prepare_cached("RELEASE one")?.execute([])?;
    } else if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK TO one; RELEASE one")?;
    }
    outcome
}

fn run(
    connection: &Connection,
    place: &Place,
    times: &StoreTimes,
    mut queue: mpsc::Receiver<Work>,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            let Ok(work) = queue.try_recv() else { break };
            batch.push(work);
        }
        let mut answers = Vec::with_capacity(batch.len());
        let begun = times.begin();
        let committed = commit(connection, place, batch, &mut answers).map_err(StoreError::from);
        times.end("write", begun, committed.is_ok());
        if let Err(error) = &committed {
            tracing::error!(%error, batch = answers.len(), "a batch of writes was undone");
        }
        for answer in answers {
            answer(committed.clone());
        }
    }
}

fn commit(
    connection: &Connection,
    place: &Place,
    batch: Vec<Work>,
    answers: &mut Vec<Answer>,
) -> Result<(), Problem> {
    let mut batch = batch.into_iter();
    let committed = transact(connection, place, &mut batch, answers);
    // What was not begun by then is told the same.
    answers.extend(batch.map(|work| work(None)));
    committed
}

fn transact(
    connection: &Connection,
    place: &Place,
    batch: &mut impl Iterator<Item = Work>,
    answers: &mut Vec<Answer>,
) -> Result<(), Problem> {
    place.check().map_err(Problem::Told)?;
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    for work in batch {
        answers.push(work(Some(connection)));
        // Some errors, a full disk among them, end the whole transaction.
        if connection.is_autocommit() {
            return Err(Problem::Told(StoreError::Unavailable(
                "the transaction was undone; the disk may be full".into(),
            )));
        }
    }
    let committed = connection.prepare_cached("COMMIT")?.execute([]);
    if committed.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    committed?;
    Ok(())
}
