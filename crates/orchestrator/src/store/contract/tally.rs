//! The counts: every job ends once in them, and being erased takes nothing away.

use super::*;

#[tokio::test]
async fn each_end_is_counted_once_and_not_removed_with_its_job() {
    let fixture = fixture().await;
    assert_eq!(fixture.store.tally().await.unwrap(), Tally::default());
    let done = fixture.create(|_| {}, at(1)).await;
    let failed = fixture.create(|_| {}, at(2)).await;
    fixture.create(|_| {}, at(3)).await;
    fixture.claim(1, at(4)).await.unwrap();
    let completed = [
        BotReport::Admitted,
        BotReport::RecordingStarted,
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ];
    for _ in 0..2 {
        fixture.report(done.id, 1, 1, 1, &completed, at(5)).await;
    }
    fixture.claim(2, at(6)).await.unwrap();
    let failure = Failure::new(FailureCode::LobbyTimeout, "nobody came");
    fixture.report(failed.id, 1, 2, 1, &[ended(Cause::Failed(failure), false)], at(7)).await;
    // What is done to a job after its end is no second end.
    fixture.store.delete_recording(fixture.tenant, done.id, at(8)).await.unwrap();
    fixture.store.cancel(fixture.tenant, failed.id, at(8)).await.unwrap();

    let tally = fixture.store.tally().await.unwrap();
    assert_eq!(tally.open, [(JobStatus::Queued, 1)]);
    let ends = |status, failure_code| Ended { status, failure_code, jobs: 1 };
    let all = [
        ends(JobStatus::Completed, None),
        ends(JobStatus::Failed, Some(FailureCode::LobbyTimeout)),
    ];
    assert_eq!(tally.ended, all);
    assert_eq!(tally.oldest, Some(at(4).wall));
    assert_eq!(tally.backlog, 9, "{tally:?}");

    fixture.store.expire(at(3000)).await.unwrap();
    let consumer = fixture.tenant.consumer;
    let jobs = fixture.store.consumer_jobs(fixture.tenant).await.unwrap();
    let jobs = jobs.into_iter().map(|(_, job, _)| job).collect();
    fixture.store.erase_jobs(consumer, jobs, at(99)).await.unwrap();
    fixture.store.erase_consumer(fixture.tenant).await.unwrap().unwrap();
    let tally = fixture.store.tally().await.unwrap();
    assert_eq!((tally.open.len(), tally.backlog, tally.oldest), (0, 0, None));
    assert_eq!(tally.ended.iter().map(|ended| ended.jobs).sum::<u64>(), 3);
}
