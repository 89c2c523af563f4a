//! What the server remembers. Every verb is one transaction: a job's change and all that follows from it are one verb.

mod bots;
mod deliveries;
mod keys;
mod quotas;
mod sqlite;
mod tally;

#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
mod model;

use std::{num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use meetbot_types::{
    CommandId, ConsumerId, ControlAction, Delivery, DeliveryId, Job, JobId, JobStatus, KeyId,
    MeetingLink, Page, Platform, TimelineEvent, Timestamp, UseId,
    bot::{BotCommand, IngestRequest, Secret},
    manifest::File,
};

#[cfg(test)]
pub(crate) use self::sqlite::Backend;
pub(crate) use self::sqlite::{FILE, copy, holds_database};
pub use self::{
    bots::{Claim, Claimed, Expired, Leases},
    deliveries::{DeliveryFilter, DueDelivery, Redelivery, Room, Taken, Tried, Verdict},
    keys::{Key, KeyEnd, KeyUse, NewKey, Scope, UseFilter},
    quotas::{ConsumerUse, Own, Quota, QuotaChange, Used},
    sqlite::{Backup, BackupError, CopyError, Found, How, SqliteStore, backup},
    tally::{Ended, Tally},
};
use crate::clock::{LeaseTime, StoreNow};
pub use crate::{
    deliveries::TRIES_IN_ORDER,
    jobs::{Command, MAX_ATTEMPTS, Reported, Start, Tenant},
};

/// A delivery that has waited for so long for an endpoint that is down is given up: all its tries would have been made by then.
pub const KEEP_TRYING_MS: i64 = 36 * 60 * 60 * 1000;
/// How long an answer is kept for its `Idempotency-Key`.
pub const KEEP_ANSWERS_MS: i64 = 24 * 60 * 60 * 1000;

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

/// A request with an `Idempotency-Key`.
#[derive(Debug, Clone)]
pub struct Once {
    /// The key.
    pub key: String,
    /// The SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
    /// The names that were passed over in it, as the answer's header has them.
    pub ignored: String,
}

/// An answer kept for its `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The names that were passed over in the request, as the header has them.
    pub ignored: String,
}

/// What an `Idempotency-Key` was used for before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// The same request; here is its answer.
    Answered(KeptAnswer),
    /// The same request, which is not answered yet.
    Running,
    /// Another request.
    Different,
}

/// What became of a job that was to be created.
#[derive(Debug, Clone)]
pub enum Creation {
    /// It is there.
    Created(Box<Job>),
    /// One with this `externalId` was there before.
    Existing(Box<Job>),
    /// The request came before.
    Earlier(Earlier),
    /// The consumer has used up so many minutes, which are all it has in this month.
    NoMinutes(NonZeroU32),
    /// The consumer has so many jobs in the queue, which are all that it may have there.
    QueueFull(NonZeroU32),
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
    Earlier(Earlier),
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

/// The store. Verbs answer only once the change is on disk; a refusal that the domain knows is a value.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The present moment, as every verb takes it.
    fn now(&self) -> StoreNow;

    /// Stores a key, and its consumer when that is new (then its webhook secret is the one given). Answers the key and the
    /// consumer's webhook secret.
    async fn create_key(&self, new: NewKey, now: StoreNow) -> Result<(Key, String)>;
    /// The key with this public part.
    async fn find_key(&self, prefix: &str) -> Result<Option<Key>>;
    /// All keys, oldest first.
    async fn keys(&self) -> Result<Vec<Key>>;
    /// Ends a key; `false` where there is none.
    async fn revoke_key(&self, id: KeyId, now: StoreNow) -> Result<bool>;
    /// Writes what keys were used for into the audit log, how many more calls lines stand for that are written, and when each key was used last; drops
    /// what is older than `keep_from`.
    async fn note_uses(
        &self,
        uses: Vec<KeyUse>,
        repeats: Vec<(UseId, u64)>,
        last_used: Vec<(KeyId, Timestamp)>,
        keep_from: Timestamp,
    ) -> Result<()>;
    /// What keys were used for, newest first.
    async fn key_uses(&self, filter: UseFilter, limit: u32) -> Result<Vec<KeyUse>>;

    /// The webhook secrets of the consumer with this name. `None` where there is none.
    async fn webhook_secrets(
        &self,
        consumer: &str,
        now: StoreNow,
    ) -> Result<Option<WebhookSecrets>>;
    /// Gives the consumer with this name a new webhook secret; the one before it signs along for as long as `overlap` says.
    async fn rotate_webhook_secret(
        &self,
        consumer: &str,
        new: Secret,
        overlap: Duration,
        now: StoreNow,
    ) -> Result<Rotation>;

    /// A consumer's name.
    async fn consumer_name(&self, consumer: ConsumerId) -> Result<Option<String>>;
    /// All jobs that a key of this tenant may erase, and whether each has ended: with a live key those of both worlds of its consumer, with a test key
    /// those of the test world.
    async fn consumer_jobs(&self, asking: Tenant) -> Result<Vec<(Tenant, JobId, bool)>>;
    /// What a consumer may use and has used in a world.
    async fn used(&self, tenant: Tenant, now: StoreNow) -> Result<Used>;
    /// The same of all consumers, by name.
    async fn consumers(&self, now: StoreNow) -> Result<Vec<ConsumerUse>>;
    /// Says what consumers may use that have no quota of their own.
    async fn set_default_quota(&self, quota: Quota) -> Result<()>;
    /// Changes what the consumer with this name may use, from now on; `false` where there is none.
    async fn change_quota(&self, consumer: &str, change: QuotaChange) -> Result<bool>;
    /// Whether a consumer has as many bots as it may have, so that its other jobs wait.
    async fn at_bot_limit(&self, tenant: Tenant) -> Result<bool>;

    /// Erases these jobs of a consumer, whose files are gone already; answers how many. Those that have not ended stay. What else is to be written waits for
    /// all of them.
    async fn erase_jobs(&self, consumer: ConsumerId, jobs: Vec<JobId>) -> Result<u64>;
    /// Erases all that a key of this tenant may: with a live key the consumer, with a test key its test world (and the consumer, where it has no
    /// other). Answers how many keys were erased. `None`, and nothing is changed, while there is a job there.
    async fn erase_consumer(&self, asking: Tenant) -> Result<Option<u64>>;

    /// Puts a job into the queue, together with the answer kept for its `Idempotency-Key`.
    async fn create_job(
        &self,
        tenant: Tenant,
        job: Job,
        link: MeetingLink,
        start: Start,
        once: Option<Once>,
        now: StoreNow,
    ) -> Result<Creation>;
    /// A job.
    async fn job(&self, tenant: Tenant, id: JobId) -> Result<Option<Job>>;
    /// Jobs, newest first; the cursor is the last job of the page before. Here as in every list a page that grows large has fewer than were asked for.
    async fn jobs(
        &self,
        tenant: Tenant,
        filter: JobFilter,
        window: Window<JobId>,
    ) -> Result<Page<Job>>;
    /// A job's timeline, oldest first; the cursor is a sequence number. `None` where there is no such job.
    async fn timeline(
        &self,
        tenant: Tenant,
        id: JobId,
        window: Window<u64>,
    ) -> Result<Option<Page<TimelineEvent>>>;
    /// Marks the recording of a job that has ended as deleted, and drops its mix; the first time counts. `None` where there is no such job.
    async fn delete_recording(
        &self,
        tenant: Tenant,
        id: JobId,
        now: StoreNow,
    ) -> Result<Option<Job>>;
    /// Jobs that ended before this moment and may still have files, behind `after`; those that have ended for longest first.
    async fn old_recordings(
        &self,
        before: Timestamp,
        after: Option<OldRecording>,
        limit: u32,
    ) -> Result<Vec<OldRecording>>;
    /// Nothing of the job's recording is on disk any more: it has 0 bytes.
    async fn recording_removed(&self, id: JobId) -> Result<()>;
    /// Jobs behind `after`, in the order of their ids, that have ended and may have files, and how many bytes these have. `None`: nobody has said it, as of jobs
    /// whose last bot was lost and of deletions that were cut short; without `all`, only those.
    async fn recordings_to_count(
        &self,
        all: bool,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<(JobId, Option<u64>)>>;
    /// Says how many bytes a recording has. Changes nothing where it is not as it was `before` any more: its mix was made meanwhile, or it was removed.
    async fn recording_counted(&self, id: JobId, before: Option<u64>, bytes: u64) -> Result<()>;
    /// Deletes up to `limit` jobs that ended before this moment, with all that belongs to them; answers which. A job that may have files, or has a
    /// delivery that is still to be tried, is kept.
    async fn prune_jobs(&self, before: Timestamp, limit: u32) -> Result<Vec<JobId>>;
    /// Mixes that are still to be made. A mix waits from the transaction that ends its job with a manifest until [`Store::end_mix`], and is dropped with
    /// the recording. First comes one of each consumer in each world, then a second of each, and so on, so that whoever begins them in this order makes as
    /// many for one as for another; each time around, those come first whose last mix was tried longest ago.
    async fn waiting_mixes(&self, limit: u32, now: StoreNow) -> Result<WaitingMixes>;
    /// The job whose mix waits; `None` where none does.
    async fn waiting_mix(&self, id: JobId) -> Result<Option<Job>>;
    /// A mix waits no longer, the recording has so many bytes now (`None`: they are to be counted), and where the mix was made that is reported, in the same
    /// transaction. `false` where none waits: then nothing changes.
    async fn end_mix(
        &self,
        id: JobId,
        made: Option<File>,
        recording_bytes: Option<u64>,
        now: StoreNow,
    ) -> Result<bool>;
    /// A mix could not be made for a reason that may pass: it is due again later. Answers when; `None` where it was given up, or none waits.
    async fn put_off_mix(&self, id: JobId, now: StoreNow) -> Result<Option<Timestamp>>;
    /// The mixes of these jobs are not to be made any more.
    async fn drop_mixes(&self, jobs: Vec<JobId>) -> Result<()>;
    /// Cancels a job: at once in the queue, by a command to the bot elsewhere. `None` where there is no such job.
    async fn cancel(&self, tenant: Tenant, id: JobId, now: StoreNow) -> Result<Option<Job>>;
    /// Gives a command to a job's bot, together with a first answer kept for its `Idempotency-Key`.
    async fn command(
        &self,
        tenant: Tenant,
        id: JobId,
        action: ControlAction,
        message: Option<String>,
        once: Option<Once>,
        now: StoreNow,
    ) -> Result<Commanded>;
    /// How far a command has come, and its job.
    async fn commanded(&self, tenant: Tenant, id: CommandId) -> Result<Option<(Command, Job)>>;
    /// What an `Idempotency-Key` was used for before.
    async fn earlier(&self, tenant: Tenant, once: Once, now: StoreNow) -> Result<Option<Earlier>>;
    /// Replaces the answer that is kept for a key.
    async fn keep_answer(&self, tenant: Tenant, key: String, answer: KeptAnswer) -> Result<()>;

    /// Hands a job that is due to a new bot, which shows the token with this SHA-256. Jobs whose bot was lost come first. The others wait for a place
    /// of their consumer's in their world: whoever has the fewest bots is next, and of a consumer's jobs the one that has been due for longest.
    async fn claim(&self, token_hash: [u8; 32], now: StoreNow) -> Result<Claim>;
    /// Applies a bot's reports and renews its lease. A lease is over only when the store was there for all of one: `away` is when it last was not. A job that
    /// ends with them has a recording of `recording_bytes`; `None`: they are to be counted.
    async fn report(
        &self,
        request: IngestRequest,
        token_hash: [u8; 32],
        recording_bytes: Option<u64>,
        away: Option<LeaseTime>,
        now: StoreNow,
    ) -> Result<Reported>;
    /// What a bot is to do, after the command `after`. `None` when it is superseded or unknown.
    async fn bot_commands(
        &self,
        job: JobId,
        epoch: u32,
        token_hash: [u8; 32],
        after: u64,
    ) -> Result<Option<Vec<BotCommand>>>;
    /// Whether a bot of the job, this attempt's or an earlier one's, was given the token with this SHA-256.
    async fn has_had_bot(&self, job: JobId, token_hash: [u8; 32]) -> Result<bool>;
    /// The ids of all bots, of whichever consumer, in the room in which the attempt's bot is, as [`meetbot_types::bot::OwnBots`] has them; none before it
    /// has said where it is.
    async fn own_bots(&self, job: JobId, epoch: u32) -> Result<Vec<String>>;
    /// Ends an attempt's lease at once, because its bot is known to be gone. Answers whether it still had the job. The more of its bots were lost one soon
    /// after the other, the later it is due again.
    async fn release(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool>;
    /// [`Store::release`] of a bot that left its files whole because its server stops: it does not count as lost.
    async fn hand_over(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool>;
    /// Takes the jobs back whose bots have these leases; answers them. With an earlier boot's leases those of senders are taken back too.
    async fn reap(&self, leases: Leases, now: StoreNow) -> Result<Vec<JobId>>;
    /// Fails the jobs that no worker has taken in time; answers them.
    async fn expire(&self, now: StoreNow) -> Result<Vec<Expired>>;
    /// When the next job in the queue wants to start for which there is a place.
    async fn next_start(&self) -> Result<Option<Timestamp>>;

    /// Takes deliveries that are due, in order per job and endpoint; nobody else gets them for a minute. Endpoints that answer come first,
    /// those that rest not at all, and none gets more at once than its bulkhead lets through.
    async fn due_deliveries(&self, room: Room, now: StoreNow) -> Result<Taken>;
    /// Notes a try, and what follows from it for the delivery, those behind it and the endpoint.
    async fn tried(&self, tried: Tried, now: StoreNow) -> Result<()>;
    /// Deliveries with their tries, newest first.
    async fn deliveries(
        &self,
        tenant: Tenant,
        filter: DeliveryFilter,
        window: Window<DeliveryId>,
    ) -> Result<Page<Delivery>>;
    /// A delivery.
    async fn delivery(&self, tenant: Tenant, id: DeliveryId) -> Result<Option<Delivery>>;
    /// Sends a delivery once more, whatever became of it, together with the answer kept for its `Idempotency-Key`.
    async fn redeliver(
        &self,
        tenant: Tenant,
        id: DeliveryId,
        once: Option<Once>,
        now: StoreNow,
    ) -> Result<Redelivery>;

    /// Drops answers that were kept long enough, gives back what a sender never came back from, and shows that the store can be written.
    async fn sweep(&self, now: StoreNow) -> Result<()>;
    /// Counts jobs, deliveries and the bytes of recordings, at a cost that does not grow with the jobs that have ended, but with the recordings that are kept.
    async fn tally(&self) -> Result<Tally>;
}
