//! The verbs of [`Store`], each handed to the writer or to a reader.

mod keys;
mod servers;
mod uploads;

use std::sync::Arc;

use async_trait::async_trait;
use meetbot_types::{
    CommandId, ConsumerId, ControlAction, Delivery, DeliveryId, EventName, Job, JobId, Labels,
    MeetingLink, Page, Redeliver, TimelineEvent, Timestamp,
    bot::{BotCommand, IngestRequest},
    manifest::File,
    work::Pool,
};

use super::{
    SqliteStore, bots, commands, deliveries, erasure, feed, idempotency, jobs, labels, mixes,
    outbox, paused, quotas, recordings, records, room_bots, secrets, tally, timeline,
    writer::{Asker, Transaction},
    zoom,
};
use crate::{
    clock::{LeaseTime, Now, StoreNow},
    store::{
        AvailabilityLookup, BotCredentials, Capacity, Claim, Claimer, Command, CommandOutcome,
        ConsumerFilter, ConsumerUse, Creation, DeliveryAttempt, DeliveryFilter, DeliveryStore,
        DueBatch, EndpointRedelivery, Expired, Feed, FeedCursor, FeedStore, IdempotencyKey,
        IsAlive, JobFilter, JobStore, Leases, OldRecording, PriorRequest, Quota, QuotaChange,
        Recorded, Redelivery, Reported, Result, Start, Store, StoredResponse, TakenOver, Tally,
        Tenant, UsageStore, Used, WaitingMixes, Window,
    },
};

#[async_trait]
impl UsageStore for SqliteStore {
    async fn used(&self, tenant: Tenant, now: StoreNow) -> Result<Used> {
        self.read(move |connection| quotas::used(connection, tenant, now.wall)).await
    }

    async fn consumers(&self, now: StoreNow) -> Result<Vec<ConsumerUse>> {
        self.read(move |connection| quotas::list(connection, now.wall)).await
    }

    async fn list_consumers(
        &self,
        filter: ConsumerFilter,
        window: Window<ConsumerId>,
        now: StoreNow,
    ) -> Result<Page<ConsumerUse>> {
        self.read(move |connection| quotas::page(connection, filter, window, now.wall)).await
    }

    async fn set_default_quota(&self, quota: Quota) -> Result<()> {
        self.writer.write(move |connection| quotas::set_default(connection, quota)).await
    }

    async fn change_quota(&self, consumer: &str, change: QuotaChange) -> Result<bool> {
        let consumer = consumer.to_owned();
        self.writer.write(move |connection| quotas::change(connection, &consumer, &change)).await
    }

    async fn at_bot_limit(&self, tenant: Tenant) -> Result<bool> {
        self.read(move |connection| quotas::at_bot_limit(connection, tenant)).await
    }

    async fn set_accounts(&self, accounts: Vec<(String, u32)>) -> Result<()> {
        self.writer.write(move |connection| super::accounts::set(connection, &accounts)).await
    }

    async fn full_accounts(&self) -> Result<Vec<String>> {
        self.read(super::accounts::full).await
    }

    async fn tally(&self) -> Result<Tally> {
        self.read(tally::count).await
    }

    async fn places_wanted(&self, by: Timestamp) -> Result<Vec<(Pool, u64)>> {
        self.read(move |connection| quotas::places_wanted(connection, by)).await
    }
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn create_job(
        &self,
        tenant: Tenant,
        job: Job,
        link: MeetingLink,
        start: Start,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<Creation> {
        let create = move |connection: &Transaction<'_>| {
            jobs::create(connection, tenant, job, &link, start, idempotency_key.as_ref(), now)
        };
        self.writer.write(create).await
    }

    async fn job(&self, tenant: Tenant, id: JobId) -> Result<Option<Job>> {
        let find = move |connection: &_| records::of_tenant(connection, tenant, id);
        Ok(self.read(find).await?.map(|stored| stored.job))
    }

    async fn jobs(
        &self,
        tenant: Tenant,
        filter: JobFilter,
        window: Window<JobId>,
    ) -> Result<Page<Job>> {
        self.read(move |connection| jobs::list(connection, tenant, &filter, window)).await
    }

    async fn timeline(
        &self,
        tenant: Tenant,
        id: JobId,
        window: Window<u64>,
    ) -> Result<Option<Page<TimelineEvent>>> {
        let read = move |connection: &_| match records::of_tenant(connection, tenant, id)? {
            Some(_) => timeline::list(connection, &id.to_string(), window).map(Some),
            None => Ok(None),
        };
        self.read(read).await
    }

    async fn delete_recording(
        &self,
        tenant: Tenant,
        id: JobId,
        now: StoreNow,
    ) -> Result<Option<Job>> {
        self.writer
            .write(move |connection| jobs::delete_recording(connection, tenant, id, now))
            .await
    }

    async fn old_recordings(
        &self,
        before: Timestamp,
        after: Option<OldRecording>,
        limit: u32,
    ) -> Result<Vec<OldRecording>> {
        let old = move |connection: &_| {
            paused::unless(connection, || recordings::old(connection, before, after, limit))
        };
        self.read(old).await
    }

    async fn recording_removed(&self, id: JobId, now: StoreNow) -> Result<()> {
        self.writer.write(move |connection| recordings::removed(connection, id, now)).await
    }

    async fn recordings_to_count(
        &self,
        all: bool,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<(JobId, Option<u64>)>> {
        self.read(move |connection| recordings::to_count(connection, all, after, limit)).await
    }

    async fn recording_counted(&self, id: JobId, before: Option<u64>, bytes: u64) -> Result<()> {
        let counted =
            move |connection: &Transaction<'_>| recordings::counted(connection, id, before, bytes);
        self.writer.write(counted).await
    }

    async fn prune_jobs(&self, before: Timestamp, limit: u32, now: StoreNow) -> Result<Vec<JobId>> {
        let prune = move |connection: &Transaction<'_>| {
            paused::unless(connection, || erasure::prune(connection, before, limit, now))
        };
        self.writer.write(prune).await
    }

    async fn waiting_mixes(&self, limit: u32, now: StoreNow) -> Result<WaitingMixes> {
        let waiting = move |connection: &_| {
            paused::unless(connection, || mixes::waiting(connection, limit, now.wall))
        };
        self.read(waiting).await
    }

    async fn waiting_mix(&self, id: JobId) -> Result<Option<Job>> {
        self.read(move |connection| mixes::job(connection, id)).await
    }

    async fn end_mix(
        &self,
        id: JobId,
        made: Option<File>,
        recording_bytes: Option<u64>,
        now: StoreNow,
    ) -> Result<bool> {
        let end = move |connection: &Transaction<'_>| {
            mixes::end(connection, id, made, recording_bytes, now)
        };
        self.writer.write(end).await
    }

    async fn lease_mix(&self, id: JobId, maker: String, now: StoreNow) -> Result<bool> {
        self.writer.write(move |connection| mixes::lease(connection, id, &maker, now)).await
    }

    async fn hold_mix(&self, id: JobId, maker: String, due_at: Timestamp) -> Result<bool> {
        self.writer.write(move |connection| mixes::hold(connection, id, &maker, due_at)).await
    }

    async fn put_off_mix(
        &self,
        id: JobId,
        maker: Option<String>,
        now: StoreNow,
    ) -> Result<Option<Timestamp>> {
        let put_off = move |connection: &Transaction<'_>| {
            mixes::put_off(connection, id, maker.as_deref(), now)
        };
        self.writer.write(put_off).await
    }

    async fn drop_mixes(&self, jobs: Vec<JobId>) -> Result<()> {
        self.writer.write(move |connection| mixes::drop(connection, &jobs)).await
    }

    async fn cancel(&self, tenant: Tenant, id: JobId, now: StoreNow) -> Result<Option<Job>> {
        self.writer.write(move |connection| jobs::cancel(connection, tenant, id, now)).await
    }

    async fn command(
        &self,
        tenant: Tenant,
        id: JobId,
        action: ControlAction,
        message: Option<String>,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<CommandOutcome> {
        let command = move |connection: &Transaction<'_>| {
            jobs::command(connection, tenant, id, &action, message, idempotency_key.as_ref(), now)
        };
        self.writer.write(command).await
    }

    async fn commanded(&self, tenant: Tenant, id: CommandId) -> Result<Option<(Command, Job)>> {
        self.read(move |connection| commands::commanded(connection, tenant, id)).await
    }

    async fn prior_request(
        &self,
        tenant: Tenant,
        idempotency_key: IdempotencyKey,
        now: StoreNow,
    ) -> Result<Option<PriorRequest>> {
        self.read(move |connection| {
            idempotency::prior_request(connection, tenant, &idempotency_key, now.wall)
        })
        .await
    }

    async fn begin_request(
        &self,
        tenant: Tenant,
        idempotency_key: IdempotencyKey,
        answer: StoredResponse,
        now: StoreNow,
    ) -> Result<Option<PriorRequest>> {
        let begin = move |connection: &Transaction<'_>| {
            idempotency::begin_request(connection, tenant, &idempotency_key, &answer, now.wall)
        };
        self.writer.write(begin).await
    }

    async fn set_final_response(
        &self,
        tenant: Tenant,
        key: String,
        answer: StoredResponse,
    ) -> Result<()> {
        self.writer
            .write(move |connection| {
                idempotency::set_final_response(connection, tenant, &key, &answer)
            })
            .await
    }

    async fn claim_for(
        &self,
        claimer: Claimer,
        token_hash: [u8; 32],
        lookup: Arc<AvailabilityLookup>,
        now: StoreNow,
    ) -> Result<Claim> {
        let claim = move |connection: &Transaction<'_>| {
            paused::unless(connection, || {
                bots::claim(connection, &claimer, token_hash, &*lookup, now)
            })
        };
        self.writer.write(claim).await
    }

    async fn report(
        &self,
        request: IngestRequest,
        credentials: BotCredentials,
        recorded: Recorded,
        away: Option<LeaseTime>,
        now: StoreNow,
    ) -> Result<Reported> {
        let report = move |connection: &Transaction<'_>| {
            bots::report(connection, &request, &credentials, &recorded, away, now)
        };
        self.writer.write(report).await
    }

    async fn bot_commands(
        &self,
        job: JobId,
        epoch: u32,
        token_hash: [u8; 32],
        after: u64,
    ) -> Result<Option<Vec<BotCommand>>> {
        self.read(move |connection| bots::commands(connection, job, epoch, token_hash, after)).await
    }

    async fn has_had_bot(&self, job: JobId, token_hash: [u8; 32]) -> Result<bool> {
        self.read(move |connection| bots::has_had_bot(connection, job, &token_hash)).await
    }

    async fn own_bots(&self, job: JobId, epoch: u32) -> Result<Vec<String>> {
        self.read(move |connection| room_bots::own_bots(connection, job, epoch)).await
    }

    async fn release(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool> {
        let release = move |connection: &Transaction<'_>| {
            bots::end_attempt(connection, job, now, |record| record.release(epoch, now))
        };
        self.writer.write(release).await
    }

    async fn hand_over(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool> {
        let hand_over = move |connection: &Transaction<'_>| {
            bots::end_attempt(connection, job, now, |record| record.hand_over(epoch, now))
        };
        self.writer.write(hand_over).await
    }

    async fn reap(&self, now: StoreNow) -> Result<Vec<JobId>> {
        self.writer.write(move |connection: &Transaction<'_>| bots::reap(connection, now)).await
    }

    async fn take_over(&self, is_alive: Arc<IsAlive>, now: StoreNow) -> Result<TakenOver> {
        let take_over =
            move |connection: &Transaction<'_>| bots::take_over(connection, is_alive.as_ref(), now);
        self.writer.write(take_over).await
    }

    async fn expire(&self, now: StoreNow) -> Result<Vec<Expired>> {
        let expire = move |connection: &Transaction<'_>| {
            paused::unless(connection, || bots::expire(connection, now))
        };
        self.writer.write(expire).await
    }

    async fn next_start(&self) -> Result<Option<Timestamp>> {
        self.read(|connection| paused::unless(connection, || bots::first_start(connection))).await
    }

    async fn required_labels(&self) -> Result<Vec<Labels>> {
        self.read(labels::required).await
    }
}

#[async_trait]
impl FeedStore for SqliteStore {
    async fn feed(
        &self,
        tenant: Tenant,
        names: Vec<EventName>,
        after: Option<FeedCursor>,
        limit: u32,
    ) -> Result<Feed> {
        self.read(move |connection| feed::read(connection, tenant, &names, after, limit)).await
    }

    async fn feed_end(&self, tenant: Tenant) -> Result<FeedCursor> {
        self.read(move |connection| feed::end(connection, tenant)).await
    }
}

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn due_deliveries(&self, capacity: Capacity, now: StoreNow) -> Result<DueBatch> {
        let take = move |connection: &Transaction<'_>| {
            paused::unless(connection, || outbox::take(connection, capacity, now))
        };
        self.writer.write_for(Asker::Sender, take).await
    }

    async fn tried(&self, tried: DeliveryAttempt, now: StoreNow) -> Result<()> {
        let note = move |connection: &Transaction<'_>| outbox::note(connection, &tried, now);
        self.writer.write_for(Asker::Sender, note).await
    }

    async fn deliveries(
        &self,
        tenant: Tenant,
        filter: DeliveryFilter,
        window: Window<DeliveryId>,
    ) -> Result<Page<Delivery>> {
        self.read(move |connection| deliveries::list(connection, tenant, &filter, window)).await
    }

    async fn delivery(&self, tenant: Tenant, id: DeliveryId) -> Result<Option<Delivery>> {
        self.read(move |connection| deliveries::of_tenant(connection, tenant, id)).await
    }

    async fn redeliver(
        &self,
        tenant: Tenant,
        id: DeliveryId,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<Redelivery> {
        let redeliver = move |connection: &Transaction<'_>| {
            deliveries::redeliver(connection, tenant, id, idempotency_key.as_ref(), now)
        };
        self.writer.write(redeliver).await
    }

    async fn redeliver_all(
        &self,
        tenant: Tenant,
        which: Redeliver,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<EndpointRedelivery> {
        let redeliver = move |connection: &Transaction<'_>| {
            deliveries::redeliver_all(connection, tenant, &which, idempotency_key.as_ref(), now)
        };
        self.writer.write(redeliver).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn now(&self) -> StoreNow {
        let Now { wall, steady } = self.clock.now();
        let lease = LeaseTime::from_millis(0) + steady;
        StoreNow { wall, lease, timing: self.timing }
    }

    async fn sweep(&self, now: StoreNow) -> Result<()> {
        let sweep = move |connection: &Transaction<'_>| {
            outbox::forget_leases(connection, Leases::RanOut, now)?;
            secrets::sweep(connection, now.wall)?;
            room_bots::sweep(connection, now.wall)?;
            zoom::sweep(connection, now.wall)?;
            idempotency::sweep(connection, now.wall)
        };
        self.writer.write(sweep).await
    }

    async fn paused_since(&self) -> Result<Option<Timestamp>> {
        self.read(paused::since).await
    }

    async fn unpause(&self) -> Result<bool> {
        self.writer.write(|transaction| paused::end(transaction)).await
    }

    async fn close(&self) {
        self.end().await;
    }
}
