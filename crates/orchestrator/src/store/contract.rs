//! What every store must do, on whichever database [`Backend`] opens.

mod accounts;
mod adopted;
mod audit;
mod availability;
mod clocks;
mod commands;
mod erasure;
mod feed;
mod keys;
mod labels;
mod life;
mod lost;
mod mixes;
mod outbox;
mod paused;
mod pools;
mod pruning;
mod quotas;
mod recordings;
mod redeliveries;
mod removals;
mod requests;
mod room_bots;
mod sessions;
mod tally;
mod uploads;
mod zoom;

use std::{sync::Arc, time::Duration};

use meetbot_types::{
    AutoLeave, Cause, ConsumerId, ControlAction, ControlState, Delivery, DeliveryId, DeliveryState,
    DeliveryTry, EventName, Failure, FailureCode, KeyId, LeaveReason, MeetingLink, Metadata,
    Recording, Webhooks,
    bot::{BotReport, IngestRequest, LEASE_SECONDS, MediaCounters, NumberedReport},
    manifest::File,
};

use super::*;
use crate::{clock::LeaseTime, timing::Timing};

const HOUR: Duration = Duration::from_hours(1);
/// How many bytes each recording has when its job ends.
const RECORDED: u64 = 1_000;

struct Fixture {
    store: Arc<dyn Store>,
    tenant: Tenant,
    backend: Backend,
}

pub(crate) fn at(seconds: u64) -> StoreNow {
    let passed = Duration::from_secs(seconds);
    let wall = Timestamp::from_millis(1_800_000_000_000) + passed;
    let lease = LeaseTime::from_millis(0) + passed;
    StoreNow { wall, lease, timing: Timing::default() }
}

pub(crate) fn key(consumer: &str, live: bool) -> NewKey {
    NewKey {
        id: KeyId::generate(at(0).wall),
        consumer_name: consumer.to_owned(),
        live,
        scope: Scope::Write,
        expires_at: None,
        prefix: crate::letters::letters(8),
        hash: [7; 32],
        webhook_secret: "whsec_AAAA".to_owned(),
    }
}

async fn fixture() -> Fixture {
    let backend = Backend::new();
    let store = backend.open();
    let (key, _) = store.create_key(key("acme", true), at(0)).await.unwrap();
    Fixture { store, tenant: key.tenant, backend }
}

/// A worker for bots of all pools, without labels.
fn worker() -> Claimer {
    Claimer { worker: Some("worker:a".to_owned()), ..Claimer::default() }
}

/// A claim's bots can join every platform.
pub(crate) fn all_available() -> Arc<AvailabilityLookup> {
    Arc::new(|_, _| crate::jobs::all_available())
}

pub(crate) fn new_job(now: StoreNow) -> Job {
    Job {
        id: JobId::generate(now.wall),
        external_id: None,
        meeting_url: "https://sandbox.meetbot.dev/two-speakers".into(),
        // Of the sandbox's meetings no minutes are counted.
        platform: Platform::Janus,
        display_name: "meetbot".into(),
        status: JobStatus::Queued,
        status_detail: None,
        recording: Recording::default(),
        join_at: None,
        webhooks: Webhooks {
            on_status_change: Some("http://127.0.0.1:1/status".into()),
            on_finalize: Some("http://127.0.0.1:1/final".into()),
        },
        metadata: Metadata::default(),
        auto_leave: AutoLeave::default(),
        record_video: None,
        account: None,
        attempt: 0,
        leave_reason: None,
        failure_code: None,
        failure_detail: None,
        manifest_uri: None,
        created_at: now.wall,
        updated_at: now.wall,
        joined_at: None,
        ended_at: None,
        extra: serde_json::Map::default(),
    }
}

pub(crate) fn link() -> MeetingLink {
    MeetingLink::parse("https://sandbox.meetbot.dev/two-speakers", None).unwrap()
}

/// A job waits ten minutes for a worker.
pub(crate) fn start(job: &Job) -> Start {
    let from = job.join_at.unwrap_or(job.created_at);
    Start { from, by: from + Duration::from_mins(10) }
}

impl Fixture {
    async fn create(&self, change: impl FnOnce(&mut Job), now: StoreNow) -> Job {
        let mut job = new_job(now);
        change(&mut job);
        match self
            .store
            .create_job(self.tenant, job.clone(), link(), start(&job), None, now)
            .await
            .unwrap()
        {
            Creation::Created(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    async fn claim(&self, token: u8, now: StoreNow) -> Option<Claimed> {
        match self.store.claim([token; 32], all_available(), now).await.unwrap() {
            Claim::Bot(claimed) => Some(*claimed),
            Claim::Nothing => None,
            Claim::NoMinutes(job) => panic!("{job} finds no minutes"),
        }
    }

    async fn report(
        &self,
        job: JobId,
        epoch: u32,
        token: u8,
        first: u64,
        reports: &[BotReport],
        now: StoreNow,
    ) -> Reported {
        let reports = (first..)
            .zip(reports)
            .map(|(seq, report)| NumberedReport { seq, at: now.wall, report: report.clone() })
            .collect();
        let request = IngestRequest { job_id: job, epoch, reports };
        let recorded = Recorded { bytes: Some(RECORDED), ..Recorded::default() };
        self.store.report(request, [token; 32].into(), recorded, None, now).await.unwrap()
    }

    async fn job(&self, id: JobId) -> Job {
        self.store.job(self.tenant, id).await.unwrap().unwrap()
    }

    async fn timeline_names(&self, id: JobId) -> Vec<String> {
        let window = Window { limit: 200, after: None };
        let page = self.store.timeline(self.tenant, id, window).await.unwrap().unwrap();
        let sequences: Vec<u64> = page.data.iter().map(|event| event.data.sequence).collect();
        assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "without holes");
        page.data
            .iter()
            .map(|event| match event.event {
                EventName::StatusChanged => event.data.status.to_string(),
                ref name => name.to_string(),
            })
            .collect()
    }
}

fn acknowledged(reported: &Reported) -> u64 {
    match reported {
        Reported::Applied(answer) => answer.acknowledged,
        other => panic!("{other:?}"),
    }
}

fn ended(cause: Cause, has_media: bool) -> BotReport {
    BotReport::Ended {
        ending: cause.ending(has_media, false),
        manifest_uri: has_media.then(|| "file:///m.json".into()),
        duration_ms: 1000,
        paused_ms: 0,
        consent_revoked: false,
    }
}
