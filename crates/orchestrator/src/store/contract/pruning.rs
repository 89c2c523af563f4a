//! Which jobs are deleted because they are old.

use super::*;

#[tokio::test]
async fn an_old_job_is_removed_completely_and_its_external_id_is_free() {
    let fixture = fixture().await;
    let name = |job: &mut Job| job.external_id = Some("lesson-1".to_owned());
    let quiet = |job: &mut Job| {
        name(job);
        job.webhooks = Webhooks::default();
    };
    let job = fixture.create(quiet, at(1)).await;
    fixture.store.cancel(fixture.tenant, job.id, at(10)).await.unwrap();
    let prune =
        async |before: u64| fixture.store.prune_jobs(at(before).wall, 9, at(before)).await.unwrap();
    assert_eq!(prune(10).await, [], "it ended at that very moment");
    assert_eq!(prune(11).await, [job.id]);
    assert_eq!(prune(11).await, []);
    assert!(fixture.store.job(fixture.tenant, job.id).await.unwrap().is_none());
    let window = Window { limit: 9, after: None };
    assert!(fixture.store.timeline(fixture.tenant, job.id, window).await.unwrap().is_none());
    let again = fixture.create(quiet, at(12)).await;
    assert_ne!(again.id, job.id);
    assert_eq!(prune(99).await, [], "a job that has not ended is never old");
}

#[tokio::test]
async fn an_old_job_is_kept_while_it_has_files_or_a_pending_delivery() {
    let fixture = fixture().await;
    let quiet = |job: &mut Job| job.webhooks = Webhooks::default();
    let recorded = fixture.create(quiet, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    let completed = [
        BotReport::Admitted,
        BotReport::RecordingStarted,
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ];
    fixture.report(recorded.id, 1, 1, 1, &completed, at(3)).await;
    let reported = fixture.create(|_| {}, at(4)).await;
    fixture.store.cancel(fixture.tenant, reported.id, at(5)).await.unwrap();
    let prune = async || fixture.store.prune_jobs(at(99).wall, 9, at(99)).await.unwrap();
    assert_eq!(prune().await, []);
    fixture.store.recording_removed(recorded.id, at(99)).await.unwrap();
    assert_eq!(prune().await, [recorded.id]);
    for now in 6.. {
        let due = fixture.due(at(now)).await;
        if due.is_empty() {
            break;
        }
        for delivery in due {
            fixture.note(&delivery, 200, Verdict::Delivered, at(now)).await;
        }
    }
    assert_eq!(prune().await, [reported.id]);
}

#[tokio::test]
async fn old_jobs_are_removed_in_batches_oldest_end_first() {
    let fixture = fixture().await;
    let mut ids = Vec::new();
    for second in 1..=5 {
        let job = fixture.create(|job| job.webhooks = Webhooks::default(), at(second)).await;
        ids.push(job.id);
    }
    for (ended, id) in ids.iter().rev().enumerate() {
        fixture.store.cancel(fixture.tenant, *id, at(10 + ended as u64)).await.unwrap();
    }
    let prune = async || fixture.store.prune_jobs(at(99).wall, 2, at(99)).await.unwrap();
    assert_eq!(prune().await, [ids[4], ids[3]]);
    assert_eq!(prune().await, [ids[2], ids[1]]);
    assert_eq!(prune().await, [ids[0]]);
}
