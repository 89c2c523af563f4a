//! Runs actions on a store and on the model, and compares their states.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use meetbot_types::{
    ControlState, DeliveryState, EventName, FailureCode, Job, JobId, JobStatus, RecordingState,
    Timestamp,
};

use super::{
    action::{Action, Choice, MixResult, ReportOrder, TryResult},
    job::{BotEnd, BotMessage, ModelJob, RecordingPhase},
    outbox::ModelDelivery,
    state::{ALL, ModelTest, ms},
};
use crate::{
    clock::{LeaseTime, StoreNow},
    jobs::quota,
    store::{self, DeliveryFilter, Quota, QuotaChange, QuotaOverride, Revocation, Tenant, Window},
};

fn pick(choice: Choice, count: usize) -> Option<usize> {
    usize::from(choice).checked_rem(count)
}

impl ModelTest {
    pub(super) async fn play(&mut self, action: Action) {
        match action {
            Action::Create { live, external, idempotency_key, urls, ahead } => {
                self.create(live, external, idempotency_key, urls, ahead).await;
            }
            Action::Claim => self.claim(1).await,
            Action::ClaimTogether => self.claim(3).await,
            Action::ForgetClaim => self.forget_claim().await,
            Action::Report { bot, order, messages } => {
                if let Some(bot) = pick(bot, self.bots.len()) {
                    self.report(bot, order, &messages).await;
                }
            }
            Action::PollCommands { bot, after } => {
                if let Some(bot) = pick(bot, self.bots.len()) {
                    self.poll_commands(bot, after.into()).await;
                }
            }
            Action::Release { bot } => {
                if let Some(bot) = pick(bot, self.bots.len()) {
                    self.release(bot, false).await;
                }
            }
            Action::HandOver { bot } => {
                if let Some(bot) = pick(bot, self.bots.len()) {
                    self.release(bot, true).await;
                }
            }
            Action::Reap => self.reap().await,
            Action::Expire => self.expire().await,
            Action::Sweep => self.store.sweep(self.now).await.unwrap(),
            Action::Cancel { job } => {
                if let Some(job) = pick(job, self.jobs.len()) {
                    self.cancel(job).await;
                }
            }
            Action::Command { job, action, idempotency_key } => {
                if let Some(job) = pick(job, self.jobs.len()) {
                    self.command(job, action, idempotency_key).await;
                }
            }
            Action::DeleteRecording { job } => {
                if let Some(job) = pick(job, self.jobs.len()) {
                    let ModelJob { id, tenant, .. } = self.jobs[job];
                    self.store.delete_recording(tenant, id, self.now).await.unwrap().unwrap();
                    self.jobs[job].delete_recording(self.now);
                    self.compare(job).await;
                }
            }
            Action::EndMix { job, mix_result } => {
                if let Some(job) = pick(job, self.jobs.len()) {
                    self.mix(job, mix_result).await;
                }
            }
            Action::TakeDeliveries { limit } => {
                self.take(limit.into()).await;
            }
            Action::RecordTry { held, result } => {
                if let Some(held) = pick(held, self.held_deliveries.len()) {
                    self.record_try(held, result).await;
                }
            }
            Action::EndpointOutage => {
                // Late enough for endpoints that rest and for the next tries; leases stay valid.
                self.now.wall = self.now.wall + Duration::from_secs(1_000);
                let before = self.held_deliveries.len();
                self.take(8).await;
                while self.held_deliveries.len() > before {
                    self.record_try(before, TryResult::Failed { retry_in: 5, rest_wanted: None })
                        .await;
                }
            }
            Action::StoreOutage => self.away = Some(self.now),
            Action::Redeliver { job, delivery, idempotency_key } => {
                if let Some(job) = pick(job, self.jobs.len())
                    && let Some(delivery) = pick(delivery, self.jobs[job].deliveries.len())
                {
                    self.redeliver(job, delivery, idempotency_key).await;
                }
            }
            Action::Revoke { key } => {
                let now = self.now;
                let (key, revoked_at) = &mut self.keys[usize::from(key) % 2];
                revoked_at.get_or_insert(now.wall);
                let revoked = self.store.revoke_key(key.id, false, now).await.unwrap();
                assert!(matches!(revoked, Revocation::Done(_)));
                let found = self.store.find_key(&key.prefix).await.unwrap().unwrap();
                assert_eq!(found.revoked_at, *revoked_at);
            }
            Action::AdvanceClocks(millis) => {
                let passed = Duration::from_millis(millis.into());
                self.now = StoreNow {
                    wall: self.now.wall + passed,
                    lease: self.now.lease + passed,
                    ..self.now
                };
            }
            Action::SetWallClock(seconds) => {
                self.now.wall =
                    Timestamp::from_millis(ms(self.now.wall) + i64::from(seconds) * 1000);
            }
            Action::SetLimits { bots, minutes, queued } => {
                self.limit([bots, minutes, queued]).await;
            }
            Action::Restart => {
                self.store = self.backend.open();
                (self.now.lease, self.away) = (LeaseTime::from_millis(0), None);
                self.take_over(true).await;
            }
            Action::Restore { paused, end_running } => {
                self.restore(store::RestoreOptions { paused, end_running }).await;
            }
            Action::Unpause => {
                assert_eq!(self.backend.unpause().await, self.paused);
                self.paused = false;
                self.compare_all().await;
            }
            Action::CountBytes => self.count().await,
            Action::RemoveFiles { job } => {
                if let Some(job) = pick(job, self.jobs.len())
                    && self.jobs[job].deleted_at.is_some()
                {
                    self.store.recording_removed(self.jobs[job].id, self.now).await.unwrap();
                    self.jobs[job].bytes = Some(0);
                    self.compare(job).await;
                }
            }
        }
    }

    /// As a server that starts does: all recordings are looked at.
    async fn count(&mut self) {
        let mut expected: Vec<_> = self.jobs.iter_mut().filter(|job| job.has_files()).collect();
        expected.sort_by_key(|job| job.id);
        let found = self.store.recordings_to_count(true, None, ALL).await.unwrap();
        assert!(found.iter().copied().eq(expected.iter().map(|job| (job.id, job.bytes))));
        let uncounted = self.store.recordings_to_count(false, None, ALL).await.unwrap();
        assert!(uncounted.iter().eq(found.iter().filter(|(_, bytes)| bytes.is_none())));
        for job in expected {
            self.store.recording_counted(job.id, job.bytes, 50).await.unwrap();
            // What is known by now stays.
            self.store.recording_counted(job.id, None, 60).await.unwrap();
            job.bytes = Some(50);
        }
        self.compare_all().await;
    }

    /// The previous server is gone without a stop, and its tries are lost.
    async fn restore(&mut self, options: store::RestoreOptions) {
        self.backend = self.backend.restored(options, self.now);
        self.store = self.backend.open();
        self.paused |= options.paused;
        for job in &mut self.jobs {
            if options.end_running {
                job.end_by_restore(self.now);
            }
        }
        (self.now.lease, self.away) = (LeaseTime::from_millis(0), None);
        self.take_over(false).await;
    }

    async fn forget_claim(&mut self) {
        let options = store::RestoreOptions::default();
        let (backup, jobs) = (self.backend.restored(options, self.now), self.jobs.clone());
        self.claim(1).await;
        (self.backend, self.jobs) = (backup, jobs);
        self.store = self.backend.open();
        (self.now.lease, self.away) = (LeaseTime::from_millis(0), None);
        self.take_over(false).await;
    }

    async fn limit(&mut self, limits: [u8; 3]) {
        let own = |limit: Option<NonZeroU32>| {
            Some(limit.map_or(QuotaOverride::Unlimited, QuotaOverride::Limit))
        };
        self.limits = limits.map(|limit| NonZeroU32::new(limit.into()));
        let [bots, minutes, queued] = self.limits.map(own);
        let change = QuotaChange { bots, minutes, queued, worker_labels: None };
        assert!(self.store.change_quota("acme", change).await.unwrap());
        self.compare_all().await;
    }

    pub(super) fn bot_count(&self, tenant: Tenant) -> usize {
        self.jobs.iter().filter(|job| job.tenant == tenant && job.has_slot()).count()
    }

    pub(super) fn may_start_bot(&self, tenant: Tenant) -> bool {
        self.limits[0].is_none_or(|limit| self.bot_count(tenant) < limit.get() as usize)
    }

    fn queued_count(&self, tenant: Tenant) -> u32 {
        let queued = self.jobs.iter().filter(|job| job.tenant == tenant && job.waits());
        u32::try_from(queued.count()).unwrap()
    }

    /// Whether there is no room in the queue for another job.
    pub(super) fn queue_is_full(&self, tenant: Tenant) -> bool {
        self.limits[2].is_some_and(|limit| self.queued_count(tenant) >= limit.get())
    }

    fn minutes_used(&self, tenant: Tenant) -> u64 {
        let month = (tenant, quota::month(self.now.wall));
        let running = self.jobs.iter().filter(|job| job.tenant == tenant && job.has_slot());
        self.ledger.get(&month).copied().unwrap_or(0) + running.map(ModelJob::minutes).sum::<u64>()
    }

    /// Whether there are no minutes for a meeting that starts then.
    pub(super) fn refuses(&self, tenant: Tenant, from: i64) -> bool {
        let this_month = quota::month(Timestamp::from_millis(from)) == quota::month(self.now.wall);
        let none_left = |limit: NonZeroU32| self.minutes_used(tenant) >= limit.get().into();
        tenant.live && this_month && self.limits[1].is_some_and(none_left)
    }

    pub(super) fn place(&self, id: JobId) -> usize {
        self.jobs.iter().position(|job| job.id == id).expect("a job that was created")
    }

    /// From wherever it is, everything comes to its end: each job with a bot that does its work, each delivery with an endpoint that is well.
    pub(super) async fn run_to_completion(&mut self) {
        self.held_deliveries.clear();
        self.play(Action::Unpause).await;
        self.limit([1, 0, 0]).await;
        self.take_over(false).await;
        while self.jobs.iter().any(|job| !job.status.is_final()) {
            self.play(Action::AdvanceClocks(3_600_000)).await;
            self.claim(1).await;
            let bot = self.bots.len() - 1;
            let messages = [
                BotMessage::Admitted,
                BotMessage::RecordingStarted,
                BotMessage::Ended(BotEnd::Completed),
            ];
            self.report(bot, ReportOrder::Next, &messages).await;
        }
        for job in 0..self.jobs.len() {
            self.mix(job, MixResult::Made).await;
        }
        assert!(self.jobs.iter().all(|job| job.mix.is_none()));
        loop {
            let (taken, next) = self.take(8).await;
            while !self.held_deliveries.is_empty() {
                self.record_try(0, TryResult::Delivered).await;
            }
            if taken > 0 {
                continue;
            }
            // A sender sleeps until more may be due: never without end while a delivery waits, and never for no time.
            let Some(next) = next else { break };
            assert!(next > self.now.wall, "it would look again and again");
            self.now.wall = next;
        }
        let open = |sent: &&ModelDelivery| sent.state == DeliveryState::Pending;
        let open: Vec<_> = self.jobs.iter().flat_map(|job| &job.deliveries).filter(open).collect();
        assert!(open.is_empty(), "nobody would ever send them: {open:?}");
        self.compare_all().await;
    }

    pub(super) async fn compare_all(&mut self) {
        for job in 0..self.jobs.len() {
            self.compare(job).await;
        }
        let startable = |job: &&ModelJob| {
            job.status == JobStatus::Queued && (job.has_slot() || self.may_start_bot(job.tenant))
        };
        let queued = self.jobs.iter().filter(|_| !self.paused).filter(startable);
        let next = self.store.next_start().await.unwrap().map(ms);
        assert_eq!(next, queued.map(|job| job.run_at).min());
        for (key, _) in &self.keys {
            let used = self.store.used(key.tenant, self.now).await.unwrap();
            let bots = self.bot_count(key.tenant);
            assert_eq!((used.bots as usize, used.minutes), (bots, self.minutes_used(key.tenant)));
            assert_eq!(used.queued, self.queued_count(key.tenant));
            let Quota { bots, minutes, queued } = used.quota;
            assert_eq!([bots, minutes, queued], self.limits);
        }
        let bytes = |live| {
            let of_world = self.jobs.iter().filter(|job| job.tenant.live == live);
            of_world.filter_map(|job| job.bytes).sum::<u64>()
        };
        let consumers = self.store.consumers(self.now).await.unwrap();
        let summed: Vec<_> = consumers
            .iter()
            .map(|one| (one.live_recording_bytes, one.test_recording_bytes))
            .collect();
        assert_eq!(summed, [(bytes(true), bytes(false))]);
        let all = self.store.tally().await.unwrap().recording_bytes;
        assert_eq!(all, bytes(true) + bytes(false));
    }

    /// Holds all that the store shows of a job against the model.
    pub(super) async fn compare(&mut self, job: usize) {
        let model = &mut self.jobs[job];
        let (tenant, id) = (model.tenant, model.id);
        let shown: Job = self.store.job(tenant, id).await.unwrap().unwrap();
        assert_eq!((&shown.status, shown.attempt), (&model.status, model.epoch));
        assert_eq!(shown.recording.deleted_at.map(ms), model.deleted_at);
        assert_eq!(shown.recording.bytes, model.bytes);
        assert_eq!(shown.ended_at.is_some(), shown.status.is_final());
        assert_eq!(shown.failure_code.is_some(), shown.status == JobStatus::Failed);
        if model.status.is_final() && !std::mem::replace(&mut model.counted, true) {
            let billed = shown.failure_code.as_ref().is_none_or(FailureCode::billed);
            let month = (tenant, quota::month(self.now.wall));
            *self.ledger.entry(month).or_default() += if billed { model.minutes() } else { 0 };
        }
        let recording = shown.recording.state == RecordingState::On;
        assert_eq!(recording, model.recording == RecordingPhase::On && !model.status.is_final());

        let window = Window { limit: ALL, after: None };
        let timeline = self.store.timeline(tenant, id, window).await.unwrap().unwrap().data;
        let sequences = timeline.iter().map(|event| event.data.sequence);
        assert!(sequences.eq(1..=model.timeline.len() as u64), "without holes");
        let shown_timeline: Vec<_> =
            timeline.iter().map(|one| (one.event.clone(), one.data.status.clone())).collect();
        assert_eq!(shown_timeline, model.timeline);
        // A final status is reported once, and after it only a good end, and a file that was made of the recording.
        let after = shown_timeline.iter().skip_while(|(_, status)| !status.is_final()).skip(1);
        let after: Vec<_> = after.map(|(event, _)| event.clone()).collect();
        let both = [EventName::Finalized, EventName::ArtifactReady];
        assert!([&both[..0], &both[..1], &both[1..], &both].contains(&&*after), "{after:?}");

        let filter = DeliveryFilter { job_id: Some(id), state: None };
        let window = Window { limit: ALL, after: None };
        let sent = self.store.deliveries(tenant, filter, window).await.unwrap().data;
        assert_eq!(sent.len(), model.deliveries.len());
        let by_place: BTreeMap<_, _> =
            sent.iter().map(|one| ((one.sequence, one.url.as_str()), one)).collect();
        for expected in &mut model.deliveries {
            let one =
                by_place.get(&(expected.sequence, expected.url)).expect("it is in the outbox");
            assert_eq!(*expected.id.get_or_insert(one.id), one.id, "it stays the same");
            assert_eq!(
                (&one.event, &one.state, one.tries.len()),
                (&expected.event, &expected.state, expected.tries_ever as usize)
            );
        }

        for expected in &model.commands {
            let (command, _) = self.store.commanded(tenant, expected.id).await.unwrap().unwrap();
            assert_eq!((&command.action, &command.state), (&expected.action, &expected.state));
            assert!(command.state != ControlState::Pending || !model.status.is_final());
        }
        self.compare_mixes().await;
    }
}
