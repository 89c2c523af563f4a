//! Which recordings are old.

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
    fixture.store.recording_removed(second.id).await.unwrap();
    assert_eq!(old(99, 9).await, [first.id]);
}
