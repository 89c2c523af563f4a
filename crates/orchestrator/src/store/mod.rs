//! The server's database. Each call is one transaction: a change of a job and all its consequences are one call.

mod bots;
mod creation;
mod deliveries;
mod feed;
mod idempotency;
mod jobs;
mod keys;
mod pages;
mod postgres;
mod quotas;
mod servers;
mod sessions;
mod sqlite;
mod tally;
mod uploads;
mod usage;
mod zoom;

#[cfg(test)]
mod backend;
#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
mod model;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use meetbot_types::{
    ConsumerId, Job, JobId, JobStatus, Platform, RotatedSecret, Timestamp, bot::Secret,
};

#[cfg(test)]
pub(crate) use self::backend::Backend;
pub(crate) use self::bots::Leases;
pub use self::{
    bots::{Claim, Claimed, Claimer, Expired, IsAlive, TakenOver},
    creation::Creation,
    deliveries::{
        Capacity, DeliveryAttempt, DeliveryFilter, DeliveryStore, DueBatch, DueDelivery,
        EndpointRedelivery, REDELIVERED_AT_ONCE, Redelivery, Verdict,
    },
    feed::{Feed, FeedCursor, FeedPage, FeedStore},
    idempotency::{IdempotencyKey, PriorRequest, StoredResponse},
    jobs::JobStore,
    keys::{
        Key, KeyCreation, KeyEnd, KeyFilter, KeyStore, KeyUse, NewKey, Revocation, RotationAnswer,
        Scope, UseFilter,
    },
    postgres::{
        Examination, OpenError, PostgresStore, ReadyError, RestoredDatabase, StoreUrl,
        TakeOverError,
    },
    quotas::{ConsumerFilter, ConsumerUse, Quota, QuotaChange, QuotaOverride, Used},
    servers::ServerStore,
    sessions::{NewSession, SESSIONS_PER_KEY, SessionStore},
    sqlite::{Backup, BackupError, CopyError, Found, RestoreOptions, SqliteStore, backup},
    tally::{Ended, Tally},
    uploads::{Storage, UploadStore, WaitingUploads},
    usage::UsageStore,
    zoom::{StreamEvent, StreamEventKind, ZoomEventOutcome, ZoomStore},
};
pub(crate) use self::{
    feed::ORIGIN_LETTERS,
    postgres::{Heard, make_ready, take_over},
    sqlite::{FILE, copy, holds_database},
};
use crate::clock::StoreNow;
pub use crate::{
    deliveries::TRIES_IN_ORDER,
    jobs::{
        AvailabilityLookup, Awaited, BotCredentials, Command, DueMix, MAX_ATTEMPTS, Recorded,
        Reported, Spooled, Start, Tenant, Upload,
    },
};

/// A call failed, and changed nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full; nothing was changed.
    #[error("the disk is full")]
    Full,
    /// It cannot be reached or written; trying again later may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Stored data is invalid.
    #[error("the store holds something that cannot be read: {0}")]
    Corrupt(String),
}

/// Called for each transaction with its kind, whether it succeeded, and how long it took.
pub(crate) type Observer = Arc<dyn Fn(&'static str, bool, Duration) + Send + Sync>;

/// The result of a call of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A job that has ended and may still have files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldRecording {
    /// Its tenant.
    pub tenant: Tenant,
    /// The job.
    pub job: JobId,
    /// When it ended.
    pub since: Timestamp,
}

/// Which jobs to list. An empty field asks for all.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Any of these statuses.
    pub statuses: Vec<JobStatus>,
    /// The caller's own id.
    pub external_id: Option<String>,
    /// The platform.
    pub platform: Option<Platform>,
    /// Created at this moment or later.
    pub created_after: Option<Timestamp>,
    /// Created before this moment.
    pub created_before: Option<Timestamp>,
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub struct Window<C> {
    /// The most entries.
    pub limit: u32,
    /// The entries after this cursor.
    pub after: Option<C>,
}

/// The result of a control call.
#[derive(Debug, Clone)]
pub enum CommandOutcome {
    /// The command was stored for the bot. A job in the queue has no bot: there the change itself is the result.
    Accepted(Command, Box<Job>),
    /// The job's state does not allow the command.
    InvalidState(Box<Job>),
    /// There is no such job.
    NotFound,
    /// The same `Idempotency-Key` was used before.
    Prior(PriorRequest),
}

/// The secrets that sign a consumer's webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecrets {
    /// The secret.
    pub current: Secret,
    /// The previous one, while both are valid.
    pub previous: Option<PreviousSecret>,
}

/// A webhook secret that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// It also signs
    pub secret: Secret,
    /// until then.
    pub until: Timestamp,
}

impl WebhookSecrets {
    /// The secrets that are valid at this moment.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { previous: self.previous.filter(|previous| previous.until > now), ..self }
    }

    /// The current one as the API shows it once, of the consumer with this id and name.
    pub fn shown(&self, consumer_id: ConsumerId, consumer: String) -> RotatedSecret {
        RotatedSecret {
            consumer_id,
            consumer,
            webhook_secret: self.current.expose().to_owned(),
            previous_until: self.previous.as_ref().map(|previous| previous.until),
        }
    }

    /// With a new secret; the previous one also signs for `overlap`. An error while another rotation is in progress: receivers
    /// that have only the oldest secret would be cut off. An overlap of zero does so on purpose.
    pub fn rotated(
        self,
        new: Secret,
        overlap: Duration,
        now: Timestamp,
    ) -> std::result::Result<Self, PreviousSecret> {
        let previous = PreviousSecret { secret: self.current, until: now + overlap };
        match self.previous.filter(|under_way| under_way.until > now) {
            Some(under_way) if !overlap.is_zero() => Err(under_way),
            _ => Ok(Self { current: new, previous: Some(previous) }.at(now)),
        }
    }
}

/// The result of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The new secrets.
    Done(WebhookSecrets),
    /// Another rotation is in progress until this time.
    UnderWay(Timestamp),
    /// There is no such consumer.
    NoConsumer,
}

/// Mixes that are still to be made or reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitingMixes {
    /// The jobs of the mixes that are due; of one consumer's, those without a try first, in the order of their jobs.
    pub due: Vec<DueMix>,
    /// When the next one will be due, unless the worker that has it goes on.
    pub next: Option<Timestamp>,
}

/// The store, with the calls for all its users. A call returns once its change is on disk; an expected refusal is a value, not an error.
#[async_trait]
pub trait Store:
    JobStore
    + FeedStore
    + DeliveryStore
    + KeyStore
    + ServerStore
    + SessionStore
    + UploadStore
    + UsageStore
    + ZoomStore
{
    /// The present moment, as each call takes it.
    fn now(&self) -> StoreNow;
    /// Deletes expired responses, releases deliveries whose sender died, and checks that the store can be written.
    async fn sweep(&self, now: StoreNow) -> Result<()>;
    /// Since when nothing starts from the jobs in it and nothing is sent, as `meetbot restore --paused` leaves it; `None` where it is not paused.
    async fn paused_since(&self) -> Result<Option<Timestamp>>;
    /// Resumes a paused store, also under a running server, which sees it within seconds. `false` where it was not paused.
    async fn unpause(&self) -> Result<bool>;
    /// Closes it once all earlier calls are done; later calls are refused. On SQLite the database's file is whole by itself then: no journal is left
    /// beside it, unless another process has it open.
    async fn close(&self);
}
