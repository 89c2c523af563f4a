//! Which recordings are old, and how many bytes they have.

use super::*;

#[tokio::test]
async fn only_jobs_that_had_a_bot_and_ended_have_recordings_and_each_until_it_is_removed() {
    let fixture = fixture().await;
    let [first, second, running] = [1, 2, 3].map(|second| fixture.create(|_| {}, at(second)));
    let (first, second, running) = (first.await, second.await, running.await);
    let never = fixture.create(|_| {}, at(4)).await;
    for token in 1..=3 {
        fixture.claim(token, at(5)).await.unwrap();
    }
    let completed = [
        BotReport::Admitted,
        BotReport::RecordingStarted,
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ];
    fixture.report(second.id, 1, 2, 1, &completed, at(10)).await;
    fixture.report(first.id, 1, 1, 1, &completed, at(20)).await;
    fixture.report(running.id, 1, 3, 1, &completed[..2], at(20)).await;
    fixture.store.cancel(fixture.tenant, never.id, at(20)).await.unwrap();

    let old = async |before: u64, limit: u32| {
        let old = fixture.store.old_recordings(at(before).wall, None, limit).await.unwrap();
        assert!(old.iter().all(|old| old.tenant == fixture.tenant));
        old.into_iter().map(|old| old.job).collect::<Vec<_>>()
    };
    assert_eq!(old(10, 9).await, []);
    assert_eq!(old(11, 9).await, [second.id]);
    assert_eq!(old(99, 9).await, [second.id, first.id]);
    assert_eq!(old(99, 1).await, [second.id]);
    let page = fixture.store.old_recordings(at(99).wall, None, 1).await.unwrap();
    let rest = fixture.store.old_recordings(at(99).wall, page.last().copied(), 9).await.unwrap();
    assert_eq!(rest.iter().map(|old| old.job).collect::<Vec<_>>(), [first.id]);
    // The mark alone leaves the files to be removed.
    fixture.store.delete_recording(fixture.tenant, second.id, at(30)).await.unwrap().unwrap();
    assert_eq!(old(99, 9).await, [second.id, first.id]);
    fixture.store.recording_removed(second.id, at(99)).await.unwrap();
    assert_eq!(old(99, 9).await, [first.id]);
}

/// What the store says of the bytes of a job's recording, of all of the fixture's consumer and of everybody's.
async fn bytes(fixture: &Fixture, id: JobId) -> (Option<u64>, u64, u64) {
    let consumers = fixture.store.consumers(at(99)).await.unwrap();
    let sum = consumers.iter().map(|one| one.live_recording_bytes).sum();
    let all = fixture.store.tally().await.unwrap().recording_bytes;
    (fixture.job(id).await.recording.bytes, sum, all)
}

async fn uncounted(fixture: &Fixture) -> Vec<JobId> {
    let found = fixture.store.recordings_to_count(false, None, 9).await.unwrap();
    found.into_iter().map(|(job, _)| job).collect()
}

#[tokio::test]
async fn a_recording_has_bytes_from_the_end_of_its_job_until_it_is_removed() {
    let fixture = fixture().await;
    let [first, second] = [1, 2].map(|second| fixture.create(|_| {}, at(second)));
    let (first, second) = (first.await.id, second.await.id);
    let completed = [
        BotReport::Admitted,
        BotReport::RecordingStarted,
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ];
    for (token, job) in [(1, first), (2, second)] {
        fixture.claim(token, at(5)).await.unwrap();
        fixture.report(job, 1, token, 1, &completed[..2], at(6)).await;
        assert_eq!(fixture.job(job).await.recording.bytes, None, "it grows");
        fixture.report(job, 1, token, 3, &completed[2..], at(7)).await;
    }
    assert_eq!(bytes(&fixture, first).await, (Some(RECORDED), 2 * RECORDED, 2 * RECORDED));
    let window = Window { limit: 9, after: None };
    let listed = fixture.store.jobs(fixture.tenant, JobFilter::default(), window).await.unwrap();
    assert!(listed.data.iter().all(|job| job.recording.bytes == Some(RECORDED)), "{listed:?}");
    // Nothing is left to count. A new count is stored unless the recording has changed since.
    assert_eq!(uncounted(&fixture).await, []);
    fixture.store.recording_counted(first, None, 7).await.unwrap();
    assert_eq!(bytes(&fixture, first).await, (Some(RECORDED), 2 * RECORDED, 2 * RECORDED));

    fixture.store.recording_counted(first, Some(RECORDED), 900).await.unwrap();
    assert_eq!(bytes(&fixture, first).await, (Some(900), RECORDED + 900, RECORDED + 900));

    // After an interrupted deletion the recording must be counted again.
    fixture.store.delete_recording(fixture.tenant, first, at(30)).await.unwrap().unwrap();
    assert_eq!(bytes(&fixture, first).await, (None, RECORDED, RECORDED));
    assert_eq!(uncounted(&fixture).await, [first]);
    let all = async |after| fixture.store.recordings_to_count(true, after, 9).await.unwrap();
    assert_eq!(all(None).await, [(first, None), (second, Some(RECORDED))]);
    assert_eq!(all(Some(first)).await, [(second, Some(RECORDED))]);
    fixture.store.recording_counted(first, None, 300).await.unwrap();
    assert_eq!(bytes(&fixture, first).await, (Some(300), RECORDED + 300, RECORDED + 300));
    // A complete deletion sets the count to 0, also after a concurrent count.
    fixture.store.recording_removed(first, at(99)).await.unwrap();
    for before in [None, Some(300), Some(0)] {
        fixture.store.recording_counted(first, before, 300).await.unwrap();
    }
    assert_eq!(bytes(&fixture, first).await, (Some(0), RECORDED, RECORDED));
    assert_eq!(uncounted(&fixture).await, []);

    fixture.store.erase_jobs(fixture.tenant.consumer, vec![second], at(99)).await.unwrap();
    assert_eq!(bytes(&fixture, first).await, (Some(0), 0, 0));
}

#[tokio::test]
async fn files_of_a_bot_without_a_final_report_are_counted_and_a_job_without_a_bot_has_none() {
    let fixture = fixture().await;
    let never = fixture.create(|_| {}, at(1)).await.id;
    fixture.store.cancel(fixture.tenant, never, at(2)).await.unwrap();
    assert_eq!(bytes(&fixture, never).await, (Some(0), 0, 0));
    let lost = fixture.create(|_| {}, at(3)).await.id;
    fixture.claim(1, at(4)).await.unwrap();
    assert!(fixture.store.release(lost, 1, at(5)).await.unwrap());
    assert_eq!(uncounted(&fixture).await, [], "it has not ended");
    fixture.store.cancel(fixture.tenant, lost, at(6)).await.unwrap();
    assert_eq!(bytes(&fixture, lost).await, (None, 0, 0));
    assert_eq!(uncounted(&fixture).await, [lost]);
    fixture.store.recording_counted(lost, None, 40).await.unwrap();
    assert_eq!(bytes(&fixture, lost).await, (Some(40), 40, 40));
}
