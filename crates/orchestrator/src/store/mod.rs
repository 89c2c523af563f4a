//! What the server remembers. Every verb is one transaction: a job's change and all that follows from it are one verb.

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
    bots::{Claim, Claimed, Expired, Lives, TakenOver},
    creation::Creation,
    deliveries::{
        DeliveryFilter, DeliveryStore, DueDelivery, EndpointRedelivery, REDELIVERED_AT_ONCE,
        Redelivery, Room, Taken, Tried, Verdict,
    },
    feed::{Feed, FeedCursor, FeedPage, FeedStore},
    idempotency::{IdempotencyKey, PriorRequest, StoredResponse},
    jobs::JobStore,
    keys::{
        Key, KeyCreation, KeyEnd, KeyFilter, KeyStore, KeyUse, NewKey, Revocation, RotationAnswer,
        Scope, UseFilter,
    },
    postgres::{OpenError, PostgresStore, StoreUrl, TakeOverError},
    quotas::{ConsumerFilter, ConsumerUse, Own, Quota, QuotaChange, Used},
    sessions::{NewSession, SESSIONS_PER_KEY, SessionStore},
    sqlite::{Backup, BackupError, CopyError, Found, How, SqliteStore, backup},
    tally::{Ended, Tally},
    uploads::{Storage, UploadStore, WaitingUploads},
    usage::UsageStore,
    zoom::{StreamEvent, StreamEventKind, ZoomHeard, ZoomStore},
};
pub(crate) use self::{
    feed::ORIGIN_LETTERS,
    postgres::take_over,
    sqlite::{FILE, copy, holds_database},
};
use crate::clock::StoreNow;
pub use crate::{
    deliveries::TRIES_IN_ORDER,
    jobs::{Command, MAX_ATTEMPTS, Recorded, Reported, Start, Tenant, Upload, Ways},
};

/// The store could not do it, and nothing of it was done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no room for what is to be written; nothing was changed.
    #[error("the disk is full")]
    Full,
    /// It cannot be reached or written; trying again later may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It holds what it should not.
    #[error("the store holds something that cannot be read: {0}")]
    Corrupt(String),
}

/// Is called for each transaction: what kind it is, whether it was done, and how long it took.
pub(crate) type Observer = Arc<dyn Fn(&'static str, bool, Duration) + Send + Sync>;

/// What a verb answers.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A job that has ended and may still have files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldRecording {
    /// Whose it is.
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

/// Which part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Window<C> {
    /// At most so many.
    pub limit: u32,
    /// Those behind this one.
    pub after: Option<C>,
}

/// What became of a control call.
#[derive(Debug, Clone)]
pub enum Commanded {
    /// The bot will be told. (A job still in the queue has none: there the change itself is the answer.)
    Given(Command, Box<Job>),
    /// The job cannot take it.
    InvalidState(Box<Job>),
    /// There is no such job.
    NotFound,
    /// The request came before.
    Prior(PriorRequest),
}

/// What a consumer's webhooks are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecrets {
    /// The secret.
    pub current: Secret,
    /// The one before it, while both are good.
    pub previous: Option<PreviousSecret>,
}

/// A webhook secret that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// It signs along
    pub secret: Secret,
    /// until then.
    pub until: Timestamp,
}

impl WebhookSecrets {
    /// Those that are good at this moment.
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

    /// With a new secret; the one before signs along for as long as `overlap` says. While another rotation is under way, that is the error, for receivers
    /// that know only the oldest secret would be cut off; an overlap of zero cuts off on purpose.
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

/// What became of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// These are the secrets now.
    Done(WebhookSecrets),
    /// Another one is under way until then.
    UnderWay(Timestamp),
    /// There is no such consumer.
    NoConsumer,
}

/// Mixes that are still to be made, or reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitingMixes {
    /// The jobs of those whose time has come; of one consumer's, those first that wait for their first try, in the order of their jobs.
    pub due: Vec<JobId>,
    /// When the next one will be due.
    pub next: Option<Timestamp>,
}

/// The store, with the verbs of all who ask it. Verbs answer only once the change is on disk; a refusal that the domain knows is a value.
#[async_trait]
pub trait Store:
    JobStore
    + FeedStore
    + DeliveryStore
    + KeyStore
    + SessionStore
    + UploadStore
    + UsageStore
    + ZoomStore
{
    /// The present moment, as every verb takes it.
    fn now(&self) -> StoreNow;
    /// Drops answers that were kept long enough, gives back what a sender never came back from, and shows that the store can be written.
    async fn sweep(&self, now: StoreNow) -> Result<()>;
    /// Since when nothing starts from the jobs in it and nothing is sent, as `meetbot restore --paused` leaves it; `None` where it is not paused.
    async fn paused_since(&self) -> Result<Option<Timestamp>>;
    /// Lets a paused store go on, also under a running server, which sees it within seconds. `false` where it was not paused.
    async fn unpause(&self) -> Result<bool>;
    /// Closes it once all that was asked before is done; what is asked later is refused. On SQLite the database's file is whole by itself then: no journal is left
    /// beside it, unless another process has it open.
    async fn close(&self);
}
