//! Claims of workers with labels, and consumers that require some.

use std::num::NonZeroU32;

use meetbot_types::{Labels, work::Pool};

use super::*;

pub(super) fn labels(text: &str) -> Labels {
    text.parse().unwrap()
}

/// A worker with these labels.
fn with(text: &str) -> Claimer {
    Claimer { labels: labels(text), ..worker() }
}

impl Fixture {
    pub(super) async fn require(&self, consumer: &str, text: &str) {
        let worker_labels = Some(labels(text));
        let change = QuotaChange { worker_labels, ..QuotaChange::default() };
        assert!(self.store.change_quota(consumer, change).await.unwrap());
    }

    async fn claimed_by(&self, by: Claimer, now: StoreNow) -> Option<(JobId, u32)> {
        match self.store.claim_for(by, [3; 32], all_available(), now).await.unwrap() {
            Claim::Bot(claimed) => Some((claimed.job.id, claimed.job.attempt)),
            Claim::Nothing => None,
            Claim::NoMinutes(job) => panic!("{job} finds no minutes"),
        }
    }

    /// Creates a job of another tenant.
    async fn create_for(&self, tenant: Tenant, now: StoreNow) -> JobId {
        let job = new_job(now);
        let (id, start) = (job.id, start(&job));
        self.store.create_job(tenant, job, link(), start, None, now).await.unwrap();
        id
    }
}

#[tokio::test]
async fn a_consumers_jobs_go_only_to_workers_with_all_labels_that_it_requires() {
    let fixture = fixture().await;
    let other = fixture.store.create_key(key("other", true), at(0)).await.unwrap().0.tenant;
    fixture.require("acme", "eu,net=fast").await;
    let first = fixture.create(|_| {}, at(1)).await.id;
    let unlabelled = fixture.create_for(other, at(2)).await;
    for lacks in ["", "eu", "net=fast,us"] {
        let claimed = fixture.claimed_by(with(lacks), at(3)).await;
        assert_eq!(claimed.is_some(), lacks.is_empty(), "{lacks}: {claimed:?}");
        assert!(claimed.is_none_or(|(job, _)| job == unlabelled));
    }
    assert_eq!(fixture.job(first).await.status, JobStatus::Queued);
    let by_another = fixture.create_for(other, at(4)).await;
    assert_eq!(fixture.claimed_by(with("a,eu,net=fast"), at(5)).await, Some((first, 1)));
    assert_eq!(fixture.claimed_by(with("a,eu,net=fast"), at(5)).await, Some((by_another, 1)));
}

#[tokio::test]
async fn jobs_with_a_lost_bot_or_an_account_and_test_jobs_keep_to_the_labels() {
    let fixture = fixture().await;
    fixture.require("acme", "eu").await;
    fixture.store.set_accounts(vec![("bob".to_owned(), 1)]).await.unwrap();
    let account = |job: &mut Job| job.account = Some("bob".to_owned());
    let with_account = fixture.create(account, at(1)).await.id;
    let test = fixture.store.create_key(key("acme", false), at(0)).await.unwrap().0.tenant;
    let sandbox = fixture.create_for(test, at(2)).await;
    assert_eq!(fixture.claimed_by(worker(), at(3)).await, None);
    assert_eq!(fixture.claimed_by(with("eu"), at(3)).await, Some((with_account, 1)));
    assert_eq!(fixture.claimed_by(with("eu"), at(3)).await, Some((sandbox, 1)));
    // Also a bot that only finalises what is on disk.
    fixture.report(with_account, 1, 3, 1, &[BotReport::Admitted], at(4)).await;
    fixture.store.cancel(fixture.tenant, with_account, at(5)).await.unwrap();
    assert!(fixture.store.release(with_account, 1, at(6)).await.unwrap());
    assert_eq!(fixture.claimed_by(worker(), at(7)).await, None);
    assert_eq!(fixture.claimed_by(with("eu"), at(7)).await, Some((with_account, 2)));
}

#[tokio::test]
async fn a_worker_with_labels_and_one_pool_takes_only_what_fits_both() {
    let fixture = fixture().await;
    fixture.require("acme", "eu").await;
    let native = fixture.create(|_| {}, at(1)).await.id;
    let meet = |job: &mut Job| job.platform = Platform::GoogleMeet;
    let browser = fixture.create(meet, at(2)).await.id;
    let of = |pool, labels| Claimer { pool: Some(pool), ..with(labels) };
    assert_eq!(fixture.claimed_by(of(Pool::Browser, ""), at(3)).await, None);
    assert_eq!(fixture.claimed_by(of(Pool::Browser, "eu"), at(3)).await, Some((browser, 1)));
    assert_eq!(fixture.claimed_by(of(Pool::Browser, "eu"), at(3)).await, None);
    assert_eq!(fixture.claimed_by(of(Pool::Native, "eu"), at(3)).await, Some((native, 1)));
}

#[tokio::test]
async fn required_labels_are_changed_removed_and_listed() {
    let fixture = fixture().await;
    fixture.store.create_key(key("other", true), at(0)).await.unwrap();
    fixture.store.create_key(key("third", true), at(0)).await.unwrap();
    assert_eq!(fixture.store.required_labels().await.unwrap(), []);
    for consumer in ["acme", "other"] {
        fixture.require(consumer, "eu").await;
    }
    fixture.require("third", "us,eu").await;
    let required = fixture.store.required_labels().await.unwrap();
    assert_eq!(required, [labels("eu"), labels("eu,us")]);
    // Another change leaves them as they are.
    let bots = NonZeroU32::new(2).map(QuotaOverride::Limit);
    let change = QuotaChange { bots, ..QuotaChange::default() };
    assert!(fixture.store.change_quota("acme", change).await.unwrap());
    let listed = fixture.store.consumers(at(1)).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|one| (one.consumer, one.worker_labels)).collect();
    let expected = [("acme", "eu"), ("other", "eu"), ("third", "eu,us")];
    assert_eq!(listed, expected.map(|(name, text)| (name.to_owned(), labels(text))));

    let job = fixture.create(|_| {}, at(1)).await.id;
    assert_eq!(fixture.claimed_by(worker(), at(2)).await, None);
    fixture.require("acme", "").await;
    assert_eq!(fixture.store.required_labels().await.unwrap().len(), 2);
    assert_eq!(fixture.claimed_by(worker(), at(2)).await, Some((job, 1)));
}

#[tokio::test]
async fn the_consumer_with_the_fewest_bots_is_next_of_those_that_a_worker_serves() {
    let fixture = fixture().await;
    let other = fixture.store.create_key(key("other", true), at(0)).await.unwrap().0.tenant;
    let third = fixture.store.create_key(key("third", true), at(0)).await.unwrap().0.tenant;
    fixture.require("third", "eu").await;
    // The consumer that it does not serve has no bot and the oldest job.
    let withheld = fixture.create_for(third, at(1)).await;
    let [first, second] =
        [fixture.create(|_| {}, at(2)).await, fixture.create(|_| {}, at(3)).await];
    let of_other = fixture.create_for(other, at(4)).await;
    for expected in [Some((first.id, 1)), Some((of_other, 1)), Some((second.id, 1)), None] {
        assert_eq!(fixture.claimed_by(with("us"), at(5)).await, expected);
    }
    assert_eq!(fixture.claimed_by(with("eu"), at(5)).await, Some((withheld, 1)));
}
