//! Who gets the next bot, and who has had all of theirs.

use std::num::NonZeroU32;

use meetbot_types::Page;

use super::*;

const NOVEMBER: &str = "2026-11-30T22:00:00Z";

/// So many seconds after `NOVEMBER`, on both clocks.
fn since(seconds: u64) -> StoreNow {
    let wall = NOVEMBER.parse::<Timestamp>().unwrap() + Duration::from_secs(seconds);
    StoreNow { wall, ..at(seconds) }
}

impl Fixture {
    async fn limit(&self, bots: u32, minutes: u32) {
        let own = |limit| {
            Some(NonZeroU32::new(limit).map_or(QuotaOverride::Unlimited, QuotaOverride::Limit))
        };
        let change =
            QuotaChange { bots: own(bots), minutes: own(minutes), ..QuotaChange::default() };
        assert!(self.store.change_quota("acme", change).await.unwrap());
    }

    /// A job of this tenant.
    async fn job_of(&self, tenant: Tenant, now: StoreNow) -> JobId {
        let job = new_job(now);
        let (id, start) = (job.id, start(&job));
        let created = self.store.create_job(tenant, job, link(), start, None, now).await.unwrap();
        assert!(matches!(created, Creation::Created(_)), "{created:?}");
        id
    }

    async fn tenant(&self, name: &str) -> Tenant {
        self.store.create_key(key(name, true), at(0)).await.unwrap().0.tenant
    }

    /// The job that the next bot gets.
    async fn next(&self, now: StoreNow) -> Option<JobId> {
        self.claim(1, now).await.map(|claimed| claimed.job.id)
    }

    /// The attempt's bot is in the meeting for so many seconds, with a heartbeat every five.
    async fn meet(&self, job: JobId, epoch: u32, from: u64, seconds: u64) -> u64 {
        let mut seq = 1;
        for second in (0..=seconds).step_by(5) {
            let beat = BotReport::Heartbeat { media: MediaCounters::default() };
            let said = if second == 0 { BotReport::Admitted } else { beat };
            self.report(job, epoch, 1, seq, &[said], since(from + second)).await;
            seq += 1;
        }
        seq
    }

    async fn minutes(&self, now: StoreNow) -> u64 {
        self.store.used(self.tenant, now).await.unwrap().minutes
    }
}

#[tokio::test]
async fn a_sandbox_meeting_costs_no_minutes_and_needs_none() {
    let fixture = fixture().await;
    fixture.limit(0, 1).await;
    let sandbox = |now| Job { platform: Platform::Sandbox, ..new_job(now) };
    let create = async |job: Job, now| {
        let start = start(&job);
        fixture.store.create_job(fixture.tenant, job, link(), start, None, now).await.unwrap()
    };
    let first = sandbox(since(1));
    let id = first.id;
    assert!(matches!(create(first, since(1)).await, Creation::Created(_)));
    assert_eq!(fixture.next(since(2)).await, Some(id));
    let seq = fixture.meet(id, 1, 3, 120).await;
    assert_eq!(fixture.minutes(since(124)).await, 0, "while it goes on");
    fixture.report(id, 1, 1, seq, &over(), since(125)).await;
    assert_eq!(fixture.minutes(since(126)).await, 0, "when it has ended");

    // All minutes are used up by another meeting.
    let real = fixture.job_of(fixture.tenant, since(130)).await;
    assert_eq!(fixture.next(since(130)).await, Some(real));
    let seq = fixture.meet(real, 1, 131, 10).await;
    fixture.report(real, 1, 1, seq, &over(), since(142)).await;
    assert_eq!(fixture.minutes(since(143)).await, 1);
    assert!(matches!(create(new_job(since(144)), since(144)).await, Creation::NoMinutes(_)));
    let second = sandbox(since(145));
    let id = second.id;
    assert!(matches!(create(second, since(145)).await, Creation::Created(_)));
    assert_eq!(fixture.next(since(146)).await, Some(id));
}

fn over() -> [BotReport; 1] {
    [ended(Cause::Left(LeaveReason::MeetingEnded), true)]
}

#[tokio::test]
async fn a_consumer_at_its_bot_limit_waits_without_blocking_others() {
    let fixture = fixture().await;
    fixture.limit(2, 0).await;
    let other = fixture.tenant("other").await;
    let mut flood = Vec::new();
    for second in 1..=4 {
        flood.push(fixture.job_of(fixture.tenant, at(second)).await);
    }
    let theirs = fixture.job_of(other, at(9)).await;
    let test = Tenant { live: false, ..fixture.tenant };
    let in_test = fixture.job_of(test, at(10)).await;
    for expected in [flood[0], theirs, in_test, flood[1]] {
        assert_eq!(fixture.next(at(20)).await, Some(expected));
    }
    assert_eq!(
        (fixture.next(at(20)).await, fixture.store.next_start().await.unwrap()),
        (None, None)
    );
    assert!(fixture.store.at_bot_limit(fixture.tenant).await.unwrap());
    assert!(!fixture.store.at_bot_limit(test).await.unwrap(), "worlds are counted apart");
    // Scheduled jobs are found although older ones wait for a slot.
    let later = at(100).wall;
    let mut job = new_job(at(20));
    job.join_at = Some(later);
    let at_later = start(&job);
    fixture.store.create_job(other, job, link(), at_later, None, at(20)).await.unwrap();
    assert_eq!(fixture.store.next_start().await.unwrap(), Some(later));
    fixture.report(flood[0], 1, 1, 1, &over(), at(21)).await;
    assert_eq!(fixture.next(at(22)).await, Some(flood[2]));
    assert_eq!(fixture.next(at(22)).await, None);
    let used = fixture.store.used(fixture.tenant, at(22)).await.unwrap();
    assert_eq!((used.bots, used.quota.bots), (2, NonZeroU32::new(2)));
}

#[tokio::test]
async fn the_next_bot_goes_to_the_tenant_with_the_fewest_bots_also_without_limits() {
    let fixture = fixture().await;
    let other = fixture.tenant("other").await;
    let mut flood = Vec::new();
    for second in 1..=3 {
        flood.push(fixture.job_of(fixture.tenant, at(second)).await);
    }
    let theirs = [fixture.job_of(other, at(4)).await, fixture.job_of(other, at(5)).await];
    for expected in [flood[0], theirs[0], flood[1], theirs[1], flood[2]] {
        assert_eq!(fixture.next(at(9)).await, Some(expected));
    }
}

#[tokio::test]
async fn a_job_with_a_lost_bot_keeps_its_slot_and_is_claimed_first() {
    let fixture = fixture().await;
    let other = fixture.tenant("other").await;
    let jobs = [
        fixture.job_of(fixture.tenant, at(1)).await,
        fixture.job_of(fixture.tenant, at(2)).await,
        fixture.job_of(fixture.tenant, at(3)).await,
    ];
    for expected in &jobs[..2] {
        assert_eq!(fixture.next(at(4)).await, Some(*expected));
    }
    let theirs = fixture.job_of(other, at(4)).await;
    // A lower limit ends no running bot.
    fixture.limit(1, 0).await;
    for job in &jobs[..2] {
        assert!(fixture.store.release(*job, 1, at(5)).await.unwrap());
    }
    assert!(fixture.store.at_bot_limit(fixture.tenant).await.unwrap());
    for expected in [jobs[0], jobs[1], theirs] {
        assert_eq!(fixture.next(at(6)).await, Some(expected));
    }
    for job in &jobs[..2] {
        assert_eq!(fixture.next(at(7)).await, None);
        fixture.report(*job, 2, 1, 1, &over(), at(8)).await;
    }
    assert_eq!(fixture.next(at(9)).await, Some(jobs[2]));
}

#[tokio::test]
async fn a_job_that_expired_at_the_bot_limit_has_that_reason() {
    let fixture = fixture().await;
    fixture.limit(1, 0).await;
    fixture.job_of(fixture.tenant, at(1)).await;
    let waits = fixture.job_of(fixture.tenant, at(2)).await;
    fixture.next(at(3)).await.unwrap();
    let expired = fixture.store.expire(at(20 * 60)).await.unwrap();
    assert_eq!(expired, [Expired { job: waits, awaited: Some(Awaited::Slot) }]);
    let job = fixture.job(waits).await;
    assert_eq!(job.failure_code, Some(FailureCode::DispatchTimeout));
    assert!(job.failure_detail.unwrap().contains("as many bots"));
}

#[tokio::test]
async fn limits_of_a_consumer_override_the_settings_and_both_can_change() {
    let fixture = fixture().await;
    let limits = |bots, minutes| Quota {
        bots: NonZeroU32::new(bots),
        minutes: NonZeroU32::new(minutes),
        queued: None,
    };
    let quota = async || fixture.store.used(fixture.tenant, at(9)).await.unwrap().quota;
    assert_eq!(quota().await, Quota::default());
    fixture.store.set_default_quota(limits(1, 60)).await.unwrap();
    assert_eq!(quota().await, limits(1, 60));
    for second in 1..=3 {
        fixture.job_of(fixture.tenant, at(second)).await;
    }
    assert!(fixture.next(at(4)).await.is_some());
    assert_eq!(fixture.next(at(4)).await, None);
    let two = QuotaOverride::Limit(NonZeroU32::MIN.saturating_add(1));
    let change = QuotaChange { bots: Some(two), ..QuotaChange::default() };
    assert!(fixture.store.change_quota("acme", change).await.unwrap());
    assert_eq!(quota().await, limits(2, 60));
    assert!(fixture.next(at(5)).await.is_some());
    assert_eq!(fixture.next(at(5)).await, None);
    fixture.limit(0, 0).await;
    assert_eq!(quota().await, Quota::default());
    let default = Some(QuotaOverride::Default);
    let back =
        QuotaChange { bots: default, minutes: default, queued: default, ..QuotaChange::default() };
    assert!(fixture.store.change_quota("acme", back.clone()).await.unwrap());
    assert_eq!(fixture.next(at(6)).await, None);
    fixture.store.set_default_quota(limits(3, 0)).await.unwrap();
    assert!(fixture.next(at(7)).await.is_some(), "the settings were raised");
    assert!(!fixture.store.change_quota("nobody", back).await.unwrap());
}

#[tokio::test]
async fn minutes_are_counted_once_in_the_month_in_which_the_job_ends() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, since(117 * 60)).await;
    fixture.next(since(117 * 60)).await.unwrap();
    assert_eq!(fixture.minutes(since(117 * 60)).await, 0);
    // From 23:57 to 00:07, with a bot that was lost at 23:59 and replaced at 00:05.
    fixture.meet(job.id, 1, 117 * 60, 120).await;
    assert_eq!(fixture.minutes(since(119 * 60)).await, 2, "while it goes on");
    assert_eq!(fixture.store.reap(since(125 * 60)).await.unwrap(), [job.id]);
    fixture.next(since(125 * 60)).await.unwrap();
    let seq = fixture.meet(job.id, 2, 125 * 60, 125).await;
    assert_eq!(fixture.minutes(since(128 * 60)).await, 5, "120 s and 125 s");
    for _ in 0..2 {
        // The second time because its answer was lost.
        fixture.report(job.id, 2, 1, seq, &over(), since(125 * 60 + 125)).await;
    }
    assert_eq!(fixture.job(job.id).await.status, JobStatus::Completed);
    assert_eq!(fixture.minutes(since(130 * 60)).await, 5);
    assert_eq!(fixture.minutes(since(60)).await, 0, "November is over and closed");
    // What is deleted or called off afterwards gives no minutes back.
    let (store, tenant) = (&fixture.store, fixture.tenant);
    store.delete_recording(tenant, job.id, since(9000)).await.unwrap().unwrap();
    store.cancel(tenant, job.id, since(9000)).await.unwrap().unwrap();
    assert_eq!(fixture.minutes(since(9000)).await, 5);
    let test = Tenant { live: false, ..tenant };
    assert_eq!(store.used(test, since(9000)).await.unwrap().minutes, 0);
}

#[tokio::test]
async fn a_cancelled_bot_costs_minutes_and_a_server_side_failure_costs_none() {
    let fixture = fixture().await;
    let (called_off, failed) =
        (fixture.create(|_| {}, at(1)).await, fixture.create(|_| {}, at(2)).await);
    for job in [&called_off, &failed] {
        fixture.next(at(3)).await.unwrap();
        fixture.report(job.id, 1, 1, 1, &[BotReport::Admitted], at(3)).await;
    }
    assert_eq!(fixture.minutes(at(3)).await, 2);
    fixture.store.cancel(fixture.tenant, called_off.id, at(4)).await.unwrap();
    fixture.report(called_off.id, 1, 1, 2, &[ended(Cause::Cancelled, true)], at(5)).await;
    let broken = Cause::Failed(Failure::new(FailureCode::InternalError, "a bug"));
    fixture.report(failed.id, 1, 1, 2, &[ended(broken, true)], at(5)).await;
    assert_eq!(fixture.minutes(at(6)).await, 1);
}

#[tokio::test]
async fn minutes_do_not_depend_on_the_wall_clock() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, since(0)).await;
    fixture.next(since(0)).await.unwrap();
    for (seq, hours) in [(1, 0), (2, 1), (3, -1), (4, 0)] {
        let mut now = since(10 * seq);
        now.wall = Timestamp::from_millis(now.wall.as_millis() + hours * 3_600_000);
        let beat = BotReport::Heartbeat { media: MediaCounters::default() };
        let said = if seq == 1 { BotReport::Admitted } else { beat };
        fixture.report(job.id, 1, 1, seq, &[said], now).await;
    }
    fixture.report(job.id, 1, 1, 5, &over(), since(55)).await;
    assert_eq!(fixture.minutes(since(60)).await, 1, "45 s");
}

#[tokio::test]
async fn without_minutes_no_meeting_starts_and_running_ones_continue() {
    let fixture = fixture().await;
    fixture.limit(0, 2).await;
    let (store, tenant) = (&fixture.store, fixture.tenant);
    let running = fixture.create(|job| job.external_id = Some("known".into()), since(0)).await;
    let waits = fixture.create(|job| job.join_at = Some(since(600).wall), since(0)).await;
    assert_eq!(fixture.next(since(0)).await, Some(running.id));
    fixture.meet(running.id, 1, 0, 70).await;
    assert_eq!(fixture.minutes(since(70)).await, 2);
    let ask = async |change: &dyn Fn(&mut Job),
                     tenant,
                     idempotency_key: Option<IdempotencyKey>,
                     now: StoreNow| {
        let mut job = new_job(now);
        change(&mut job);
        let start = start(&job);
        store.create_job(tenant, job, link(), start, idempotency_key, now).await.unwrap()
    };
    let idempotency_key =
        IdempotencyKey { key: "again".into(), fingerprint: [1; 32], ignored: "a.b".into() };
    let refused = ask(&|_| {}, tenant, Some(idempotency_key.clone()), since(71)).await;
    assert!(matches!(refused, Creation::NoMinutes(minutes) if minutes.get() == 2), "{refused:?}");
    // The refusal is not kept, and what is known or costs nothing is not refused.
    assert!(store.prior_request(tenant, idempotency_key, since(72)).await.unwrap().is_none());
    let known = ask(&|job| job.external_id = Some("known".into()), tenant, None, since(72)).await;
    assert!(matches!(known, Creation::Existing(_)), "{known:?}");
    let test = Tenant { live: false, ..tenant };
    assert!(matches!(ask(&|_| {}, test, None, since(72)).await, Creation::Created(_)));
    let next_month = |job: &mut Job| job.join_at = Some("2026-12-01T09:00:00Z".parse().unwrap());
    assert!(matches!(ask(&next_month, tenant, None, since(72)).await, Creation::Created(_)));
    // Its bot is lost: a replacement continues.
    assert!(store.release(running.id, 1, since(75)).await.unwrap());
    assert_eq!(fixture.next(since(75)).await, Some(running.id));
    fixture.report(running.id, 2, 1, 1, &over(), since(80)).await;
    // What was accepted before fails when its time comes.
    assert!(fixture.next(since(600)).await.is_some(), "the job of the test world");
    let refused = store.claim([1; 32], all_available(), since(600)).await.unwrap();
    assert!(matches!(refused, Claim::NoMinutes(job) if job == waits.id), "{refused:?}");
    let job = fixture.job(waits.id).await;
    assert_eq!(
        (job.status, job.failure_code),
        (JobStatus::Failed, Some(FailureCode::QuotaExceeded))
    );
    assert_eq!(fixture.timeline_names(waits.id).await, ["job.failed"]);
    assert_eq!(fixture.next(since(600)).await, None);
    // December is as good as new.
    assert!(fixture.next(since(12 * 3600)).await.is_some());
}

#[tokio::test]
async fn the_queue_limit_counts_jobs_that_have_had_no_bot() {
    let fixture = fixture().await;
    let (store, tenant) = (&fixture.store, fixture.tenant);
    let ask = async |tenant, change: &dyn Fn(&mut Job), now: StoreNow| {
        let mut job = new_job(now);
        change(&mut job);
        let start = start(&job);
        store.create_job(tenant, job, link(), start, None, now).await.unwrap()
    };
    let is_full = async |now| matches!(ask(tenant, &|_| {}, now).await, Creation::QueueFull(_));
    let two = NonZeroU32::new(2);
    store.set_default_quota(Quota { queued: two, ..Quota::default() }).await.unwrap();
    let first = fixture.create(|job| job.external_id = Some("known".into()), at(1)).await;
    // One that is for later takes its room from now on.
    let later = fixture.create(|job| job.join_at = Some(at(900).wall), at(1)).await;
    let refused = ask(tenant, &|_| {}, at(2)).await;
    assert!(matches!(refused, Creation::QueueFull(limit) if limit.get() == 2), "{refused:?}");
    let known = ask(tenant, &|job| job.external_id = Some("known".into()), at(2)).await;
    assert!(matches!(known, Creation::Existing(_)), "{known:?}");
    let test = Tenant { live: false, ..tenant };
    assert!(matches!(ask(test, &|_| {}, at(2)).await, Creation::Created(_)), "another world");
    let other = fixture.tenant("other").await;
    assert!(matches!(ask(other, &|_| {}, at(2)).await, Creation::Created(_)));
    assert_eq!(store.used(tenant, at(2)).await.unwrap().queued, 2);

    // A bot makes room, also when it is lost afterwards.
    assert_eq!(fixture.next(at(3)).await, Some(first.id));
    assert!(store.release(first.id, 1, at(4)).await.unwrap());
    assert!(!is_full(at(4)).await && is_full(at(4)).await);
    // So does an end in the queue.
    store.cancel(tenant, later.id, at(5)).await.unwrap().unwrap();
    assert!(!is_full(at(5)).await && is_full(at(5)).await);
    assert!(!store.expire(at(5000)).await.unwrap().is_empty());
    assert_eq!(store.used(tenant, at(5000)).await.unwrap().queued, 0);

    let own = |queued| QuotaChange { queued: Some(queued), ..QuotaChange::default() };
    assert!(store.change_quota("acme", own(QuotaOverride::Limit(NonZeroU32::MIN))).await.unwrap());
    assert!(!is_full(at(5001)).await && is_full(at(5001)).await);
    assert!(store.change_quota("acme", own(QuotaOverride::Unlimited)).await.unwrap());
    for _ in 0..4 {
        assert!(!is_full(at(5002)).await);
    }
    assert!(store.change_quota("acme", own(QuotaOverride::Default)).await.unwrap());
    assert!(is_full(at(5003)).await);
    assert_eq!(store.used(tenant, at(5003)).await.unwrap().queued, 5);
}

#[tokio::test]
async fn an_erased_consumer_has_no_counts() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    fixture.next(at(2)).await.unwrap();
    fixture.report(job.id, 1, 1, 1, &[BotReport::Admitted], at(3)).await;
    fixture.report(job.id, 1, 1, 2, &over(), at(4)).await;
    assert_eq!(fixture.minutes(at(5)).await, 1);
    let consumer = fixture.tenant.consumer;
    assert_eq!(fixture.store.erase_jobs(consumer, vec![job.id], at(99)).await.unwrap(), 1);
    fixture.store.erase_consumer(fixture.tenant).await.unwrap().unwrap();
    assert_eq!(fixture.minutes(at(5)).await, 0);
    assert_eq!(fixture.store.consumers(at(5)).await.unwrap(), []);
}

#[tokio::test]
async fn consumers_come_in_pages_newest_first_with_what_is_set_for_them() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store
        .set_default_quota(Quota { queued: NonZeroU32::new(9), ..Quota::default() })
        .await
        .unwrap();
    for second in 1..=3 {
        store.create_key(key(&format!("c{second}"), true), at(second)).await.unwrap();
    }
    let bots = Some(QuotaOverride::Limit(NonZeroU32::MIN));
    let change =
        QuotaChange { bots, minutes: Some(QuotaOverride::Unlimited), ..QuotaChange::default() };
    assert!(store.change_quota("c2", change).await.unwrap());
    let list = async |filter: ConsumerFilter, after| {
        let window = Window { limit: 2, after };
        store.list_consumers(filter, window, at(9)).await.unwrap()
    };
    let newest = list(ConsumerFilter::default(), None).await;
    let names = |page: &Page<ConsumerUse>| -> Vec<String> {
        page.data.iter().map(|one| one.consumer.clone()).collect()
    };
    assert_eq!(names(&newest), ["c3", "c2"]);
    let next = newest.next_cursor.as_ref().unwrap().parse().unwrap();
    let oldest = list(ConsumerFilter::default(), Some(next)).await;
    assert_eq!((names(&oldest), oldest.next_cursor), (vec!["c1".to_owned(), "acme".into()], None));
    let second = &newest.data[1];
    let by_name = list(ConsumerFilter { name: Some("c2".into()), id: None }, None).await;
    let by_id = list(ConsumerFilter { id: Some(second.id), name: None }, None).await;
    assert_eq!((&by_name.data[..], &by_id.data[..]), (&newest.data[1..], &newest.data[1..]));
    let nobody = ConsumerFilter { name: Some("nobody".into()), id: None };
    assert_eq!(list(nobody, None).await.data, []);
    let shown = second.clone().shown();
    assert_eq!(
        (shown.max_bots, shown.max_minutes, shown.max_queued_jobs),
        (Some(1), None, Some(9))
    );
    let quota = (shown.quota.bots, shown.quota.minutes, shown.quota.queued_jobs);
    assert_eq!(
        quota,
        (QuotaOverride::Limit(NonZeroU32::MIN), QuotaOverride::Unlimited, QuotaOverride::Default)
    );
    assert_eq!(shown.created_at, at(2).wall);
}
