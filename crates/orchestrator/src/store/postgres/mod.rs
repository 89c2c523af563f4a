//! The store on PostgreSQL: each verb one short transaction, which locks first, then reads, decides by the rules of `jobs/`, and writes.
//!
//! Locks are taken in one order: claims, jobs, leases, tenants, endpoints (which are the locks of their deliveries), counters; several rows of a table in the
//! order of their ids; `claims` says how several claims of one transaction keep to it. A statement sees the moment at which it began, so that a lock is a
//! statement of its own, before the read.

mod accounts;
mod audit;
#[cfg(test)]
mod backend;
mod bots;
mod claims;
mod cluster;
mod commands;
mod consumers;
mod creations;
mod deliveries;
mod endpoints;
mod erasure;
mod examine;
mod feed;
mod heartbeats;
mod idempotency;
mod jobs;
mod keys;
mod labels;
mod leases;
mod line;
mod migrate;
mod mixes;
mod notices;
mod open;
mod outbox;
mod pages;
mod paused;
mod quotas;
#[cfg(test)]
mod races;
mod recordings;
mod records;
mod removals;
mod restore;
mod room_bots;
mod schema;
mod secrets;
mod sessions;
#[cfg(test)]
mod several;
mod tally;
mod timeline;
mod together;
mod transaction;
mod uploads;
mod url;
mod values;
mod verbs;
mod zoom;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use self::backend::{Database, socket};
use self::{
    claims::Claims, cluster::Member, creations::Creations, heartbeats::Heartbeats,
    transaction::Connections,
};
pub use self::{
    examine::Examination,
    migrate::TakeOverError,
    open::OpenError,
    restore::{ReadyError, RestoredDatabase},
    url::StoreUrl,
};
pub(crate) use self::{migrate::take_over, notices::Heard, restore::make_ready};
use super::StoreError;
use crate::{
    clock::{Clock, LeaseTime},
    timing::Timing,
};

/// What work on the database answers.
type Outcome<T> = Result<T, Problem>;

/// Why it did not answer.
#[derive(Debug)]
enum Problem {
    Sql(tokio_postgres::Error),
    Corrupt(String),
    Unavailable(String),
    /// The transaction conflicts with another one and must be repeated.
    Again,
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl Problem {
    fn pool(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => Self::Sql(error),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<Problem> for StoreError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Sql(error) if error.code() == Some(&SqlState::DISK_FULL) => Self::Full,
            Problem::Sql(error) => Self::Unavailable(describe(&error)),
            Problem::Corrupt(what) => Self::Corrupt(what),
            Problem::Unavailable(why) => Self::Unavailable(why),
            Problem::Again => Self::Unavailable("others were faster each time".to_owned()),
        }
    }
}

/// What PostgreSQL, or the way to it, has said.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// What a server knows of the servers of its database since its last heartbeat.
#[derive(Debug)]
struct Servers {
    /// Until when this one has the duties, in milliseconds of the steady clock.
    duties_until: AtomicU64,
    /// Whether there are others.
    others: AtomicBool,
    /// Whether this one is notified of what the others change.
    hears: AtomicBool,
    /// Whether files of recordings are on this one's disk, so that no other may come.
    keeps_files: AtomicBool,
}

impl Default for Servers {
    fn default() -> Self {
        Self {
            duties_until: AtomicU64::new(0),
            others: AtomicBool::new(false),
            hears: AtomicBool::new(true),
            keeps_files: AtomicBool::new(false),
        }
    }
}

/// The store of one server, which others can reach too.
#[derive(Clone)]
pub struct PostgresStore {
    connections: Connections,
    /// The jobs that are not created yet.
    creations: Arc<Creations>,
    /// The claims that are not made yet.
    claims: Arc<Claims>,
    /// The heartbeats of bots that are not written yet.
    heartbeats: Arc<Heartbeats>,
    /// This server; where it is none, one without names.
    member: Arc<Member>,
    /// Where it is, for the connection that listens.
    url: StoreUrl,
    /// What it knows of the servers of this database.
    servers: Arc<Servers>,
    /// Another server has taken the database over.
    displaced: CancellationToken,
    clock: Clock,
    timing: Timing,
    /// What the steady clock's zero is in lease time, in milliseconds; measured each second.
    offset: Arc<AtomicI64>,
    closed: CancellationToken,
    /// Says each second that this server is there.
    heartbeat: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl PostgresStore {
    /// With other times than those that are meant.
    pub(crate) fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    fn offset(&self) -> LeaseTime {
        LeaseTime::from_millis(self.offset.load(Ordering::Relaxed))
    }
}
