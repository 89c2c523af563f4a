//! What every store must do. Run on SQLite; PostgreSQL will run the same.

mod audit;
mod clocks;
mod erasure;
mod lost;
mod mixes;
mod outbox;
mod pruning;
mod quotas;
mod recordings;
mod room_bots;
mod tally;

use std::{sync::Arc, time::Duration};

use meetbot_types::{
    AutoLeave, Cause, ControlState, DeliveryState, DeliveryTry, EventName, Failure, FailureCode,
    JobStatus, LeaveReason, Metadata, Recording, Webhooks,
    bot::{BotReport, LEASE_SECONDS, MediaCounters, NumberedReport},
};

use super::*;

const HOUR: Duration = Duration::from_hours(1);

struct Fixture {
    store: Arc<dyn Store>,
    tenant: Tenant,
    _folder: tempfile::TempDir,
}

pub(crate) fn at(seconds: u64) -> Now {
    let steady = Duration::from_secs(seconds);
    Now { wall: Timestamp::from_millis(1_800_000_000_000) + steady, steady }
}

pub(crate) fn key(consumer: &str, live: bool) -> NewKey {
    NewKey {
        id: KeyId::generate(at(0).wall),
        consumer_name: consumer.to_owned(),
        live,
        scope: Scope::Write,
        expires_at: None,
        prefix: crate::keys::letters(8),
        hash: [7; 32],
        webhook_secret: "whsec_AAAA".to_owned(),
    }
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let (key, _) = store.create_key(key("acme", true), at(0)).await.unwrap();
    Fixture { store: Arc::new(store), tenant: key.tenant, _folder: folder }
}

pub(crate) fn new_job(now: Now) -> Job {
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
    async fn create(&self, change: impl FnOnce(&mut Job), now: Now) -> Job {
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

    async fn claim(&self, token: u8, now: Now) -> Option<Claimed> {
        match self.store.claim([token; 32], now).await.unwrap() {
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
        now: Now,
    ) -> Reported {
        let reports = (first..)
            .zip(reports)
            .map(|(seq, report)| NumberedReport { seq, at: now.wall, report: report.clone() })
            .collect();
        let request = IngestRequest { job_id: job, epoch, reports };
        self.store.report(request, [token; 32], None, now).await.unwrap()
    }

    async fn job(&self, id: JobId) -> Job {
        self.store.job(self.tenant, id).await.unwrap().unwrap()
    }

    async fn told(&self, id: JobId) -> Vec<String> {
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
    }
}

#[tokio::test]
async fn a_job_goes_its_way_and_everything_is_told_once() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let claimed = fixture.claim(1, at(2)).await.unwrap();
    assert_eq!((claimed.job.id, claimed.job.attempt, claimed.finalize), (job.id, 1, None));
    let reports = [
        BotReport::Admitted,
        BotReport::RecordingStarted,
        BotReport::Leaving { reason: Some(LeaveReason::MeetingEnded), failure: None },
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ];
    assert_eq!(acknowledged(&fixture.report(job.id, 1, 1, 1, &reports, at(3)).await), 4);
    // The answer was lost: the same again changes nothing.
    assert_eq!(acknowledged(&fixture.report(job.id, 1, 1, 1, &reports, at(4)).await), 4);
    let expected = ["joining", "in_call", "recording", "finalizing", "completed", "job.finalized"];
    assert_eq!(fixture.told(job.id).await, expected);
    assert_eq!(fixture.job(job.id).await.status, JobStatus::Completed);
    assert!(fixture.claim(2, at(5)).await.is_none());
}

#[tokio::test]
async fn a_job_is_claimed_once_and_the_oldest_first() {
    let fixture = fixture().await;
    let first = fixture.create(|_| {}, at(1)).await;
    let second = fixture.create(|_| {}, at(2)).await;
    let claimed = [1, 2, 3].map(|token| fixture.claim(token, at(3)));
    let [one, two, none] = claimed;
    assert_eq!(one.await.unwrap().job.id, first.id);
    assert_eq!(two.await.unwrap().job.id, second.id);
    assert!(none.await.is_none());
}

#[tokio::test]
async fn a_scheduled_job_waits_for_its_time() {
    let fixture = fixture().await;
    let start = at(100).wall;
    let job = fixture.create(|job| job.join_at = Some(start), at(1)).await;
    assert!(fixture.claim(1, at(99)).await.is_none());
    assert_eq!(fixture.store.next_start().await.unwrap(), Some(start));
    assert_eq!(fixture.claim(1, at(100)).await.unwrap().job.id, job.id);
    assert_eq!(fixture.store.next_start().await.unwrap(), None);
}

#[tokio::test]
async fn an_older_attempt_is_fenced_off() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    assert!(fixture.store.release(job.id, 1, at(3)).await.unwrap());
    let claimed = fixture.claim(2, at(4)).await.unwrap();
    assert_eq!(claimed.job.attempt, 2);
    let late = fixture.report(job.id, 1, 1, 1, &[BotReport::Admitted], at(5)).await;
    assert_eq!(late, Reported::Superseded);
    for (epoch, token) in [(2, 1), (3, 2), (1, 9), (0, 9), (2, 9)] {
        let forged = fixture.report(job.id, epoch, token, 1, &[BotReport::Admitted], at(5)).await;
        assert_eq!(forged, Reported::Unknown, "attempt {epoch}, token {token}");
    }
    let has_had = async |token| fixture.store.has_had_bot(job.id, [token; 32]).await.unwrap();
    assert_eq!((has_had(1).await, has_had(2).await, has_had(9).await), (true, true, false));
    assert_eq!(fixture.job(job.id).await.status, JobStatus::Joining);
    assert_eq!(
        acknowledged(&fixture.report(job.id, 2, 2, 1, &[BotReport::Admitted], at(5)).await),
        1
    );
    assert!(!fixture.store.release(job.id, 1, at(6)).await.unwrap());
    assert_eq!(fixture.store.bot_commands(job.id, 1, [1; 32], 0).await.unwrap(), None);
}

#[tokio::test]
async fn a_lease_is_renewed_by_life_and_a_late_sign_does_not_revive_it() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    let beat = [BotReport::Heartbeat { media: MediaCounters::default() }];
    let lease = u64::from(LEASE_SECONDS);
    assert_eq!(acknowledged(&fixture.report(job.id, 1, 1, 1, &beat, at(20)).await), 1);
    assert!(fixture.store.reap(false, at(2 + lease)).await.unwrap().is_empty());
    let late = fixture.report(job.id, 1, 1, 2, &beat, at(20 + lease)).await;
    assert_eq!(late, Reported::Superseded);
    assert_eq!(fixture.store.reap(false, at(20 + lease)).await.unwrap(), [job.id]);
    let lost = fixture.job(job.id).await;
    assert_eq!(
        (lost.status.as_str(), lost.status_detail.as_deref()),
        ("queued", Some("reconnecting"))
    );
}

#[tokio::test]
async fn after_five_lost_bots_the_sixth_only_finalises() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    for attempt in 1..=MAX_ATTEMPTS {
        let now = at(u64::from(attempt) * 60);
        let claimed = fixture.claim(1, now).await.unwrap();
        assert_eq!((claimed.job.attempt, claimed.finalize), (attempt, None));
        fixture.store.release(job.id, attempt, now).await.unwrap();
    }
    let claimed = fixture.claim(1, at(400)).await.unwrap();
    let ending = claimed.finalize.unwrap();
    assert_eq!((ending.status, claimed.job.status), (JobStatus::Failed, JobStatus::Finalizing));
    let failure = Failure::new(FailureCode::InternalError, "bots were lost");
    fixture.report(job.id, 6, 1, 1, &[ended(Cause::Failed(failure), false)], at(401)).await;
    assert_eq!(fixture.job(job.id).await.failure_code, Some(FailureCode::InternalError));
}

#[tokio::test]
async fn a_job_that_is_handed_over_has_lost_no_bot() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    for attempt in 1..=MAX_ATTEMPTS + 3 {
        let claimed = fixture.claim(1, at(3)).await.unwrap();
        assert_eq!((claimed.job.attempt, claimed.finalize), (attempt, None));
        assert!(fixture.store.hand_over(job.id, attempt, at(3)).await.unwrap());
        assert!(!fixture.store.hand_over(job.id, attempt, at(3)).await.unwrap());
    }
    let job = fixture.job(job.id).await;
    assert_eq!(
        (job.status, job.status_detail.as_deref()),
        (JobStatus::Queued, Some("reconnecting"))
    );
    for minute in 1..=u64::from(MAX_ATTEMPTS) {
        let claimed = fixture.claim(1, at(minute * 60)).await.unwrap();
        assert_eq!(claimed.finalize, None, "{claimed:?}");
        fixture.store.release(job.id, claimed.job.attempt, at(minute * 60)).await.unwrap();
    }
    assert!(fixture.claim(1, at(400)).await.unwrap().finalize.is_some());
}

#[tokio::test]
async fn cancel_ends_a_queued_job_at_once_and_others_through_their_bot() {
    let fixture = fixture().await;
    let queued = fixture.create(|_| {}, at(1)).await;
    let cancelled = fixture.store.cancel(fixture.tenant, queued.id, at(2)).await.unwrap().unwrap();
    assert_eq!(cancelled.status, JobStatus::Cancelled);

    let job = fixture.create(|_| {}, at(3)).await;
    fixture.claim(1, at(4)).await.unwrap();
    fixture
        .report(job.id, 1, 1, 1, &[BotReport::Admitted, BotReport::RecordingStarted], at(5))
        .await;
    let leaving = fixture.store.cancel(fixture.tenant, job.id, at(6)).await.unwrap().unwrap();
    assert_eq!(leaving.status, JobStatus::Finalizing);
    fixture.store.cancel(fixture.tenant, job.id, at(6)).await.unwrap();
    let commands = fixture.store.bot_commands(job.id, 1, [1; 32], 0).await.unwrap().unwrap();
    assert_eq!(
        commands.iter().map(|command| &command.action).collect::<Vec<_>>(),
        [&ControlAction::Cancel]
    );
    // Its bot dies on the way out: the next one only finalises, as cancelled.
    fixture.store.release(job.id, 1, at(7)).await.unwrap();
    let claimed = fixture.claim(2, at(8)).await.unwrap();
    assert_eq!(claimed.finalize.unwrap().status, JobStatus::Cancelled);
    fixture.report(job.id, 2, 2, 1, &[ended(Cause::Cancelled, true)], at(9)).await;
    let job = fixture.store.cancel(fixture.tenant, job.id, at(10)).await.unwrap().unwrap();
    assert_eq!(
        (job.status, job.leave_reason),
        (JobStatus::Cancelled, Some(LeaveReason::Cancelled))
    );
}

#[tokio::test]
async fn commands_are_in_order_answered_once_and_expire_with_their_bot() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let give = async |action, now| {
        fixture.store.command(fixture.tenant, job.id, action, None, None, now).await.unwrap()
    };
    assert!(matches!(give(ControlAction::PauseRecording, at(2)).await, Commanded::InvalidState(_)));
    fixture.claim(1, at(3)).await.unwrap();
    fixture
        .report(job.id, 1, 1, 1, &[BotReport::Admitted, BotReport::RecordingStarted], at(4))
        .await;
    let Commanded::Given(pause, _) = give(ControlAction::PauseRecording, at(5)).await else {
        panic!()
    };
    let Commanded::Given(chat, _) = give(ControlAction::SendChatMessage, at(5)).await else {
        panic!()
    };
    let commands = fixture.store.bot_commands(job.id, 1, [1; 32], 0).await.unwrap().unwrap();
    assert_eq!(commands.iter().map(|command| command.id).collect::<Vec<_>>(), [pause.id, chat.id]);
    let after =
        fixture.store.bot_commands(job.id, 1, [1; 32], commands[0].seq).await.unwrap().unwrap();
    assert_eq!(after.len(), 1);
    let done = BotReport::CommandDone { command_id: pause.id, state: ControlState::Done };
    fixture.report(job.id, 1, 1, 3, &[done], at(6)).await;
    fixture.store.release(job.id, 1, at(7)).await.unwrap();
    let state =
        async |id| fixture.store.commanded(fixture.tenant, id).await.unwrap().unwrap().0.state;
    assert_eq!(state(pause.id).await, ControlState::Done);
    assert_eq!(state(chat.id).await, "expired");
}

#[tokio::test]
async fn leaving_a_queued_job_ends_it() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let left = fixture
        .store
        .command(fixture.tenant, job.id, ControlAction::LeaveCall, None, None, at(2))
        .await
        .unwrap();
    let Commanded::Given(command, job) = left else { panic!("{left:?}") };
    assert_eq!((command.state, job.status), (ControlState::Done, JobStatus::Cancelled));
    assert_eq!(job.leave_reason, Some(LeaveReason::Requested));
}

#[tokio::test]
async fn an_external_id_names_one_job_in_each_world() {
    let fixture = fixture().await;
    let name = |job: &mut Job| job.external_id = Some("meeting-7".into());
    let first = fixture.create(name, at(1)).await;
    let mut again = new_job(at(2));
    name(&mut again);
    let creation = fixture
        .store
        .create_job(fixture.tenant, again.clone(), link(), start(&again), None, at(2))
        .await
        .unwrap();
    let Creation::Existing(existing) = creation else { panic!("{creation:?}") };
    assert_eq!(existing.id, first.id);
    let other_world = Tenant { live: false, ..fixture.tenant };
    let creation = fixture
        .store
        .create_job(other_world, again.clone(), link(), start(&again), None, at(2))
        .await
        .unwrap();
    assert!(matches!(creation, Creation::Created(_)));
}

#[tokio::test]
async fn an_idempotency_key_gets_its_first_answer_for_a_day() {
    let fixture = fixture().await;
    let once = Once { key: "k".into(), fingerprint: [1; 32], ignored: "a.b".into() };
    let create = async |once: &Once, now| {
        fixture
            .store
            .create_job(
                fixture.tenant,
                new_job(now),
                link(),
                start(&new_job(now)),
                Some(once.clone()),
                now,
            )
            .await
            .unwrap()
    };
    let Creation::Created(job) = create(&once, at(1)).await else { panic!() };
    let Creation::Earlier(Earlier::Answered(answer)) = create(&once, at(2)).await else { panic!() };
    assert_eq!((answer.status, answer.body), (201, serde_json::to_string(&job).unwrap()));
    assert_eq!(answer.ignored, once.ignored);
    let other = Once { fingerprint: [2; 32], ..once.clone() };
    assert!(matches!(create(&other, at(3)).await, Creation::Earlier(Earlier::Different)));
    let tomorrow = at(1 + 24 * HOUR.as_secs());
    assert!(matches!(create(&other, tomorrow).await, Creation::Created(_)));
}

#[tokio::test]
async fn a_command_of_an_idempotency_key_is_given_once() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    fixture.report(job.id, 1, 1, 1, &[BotReport::Admitted], at(3)).await;
    let once = Once { key: "say".into(), fingerprint: [1; 32], ignored: "a.b".into() };
    let say = async |now| {
        fixture
            .store
            .command(
                fixture.tenant,
                job.id,
                ControlAction::SendChatMessage,
                Some("hi".into()),
                Some(once.clone()),
                now,
            )
            .await
            .unwrap()
    };
    assert!(matches!(say(at(4)).await, Commanded::Given(..)));
    assert!(matches!(say(at(5)).await, Commanded::Earlier(Earlier::Running)));
    // The server died before the last answer: the first one is given.
    let Commanded::Earlier(Earlier::Answered(answer)) = say(at(30)).await else { panic!() };
    assert_eq!(answer.status, 202);
    assert_eq!(answer.ignored, once.ignored);
    let last = KeptAnswer { status: 200, body: "{}".into(), ignored: "a.b".into() };
    fixture.store.keep_answer(fixture.tenant, "say".into(), last.clone()).await.unwrap();
    let Commanded::Earlier(Earlier::Answered(answer)) = say(at(31)).await else { panic!() };
    assert_eq!(answer, last);
    let commands = fixture.store.bot_commands(job.id, 1, [1; 32], 0).await.unwrap().unwrap();
    assert_eq!(commands.len(), 1);
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let (other, _) = fixture.store.create_key(key("other", true), at(1)).await.unwrap();
    for stranger in [other.tenant, Tenant { live: false, ..fixture.tenant }] {
        let store = &fixture.store;
        let window = Window { limit: 10, after: None };
        assert!(store.job(stranger, job.id).await.unwrap().is_none());
        assert!(store.cancel(stranger, job.id, at(2)).await.unwrap().is_none());
        assert!(
            store
                .timeline(stranger, job.id, Window { limit: 10, after: None })
                .await
                .unwrap()
                .is_none()
        );
        assert!(store.jobs(stranger, JobFilter::default(), window).await.unwrap().data.is_empty());
        let commanded =
            store.command(stranger, job.id, ControlAction::LeaveCall, None, None, at(2)).await;
        assert!(matches!(commanded.unwrap(), Commanded::NotFound));
        let window = Window { limit: 10, after: None };
        assert!(
            store
                .deliveries(stranger, DeliveryFilter::default(), window)
                .await
                .unwrap()
                .data
                .is_empty()
        );
    }
    assert_eq!(fixture.job(job.id).await.status, JobStatus::Queued);
}

#[tokio::test]
async fn a_list_is_stable_under_inserts_and_filters() {
    let fixture = fixture().await;
    for second in 1..=5 {
        fixture.create(|job| job.external_id = Some(second.to_string()), at(second)).await;
    }
    let list = async |filter, after| {
        fixture.store.jobs(fixture.tenant, filter, Window { limit: 2, after }).await.unwrap()
    };
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = list(JobFilter::default(), after).await;
        seen.extend(page.data.into_iter().filter_map(|job| job.external_id));
        fixture.create(|_| {}, at(60)).await;
        let Some(cursor) = page.next_cursor else { break };
        after = Some(cursor.parse().unwrap());
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1"]);
    let filter = JobFilter {
        created_after: Some(at(2).wall),
        created_before: Some(at(4).wall),
        statuses: vec![JobStatus::Queued, JobStatus::Failed],
        ..JobFilter::default()
    };
    let found = list(filter, None).await.data;
    assert_eq!(
        found.iter().filter_map(|job| job.external_id.as_deref()).collect::<Vec<_>>(),
        ["3", "2"]
    );
    let filter = JobFilter { platform: Some(Platform::ZoomWeb), ..JobFilter::default() };
    assert!(list(filter, None).await.data.is_empty());
}

#[tokio::test]
async fn keys_are_found_by_their_public_part_and_revoked() {
    let fixture = fixture().await;
    let new = NewKey { webhook_secret: "whsec_BBBB".to_owned(), ..key("acme", false) };
    let (made, secret) = fixture.store.create_key(new.clone(), at(1)).await.unwrap();
    // A consumer has one secret: that of its first key.
    assert_eq!((made.tenant.consumer, secret.as_str()), (fixture.tenant.consumer, "whsec_AAAA"));
    assert_eq!(fixture.store.find_key(&new.prefix).await.unwrap(), Some(made.clone()));
    assert!(fixture.store.revoke_key(made.id, at(2)).await.unwrap());
    let revoked = fixture.store.find_key(&new.prefix).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at(2).wall));
    assert!(!fixture.store.revoke_key(KeyId::generate(at(3).wall), at(3)).await.unwrap());
    assert_eq!(fixture.store.keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_job_that_no_worker_takes_in_time_fails_and_one_that_was_taken_never_does() {
    let fixture = fixture().await;
    let lost = fixture.create(|_| (), at(1)).await;
    fixture.claim(1, at(1)).await.unwrap();
    assert!(fixture.store.release(lost.id, 1, at(2)).await.unwrap());
    let job = fixture.create(|_| (), at(1)).await;
    let late = at(11 * 60);
    assert_eq!(fixture.store.expire(at(9 * 60)).await.unwrap(), []);
    let expired = Expired { job: job.id, at_bot_limit: false };
    assert_eq!(fixture.store.expire(late).await.unwrap(), [expired]);
    assert_eq!(fixture.store.expire(late).await.unwrap(), []);
    let job = fixture.store.job(fixture.tenant, job.id).await.unwrap().unwrap();
    assert_eq!(
        (job.status, job.failure_code),
        (JobStatus::Failed, Some(FailureCode::DispatchTimeout))
    );
}
