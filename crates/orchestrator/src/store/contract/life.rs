//! A job from the queue to its end, bot after bot.

use super::*;

#[tokio::test]
async fn a_job_runs_to_its_end_and_each_event_is_in_the_timeline_once() {
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
    assert_eq!(fixture.timeline_names(job.id).await, expected);
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
async fn an_older_attempt_is_refused() {
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
async fn a_report_renews_a_lease_and_a_late_one_does_not_revive_it() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    let beat = [BotReport::Heartbeat { media: MediaCounters::default() }];
    let lease = u64::from(LEASE_SECONDS);
    assert_eq!(acknowledged(&fixture.report(job.id, 1, 1, 1, &beat, at(20)).await), 1);
    assert!(fixture.store.reap(at(2 + lease)).await.unwrap().is_empty());
    let late = fixture.report(job.id, 1, 1, 2, &beat, at(20 + lease)).await;
    assert_eq!(late, Reported::Superseded);
    assert_eq!(fixture.store.reap(at(20 + lease)).await.unwrap(), [job.id]);
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
async fn a_handed_over_bot_does_not_count_as_lost() {
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
async fn a_job_expires_only_if_no_worker_ever_took_it() {
    let fixture = fixture().await;
    let lost = fixture.create(|_| (), at(1)).await;
    fixture.claim(1, at(1)).await.unwrap();
    assert!(fixture.store.release(lost.id, 1, at(2)).await.unwrap());
    let job = fixture.create(|_| (), at(1)).await;
    let late = at(11 * 60);
    assert_eq!(fixture.store.expire(at(9 * 60)).await.unwrap(), []);
    let expired = Expired { job: job.id, awaited: None };
    assert_eq!(fixture.store.expire(late).await.unwrap(), [expired]);
    assert_eq!(fixture.store.expire(late).await.unwrap(), []);
    let job = fixture.store.job(fixture.tenant, job.id).await.unwrap().unwrap();
    assert_eq!(
        (job.status, job.failure_code),
        (JobStatus::Failed, Some(FailureCode::DispatchTimeout))
    );
}
