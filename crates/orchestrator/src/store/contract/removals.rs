//! Removed recordings and deleted jobs are remembered, so that workers remove what they have of them.

use super::*;

const HOUR: u64 = 3600;
const YEAR: u64 = 366 * 24 * HOUR;

async fn completed(fixture: &Fixture, token: u8, now: u64) -> JobId {
    let quiet = |job: &mut Job| job.webhooks = Webhooks::default();
    let job = fixture.create(quiet, at(now)).await;
    fixture.claim(token, at(now)).await.unwrap();
    let completed = [
        BotReport::Admitted,
        BotReport::RecordingStarted,
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ];
    fixture.report(job.id, 1, token, 1, &completed, at(now)).await;
    job.id
}

async fn due(fixture: &Fixture, now: u64) -> Vec<JobId> {
    fixture.store.removals_due(9, at(now)).await.unwrap()
}

#[tokio::test]
async fn a_removal_is_repeated_after_an_hour_and_after_a_day() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store.use_storage("s3://acme/a".to_owned()).await.unwrap();
    let [deleted, erased, pruned] =
        [1, 2, 3].map(|token| completed(&fixture, token, 2 + u64::from(token)));
    let (deleted, erased, pruned) = (deleted.await, erased.await, pruned.await);
    store.delete_recording(fixture.tenant, deleted, at(10)).await.unwrap();
    store.recording_removed(deleted, at(10)).await.unwrap();
    store.erase_jobs(fixture.tenant.consumer, vec![erased], at(20)).await.unwrap();
    store.recording_removed(pruned, at(25)).await.unwrap();
    assert_eq!(store.prune_jobs(at(6).wall, 9, at(30)).await.unwrap(), [deleted, pruned]);
    for job in [deleted, erased, pruned] {
        let spooled = store.spooled(job, "w".to_owned()).await.unwrap();
        assert_eq!(spooled, Spooled::Deleted);
    }
    assert_eq!(due(&fixture, HOUR + 9).await, []);
    assert_eq!(due(&fixture, HOUR + 10).await, [deleted]);
    assert_eq!(due(&fixture, HOUR + 30).await, [deleted, erased, pruned]);
    for job in [deleted, erased, pruned] {
        store.removal_repeated(job, at(HOUR + 30)).await.unwrap();
    }
    assert_eq!(due(&fixture, 24 * HOUR + 9).await, []);
    assert_eq!(due(&fixture, 24 * HOUR + 30).await.len(), 3);
    for job in [deleted, erased, pruned] {
        store.removal_repeated(job, at(24 * HOUR + 30)).await.unwrap();
    }
    assert_eq!(due(&fixture, YEAR).await, []);
    store.forget_removals(at(YEAR + 20)).await.unwrap();
    assert_eq!(store.spooled(erased, "w".to_owned()).await.unwrap(), Spooled::Deleted);
    store.forget_removals(at(YEAR + 21)).await.unwrap();
    assert_eq!(store.spooled(erased, "w".to_owned()).await.unwrap(), Spooled::Unknown);
    // Those were deleted ten seconds later.
    assert_eq!(store.spooled(pruned, "w".to_owned()).await.unwrap(), Spooled::Deleted);
}

#[tokio::test]
async fn a_server_that_was_off_for_days_repeats_a_removal_once() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store.use_storage("s3://acme/a".to_owned()).await.unwrap();
    let job = completed(&fixture, 1, 5).await;
    store.recording_removed(job, at(10)).await.unwrap();
    assert_eq!(due(&fixture, 90 * HOUR).await, [job]);
    store.removal_repeated(job, at(90 * HOUR)).await.unwrap();
    assert_eq!(due(&fixture, 900 * HOUR).await, []);
}

#[tokio::test]
async fn without_a_bucket_or_without_a_bot_nothing_is_remembered() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let recorded = completed(&fixture, 1, 5).await;
    store.recording_removed(recorded, at(10)).await.unwrap();
    assert_eq!(due(&fixture, 90 * HOUR).await, []);
    store.use_storage("s3://acme/a".to_owned()).await.unwrap();
    let never = fixture.create(|_| {}, at(11)).await.id;
    store.cancel(fixture.tenant, never, at(12)).await.unwrap();
    store.erase_jobs(fixture.tenant.consumer, vec![never], at(13)).await.unwrap();
    assert_eq!(due(&fixture, 90 * HOUR).await, []);
}
