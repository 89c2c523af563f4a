//! A wall clock that jumps: leases do not care, and what people have set by the wall clock follows it.

use super::*;

/// A moment whose wall clock is off by so many hours.
fn off(seconds: u64, hours: i64) -> StoreNow {
    let now = at(seconds);
    StoreNow { wall: Timestamp::from_millis(now.wall.as_millis() + hours * 3_600_000), ..now }
}

#[tokio::test]
async fn leases_do_not_depend_on_the_wall_clock() {
    for hours in [-1, 1] {
        let fixture = fixture().await;
        let job = fixture.create(|_| {}, at(1)).await;
        fixture.claim(1, at(2)).await.unwrap();
        let lease = u64::from(LEASE_SECONDS);
        assert_eq!(fixture.store.reap(off(1 + lease, hours)).await.unwrap(), []);
        let admitted = [BotReport::Admitted];
        acknowledged(&fixture.report(job.id, 1, 1, 1, &admitted, off(1 + lease, hours)).await);
        assert_eq!(fixture.store.reap(off(2 * lease, hours)).await.unwrap(), []);
        assert_eq!(fixture.store.reap(off(2 + 2 * lease, hours)).await.unwrap(), [job.id]);
    }
}

#[tokio::test]
async fn a_scheduled_job_follows_the_wall_clock() {
    let fixture = fixture().await;
    fixture.create(|job| job.join_at = Some(at(1_800).wall), at(1)).await;
    assert!(fixture.claim(1, off(2, -1)).await.is_none());
    assert!(fixture.claim(1, at(3)).await.is_none());
    // `joinAt` follows the wall clock, even if that was changed by half an hour.
    assert!(fixture.claim(1, off(4, 1)).await.is_some());
}

#[tokio::test]
async fn a_queued_job_does_not_expire_when_the_wall_clock_is_set_back() {
    let fixture = fixture().await;
    fixture.create(|_| {}, at(1)).await;
    assert!(fixture.claim(1, off(2, -1)).await.is_none());
    assert!(fixture.claim(1, at(3)).await.is_some());
}

#[tokio::test]
async fn stored_responses_are_kept_for_a_day_of_the_wall_clock() {
    let fixture = fixture().await;
    let idempotency_key =
        || IdempotencyKey { key: "a".to_owned(), fingerprint: [1; 32], ignored: "a.b".into() };
    let job = new_job(at(1));
    let create = |now| {
        let (store, tenant, job) = (&fixture.store, fixture.tenant, job.clone());
        async move {
            store
                .create_job(tenant, job.clone(), link(), start(&job), Some(idempotency_key()), now)
                .await
        }
    };
    assert!(matches!(create(at(1)).await.unwrap(), Creation::Created(_)));
    for hours in [-1, 1, 23] {
        assert!(matches!(create(off(2, hours)).await.unwrap(), Creation::Prior(_)), "{hours}");
    }
    assert!(!matches!(create(off(2, 25)).await, Ok(Creation::Prior(_))));
}
