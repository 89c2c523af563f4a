//! Calls for jobs.

use std::sync::Arc;

use async_trait::async_trait;
use meetbot_types::{
    CommandId, ControlAction, Job, JobId, Labels, MeetingLink, Page, TimelineEvent, Timestamp,
    bot::{BotCommand, IngestRequest},
    manifest::File,
};

use super::{
    AvailabilityLookup, BotCredentials, Claim, Claimer, Command, CommandOutcome, Creation, Expired,
    IdempotencyKey, IsAlive, JobFilter, OldRecording, PriorRequest, Recorded, Reported, Result,
    Start, StoredResponse, TakenOver, Tenant, WaitingMixes, Window,
};
use crate::clock::{LeaseTime, StoreNow};

/// Jobs and all that belongs to them: for callers, bots and the server's loops.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Puts a job into the queue, and stores the response for its `Idempotency-Key`.
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
    /// Sets the size of a job's recording to 0 bytes, since its files are removed.
    async fn recording_removed(&self, id: JobId, now: StoreNow) -> Result<()>;
    /// Jobs behind `after`, in the order of their ids, that have ended and may have files, and how many bytes these have. `None`: it is unknown, as of jobs
    /// whose last bot was lost and of deletions that were cut short; without `all`, only those.
    async fn recordings_to_count(
        &self,
        all: bool,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<(JobId, Option<u64>)>>;
    /// Sets the size of a recording in bytes. Changes nothing where the recording differs from `before`: its mix was made meanwhile, or it was removed.
    async fn recording_counted(&self, id: JobId, before: Option<u64>, bytes: u64) -> Result<()>;
    /// Deletes up to `limit` jobs that ended before this moment, with all that belongs to them; answers which. A job that may have files, or has a
    /// delivery that is still to be tried, is kept.
    async fn prune_jobs(&self, before: Timestamp, limit: u32, now: StoreNow) -> Result<Vec<JobId>>;
    /// Mixes that are still to be made. A mix waits from the transaction that ends its job with a manifest until [`JobStore::end_mix`], and is dropped with
    /// the recording. First comes one of each consumer in each world, then a second of each, and so on: a caller that begins them in this order makes as many
    /// for one as for another; each time around, those come first whose last mix was tried longest ago.
    /// Answers the first `limit` of the consumers that require no labels of workers, and of those that require the same ones: where no worker has some labels, the
    /// mixes that require them are not in the way of others.
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
    /// A worker is to make a mix that is due: it is due again when the lease runs out. `maker` names the lease. `false` where the mix is not due any more.
    async fn lease_mix(&self, id: JobId, maker: String, now: StoreNow) -> Result<bool>;
    /// The mix of a lease is due again at this time: later, since its worker goes on, or now, since it does not. `false` where another worker has the mix, or it
    /// is made or dropped.
    async fn hold_mix(&self, id: JobId, maker: String, due_at: Timestamp) -> Result<bool>;
    /// A mix could not be made for a reason that may pass: it is due again later. Answers when; `None` where it was given up, or none waits, or the lease `maker`
    /// of the worker that tried is not the last one.
    async fn put_off_mix(
        &self,
        id: JobId,
        maker: Option<String>,
        now: StoreNow,
    ) -> Result<Option<Timestamp>>;
    /// The mixes of these jobs are not to be made any more.
    async fn drop_mixes(&self, jobs: Vec<JobId>) -> Result<()>;
    /// Cancels a job: at once in the queue, by a command to the bot elsewhere. `None` where there is no such job.
    async fn cancel(&self, tenant: Tenant, id: JobId, now: StoreNow) -> Result<Option<Job>>;
    /// Stores a command for a job's bot, and a first response for its `Idempotency-Key`.
    async fn command(
        &self,
        tenant: Tenant,
        id: JobId,
        action: ControlAction,
        message: Option<String>,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<CommandOutcome>;
    /// How far a command has come, and its job.
    async fn commanded(&self, tenant: Tenant, id: CommandId) -> Result<Option<(Command, Job)>>;
    /// The earlier request with this `Idempotency-Key`, if its response is still stored.
    async fn prior_request(
        &self,
        tenant: Tenant,
        idempotency_key: IdempotencyKey,
        now: StoreNow,
    ) -> Result<Option<PriorRequest>>;
    /// Stores a first response for the `Idempotency-Key` of a call that changes nothing else in the store; [`JobStore::set_final_response`] replaces it.
    /// Returns the prior request where the key was used before.
    async fn begin_request(
        &self,
        tenant: Tenant,
        idempotency_key: IdempotencyKey,
        answer: StoredResponse,
        now: StoreNow,
    ) -> Result<Option<PriorRequest>>;
    /// Replaces the response that is stored for a key.
    async fn set_final_response(
        &self,
        tenant: Tenant,
        key: String,
        answer: StoredResponse,
    ) -> Result<()>;
    /// Hands a job that is due to a new bot, which shows the token with this SHA-256. Jobs whose bot was lost come first. The others wait for a slot
    /// of their consumer's in their world: the consumer with the fewest bots is next, and of a consumer's jobs the one that has been due for longest. A bot
    /// that has none of these `lookup` into the job's meeting only finalises what is on disk.
    async fn claim(
        &self,
        token_hash: [u8; 32],
        lookup: Arc<AvailabilityLookup>,
        now: StoreNow,
    ) -> Result<Claim> {
        self.claim_for(Claimer::default(), token_hash, lookup, now).await
    }
    /// [`JobStore::claim`], of the jobs that this one may take, in the same order.
    async fn claim_for(
        &self,
        claimer: Claimer,
        token_hash: [u8; 32],
        lookup: Arc<AvailabilityLookup>,
        now: StoreNow,
    ) -> Result<Claim>;
    /// Applies a bot's reports and renews its lease. A lease expires only after the store was available for its whole length: `away` is when it last was not. A job that
    /// ends with them has a recording as it was `recorded`. A bot that proves a claim which the store has forgotten is adopted, if its reports begin with the first one;
    /// otherwise the answer acknowledges none.
    async fn report(
        &self,
        request: IngestRequest,
        credentials: BotCredentials,
        recorded: Recorded,
        away: Option<LeaseTime>,
        now: StoreNow,
    ) -> Result<Reported>;
    /// The commands for a bot after the number `after`. `None` when it is superseded or unknown.
    async fn bot_commands(
        &self,
        job: JobId,
        epoch: u32,
        token_hash: [u8; 32],
        after: u64,
    ) -> Result<Option<Vec<BotCommand>>>;
    /// Whether a bot of the job, this attempt's or an earlier one's, has the token with this SHA-256.
    async fn has_had_bot(&self, job: JobId, token_hash: [u8; 32]) -> Result<bool>;
    /// The ids of all bots, of any consumer, in the room of the attempt's bot, as in [`meetbot_types::bot::OwnBots`]; none before the bot
    /// has reported its room.
    async fn own_bots(&self, job: JobId, epoch: u32) -> Result<Vec<String>>;
    /// Ends an attempt's lease at once, because its bot is known to be gone. Returns whether it still held the job. The more bots of a job were lost in quick
    /// succession, the later the job is due again.
    async fn release(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool>;
    /// [`JobStore::release`] of a bot that left its files whole because its server stops: it does not count as lost.
    async fn hand_over(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool>;
    /// Puts jobs whose leases have expired back into the queue; returns them.
    async fn reap(&self, now: StoreNow) -> Result<Vec<JobId>>;
    /// Handles the leases of the previous server at the start. A bot that still runs gets a whole lease from now on, and so does a worker's bot. The jobs of
    /// the others go back into the queue at once, and deliveries of its senders are released. Time without a server is not counted as time in the meeting.
    async fn take_over(&self, is_alive: Arc<IsAlive>, now: StoreNow) -> Result<TakenOver>;
    /// Fails the jobs that were not claimed in time; returns them.
    async fn expire(&self, now: StoreNow) -> Result<Vec<Expired>>;
    /// When the next queued job with a free slot is due.
    async fn next_start(&self) -> Result<Option<Timestamp>>;
    /// The labels of workers that consumers require, each set of them once.
    async fn required_labels(&self) -> Result<Vec<Labels>>;
}
