//! The store on SQLite: one writer with group commit, a few readers, every answer on disk.

mod accounts;
mod audit;
#[cfg(test)]
mod backend;
mod backup;
mod bots;
mod commands;
mod consumers;
mod database_file;
mod deliveries;
mod endpoints;
mod erasure;
mod feed;
mod idempotency;
mod jobs;
mod keys;
mod labels;
mod mixes;
mod outbox;
mod pages;
mod paused;
mod quotas;
mod readers;
mod recordings;
mod records;
mod removals;
mod restore;
mod room_bots;
mod schema;
mod secrets;
mod sessions;
mod tally;
mod timeline;
mod times;
mod uploads;
mod verbs;
mod writer;
mod zoom;

use std::{
    fs::OpenOptions,
    mem,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use meetbot_types::Timestamp;
use rusqlite::{Connection, OpenFlags};

#[cfg(test)]
pub(crate) use self::backend::Folder;
pub use self::backup::{Backup, BackupError, backup};
pub use self::restore::{CopyError, RestoreOptions};
pub(crate) use self::restore::{copy, holds_database};
use self::{database_file::DatabaseFile, readers::Readers, times::Times, writer::Writer};
use super::{Observer, StoreError};
use crate::{clock::Clock, timing::Timing};

/// The database's file in the data folder.
pub(crate) const FILE: &str = "meetbot.db";
const READERS: usize = 2;
/// How long a writer of another process (`meetbot keys`) may hold the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of work on the database.
type Outcome<T> = Result<T, Problem>;

/// Why work on the database failed.
#[derive(Debug)]
enum Problem {
    Sql(rusqlite::Error),
    Corrupt(String),
    Store(StoreError),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Problem> for StoreError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Sql(error) => match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
                _ => Self::Unavailable(error.to_string()),
            },
            Problem::Corrupt(what) => Self::Corrupt(what),
            Problem::Store(error) => error,
        }
    }
}

/// Parses a stored text.
fn read_as<T, E: std::fmt::Display>(read: Result<T, E>, what: &str) -> Outcome<T> {
    read.map_err(|error| Problem::Corrupt(format!("{what}: {error}")))
}

/// The database in a data folder, as it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is none yet.
    Nothing,
    /// An older program's: opening it gives it this program's tables, on which that one cannot go on.
    Older,
    /// This program's.
    Newest,
}

/// The store of one machine.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    /// What its leases are measured by.
    clock: Clock,
    timing: Timing,
    /// Those of its writer and readers, until it is closed.
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl SqliteStore {
    /// Opens the database in the data folder, which it makes where there is none. Several processes may have it open.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        Self::open_with(data, None)
    }

    /// The same, and says how long each of its transactions takes.
    pub(crate) fn observed(data: &Path, observer: Observer) -> Result<Self, StoreError> {
        Self::open_with(data, Some(observer))
    }

    /// With other times than those that are meant.
    pub(crate) fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    fn open_with(data: &Path, observer: Option<Observer>) -> Result<Self, StoreError> {
        let path = data.join(FILE);
        let opened = || -> Outcome<Self> {
            make_file(&path);
            let connection = connect(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
            schema::bring_up(&connection)?;
            let readers = (0..READERS)
                .map(|_| {
                    let connection = connect(&path, OpenFlags::empty())?;
                    connection.pragma_update(None, "query_only", true)?;
                    Ok(connection)
                })
                .collect::<Outcome<Vec<_>>>()?;
            let unavailable = |what| {
                move |error| Problem::Store(StoreError::Unavailable(format!("{what}: {error}")))
            };
            let file = DatabaseFile::of(&path).map_err(unavailable("it is not there any more"))?;
            let clock = Clock::start();
            let times = Times { clock, observer };
            let (writer, thread) = Writer::start(connection, file, times.clone())
                .map_err(unavailable("no thread for its writer"))?;
            let (readers, mut threads) = Readers::start(readers, &times)
                .map_err(unavailable("no threads for its readers"))?;
            threads.push(thread);
            let (timing, threads) = (Timing::default(), Arc::new(Mutex::new(threads)));
            Ok(Self { writer, readers, clock, timing, threads })
        };
        opened().map_err(|problem| match StoreError::from(problem) {
            StoreError::Unavailable(why) => {
                StoreError::Unavailable(format!("{}: {why}", path.display()))
            }
            other => other,
        })
    }

    /// Whether this program can work on the database in the data folder, without changing it.
    pub fn check(data: &Path) -> Result<Found, StoreError> {
        let path = data.join(FILE);
        if !path.exists() {
            return Ok(Found::Nothing);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let newest = || -> Outcome<bool> {
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            schema::is_newest(&connection)
        };
        Ok(if newest()? { Found::Newest } else { Found::Older })
    }

    /// Pauses it, unless it is.
    pub(crate) async fn pause(&self, now: Timestamp) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| match paused::since(transaction)? {
                Some(_) => Ok(()),
                None => paused::begin(transaction, now),
            })
            .await
    }

    async fn end(&self) {
        self.readers.end(READERS);
        self.writer.end();
        let threads = mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = tokio::task::spawn_blocking(move || {
            threads.into_iter().all(|thread| thread.join().is_ok())
        });
        if !ended.await.unwrap_or(false) {
            tracing::error!("a thread of the store crashed");
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(work).await
    }
}

/// Makes the database's file where there is none, readable by its owner alone; SQLite gives its journals the mode of the database. What fails here fails in
/// SQLite too, which says why.
fn make_file(path: &Path) {
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

fn connect(path: &Path, more: OpenFlags) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An answered write is on disk: the product's promise, and the price of one sync per batch.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use meetbot_types::{
        Cause, LeaveReason,
        bot::{BotReport, IngestRequest, NumberedReport},
    };

    use super::*;
    use crate::store::{
        Claim, JobStore as _, KeyStore as _, Quota, Recorded, Reported, Store as _,
        UsageStore as _,
        contract::{self, at},
    };

    #[tokio::test]
    async fn a_database_whose_file_is_gone_takes_no_writes_until_it_is_back() {
        let parent = tempfile::tempdir().unwrap();
        let (data, elsewhere) = (parent.path().join("data"), parent.path().join("elsewhere"));
        fs::create_dir(&data).unwrap();
        let store = SqliteStore::open(&data).unwrap();
        let now = at(0);
        store.sweep(now).await.unwrap();
        fs::rename(&data, &elsewhere).unwrap();
        // Asked for at the same time: all get the error.
        let (one, other) = tokio::join!(store.sweep(now), store.sweep(now));
        for refused in [one, other] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        }
        fs::create_dir(&data).unwrap();
        fs::copy(elsewhere.join(FILE), data.join(FILE)).unwrap();
        let refused = store.sweep(now).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&elsewhere, &data).unwrap();
        store.sweep(now).await.unwrap();
    }

    /// Work that blocks a thread of the runtime (a recording that is finished, a file that is served) holds up no read.
    #[test]
    fn a_read_answers_while_all_blocking_threads_of_the_runtime_are_busy() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let data = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(data.path()).unwrap();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for _ in 0..200 {
            let gate = Arc::clone(&gate);
            runtime.spawn_blocking(move || gate.lock().unwrap().recv());
        }
        let read = async { tokio::time::timeout(Duration::from_secs(20), store.keys()).await };
        let answered = runtime.block_on(read);
        // Before anything can fail: the runtime waits for its threads.
        drop(open);
        assert_eq!(answered.expect("it has threads of its own").unwrap().len(), 0);
    }

    #[tokio::test]
    async fn an_abandoned_read_ends_before_its_reader_takes_another() {
        let data = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(data.path()).unwrap();
        let (begins, begun) = tokio::sync::oneshot::channel();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let held = store.read(move |_| {
            let _ = begins.send(());
            let _ = gate.recv();
            Ok(())
        });
        tokio::select! {
            biased;
            _ = held => panic!("its gate is shut"),
            begun = begun => begun.unwrap(),
        }
        // The caller has gone; the read is still running.
        let count = |connection: &Connection| -> Outcome<u32> {
            let slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT count(*) FROM n";
            Ok(connection.query_row(slow, [], |row| row.get(0))?)
        };
        let answers = futures_util::future::join_all((0..64).map(|_| store.read(count))).await;
        drop(open);
        assert_eq!(answers.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), [10_000; 64]);
    }

    #[tokio::test]
    async fn a_reader_survives_a_panic() {
        let data = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(data.path()).unwrap();
        for _ in 0..READERS {
            let failed = store.read(|_| -> Outcome<()> { panic!("a bug in a read") }).await;
            assert!(failed.unwrap_err().to_string().contains("panic"));
        }
        for _ in 0..READERS {
            assert!(!store.read(|it| Ok(it.is_autocommit())).await.unwrap(), "it sees one moment");
        }
    }

    /// As after a program that did not know of these counts.
    #[tokio::test]
    async fn wrong_counts_of_bots_are_corrected_at_the_next_start() {
        let data = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(data.path()).unwrap();
        let tenant = store.create_key(contract::key("acme", true), at(0)).await.unwrap().0.tenant;
        let create = async |now| {
            let job = contract::new_job(now);
            let start = contract::start(&job);
            store.create_job(tenant, job, contract::link(), start, None, now).await.unwrap();
        };
        let spoil = async |sql: &'static str| {
            store.writer.write(move |it| Ok(it.execute(sql, [])?)).await.unwrap();
        };
        create(at(1)).await;
        let Claim::Bot(claimed) =
            store.claim([1; 32], contract::all_available(), at(2)).await.unwrap()
        else {
            panic!()
        };
        spoil("UPDATE tenants SET bots = 0").await;
        let ending = Cause::Left(LeaveReason::MeetingEnded).ending(true, false);
        let report = BotReport::Ended {
            ending,
            manifest_uri: None,
            duration_ms: 1,
            paused_ms: 0,
            consent_revoked: false,
        };
        let reports = vec![NumberedReport { seq: 1, at: at(3).wall, report }];
        let request = IngestRequest { job_id: claimed.job.id, epoch: 1, reports };
        let end = async || {
            store.report(request.clone(), [1; 32].into(), Recorded::default(), None, at(3)).await
        };
        assert!(end().await.is_err());
        store.set_default_quota(Quota::default()).await.unwrap();
        assert!(matches!(end().await.unwrap(), Reported::Applied(_)));
        assert_eq!(store.used(tenant, at(4)).await.unwrap().bots, 0);

        create(at(5)).await;
        spoil("DELETE FROM tenants").await;
        assert!(matches!(
            store.claim([2; 32], contract::all_available(), at(6)).await.unwrap(),
            Claim::Nothing
        ));
        store.set_default_quota(Quota::default()).await.unwrap();
        assert!(matches!(
            store.claim([2; 32], contract::all_available(), at(6)).await.unwrap(),
            Claim::Bot(_)
        ));
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let data = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(data.path()).unwrap();
        let refused = store.read(|it| Ok(it.execute("DELETE FROM signs_of_life", [])?)).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("readonly"), "{refused}");
    }
}
