//! A database that was restored with `--paused`: nothing starts and nothing is sent until it is resumed, and changes by callers are stored.

use super::*;
use crate::store::RestoreOptions;

/// The fixture's database, restored, and its store as a server that starts has it.
async fn restored(fixture: Fixture, options: RestoreOptions, now: StoreNow) -> Fixture {
    let backend = fixture.backend.restored(options, now);
    let store = backend.open();
    store.take_over(Arc::new(|_, _| false), now).await.unwrap();
    Fixture { store, tenant: fixture.tenant, backend }
}

const PAUSED: RestoreOptions = RestoreOptions { paused: true, end_running: false };

#[tokio::test]
async fn a_paused_store_starts_sends_and_prunes_nothing() {
    let fixture = fixture().await;
    let [ended_job, waiting, late] = [1, 2, 3].map(|second| fixture.create(|_| {}, at(second)));
    let (ended_job, waiting, late) = (ended_job.await, waiting.await, late.await);
    fixture.claim(1, at(4)).await.unwrap();
    let completed = [
        BotReport::Admitted,
        BotReport::RecordingStarted,
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ];
    fixture.report(ended_job.id, 1, 1, 1, &completed, at(5)).await;
    fixture.store.use_storage("s3://acme/a".to_owned()).await.unwrap();
    let too_late = Duration::from_hours(1).as_secs();

    let fixture = restored(fixture, PAUSED, at(10)).await;
    assert_eq!(fixture.backend.paused_since().await, Some(at(10).wall));
    assert!(fixture.claim(2, at(20)).await.is_none());
    assert_eq!(fixture.store.next_start().await.unwrap(), None);
    assert!(fixture.store.expire(at(too_late)).await.unwrap().is_empty());
    assert!(fixture.due(at(20)).await.is_empty());
    assert_eq!(fixture.store.waiting_mixes(9, at(20)).await.unwrap(), WaitingMixes::default());
    assert!(fixture.store.old_recordings(at(99).wall, None, 9).await.unwrap().is_empty());
    fixture.store.recording_removed(ended_job.id, at(99)).await.unwrap();
    assert!(fixture.store.prune_jobs(at(99).wall, 9, at(99)).await.unwrap().is_empty());
    assert!(fixture.store.removals_due(9, at(99 * too_late)).await.unwrap().is_empty());
    // What is asked for is done: a job is created, another is cancelled, a recording is deleted.
    let new = fixture.create(|_| {}, at(21)).await;
    fixture.store.cancel(fixture.tenant, late.id, at(22)).await.unwrap();
    assert_eq!(fixture.job(late.id).await.status, JobStatus::Cancelled);
    fixture.store.delete_recording(fixture.tenant, ended_job.id, at(23)).await.unwrap();

    assert!(fixture.backend.unpause().await);
    assert!(!fixture.backend.unpause().await, "it was not paused any more");
    assert_eq!(fixture.backend.paused_since().await, None);
    assert_eq!(fixture.store.removals_due(9, at(99 * too_late)).await.unwrap(), [ended_job.id]);
    assert_eq!(fixture.store.next_start().await.unwrap(), Some(at(2).wall));
    for expected in [waiting.id, new.id] {
        assert_eq!(fixture.claim(3, at(30)).await.unwrap().job.id, expected);
    }
    // Of an endpoint that has never answered, one delivery at a time.
    let mut reached = std::collections::BTreeSet::new();
    while let [delivery, ..] = &fixture.due(at(30)).await[..] {
        reached.insert(delivery.event.data.job_id);
        fixture.note(delivery, 200, Verdict::Delivered, at(30)).await;
    }
    assert!(reached.is_superset(&[ended_job.id, late.id].into()), "{reached:?}");
}

#[tokio::test]
async fn a_job_that_expired_during_a_pause_fails_when_the_pause_ends() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let fixture = restored(fixture, PAUSED, at(2)).await;
    let hour = Duration::from_hours(1).as_secs();
    assert!(fixture.store.expire(at(hour)).await.unwrap().is_empty());
    assert!(fixture.backend.unpause().await);
    assert_eq!(fixture.store.expire(at(hour)).await.unwrap().len(), 1);
    assert_eq!(fixture.job(job.id).await.failure_code, Some(FailureCode::DispatchTimeout));
}

#[tokio::test]
async fn a_restore_that_ends_running_jobs_fails_those_without_a_recording_and_finalises_the_others()
{
    let fixture = fixture().await;
    let [joining, recording, waiting] = [1, 2, 3].map(|second| fixture.create(|_| {}, at(second)));
    let (joining, recording, waiting) = (joining.await, recording.await, waiting.await);
    fixture.claim(1, at(4)).await.unwrap();
    fixture.claim(2, at(4)).await.unwrap();
    let began = [BotReport::Admitted, BotReport::RecordingStarted];
    fixture.report(recording.id, 1, 2, 1, &began, at(5)).await;
    let options = RestoreOptions { paused: false, end_running: true };
    let fixture = restored(fixture, options, at(10)).await;
    let ended = fixture.job(joining.id).await;
    assert_eq!(
        (&ended.status, ended.failure_code, ended.manifest_uri, ended.ended_at),
        (&JobStatus::Failed, Some(FailureCode::InternalError), None, Some(at(10).wall))
    );
    let detail = ended.failure_detail.unwrap();
    assert_eq!(fixture.timeline_names(joining.id).await, ["joining", "job.failed"]);
    let uncounted = fixture.store.recordings_to_count(false, None, 9).await.unwrap();
    assert_eq!(uncounted, [(joining.id, None)]);
    let claimed = fixture.claim(3, at(11)).await.unwrap();
    assert_eq!(claimed.job.id, recording.id);
    let ending = claimed.finalize.expect("it joins nothing");
    assert_eq!((&ending.status, ending.failure.unwrap().detail), (&JobStatus::Failed, detail));
    let next = fixture.claim(4, at(11)).await.unwrap();
    assert_eq!((next.job.id, next.finalize), (waiting.id, None), "what had no bot goes on");
}
