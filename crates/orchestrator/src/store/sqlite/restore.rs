//! A backup, copied into a data folder that has no database, and changed there before a server sees it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use meetbot_types::{JobId, Timestamp};
use rusqlite::{Connection, OpenFlags};

use super::{FILE, Outcome, bots, feed, paused, read_as, schema, writer::Transaction};
use crate::store::StoreError;

/// What is changed in the copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Nothing starts from it, and nothing is sent, until it is unpaused.
    pub paused: bool,
    /// The jobs that had a bot end.
    pub end_running: bool,
}

/// What is in the copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copied {
    /// How many jobs.
    pub jobs: u64,
    /// How many of them have had a bot and have not ended.
    pub running: u64,
    /// How many webhooks are still to be delivered.
    pub deliveries: u64,
    /// The manifests that its jobs name.
    pub manifests: Vec<(JobId, String)>,
    /// Whether it is paused.
    pub paused: bool,
}

/// Why there is no copy. Nothing has the name of the database then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// It is no backup.
    #[error("{} is no backup of a meetbot server: {why}", path.display())]
    NoBackup {
        /// Which file.
        path: PathBuf,
        /// What it is in its place.
        why: String,
    },
    /// An earlier restore was cut short, or another one is at work.
    #[error("{} is there: another restore is at work, or one was cut short; then remove it", .0.display())]
    Partial(PathBuf),
    /// The copy cannot be written.
    #[error("{} cannot be written: {error}", path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The copy cannot be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file of a database in this folder, if there is one: the database itself, or a journal, which SQLite would apply to any database that is put beside it.
pub(crate) fn holds_database(data: &Path) -> Option<PathBuf> {
    let files = ["", "-wal", "-shm", "-journal"].map(|end| data.join(format!("{FILE}{end}")));
    files.into_iter().find(|file| file.symlink_metadata().is_ok())
}

/// Copies a backup into a data folder. The copy has the name of a database once it is whole, checked, changed and on disk.
pub(crate) fn copy(
    backup: &Path,
    data: &Path,
    options: RestoreOptions,
    now: Timestamp,
) -> Result<Copied, CopyError> {
    let (file, partial) = (data.join(FILE), data.join(format!("{FILE}.partial")));
    copy_file(backup, &partial)?;
    let journals = ["-wal", "-shm", "-journal"].map(|end| beside(&partial, end));
    // A copy of a data folder has it beside the database, and it holds what was written last.
    let journal = beside(backup, "-wal");
    let copied = if journal.is_file() { copy_file(&journal, &journals[0]) } else { Ok(()) };
    let copied = copied.and_then(|()| change(backup, &partial, options, now)).and_then(|copied| {
        File::open(&partial)
            .and_then(|whole| whole.sync_all())
            .and_then(|()| super::backup::name(&partial, &file))
            .map_err(|error| CopyError::Unwritable { path: file.clone(), error })?;
        Ok(copied)
    });
    if copied.is_err() {
        // The first error is the one to tell.
        for path in journals.iter().chain([&partial]) {
            let _ = fs::remove_file(path);
        }
    }
    copied
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn copy_file(from: &Path, to: &Path) -> Result<(), CopyError> {
    let unreadable =
        |error: io::Error| CopyError::NoBackup { path: from.to_owned(), why: error.to_string() };
    let mut source = File::open(from).map_err(unreadable)?;
    if !source.metadata().map_err(unreadable)?.is_file() {
        return Err(CopyError::NoBackup { path: from.to_owned(), why: "it is no file".to_owned() });
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut target = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CopyError::Partial(to.to_owned()),
        _ => CopyError::Unwritable { path: to.to_owned(), error },
    })?;
    let copied = io::copy(&mut source, &mut target);
    copied.map(drop).map_err(|error| CopyError::Unwritable { path: to.to_owned(), error })
}

fn change(
    backup: &Path,
    partial: &Path,
    options: RestoreOptions,
    now: Timestamp,
) -> Result<Copied, CopyError> {
    let no_backup = |why: String| CopyError::NoBackup { path: backup.to_owned(), why };
    let open = || -> rusqlite::Result<(Connection, String, u32)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(partial, flags)?;
        // One file, with all of its journal in it.
        connection.pragma_update(None, "journal_mode", "DELETE")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let check = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((connection, check, version))
    };
    let (mut connection, check, version) = open().map_err(|error| no_backup(error.to_string()))?;
    if check != "ok" {
        return Err(no_backup(format!("it is damaged: {check}")));
    }
    if version == 0 {
        let why = "it holds no tables; of a server that was killed, `meetbot.db` alone is no copy: its -wal belongs to it";
        return Err(no_backup(why.to_owned()));
    }
    let changed = || -> Outcome<Copied> {
        schema::bring_up(&connection)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let begun = connection.transaction()?;
        let transaction = Transaction::begun(&begun);
        if options.end_running {
            bots::end_all(&transaction, now)?;
        }
        if options.paused && paused::since(&transaction)?.is_none() {
            paused::begin(&transaction, now)?;
        }
        feed::rename(&transaction)?;
        let copied = count(&transaction)?;
        drop(transaction);
        begun.commit()?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(copied)
    };
    Ok(changed().map_err(StoreError::from)?)
}

fn count(connection: &Connection) -> Outcome<Copied> {
    let number = |what: &str| {
        connection.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0))
    };
    let mut named = connection.prepare(
        "SELECT id, job ->> '$.manifestUri' FROM jobs WHERE job ->> '$.manifestUri' IS NOT NULL",
    )?;
    let named = named.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let manifests = named.map(|row| {
        let (job, uri) = row?;
        Ok((read_as(job.parse(), "a job's id")?, uri))
    });
    Ok(Copied {
        jobs: number("jobs")?,
        running: number(
            "jobs WHERE epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled')",
        )?,
        deliveries: number("deliveries WHERE state = 'pending'")?,
        manifests: manifests.collect::<Outcome<_>>()?,
        paused: paused::since(connection)?.is_some(),
    })
}
