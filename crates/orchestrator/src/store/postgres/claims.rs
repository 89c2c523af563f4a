//! Claims of jobs. The lock of claims lets one transaction after the other, so those that wait at the same moment are made in one: else each would wait for the commits
//! of all before it.
//!
//! Such a transaction keeps the locks of one claim while it takes those of the next, in another order than that of all others. So it waits for none of them: it ends where
//! another transaction has one.

use std::{num::NonZeroU32, sync::Arc};

use meetbot_types::{JobId, JobStatus, Timestamp};
use tokio::sync::oneshot;

use super::{
    Outcome, PostgresStore, accounts,
    cluster::ClaimRules,
    consumers, endpoints, jobs,
    line::Line,
    quotas, records,
    together::both,
    transaction::{Caller, Failure, Reason, Transaction},
    values::parsed,
};
use crate::{
    clock::StoreNow,
    jobs::{Changes, Eligible, JobRecord, quota::GUEST_WAITING, sign_claim},
    store::{AvailabilityLookup, Claim, Claimed, Claimer, StoreError, Tenant},
};

/// How many jobs are claimed in one transaction at most.
const MOST: usize = 16;
/// How often a claim looks again when the job that it found was changed before it had its lock.
const LOOKS: u32 = 32;

/// Who asks for a job.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) claimer: Claimer,
    pub(super) token_hash: [u8; 32],
    pub(super) lookup: Arc<AvailabilityLookup>,
    pub(super) now: StoreNow,
}

impl Asked {
    /// Whether the jobs that this one may take are those of the other.
    fn may_take_the_same(&self, other: &Self) -> bool {
        let (one, other) = (&self.claimer, &other.claimer);
        one.pool == other.pool && one.labels == other.labels
    }
}

/// A claim that is not made yet, and who waits for the result.
pub(super) struct Waiting {
    asked: Asked,
    answer: oneshot::Sender<Result<Claim, StoreError>>,
}

/// The claims that are not made yet.
pub(super) type Claims = Line<Waiting>;

impl PostgresStore {
    pub(super) async fn claim_next(&self, asked: Asked) -> Result<Claim, StoreError> {
        let (answer, claimed) = oneshot::channel();
        if self.claims.push(Waiting { asked, answer }) {
            let store = self.clone();
            tokio::spawn(async move {
                loop {
                    // A caller that is gone gets no job.
                    store.claims.retain(|waiting| !waiting.answer.is_closed());
                    let waiting = store
                        .claims
                        .take(MOST, |one, other| one.asked.may_take_the_same(&other.asked));
                    if waiting.is_empty() {
                        return;
                    }
                    store.claim_all(waiting).await;
                }
            });
        }
        claimed.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a verb panicked".into())))
    }

    /// Makes claims of those that may take the same jobs: all, or the first ones; the others wait again.
    async fn claim_all(&self, mut waiting: Vec<Waiting>) {
        let mut made = self.try_claim(&waiting).await;
        if let Err(failure) = &made
            && waiting.len() > 1
        {
            match failure.reason {
                // Any of them may be the reason, and harms only itself.
                Reason::Values => {
                    self.claims.put_back(waiting.split_off(1));
                    made = self.try_claim(&waiting).await;
                }
                // Only the first one waits for locks.
                Reason::Lock => self.claims.put_back(waiting.split_off(1)),
                Reason::Other => {}
            }
        }
        let made = match made {
            Ok(made) => made.into_iter().map(Ok).collect(),
            Err(Failure { error, .. }) => vec![Err(error); waiting.len()],
        };
        self.claims.put_back(waiting.split_off(made.len().min(waiting.len())));
        for (Waiting { answer, .. }, made) in waiting.into_iter().zip(made) {
            // The caller may be gone.
            let _ = answer.send(made);
        }
    }

    async fn try_claim(&self, waiting: &[Waiting]) -> Result<Vec<Claim>, Failure> {
        let asked: Vec<_> = waiting.iter().map(|waiting| waiting.asked.clone()).collect();
        let now = asked.first().map(|asked| asked.now);
        let asked = (self.member.node.clone(), asked);
        let attempt = self.connections.attempt_steps(
            Caller::Claimer,
            now,
            asked,
            (
                |it, (_, asked)| Box::pin(rules(it, asked)),
                |it, (node, asked), rules| Box::pin(claim(it, node, asked, rules)),
            ),
        );
        attempt.await
    }
}

/// What claims read with the begin of their transaction, which has the lock of claims. The plans of what follows are made for its values: plans for any value may
/// turn bad after five runs.
async fn rules(transaction: &Transaction, asked: &[Asked]) -> Outcome<Option<ClaimRules>> {
    let Some(first) = asked.first() else { return Ok(None) };
    let rules = ClaimRules::at(transaction, first.now.timing);
    both(rules, transaction.plan_anew()).await.map(|(rules, ())| Some(rules))
}

/// Gives the next jobs to bots of nodes or workers. The last of those that ask may have no result.
async fn claim(
    transaction: &Transaction,
    node: &str,
    asked: &[Asked],
    rules: Option<ClaimRules>,
) -> Outcome<Vec<Claim>> {
    let Some(rules) = rules else { return Ok(Vec::new()) };
    let (mut claims, mut search) = (Vec::new(), Search::default());
    for asked in asked {
        let now = transaction.at(asked.now);
        let found = if rules.are_held {
            Found::Nothing
        } else {
            let Claimer { pool, labels, .. } = &asked.claimer;
            let eligible = Eligible::new(*pool, labels, rules.required.iter().cloned());
            search.next(transaction, now.wall.as_millis(), &eligible).await?
        };
        let mut record = match found {
            Found::Job(record) => *record,
            Found::Nothing => {
                claims.push(Claim::Nothing);
                continue;
            }
            Found::Locked => break,
        };
        let minutes = used_up(transaction, &record, now.wall).await?;
        let consumer = if record.needs_consumer() {
            consumers::name(transaction, record.tenant.consumer).await?
        } else {
            None
        };
        let (finalize, changes) = if let Some(minutes) = minutes {
            (None, record.refuse_for_minutes(minutes, now.wall))
        } else {
            let available = (asked.lookup)(record.tenant.live, consumer.as_deref());
            record.claim(asked.token_hash, &available, now)
        };
        if !claims.is_empty() && !has_locks(transaction, &record, &changes).await? {
            break;
        }
        // A worker's lease has no node, so no node takes it over at its start.
        let holder = asked.claimer.worker.as_deref().unwrap_or(node);
        jobs::save(transaction, holder, &record, changes, now.wall).await?;
        if minutes.is_some() {
            claims.push(Claim::NoMinutes(record.job.id));
            // The job has ended, and locks counters.
            break;
        }
        let signature = sign_claim(&rules.secret, record.job.id, record.epoch, &asked.token_hash);
        let JobRecord { job, tenant, link, .. } = record;
        let claimed = Claimed { job, tenant, consumer, link, finalize, signature };
        claims.push(Claim::Bot(Box::new(claimed)));
    }
    Ok(claims)
}

/// The minutes that the job's consumer had, where the job needs some and none are left.
async fn used_up(
    transaction: &Transaction,
    record: &JobRecord,
    now: Timestamp,
) -> Outcome<Option<NonZeroU32>> {
    if !record.needs_minutes() {
        return Ok(None);
    }
    quotas::used_up(transaction, record.tenant, &record.job.platform, now, now).await
}

/// Locks what these changes of a job will lock, if no other transaction has any of it.
async fn has_locks(
    transaction: &Transaction,
    record: &JobRecord,
    changes: &Changes,
) -> Outcome<bool> {
    if !quotas::try_lock(transaction, record.tenant).await? {
        return Ok(false);
    }
    let urls: Vec<&str> =
        changes.events.iter().flat_map(|emitted| emitted.urls(&record.job)).collect();
    endpoints::try_lock(transaction, record.tenant, &urls).await
}

/// What a claim has found.
enum Found {
    /// The next job, with its lock.
    Job(Box<JobRecord>),
    /// No job is due.
    Nothing,
    /// Another transaction has the lock of the next job, or of its tenant.
    Locked,
}

/// The queues, in their order. Jobs that come to the first two during the transaction are found by the next one.
#[derive(Default, PartialEq, Eq)]
enum Queue {
    /// Jobs whose bot was lost.
    #[default]
    Lost,
    /// Jobs with an account. They come before those of guests, which they can hold up by as many bots as accounts have places.
    Accounts,
    Guests,
    /// No job is due in any of them.
    Over,
    /// Another transaction has the lock of the tenant whose job would be next.
    Locked,
}

/// The search of a transaction for jobs; in all its claims the same ones are eligible.
#[derive(Default)]
struct Search {
    queue: Queue,
    /// The transaction has locks that it may not keep while it waits for that of a job.
    has_locks: bool,
}

impl Search {
    async fn next(
        &mut self,
        transaction: &Transaction,
        due: i64,
        eligible: &Eligible,
    ) -> Outcome<Found> {
        for _ in 0..LOOKS {
            let Some(id) = self.find(transaction, due, eligible).await? else {
                match self.queue {
                    Queue::Over => break,
                    Queue::Locked => return Ok(Found::Locked),
                    _ => continue,
                }
            };
            // The job is found: all that follows names rows by their keys.
            let keeps = transaction.keep_plans();
            let record = if self.has_locks {
                let locked = records::locked_at_once(transaction, id);
                let ((), Some(record)) = both(keeps, locked).await? else {
                    return Ok(Found::Locked);
                };
                Some(record)
            } else {
                both(keeps, records::locked(transaction, id)).await?.1
            };
            self.has_locks = true;
            // It may have been cancelled, or have expired, before it was locked.
            let still = |record: &JobRecord| {
                record.job.status == JobStatus::Queued && record.run_at.as_millis() <= due
            };
            if let Some(record) = record.filter(still) {
                return Ok(Found::Job(Box::new(record)));
            }
        }
        Ok(Found::Nothing)
    }

    /// The next job, without its lock. `None`: look again, or there is none.
    async fn find(
        &mut self,
        transaction: &Transaction,
        due: i64,
        eligible: &Eligible,
    ) -> Outcome<Option<JobId>> {
        let tenant = if self.has_locks {
            transaction.plan_anew().await?;
            if self.queue == Queue::Lost {
                let lost = lost(transaction, due, eligible).await?;
                if lost.is_some() {
                    return Ok(lost);
                }
                self.queue = Queue::Accounts;
            }
            if self.queue == Queue::Accounts {
                let next = accounts::next(transaction, due, eligible).await?;
                if next.is_some() {
                    return Ok(next);
                }
                self.queue = Queue::Guests;
            }
            quotas::next_tenant(transaction, due, eligible).await?
        } else {
            // The first two are empty nearly always: the search in all of them is sent at once.
            let of_account = accounts::next(transaction, due, eligible);
            let others = both(of_account, quotas::next_tenant(transaction, due, eligible));
            let searches = Box::pin(both(lost(transaction, due, eligible), others));
            let (lost, (of_account, tenant)) = searches.await?;
            if lost.is_some() {
                return Ok(lost);
            }
            self.queue = Queue::Accounts;
            if of_account.is_some() {
                return Ok(of_account);
            }
            self.queue = Queue::Guests;
            tenant
        };
        let Some(tenant) = tenant else {
            self.queue = Queue::Over;
            return Ok(None);
        };
        let first = first_of(transaction, tenant, eligible).await?;
        if first.is_none() {
            // The tenant's row was wrong, or is about to change: it is set right.
            if self.has_locks && !quotas::try_lock(transaction, tenant).await? {
                self.queue = Queue::Locked;
                return Ok(None);
            }
            quotas::settle(transaction, tenant).await?;
            self.has_locks = true;
        }
        Ok(first)
    }
}

/// The job with a lost bot that has waited longest.
async fn lost(transaction: &Transaction, due: i64, eligible: &Eligible) -> Outcome<Option<JobId>> {
    let lost = format!(
        "SELECT id FROM jobs WHERE status = 'queued' AND epoch > 0 AND run_at <= $1{} ORDER BY run_at, id LIMIT 1",
        eligible.and_job()
    );
    let row = transaction.row(&lost, &[&due]).await?;
    row.map(|row| parsed(&row, 0, "a job's id")).transpose()
}

/// A tenant's job without an account that has waited longest.
async fn first_of(
    transaction: &Transaction,
    tenant: Tenant,
    eligible: &Eligible,
) -> Outcome<Option<JobId>> {
    let and_job = eligible.and_job();
    let first = transaction
        .row(
            &format!("SELECT id FROM jobs WHERE consumer = $1 AND live = $2 AND {GUEST_WAITING}{and_job} ORDER BY run_at, id LIMIT 1"),
            &[&tenant.consumer.to_string(), &tenant.live],
        )
        .await?;
    first.map(|row| parsed(&row, 0, "a job's id")).transpose()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use meetbot_types::Webhooks;

    use super::*;
    use crate::store::{
        Creation, JobStore as _, KeyStore as _, Store as _, contract,
        postgres::{backend::Database, open::connection, races},
    };

    fn waiting(store: &PostgresStore) -> (Waiting, oneshot::Receiver<Result<Claim, StoreError>>) {
        let (answer, claimed) = oneshot::channel();
        let asked = Asked {
            claimer: Claimer::default(),
            token_hash: [1; 32],
            lookup: contract::all_available(),
            now: store.now(),
        };
        (Waiting { asked, answer }, claimed)
    }

    /// The results of claims that wait at the same moment, as far as one transaction gives them.
    async fn together(store: &PostgresStore, count: usize) -> Vec<Option<Claim>> {
        let (waiting, results): (Vec<_>, Vec<_>) = (0..count).map(|_| waiting(store)).unzip();
        store.claim_all(waiting).await;
        let left = store.claims.take(MOST, |_, _| true).len();
        let given = results.into_iter().take(count - left);
        let mut claims = Vec::new();
        for result in given {
            claims.push(Some(result.await.unwrap().unwrap()));
        }
        claims.resize_with(count, || None);
        claims
    }

    fn id(claim: Option<&Claim>) -> JobId {
        match claim {
            Some(Claim::Bot(claimed)) => claimed.job.id,
            other => panic!("{other:?}"),
        }
    }

    async fn tenant(store: &PostgresStore, name: &str) -> Tenant {
        store.create_key(contract::key(name, true), store.now()).await.unwrap().0.tenant
    }

    /// Creates a job whose changes are sent to this path.
    async fn create(store: &PostgresStore, tenant: Tenant, path: &str) -> JobId {
        let now = store.now();
        let mut job = contract::new_job(now);
        let url = Some(format!("https://{path}"));
        job.webhooks = Webhooks { on_status_change: url.clone(), on_finalize: url };
        let start = contract::start(&job);
        let created = store.create_job(tenant, job, contract::link(), start, None, now);
        match created.await.unwrap() {
            Creation::Created(job) => job.id,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn claims_that_wait_are_made_in_one_transaction_and_in_the_same_order_as_alone() {
        let server = races::server();
        let database = Database::new(&server.socket());
        let mut store = PostgresStore::open(&races::url(&database)).await.unwrap();
        let (one, other) = (tenant(&store, "one").await, tenant(&store, "other").await);
        // An endpoint's first event makes its row, which only the first claim of a transaction does.
        create(&store, one, "one.example/hook?job=").await;
        races::create(&store, other).await;
        for _ in 0..2 {
            id(together(&store, 1).await[0].as_ref());
        }
        let mut of_one = Vec::new();
        for _ in 0..3 {
            of_one.push(create(&store, one, "one.example/hook?job=").await);
        }
        races::create(&store, other).await;
        let transactions = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&transactions);
        store.connections.observer = Some(Arc::new(move |_, _, _| {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        let claims = together(&store, 6).await;
        assert_eq!(transactions.load(Ordering::SeqCst), 1);
        // The consumer with the fewest bots is next, and of a consumer's jobs the first.
        assert_eq!(id(claims[0].as_ref()), of_one[0]);
        assert!(!of_one.contains(&id(claims[1].as_ref())));
        assert_eq!([2, 3].map(|at| id(claims[at].as_ref())), [of_one[1], of_one[2]]);
        assert!(
            claims[4..].iter().all(|claim| matches!(claim, Some(Claim::Nothing))),
            "{claims:?}"
        );
    }

    #[tokio::test]
    async fn only_the_first_claim_of_a_transaction_waits_for_a_lock() {
        let server = races::server();
        let database = Database::new(&server.socket());
        let store = PostgresStore::open(&races::url(&database)).await.unwrap();
        let tenant = tenant(&store, "one").await;
        create(&store, tenant, "b.example/").await;
        id(together(&store, 1).await[0].as_ref());
        let job = create(&store, tenant, "one.example/").await;
        assert_eq!(id(together(&store, 1).await[0].as_ref()), job);
        let other = connection(&races::url(&database)).await.unwrap();
        for lock in [
            "SELECT 1 FROM jobs WHERE epoch = 0 ORDER BY id DESC LIMIT 1 FOR NO KEY UPDATE",
            "SELECT 1 FROM tenants FOR NO KEY UPDATE",
            "SELECT 1 FROM endpoints WHERE url LIKE '%b.example%' FOR NO KEY UPDATE",
        ] {
            // A job that has had a bot keeps its place, so that the tenant's row is not changed; and its changes go to another endpoint.
            let attempt = store.job(tenant, job).await.unwrap().unwrap().attempt;
            assert!(store.hand_over(job, attempt, store.now()).await.unwrap());
            let next = create(&store, tenant, "b.example/").await;
            other.batch_execute("BEGIN").await.unwrap();
            assert_eq!(other.query(lock, &[]).await.unwrap().len(), 1, "{lock}");
            let claims = together(&store, 3).await;
            assert_eq!(id(claims[0].as_ref()), job, "{lock}");
            assert!(claims[1].is_none() && claims[2].is_none(), "{lock}: {claims:?}");
            other.batch_execute("COMMIT").await.unwrap();
            // Nothing of it is changed.
            assert_eq!(id(together(&store, 1).await[0].as_ref()), next, "{lock}");
        }
    }

    #[tokio::test]
    async fn a_lock_that_the_first_claim_waits_for_too_long_fails_no_other() {
        let server = races::server();
        let database = Database::new(&server.socket());
        let store = PostgresStore::open(&races::url(&database)).await.unwrap();
        let tenant = tenant(&store, "one").await;
        create(&store, tenant, "one.example/").await;
        let other = connection(&races::url(&database)).await.unwrap();
        other.batch_execute("BEGIN").await.unwrap();
        other.query("SELECT 1 FROM jobs FOR NO KEY UPDATE", &[]).await.unwrap();
        let (waiting, results): (Vec<_>, Vec<_>) = (0..2).map(|_| waiting(&store)).unzip();
        store.claim_all(waiting).await;
        assert_eq!(store.claims.take(MOST, |_, _| true).len(), 1);
        let first = results.into_iter().next().unwrap().await.unwrap();
        assert!(matches!(first, Err(StoreError::Unavailable(_))), "{first:?}");
    }

    #[tokio::test]
    async fn a_caller_that_is_gone_gets_no_job() {
        let server = races::server();
        let database = Database::new(&server.socket());
        let store = PostgresStore::open(&races::url(&database)).await.unwrap();
        let tenant = tenant(&store, "one").await;
        let job = create(&store, tenant, "one.example/").await;
        let (gone, result) = waiting(&store);
        let asked = gone.asked.clone();
        drop(result);
        store.claims.put_back(vec![gone]);
        match store.claim_next(asked).await.unwrap() {
            Claim::Bot(claimed) => assert_eq!(claimed.job.id, job),
            other => panic!("{other:?}"),
        }
    }
}
