//! Consumers are erased in batches, and only jobs that the caller has named.

use super::*;

#[tokio::test]
async fn a_consumer_is_erased_once_each_of_its_jobs_was() {
    let fixture = fixture().await;
    let consumer = fixture.tenant.consumer;
    let other = fixture.store.create_key(key("other", true), at(0)).await.unwrap().0.tenant;
    let [first, second] = [1, 2].map(|second| fixture.create(|_| {}, at(second)));
    let (first, second) = (first.await, second.await);
    fixture.claim(1, at(3)).await.unwrap();
    let completed = [
        BotReport::Admitted,
        BotReport::RecordingStarted,
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ];
    fixture.report(first.id, 1, 1, 1, &completed, at(4)).await;
    let erase = async |of: ConsumerId, jobs: &[JobId]| {
        fixture.store.erase_jobs(of, jobs.to_vec(), at(99)).await.unwrap()
    };
    let listed = fixture.store.consumer_jobs(fixture.tenant).await.unwrap();
    assert_eq!(listed.len(), 2);
    // One comes and ends while the files of the others are removed.
    let third = fixture.create(|_| {}, at(5)).await;
    fixture.store.cancel(fixture.tenant, third.id, at(6)).await.unwrap();
    assert_eq!(erase(other.consumer, &[first.id]).await, 0, "it is another's");
    assert_eq!(erase(consumer, &[first.id, second.id]).await, 1, "one has not ended");
    assert_eq!(erase(consumer, &[first.id]).await, 0, "it is gone");
    assert!(fixture.store.job(fixture.tenant, first.id).await.unwrap().is_none());
    fixture.store.cancel(fixture.tenant, second.id, at(7)).await.unwrap();
    assert_eq!(erase(consumer, &[second.id]).await, 1);
    assert_eq!(fixture.store.erase_consumer(fixture.tenant).await.unwrap(), None);
    let left = fixture.store.consumer_jobs(fixture.tenant).await.unwrap();
    assert_eq!(left, [(fixture.tenant, third.id, true)]);
    assert_eq!(erase(consumer, &[third.id]).await, 1);
    assert_eq!(fixture.store.erase_consumer(fixture.tenant).await.unwrap(), Some(1));
    assert_eq!(fixture.store.consumer_name(consumer).await.unwrap(), None);
    assert!(fixture.store.consumer_name(other.consumer).await.unwrap().is_some());
    let room = Capacity { proven: 9, unproven: 9 };
    let taken = fixture.store.due_deliveries(room, at(8)).await.unwrap();
    assert!(taken.due.is_empty() && taken.next.is_none(), "{taken:?}");
}

#[tokio::test]
async fn a_test_key_erases_its_world_and_leaves_the_live_one() {
    let fixture = fixture().await;
    let live = fixture.tenant;
    let (of_test, _) = fixture.store.create_key(key("acme", false), at(0)).await.unwrap();
    let test = of_test.tenant;
    assert_eq!((test.consumer, test.live, live.live), (live.consumer, false, true));
    let real = fixture.create(|_| {}, at(1)).await;
    let played = new_job(at(1));
    let (id, begin) = (played.id, start(&played));
    fixture.store.create_job(test, played, link(), begin, None, at(1)).await.unwrap();
    let ids = async |asking| -> Vec<JobId> {
        let jobs = fixture.store.consumer_jobs(asking).await.unwrap();
        jobs.into_iter().map(|(_, id, _)| id).collect()
    };
    assert_eq!(ids(test).await, [id], "what a test key does not reach is not even listed");
    assert_eq!(ids(live).await.len(), 2);
    assert_eq!(fixture.store.erase_consumer(test).await.unwrap(), None, "it has a job");
    fixture.store.cancel(test, id, at(2)).await.unwrap();
    assert_eq!(fixture.store.erase_jobs(test.consumer, vec![id], at(99)).await.unwrap(), 1);

    assert_eq!(fixture.store.erase_consumer(test).await.unwrap(), Some(1));
    assert!(fixture.store.find_key(&of_test.prefix).await.unwrap().is_none());
    let left = fixture.store.keys().await.unwrap();
    assert!(left.iter().all(|key| key.tenant == live) && left.len() == 1, "{left:?}");
    assert!(fixture.store.job(live, real.id).await.unwrap().is_some());
    assert!(fixture.store.consumer_name(live.consumer).await.unwrap().is_some());
    let secrets = fixture.store.webhook_secrets("acme", at(3)).await.unwrap();
    assert_eq!(secrets.unwrap().current.expose(), "whsec_AAAA", "webhooks are signed as before");
}
