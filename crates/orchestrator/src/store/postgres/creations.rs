//! New jobs. Those of one tenant that wait at the same moment are created in one transaction, since the tenant's row is their lock: else each would wait for the
//! commits of all before it.

use std::{
    collections::{HashSet, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use meetbot_types::{Job, MeetingLink};
use tokio::sync::oneshot;

use super::{
    Outcome, PostgresStore, feed, idempotency, quotas, records, timeline,
    together::{all, both},
    transaction::{Caller, Failure, Reason, Steps, Transaction, Value},
    values::{escaped, read_as},
};
use crate::{
    clock::StoreNow,
    jobs::{
        EmittedEvent,
        quota::{self, Counts, Quota},
    },
    store::{Creation, IdempotencyKey, PriorRequest, Start, StoreError, Tenant},
};

/// How many jobs are created in one transaction at most.
const MOST: usize = 64;

/// A new job.
pub(super) struct New {
    pub(super) tenant: Tenant,
    pub(super) job: Job,
    pub(super) link: MeetingLink,
    pub(super) start: Start,
    pub(super) idempotency_key: Option<IdempotencyKey>,
}

/// A new job, when it was asked for, and who waits for the result.
struct Waiting {
    new: New,
    now: StoreNow,
    answer: oneshot::Sender<Result<Creation, StoreError>>,
}

/// The jobs that are not created yet.
#[derive(Default)]
pub(super) struct Creations(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// The first first.
    waiting: VecDeque<Waiting>,
    /// Whose jobs are being created: further ones wait, and are created together.
    busy: HashSet<Tenant>,
}

impl Creations {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, waiting: Waiting) {
        self.queue().waiting.push_back(waiting);
    }

    /// Takes the first job of a tenant of whom none is being created, and those of the same tenant that can be created with it: none of them has the key or the external
    /// id of another one.
    fn take(&self) -> Option<(Busy<'_>, Vec<Waiting>)> {
        let Queue { waiting: queue, busy } = &mut *self.queue();
        let first = queue.iter().find(|waiting| !busy.contains(&waiting.new.tenant))?;
        let tenant = first.new.tenant;
        busy.insert(tenant);
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        let (mut keys, mut external_ids) = (HashSet::new(), HashSet::new());
        for waiting in queue.drain(..) {
            let New { job, idempotency_key, .. } = &waiting.new;
            let key = idempotency_key.as_ref().map(|key| key.key.clone());
            let is_free = waiting.new.tenant == tenant
                && taken.len() < MOST
                && key.as_ref().is_none_or(|key| !keys.contains(key))
                && job.external_id.as_ref().is_none_or(|id| !external_ids.contains(id));
            if !is_free {
                left.push_back(waiting);
                continue;
            }
            keys.extend(key);
            external_ids.extend(job.external_id.clone());
            taken.push(waiting);
        }
        *queue = left;
        Some((Busy { creations: self, tenant }, taken))
    }
}

/// While it is there, no other transaction of this process creates jobs of the tenant.
struct Busy<'a> {
    creations: &'a Creations,
    tenant: Tenant,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.creations.queue().busy.remove(&self.tenant);
    }
}

/// New jobs of one tenant, of which some are to be created.
type Asked = (Arc<Vec<(New, StoreNow)>>, Range<usize>);

impl PostgresStore {
    pub(super) async fn create(&self, new: New, now: StoreNow) -> Result<Creation, StoreError> {
        let (answer, created) = oneshot::channel();
        self.creations.push(Waiting { new, now, answer });
        let store = self.clone();
        // In a task of its own: a caller that goes away takes no other's job with it.
        tokio::spawn(async move { store.create_next().await });
        created.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a verb panicked".into())))
    }

    /// Creates what waits, and what comes meanwhile.
    async fn create_next(&self) {
        // It is never closed.
        let _permit = self.connections.creators.acquire().await.ok();
        while let Some((_busy, waiting)) = self.creations.take() {
            self.create_all(waiting).await;
        }
    }

    /// Creates jobs of one tenant.
    async fn create_all(&self, waiting: Vec<Waiting>) {
        let Some(first) = waiting.first().map(|waiting| waiting.now) else { return };
        let (news, answers): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|Waiting { new, now, answer }| ((new, now), answer)).unzip();
        let news = Arc::new(news);
        let mut created = match self.try_create(first, (Arc::clone(&news), 0..news.len())).await {
            Ok(created) => created.into_iter().map(Ok).collect(),
            Err(Failure { reason: Reason::Values, .. }) if news.len() > 1 => Vec::new(),
            Err(Failure { error, .. }) => vec![Err(error); news.len()],
        };
        // One that cannot be created harms no other.
        while created.len() < news.len() {
            let at = created.len();
            let one = self.try_create(news[at].1, (Arc::clone(&news), at..at + 1)).await;
            let one = one.map_err(|failure| failure.error);
            created.push(one.and_then(|one| {
                one.into_iter().next().ok_or_else(|| StoreError::Corrupt("no result".into()))
            }));
        }
        for (answer, created) in answers.into_iter().zip(created) {
            // The caller may be gone.
            let _ = answer.send(created);
        }
    }

    async fn try_create(&self, now: StoreNow, asked: Asked) -> Result<Vec<Creation>, Failure> {
        let steps: Steps<Asked, _, _> = (
            |it, (news, these)| Box::pin(look(it, &news[these.clone()])),
            |it, (news, these), seen| Box::pin(create(it, &news[these.clone()], seen)),
        );
        self.connections.attempt_steps(Caller::Other, Some(now), asked, steps).await
    }
}

/// What is looked at before jobs of one tenant are created, behind the tenant's lock.
struct Seen {
    tenant: Tenant,
    counts: Counts,
    quota: Quota,
    feed: i64,
    /// For each new job.
    before: Vec<Option<Before>>,
}

/// Locks the tenant of new jobs, and reads. What does not depend on each other is sent together, with the begin of the transaction.
async fn look(transaction: &Transaction, news: &[(New, StoreNow)]) -> Outcome<Option<Seen>> {
    let Some(tenant) = news.first().map(|(new, _)| new.tenant) else { return Ok(None) };
    let consumer = tenant.consumer.to_string();
    let reads = || {
        let before = news.iter().map(|new| before(transaction, new));
        let of_tenant =
            both(quotas::quota(transaction, &consumer), feed::id_of(transaction, tenant));
        both(of_tenant, all(before))
    };
    let (counts, ((quota, feed), before)) =
        Box::pin(quotas::lock_and(transaction, tenant, reads)).await?;
    Ok(Some(Seen { tenant, counts, quota, feed, before }))
}

/// Puts jobs of one tenant into the queue.
async fn create(
    transaction: &Transaction,
    news: &[(New, StoreNow)],
    seen: Option<Seen>,
) -> Outcome<Vec<Creation>> {
    let Some(Seen { tenant, counts, quota, feed, before }) = seen else { return Ok(Vec::new()) };
    let mut waiting = counts.waiting;
    let mut creations = Vec::with_capacity(news.len());
    for ((New { job, start, .. }, now), before) in news.iter().zip(before) {
        let (used_up, full_queue) = match &before {
            Some(_) => (None, None),
            None => (
                quotas::used_up_of(transaction, tenant, quota, &job.platform, start.from, now.wall)
                    .await?,
                quota::full_queue(quota, waiting),
            ),
        };
        let creation = match before {
            Some(Before::Request(prior)) => Creation::Prior(prior),
            Some(Before::Job(existing)) => Creation::of(job.clone(), Some(*existing), None, None),
            None => Creation::of(job.clone(), None, used_up, full_queue),
        };
        waiting += u32::from(matches!(creation, Creation::Created(_)));
        creations.push(creation);
    }
    let is_created = |creation: &Creation| matches!(creation, Creation::Created(_));
    let created = news.iter().zip(&creations).filter(|(_, creation)| is_created(creation));
    let created: Vec<&New> = created.map(|((new, _), _)| new).collect();
    let answered =
        news.iter().zip(&creations).map(|(new, creation)| answer(transaction, new, creation));
    let written = Box::pin(async {
        if created.is_empty() {
            return Ok(());
        }
        let first = created.iter().filter(|new| new.job.account.is_none());
        let first = first.map(|new| new.start.from.as_millis()).min();
        let due = quota::due(counts.bots, quota.bots, first);
        let joined = quotas::joined(transaction, tenant, waiting - counts.waiting, due);
        Box::pin(both(joined, insert(transaction, tenant, feed, &created))).await.map(drop)
    });
    both(written, all(answered)).await?;
    Ok(creations)
}

/// What there is already in place of a new job.
enum Before {
    /// A request with the same `Idempotency-Key`.
    Request(PriorRequest),
    /// A job with the same external id.
    Job(Box<Job>),
}

async fn before(
    transaction: &Transaction,
    (new, now): &(New, StoreNow),
) -> Outcome<Option<Before>> {
    let New { tenant, job, idempotency_key, .. } = new;
    if let Some(key) = idempotency_key
        && let Some(prior) = idempotency::prior_request(transaction, *tenant, key, now.wall).await?
    {
        return Ok(Some(Before::Request(prior)));
    }
    let Some(external_id) = &job.external_id else { return Ok(None) };
    let condition = "j.consumer = $1 AND j.live = $2 AND j.external_id = $3";
    let values: [_; 2] = [tenant.consumer.to_string(), escaped(external_id).into_owned()];
    let existing =
        records::load(transaction, condition, &[&values[0], &tenant.live, &values[1]]).await?;
    Ok(existing.map(|existing| Before::Job(Box::new(existing.job))))
}

/// Writes jobs of one tenant, and their events of the feed.
async fn insert(
    transaction: &Transaction,
    tenant: Tenant,
    feed: i64,
    created: &[&New],
) -> Outcome<()> {
    let (mut ids, mut external_ids, mut platforms, mut statuses) = (vec![], vec![], vec![], vec![]);
    let (mut times, mut from, mut by) = (vec![], vec![], vec![]);
    let (mut links, mut jobs, mut accounts) = (vec![], vec![], vec![]);
    for New { job, link, start, .. } in created {
        ids.push(job.id.to_string());
        external_ids.push(job.external_id.as_deref().map(escaped));
        platforms.push(job.platform.as_str());
        statuses.push(job.status.as_str());
        times.push(job.created_at.as_millis());
        from.push(start.from.as_millis());
        by.push(start.by.as_millis());
        links.push(read_as(serde_json::to_string(link), "a link")?);
        jobs.push(read_as(serde_json::to_string(job), "a job")?);
        accounts.push(job.account.as_deref());
    }
    let consumer = tenant.consumer.to_string();
    let values: [Value<'_>; 12] = [
        &consumer,
        &tenant.live,
        &ids,
        &external_ids,
        &platforms,
        &statuses,
        &times,
        &from,
        &by,
        &links,
        &jobs,
        &accounts,
    ];
    let inserted = transaction.run(
        "INSERT INTO jobs (consumer, live, id, external_id, platform, status, created_at, run_at, start_by, link, job, account)
         SELECT $1, $2, * FROM unnest($3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[], $8::BIGINT[], $9::BIGINT[],
            $10::TEXT[], $11::TEXT[], $12::TEXT[])",
        &values,
    );
    let events: Vec<_> = created.iter().map(|new| EmittedEvent::created(&new.job)).collect();
    let events: Vec<_> =
        created.iter().zip(&events).map(|(new, event)| (&new.job, event, None)).collect();
    both(inserted, timeline::insert(transaction, feed, &events)).await?;
    Ok(())
}

/// Stores the response under the request's `Idempotency-Key`.
async fn answer(
    transaction: &Transaction,
    (new, now): &(New, StoreNow),
    creation: &Creation,
) -> Outcome<()> {
    let (Some(key), Some((status, job))) = (&new.idempotency_key, creation.answered()) else {
        return Ok(());
    };
    let response = key.response(status, read_as(serde_json::to_string(job), "a job")?);
    idempotency::insert(transaction, new.tenant, key, &response, true, now.wall).await
}

#[cfg(test)]
mod tests {
    use futures_util::future;

    use super::*;
    use crate::store::{
        KeyStore as _, Store as _, contract,
        postgres::{backend::Database, races},
    };

    fn waiting(tenant: Tenant, key: Option<&str>, external_id: Option<&str>) -> Waiting {
        let now = contract::at(1);
        let mut job = contract::new_job(now);
        job.external_id = external_id.map(ToOwned::to_owned);
        let idempotency_key = key.map(|key| IdempotencyKey {
            key: key.to_owned(),
            fingerprint: [1; 32],
            ignored: String::new(),
        });
        let (start, link) = (contract::start(&job), contract::link());
        let (answer, _) = oneshot::channel();
        Waiting { new: New { tenant, job, link, start, idempotency_key }, now, answer }
    }

    fn tenant(live: bool) -> Tenant {
        Tenant { consumer: meetbot_types::ConsumerId::generate(contract::at(1).wall), live }
    }

    #[test]
    fn jobs_of_one_tenant_are_taken_together_unless_they_depend_on_each_other() {
        let (one, other) = (tenant(true), tenant(true));
        let creations = Creations::default();
        for (tenant, key, external_id) in [
            (one, Some("a"), None),
            (other, Some("a"), None),
            (one, Some("a"), None),
            (one, None, Some("x")),
            (one, None, Some("x")),
            (one, None, None),
        ] {
            creations.push(waiting(tenant, key, external_id));
        }
        let number = |taken: &Option<(Busy<'_>, Vec<Waiting>)>| {
            taken.as_ref().map(|(busy, waiting)| (busy.tenant == one, waiting.len()))
        };
        let first = creations.take();
        assert_eq!(number(&first), Some((true, 3)));
        let second = creations.take();
        assert_eq!(number(&second), Some((false, 1)));
        assert!(creations.take().is_none(), "both are busy");
        drop(first);
        assert_eq!(number(&creations.take()), Some((true, 2)));
    }

    #[test]
    fn one_transaction_creates_a_limited_number_of_jobs() {
        let (one, creations) = (tenant(false), Creations::default());
        for _ in 0..=MOST {
            creations.push(waiting(one, None, None));
        }
        assert_eq!(creations.take().map(|(_, taken)| taken.len()), Some(MOST));
        assert_eq!(creations.take().map(|(_, taken)| taken.len()), Some(1));
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_created_harms_no_other_of_its_transaction() {
        let server = races::server();
        let database = Database::new(&server.socket());
        let store = PostgresStore::open(&races::url(&database)).await.unwrap();
        let key = contract::key("one", true);
        let tenant = store.create_key(key, store.now()).await.unwrap().0.tenant;
        let (mut answers, mut together) = (Vec::new(), Vec::new());
        let mut id = None;
        for is_twice in [false, true, true, false] {
            let (answer, created) = oneshot::channel();
            let mut waiting = Waiting { answer, now: store.now(), ..waiting(tenant, None, None) };
            if is_twice {
                waiting.new.job.id = *id.get_or_insert(waiting.new.job.id);
            }
            together.push(waiting);
            answers.push(created);
        }
        store.create_all(together).await;
        let created: Vec<_> = future::try_join_all(answers).await.unwrap();
        let are_created: Vec<_> =
            created.iter().map(|created| matches!(created, Ok(Creation::Created(_)))).collect();
        assert_eq!(are_created, [true, true, false, true], "{created:?}");
    }
}
