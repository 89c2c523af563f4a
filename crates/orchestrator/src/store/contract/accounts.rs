//! Places of accounts: as many bots as an account has places are signed in as it at once.

use super::*;

impl Fixture {
    /// A job with an account, created at this moment.
    async fn with_account(&self, account: &str, now: StoreNow) -> JobId {
        self.create(|job| job.account = Some(account.to_owned()), now).await.id
    }

    /// The job that is claimed at this moment.
    async fn claimed(&self, now: StoreNow) -> Option<JobId> {
        self.claim(1, now).await.map(|claimed| claimed.job.id)
    }

    async fn finish(&self, job: JobId, epoch: u32, now: StoreNow) {
        let over = [ended(Cause::Left(LeaveReason::MeetingEnded), true)];
        self.report(job, epoch, 1, 1, &over, now).await;
    }
}

fn places<const N: usize>(of: [(&str, u32); N]) -> Vec<(String, u32)> {
    of.map(|(name, bots)| (name.to_owned(), bots)).into()
}

#[tokio::test]
async fn jobs_of_one_account_run_one_after_another_and_hold_up_no_others() {
    let fixture = fixture().await;
    fixture.store.set_accounts(places([("notes", 1), ("desk", 2)])).await.unwrap();
    let mut notes = Vec::new();
    for second in 1..=3 {
        notes.push(fixture.with_account("notes", at(second)).await);
    }
    let guest = fixture.create(|_| {}, at(4)).await.id;
    let desk =
        [fixture.with_account("desk", at(5)).await, fixture.with_account("desk", at(6)).await];
    // A guest's job that is older than both: those with an account are claimed first.
    for expected in [notes[0], desk[0], desk[1], guest] {
        assert_eq!(fixture.claimed(at(10)).await, Some(expected));
    }
    assert_eq!(fixture.claimed(at(10)).await, None);
    assert_eq!(fixture.store.next_start().await.unwrap(), None, "nobody looks again for nothing");
    assert_eq!(fixture.store.full_accounts().await.unwrap(), ["desk", "notes"]);
    fixture.finish(notes[0], 1, at(11)).await;
    assert_eq!(fixture.store.full_accounts().await.unwrap(), ["desk"]);
    assert_eq!(fixture.store.next_start().await.unwrap(), Some(at(2).wall));
    assert_eq!(fixture.claimed(at(12)).await, Some(notes[1]));
    assert_eq!(fixture.claimed(at(12)).await, None);
    // A cancelled job gives its place back too.
    fixture.store.cancel(fixture.tenant, notes[1], at(13)).await.unwrap();
    fixture.report(notes[1], 1, 1, 1, &[ended(Cause::Cancelled, false)], at(14)).await;
    assert_eq!(fixture.claimed(at(15)).await, Some(notes[2]));
}

#[tokio::test]
async fn a_job_keeps_its_place_while_a_lost_bot_is_replaced() {
    let fixture = fixture().await;
    fixture.store.set_accounts(places([("notes", 1)])).await.unwrap();
    let first = fixture.with_account("notes", at(1)).await;
    let second = fixture.with_account("notes", at(2)).await;
    assert_eq!(fixture.claimed(at(3)).await, Some(first));
    assert!(fixture.store.release(first, 1, at(4)).await.unwrap());
    assert_eq!(fixture.store.full_accounts().await.unwrap(), ["notes"]);
    assert_eq!(fixture.claimed(at(5)).await, Some(first), "its next bot");
    assert_eq!(fixture.claimed(at(5)).await, None);
    fixture.finish(first, 2, at(6)).await;
    assert_eq!(fixture.claimed(at(7)).await, Some(second));
}

#[tokio::test]
async fn places_are_shared_by_consumers_and_follow_the_settings() {
    let fixture = fixture().await;
    let (other, _) = fixture.store.create_key(key("other", true), at(0)).await.unwrap();
    fixture.store.set_accounts(places([("notes", 1)])).await.unwrap();
    let mut job = new_job(at(1));
    job.account = Some("notes".to_owned());
    let (theirs, begins) = (job.id, start(&job));
    fixture.store.create_job(other.tenant, job, link(), begins, None, at(1)).await.unwrap();
    let own = fixture.with_account("notes", at(2)).await;
    let scheduled = fixture
        .create(
            |job| (job.account, job.join_at) = (Some("notes".to_owned()), Some(at(100).wall)),
            at(2),
        )
        .await
        .id;
    assert_eq!(fixture.claimed(at(3)).await, Some(theirs));
    assert_eq!(fixture.claimed(at(3)).await, None);
    fixture.store.set_accounts(places([("notes", 2)])).await.unwrap();
    assert_eq!(fixture.claimed(at(4)).await, Some(own));
    // An account that the settings no longer have holds up nothing: its jobs fail when they are claimed.
    fixture.store.set_accounts(Vec::new()).await.unwrap();
    assert_eq!(fixture.store.next_start().await.unwrap(), Some(at(100).wall));
    assert_eq!(fixture.claimed(at(99)).await, None);
    assert_eq!(fixture.claimed(at(100)).await, Some(scheduled));
}

#[tokio::test]
async fn a_consumer_at_its_bot_limit_gets_no_place_and_a_late_job_has_the_reason() {
    let fixture = fixture().await;
    fixture.store.set_accounts(places([("notes", 1), ("desk", 1)])).await.unwrap();
    let one = QuotaOverride::Limit(std::num::NonZeroU32::MIN);
    let change = QuotaChange { bots: Some(one), ..QuotaChange::default() };
    fixture.store.change_quota("acme", change).await.unwrap();
    let running = fixture.with_account("notes", at(1)).await;
    let waits = fixture.with_account("desk", at(2)).await;
    assert_eq!(fixture.claimed(at(3)).await, Some(running));
    assert_eq!(fixture.claimed(at(3)).await, None);
    assert_eq!(fixture.store.next_start().await.unwrap(), None);
    let change = QuotaChange { bots: Some(QuotaOverride::Unlimited), ..QuotaChange::default() };
    fixture.store.change_quota("acme", change).await.unwrap();
    assert_eq!(fixture.claimed(at(4)).await, Some(waits));
    let late = fixture.with_account("notes", at(5)).await;
    let expired = fixture.store.expire(at(20 * 60)).await.unwrap();
    assert_eq!(expired, [Expired { job: late, awaited: Some(Awaited::Account) }]);
    let job = fixture.job(late).await;
    assert_eq!(job.failure_code, Some(FailureCode::DispatchTimeout));
    assert!(job.failure_detail.unwrap().starts_with("its account had as many bots"));
}
