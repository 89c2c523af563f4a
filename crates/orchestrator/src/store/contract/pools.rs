//! Claims for the bots of one pool, and how many bots each pool should have.

use std::num::NonZeroU32;

use meetbot_types::work::Pool;

use super::*;

impl Fixture {
    async fn platform(&self, platform: Platform, now: StoreNow) -> JobId {
        self.create(|job| job.platform = platform, now).await.id
    }

    async fn next_of(&self, pool: Pool, now: StoreNow) -> Option<(JobId, u32)> {
        let by = Claimer { pool: Some(pool), ..worker() };
        match self.store.claim_for(by, [3; 32], all_available(), now).await.unwrap() {
            Claim::Bot(claimed) => Some((claimed.job.id, claimed.job.attempt)),
            Claim::Nothing => None,
            Claim::NoMinutes(job) => panic!("{job} finds no minutes"),
        }
    }

    async fn wanted(&self, now: StoreNow) -> [u64; 2] {
        let wanted = self.store.places_wanted(now.wall).await.unwrap();
        let [(Pool::Native, native), (Pool::Browser, browser)] = wanted[..] else {
            panic!("{wanted:?}")
        };
        [native, browser]
    }
}

#[tokio::test]
async fn a_claim_for_one_pool_takes_only_its_jobs() {
    let fixture = fixture().await;
    let browser = fixture.platform(Platform::GoogleMeet, at(1)).await;
    let native = fixture.platform(Platform::Janus, at(2)).await;
    let waits = fixture.platform(Platform::Janus, at(3)).await;
    let later = fixture.platform(Platform::GoogleMeet, at(4)).await;
    assert_eq!(fixture.next_of(Pool::Native, at(4)).await, Some((native, 1)));
    assert_eq!(fixture.next_of(Pool::Browser, at(4)).await, Some((browser, 1)));
    // A lost bot is replaced by one of its pool.
    assert!(fixture.store.hand_over(browser, 1, at(5)).await.unwrap());
    assert_eq!(fixture.next_of(Pool::Browser, at(6)).await, Some((browser, 2)));
    assert_eq!(fixture.next_of(Pool::Browser, at(6)).await, Some((later, 1)));
    assert_eq!(fixture.next_of(Pool::Browser, at(6)).await, None);
    assert!(fixture.store.hand_over(browser, 2, at(7)).await.unwrap());
    assert_eq!(fixture.next_of(Pool::Native, at(8)).await, Some((waits, 1)));
    assert_eq!(fixture.next_of(Pool::Native, at(8)).await, None);
}

#[tokio::test]
async fn a_bot_that_only_finalises_needs_no_browser() {
    let fixture = fixture().await;
    let job = fixture.platform(Platform::GoogleMeet, at(1)).await;
    assert_eq!(fixture.next_of(Pool::Browser, at(1)).await, Some((job, 1)));
    let recorded = [BotReport::Admitted, BotReport::RecordingStarted];
    fixture.report(job, 1, 3, 1, &recorded, at(2)).await;
    fixture.store.cancel(fixture.tenant, job, at(3)).await.unwrap();
    assert!(fixture.store.release(job, 1, at(4)).await.unwrap());
    assert_eq!(fixture.next_of(Pool::Browser, at(5)).await, None);
    assert_eq!(fixture.next_of(Pool::Native, at(5)).await, Some((job, 2)));
}

#[tokio::test]
async fn a_job_with_an_account_waits_for_its_pool() {
    let fixture = fixture().await;
    fixture.store.set_accounts(vec![("bob".to_owned(), 2)]).await.unwrap();
    let with_account = |job: &mut Job| {
        job.platform = Platform::GoogleMeet;
        job.account = Some("bob".to_owned());
    };
    let job = fixture.create(with_account, at(1)).await.id;
    assert_eq!(fixture.next_of(Pool::Native, at(2)).await, None);
    assert_eq!(fixture.next_of(Pool::Browser, at(2)).await, Some((job, 1)));
}

#[tokio::test]
async fn the_consumer_with_the_fewest_bots_is_next_in_each_pool() {
    let fixture = fixture().await;
    let other = fixture.store.create_key(key("other", true), at(0)).await.unwrap().0.tenant;
    let of_other = new_job(at(3));
    let (id, starts) = (of_other.id, start(&of_other));
    for _ in 0..2 {
        fixture.platform(Platform::Janus, at(1)).await;
    }
    // The other consumer has a job in the other pool, which is due before.
    let mut meet = Job { platform: Platform::GoogleMeet, ..new_job(at(2)) };
    meet.id = JobId::generate(at(2).wall);
    let starts_before = start(&meet);
    for (job, start) in [(meet, starts_before), (of_other, starts)] {
        fixture.store.create_job(other, job, link(), start, None, at(3)).await.unwrap();
    }
    assert_ne!(fixture.next_of(Pool::Native, at(4)).await.unwrap().0, id);
    assert_eq!(fixture.next_of(Pool::Native, at(4)).await, Some((id, 1)));
}

#[tokio::test]
async fn the_places_wanted_are_those_of_jobs_that_run_or_may_start() {
    let fixture = fixture().await;
    assert_eq!(fixture.wanted(at(0)).await, [0, 0]);
    let first = fixture.platform(Platform::Janus, at(1)).await;
    for second in 2..=4 {
        fixture.platform(Platform::Janus, at(second)).await;
    }
    fixture.platform(Platform::GoogleMeet, at(5)).await;
    let later = |job: &mut Job| job.join_at = Some(at(500).wall);
    fixture.create(later, at(6)).await;
    assert_eq!(fixture.wanted(at(6)).await, [4, 1]);
    assert_eq!(fixture.wanted(at(500)).await, [5, 1], "one starts later");
    // A job with a bot, and one that has lost its bot, want a place as before.
    assert_eq!(fixture.next_of(Pool::Native, at(7)).await, Some((first, 1)));
    assert_eq!(fixture.wanted(at(7)).await, [4, 1]);
    assert!(fixture.store.hand_over(first, 1, at(8)).await.unwrap());
    assert_eq!(fixture.wanted(at(8)).await, [4, 1]);
    let bots = NonZeroU32::new(2).map(QuotaOverride::Limit);
    let change = QuotaChange { bots, ..QuotaChange::default() };
    assert!(fixture.store.change_quota("acme", change).await.unwrap());
    assert_eq!(fixture.wanted(at(9)).await, [2, 1], "others wait for a slot");
    assert_eq!(fixture.next_of(Pool::Native, at(9)).await, Some((first, 2)));
    assert!(fixture.next_of(Pool::Native, at(9)).await.is_some());
    assert_eq!(fixture.wanted(at(9)).await, [2, 0]);
    // Its end makes room for one more.
    fixture.report(first, 2, 3, 1, &[ended(Cause::Requested, false)], at(10)).await;
    assert_eq!(fixture.wanted(at(10)).await, [2, 1]);
}
