//! The verbs of jobs.

use std::sync::Arc;

use async_trait::async_trait;
use meetbot_types::{
    CommandId, ControlAction, Job, JobId, Labels, MeetingLink, Page, TimelineEvent, Timestamp,
    bot::{BotCommand, IngestRequest},
    manifest::File,
};

use crate::{
    clock::{LeaseTime, StoreNow},
    store::{
        AvailabilityLookup, BotCredentials, Claim, Claimer, Command, CommandOutcome, Creation,
        Expired, IdempotencyKey, IsAlive, JobFilter, JobStore, Leases, OldRecording, PriorRequest,
        Recorded, Reported, Result, Start, Store as _, StoredResponse, TakenOver, Tenant,
        WaitingMixes, Window,
        postgres::{
            PostgresStore, bots, claims::Asked, commands, creations::New, erasure, heartbeats,
            idempotency, jobs, labels, mixes, paused, recordings, records, room_bots, timeline,
            transaction::Caller,
        },
    },
};

#[async_trait]
impl JobStore for PostgresStore {
    async fn create_job(
        &self,
        tenant: Tenant,
        job: Job,
        link: MeetingLink,
        start: Start,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<Creation> {
        self.create(New { tenant, job, link, start, idempotency_key }, now).await
    }

    async fn job(&self, tenant: Tenant, id: JobId) -> Result<Option<Job>> {
        let find = self
            .read((tenant, id), |it, (tenant, id)| Box::pin(records::of_tenant(it, *tenant, *id)));
        Ok(find.await?.map(|stored| stored.job))
    }

    async fn jobs(
        &self,
        tenant: Tenant,
        filter: JobFilter,
        window: Window<JobId>,
    ) -> Result<Page<Job>> {
        self.read((tenant, filter, window), |it, (tenant, filter, window)| {
            Box::pin(jobs::list(it, *tenant, filter, *window))
        })
        .await
    }

    async fn timeline(
        &self,
        tenant: Tenant,
        id: JobId,
        window: Window<u64>,
    ) -> Result<Option<Page<TimelineEvent>>> {
        self.read((tenant, id, window), |it, (tenant, id, window)| {
            Box::pin(async move {
                match records::of_tenant(it, *tenant, *id).await? {
                    Some(_) => timeline::list(it, &id.to_string(), *window).await.map(Some),
                    None => Ok(None),
                }
            })
        })
        .await
    }

    async fn delete_recording(
        &self,
        tenant: Tenant,
        id: JobId,
        now: StoreNow,
    ) -> Result<Option<Job>> {
        self.write_at(Caller::Other, now, (tenant, id), |it, (node, (tenant, id), now)| {
            Box::pin(jobs::change(it, node, *tenant, *id, *now, |record| {
                record.delete_recording(now.wall)
            }))
        })
        .await
    }

    async fn old_recordings(
        &self,
        before: Timestamp,
        after: Option<OldRecording>,
        limit: u32,
    ) -> Result<Vec<OldRecording>> {
        self.read((before, after, limit), |it, (before, after, limit)| {
            Box::pin(async move {
                if paused::is(it).await? {
                    return Ok(Vec::new());
                }
                recordings::old(it, *before, *after, *limit).await
            })
        })
        .await
    }

    async fn recording_removed(&self, id: JobId, now: StoreNow) -> Result<()> {
        self.write((id, now), |it, (id, now)| Box::pin(recordings::removed(it, *id, *now))).await
    }

    async fn recordings_to_count(
        &self,
        all: bool,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<(JobId, Option<u64>)>> {
        self.read((all, after, limit), |it, (all, after, limit)| {
            Box::pin(recordings::to_count(it, *all, *after, *limit))
        })
        .await
    }

    async fn recording_counted(&self, id: JobId, before: Option<u64>, bytes: u64) -> Result<()> {
        self.write((id, before, bytes), |it, (id, before, bytes)| {
            Box::pin(recordings::counted(it, *id, *before, *bytes))
        })
        .await
    }

    async fn prune_jobs(&self, before: Timestamp, limit: u32, now: StoreNow) -> Result<Vec<JobId>> {
        let old = self
            .read((before, limit), |it, (before, limit)| {
                Box::pin(erasure::old(it, *before, *limit))
            })
            .await?;
        Self::each(old, |id| async move {
            let pruned = self.write((id, before, now), |it, (id, before, now)| {
                Box::pin(erasure::prune(it, *id, *before, *now))
            });
            Ok(pruned.await?.then_some(id))
        })
        .await
    }

    async fn waiting_mixes(&self, limit: u32, now: StoreNow) -> Result<WaitingMixes> {
        self.read((limit, now), |it, (limit, now)| {
            Box::pin(async move {
                if paused::is(it).await? {
                    return Ok(WaitingMixes::default());
                }
                mixes::waiting(it, *limit, now.wall).await
            })
        })
        .await
    }

    async fn waiting_mix(&self, id: JobId) -> Result<Option<Job>> {
        self.read(id, |it, id| Box::pin(mixes::job(it, *id))).await
    }

    async fn end_mix(
        &self,
        id: JobId,
        made: Option<File>,
        recording_bytes: Option<u64>,
        now: StoreNow,
    ) -> Result<bool> {
        let asked = (id, made, recording_bytes, now);
        self.write(asked, |it, (id, made, bytes, now)| {
            Box::pin(mixes::end(it, *id, made.as_ref(), *bytes, *now))
        })
        .await
    }

    async fn lease_mix(&self, id: JobId, maker: String, now: StoreNow) -> Result<bool> {
        self.write((id, maker, now), |it, (id, maker, now)| {
            Box::pin(mixes::lease(it, *id, maker, *now))
        })
        .await
    }

    async fn hold_mix(&self, id: JobId, maker: String, due_at: Timestamp) -> Result<bool> {
        self.write((id, maker, due_at), |it, (id, maker, due_at)| {
            Box::pin(mixes::hold(it, *id, maker, *due_at))
        })
        .await
    }

    async fn put_off_mix(
        &self,
        id: JobId,
        maker: Option<String>,
        now: StoreNow,
    ) -> Result<Option<Timestamp>> {
        self.write((id, maker, now), |it, (id, maker, now)| {
            Box::pin(mixes::put_off(it, *id, maker.as_deref(), *now))
        })
        .await
    }

    async fn drop_mixes(&self, jobs: Vec<JobId>) -> Result<()> {
        self.write(jobs, |it, jobs| Box::pin(mixes::drop(it, jobs))).await
    }

    async fn cancel(&self, tenant: Tenant, id: JobId, now: StoreNow) -> Result<Option<Job>> {
        self.write_at(Caller::Other, now, (tenant, id), |it, (node, (tenant, id), now)| {
            let now = it.at(*now);
            Box::pin(jobs::change(it, node, *tenant, *id, now, move |record| record.cancel(now)))
        })
        .await
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
        let call = jobs::Call { tenant, id, action, message, idempotency_key };
        self.write_at(Caller::Other, now, call, |it, (node, call, now)| {
            Box::pin(jobs::command(it, node, call, it.at(*now)))
        })
        .await
    }

    async fn commanded(&self, tenant: Tenant, id: CommandId) -> Result<Option<(Command, Job)>> {
        self.read((tenant, id), |it, (tenant, id)| Box::pin(commands::commanded(it, *tenant, *id)))
            .await
    }

    async fn prior_request(
        &self,
        tenant: Tenant,
        idempotency_key: IdempotencyKey,
        now: StoreNow,
    ) -> Result<Option<PriorRequest>> {
        self.read((tenant, idempotency_key, now), |it, (tenant, idempotency_key, now)| {
            Box::pin(idempotency::prior_request(it, *tenant, idempotency_key, now.wall))
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
        self.write(
            (tenant, idempotency_key, answer, now),
            |it, (tenant, idempotency_key, answer, now)| {
                Box::pin(idempotency::begin_request(it, *tenant, idempotency_key, answer, now.wall))
            },
        )
        .await
    }

    async fn set_final_response(
        &self,
        tenant: Tenant,
        key: String,
        answer: StoredResponse,
    ) -> Result<()> {
        self.write((tenant, key, answer), |it, (tenant, key, answer)| {
            Box::pin(idempotency::set_final_response(it, *tenant, key, answer))
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
        self.claim_next(Asked { claimer, token_hash, lookup, now }).await
    }

    async fn report(
        &self,
        request: IngestRequest,
        credentials: BotCredentials,
        recorded: Recorded,
        away: Option<LeaseTime>,
        now: StoreNow,
    ) -> Result<Reported> {
        let is_heartbeat = heartbeats::is_heartbeat(&request);
        let report = bots::Report { request, credentials, recorded, away };
        if is_heartbeat {
            self.heartbeat(report, now).await
        } else {
            self.report_alone(Arc::new(report), now).await
        }
    }

    async fn bot_commands(
        &self,
        job: JobId,
        epoch: u32,
        token_hash: [u8; 32],
        after: u64,
    ) -> Result<Option<Vec<BotCommand>>> {
        self.read((job, epoch, token_hash, after), |it, (job, epoch, token_hash, after)| {
            Box::pin(bots::commands(it, *job, *epoch, *token_hash, *after))
        })
        .await
    }

    async fn has_had_bot(&self, job: JobId, token_hash: [u8; 32]) -> Result<bool> {
        self.read((job, token_hash), |it, (job, token_hash)| {
            Box::pin(bots::has_had_bot(it, *job, token_hash))
        })
        .await
    }

    async fn own_bots(&self, job: JobId, epoch: u32) -> Result<Vec<String>> {
        self.read((job, epoch), |it, (job, epoch)| Box::pin(room_bots::own_bots(it, *job, *epoch)))
            .await
    }

    async fn release(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool> {
        self.write_at(Caller::Other, now, (job, epoch), |it, (node, (job, epoch), now)| {
            let (epoch, now) = (*epoch, it.at(*now));
            Box::pin(bots::end_attempt(it, node, *job, now, move |record| {
                record.release(epoch, now)
            }))
        })
        .await
    }

    async fn hand_over(&self, job: JobId, epoch: u32, now: StoreNow) -> Result<bool> {
        self.write_at(Caller::Other, now, (job, epoch), |it, (node, (job, epoch), now)| {
            let (epoch, now) = (*epoch, it.at(*now));
            Box::pin(bots::end_attempt(it, node, *job, now, move |record| {
                record.hand_over(epoch, now)
            }))
        })
        .await
    }

    async fn reap(&self, now: StoreNow) -> Result<Vec<JobId>> {
        let lost = self
            .write_at(Caller::Other, now, Leases::RanOut, |it, (node, leases, now)| {
                Box::pin(bots::lost(it, node, *leases, it.at(*now)))
            })
            .await?;
        Self::each(lost, |id| async move {
            let taken = self.write_at(Caller::Other, now, id, |it, (node, id, now)| {
                Box::pin(bots::take_back(it, node, *id, it.at(*now)))
            });
            Ok(taken.await?.then_some(id))
        })
        .await
    }

    async fn take_over(&self, is_alive: Arc<IsAlive>, now: StoreNow) -> Result<TakenOver> {
        self.forget_leases(Leases::OfEarlierBoots, now).await?;
        let leased = self
            .write_at(Caller::Other, now, Leases::OfEarlierBoots, |it, (node, leases, now)| {
                Box::pin(bots::lost(it, node, *leases, it.at(*now)))
            })
            .await?;
        let settled = Self::each(leased, |id| {
            let is_alive = Arc::clone(&is_alive);
            async move {
                let settled = self.write_at(
                    Caller::Other,
                    now,
                    (id, is_alive),
                    |it, (node, (id, is_alive), now)| {
                        Box::pin(bots::settle(it, node, *id, is_alive.as_ref(), it.at(*now)))
                    },
                );
                settled.await
            }
        })
        .await?;
        let mut taken = TakenOver::default();
        for (job, is_alive) in settled {
            if is_alive { taken.running.push(job) } else { taken.lost.push(job.id) }
        }
        Ok(taken)
    }

    async fn expire(&self, now: StoreNow) -> Result<Vec<Expired>> {
        let late = self.read(now, |it, now| Box::pin(bots::late(it, it.at(*now)))).await?;
        Self::each(late, |id| async move {
            self.write_at(Caller::Other, now, id, |it, (node, id, now)| {
                Box::pin(bots::expire(it, node, *id, *now))
            })
            .await
        })
        .await
    }

    async fn next_start(&self) -> Result<Option<Timestamp>> {
        let now = self.now();
        self.read(now, |it, now| Box::pin(bots::first_start(it, it.at(*now)))).await
    }

    async fn required_labels(&self) -> Result<Vec<Labels>> {
        self.read((), |it, ()| Box::pin(labels::required(it))).await
    }
}
