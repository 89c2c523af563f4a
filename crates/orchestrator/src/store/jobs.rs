//! The verbs of jobs.

use std::sync::Arc;

use async_trait::async_trait;
use meetbot_types::{
    CommandId, ControlAction, Job, JobId, MeetingLink, Page, TimelineEvent, Timestamp,
    bot::{BotCommand, IngestRequest},
    manifest::File,
};

use super::{
    Claim, Command, Commanded, Creation, Expired, IdempotencyKey, JobFilter, Lives, OldRecording,
    PriorRequest, Recorded, Reported, Result, Start, StoredResponse, TakenOver, Tenant,
    WaitingMixes, Ways, Window,
};
use crate::clock::{LeaseTime, StoreNow};

/// Jobs and all that belongs to them: asked by callers, by bots and by the loops that watch both.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Puts a job into the queue, together with the answer kept for its `Idempotency-Key`.
    async fn create_job(
        &self,
        tenant: Tenant,
        job: Job,
        link: MeetingLink,
        start: Start,
        idempotency_key: Option<IdempotencyKey>,
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
    /// Mixes that are still to be made. A mix waits from the transaction that ends its job with a manifest until [`JobStore::end_mix`], and is dropped with
    /// the recording. First comes one of each consumer in each world, then a second of each, and so on: a caller that begins them in this order makes as many
    /// for one as for another; each time around, those come first whose last mix was tried longest ago.
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
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<Commanded>;
    /// How far a command has come, and its job.
    async fn commanded(&self, tenant: Tenant, id: CommandId) -> Result<Option<(Command, Job)>>;
    /// What an `Idempotency-Key` was used for before.
    async fn prior_request(
        &self,
        tenant: Tenant,
        idempotency_key: IdempotencyKey,
        now: StoreNow,
    ) -> Result<Option<PriorRequest>>;
    /// Keeps a first answer for the `Idempotency-Key` of what the store has no part in; [`JobStore::set_final_response`] replaces it. `Some` where the key was used before.
    async fn begin_request(
        &self,
        tenant: Tenant,
        idempotency_key: IdempotencyKey,
        answer: StoredResponse,
        now: StoreNow,
    ) -> Result<Option<PriorRequest>>;
    /// Replaces the answer that is kept for a key.
    async fn set_final_response(
        &self,
        tenant: Tenant,
        key: String,
        answer: StoredResponse,
    ) -> Result<()>;
    /// Hands a job that is due to a new bot, which shows the token with this SHA-256. Jobs whose bot was lost come first. The others wait for a place
    /// of their consumer's in their world: the consumer with the fewest bots is next, and of a consumer's jobs the one that has been due for longest. A bot
    /// that has none of these `ways` into the job's meeting only finalises what is on disk.
    async fn claim(&self, token_hash: [u8; 32], ways: Arc<Ways>, now: StoreNow) -> Result<Claim> {
        self.claim_for(None, token_hash, ways, now).await
    }
    /// [`JobStore::claim`] for a worker, by its id: a server that starts leaves the attempts of workers alone, for they do not end with the server before. `None`: for this server's own bots.
    async fn claim_for(
        &self,
        worker: Option<String>,
        token_hash: [u8; 32],
        ways: Arc<Ways>,
        now: StoreNow,
    ) -> Result<Claim>;
    /// Applies a bot's reports and renews its lease. A lease is over only when the store was there for all of one: `away` is when it last was not. A job that
    /// ends with them has a recording as it was `recorded`.
    async fn report(
        &self,
        request: IngestRequest,
        token_hash: [u8; 32],
        recorded: Recorded,
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
    /// [`JobStore::release`] of a bot that left its files whole because its server stops: it does not count as lost.
    async fn hand_over(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool>;
    /// Takes the jobs back whose bots' leases are over; answers them.
    async fn reap(&self, now: StoreNow) -> Result<Vec<JobId>>;
    /// What a server does at its start with the leases that were given before it opened the store. A bot that lives gets a whole one from now on, and so does a worker's bot. The jobs of
    /// the others are taken back at once, and so are the deliveries of senders. The time in which no server heard a bot is not counted as one in the meeting.
    async fn take_over(&self, lives: Arc<Lives>, now: StoreNow) -> Result<TakenOver>;
    /// Fails the jobs that no worker has taken in time; answers them.
    async fn expire(&self, now: StoreNow) -> Result<Vec<Expired>>;
    /// When the next job in the queue wants to start for which there is a place.
    async fn next_start(&self) -> Result<Option<Timestamp>>;
}
