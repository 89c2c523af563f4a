//! Bots: claims, reports, commands and lost leases.

use meetbot_types::{
    Job, JobId, JobStatus, Timestamp,
    bot::{BotCommand, IngestRequest},
    work::Pool,
};

use super::{
    Outcome, accounts, commands, consumers, jobs, leases, paused, quotas, records,
    together::both,
    transaction::Transaction,
    values::{optional_time, parsed},
};
use crate::{
    clock::{LeaseTime, StoreNow},
    jobs::{
        Awaited, Changes, JobRecord,
        quota::{GUEST_WAITING, and_of},
    },
    store::{
        AvailabilityLookup, Claim, Claimed, Expired, IsAlive, Leases, Recorded, Reported, Tenant,
    },
};

/// How often a claim looks again when the job that it found was changed before it had its lock.
const LOOKS: u32 = 32;

/// The next job to claim, with its lock.
async fn next(
    transaction: &Transaction,
    due: i64,
    pool: Option<Pool>,
) -> Outcome<Option<JobRecord>> {
    let lost = format!(
        "SELECT id FROM jobs WHERE status = 'queued' AND epoch > 0 AND run_at <= $1{} ORDER BY run_at, id LIMIT 1",
        and_of(pool)
    );
    for _ in 0..LOOKS {
        let found = match transaction.row(&lost, &[&due]).await? {
            Some(row) => Some(parsed(&row, 0, "a job's id")?),
            // Before those of guests, which it can hold up by as many bots as accounts have places.
            None => match accounts::next(transaction, due, pool).await? {
                Some(id) => Some(id),
                None => match quotas::next_tenant(transaction, due, pool).await? {
                    None => return Ok(None),
                    Some(tenant) => first_of(transaction, tenant, pool).await?,
                },
            },
        };
        let Some(id) = found else { continue };
        // The job is found: all that follows names rows by their keys.
        let (keeps, locked) = (transaction.keep_plans(), records::locked(transaction, id));
        let ((), record) = both(keeps, locked).await?;
        // It may have been cancelled, or have expired, before it was locked.
        let still = |record: &JobRecord| {
            record.job.status == JobStatus::Queued && record.run_at.as_millis() <= due
        };
        if let Some(record) = record.filter(still) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// A tenant's job without an account that has waited longest. Where there is none, the tenant's row was wrong or is about to change: it is set right.
async fn first_of(
    transaction: &Transaction,
    tenant: Tenant,
    pool: Option<Pool>,
) -> Outcome<Option<JobId>> {
    let of_pool = and_of(pool);
    let first = transaction
        .row(
            &format!("SELECT id FROM jobs WHERE consumer = $1 AND live = $2 AND {GUEST_WAITING}{of_pool} ORDER BY run_at, id LIMIT 1"),
            &[&tenant.consumer.to_string(), &tenant.live],
        )
        .await?;
    match first {
        Some(row) => Ok(Some(parsed(&row, 0, "a job's id")?)),
        None => quotas::settle(transaction, tenant).await.map(|()| None),
    }
}

/// Gives the next job to a bot of the `holder`, a node or a worker. The transaction has the lock of claims.
pub(super) async fn claim(
    transaction: &Transaction,
    (holder, pool): (&str, Option<Pool>),
    token_hash: [u8; 32],
    lookup: &AvailabilityLookup,
    now: StoreNow,
) -> Outcome<Claim> {
    if paused::is(transaction).await? {
        return Ok(Claim::Nothing);
    }
    let found = next(transaction, now.wall.as_millis(), pool).await?;
    let Some(mut record) = found else { return Ok(Claim::Nothing) };
    if record.needs_minutes()
        && let Some(minutes) =
            quotas::used_up(transaction, record.tenant, &record.job.platform, now.wall, now.wall)
                .await?
    {
        let changes = record.refuse_for_minutes(minutes, now.wall);
        jobs::save(transaction, holder, &record, changes, now.wall).await?;
        return Ok(Claim::NoMinutes(record.job.id));
    }
    let consumer = if record.needs_consumer() {
        consumers::name(transaction, record.tenant.consumer).await?
    } else {
        None
    };
    let available = lookup(record.tenant.live, consumer.as_deref());
    let (finalize, changes) = record.claim(token_hash, &available, now);
    jobs::save(transaction, holder, &record, changes, now.wall).await?;
    let JobRecord { job, tenant, link, .. } = record;
    Ok(Claim::Bot(Box::new(Claimed { job, tenant, consumer, link, finalize })))
}

pub(super) async fn has_had_bot(
    transaction: &Transaction,
    job: JobId,
    token_hash: &[u8; 32],
) -> Outcome<bool> {
    Ok(records::of_any(transaction, job)
        .await?
        .is_some_and(|record| record.has_had_bot(token_hash)))
}

/// What a bot sends.
pub(super) struct Report {
    pub(super) request: IngestRequest,
    pub(super) token_hash: [u8; 32],
    pub(super) recorded: Recorded,
    pub(super) away: Option<LeaseTime>,
}

impl Report {
    /// What it changes of a job.
    pub(super) fn apply(
        &self,
        record: &mut JobRecord,
        up_since: LeaseTime,
        now: StoreNow,
    ) -> (Reported, Option<Changes>) {
        let Self { request: IngestRequest { epoch, reports, .. }, token_hash, recorded, away } =
            self;
        record.report(*epoch, reports, token_hash, recorded, Some(up_since).max(*away), now)
    }
}

pub(super) async fn report(
    transaction: &Transaction,
    node: &str,
    report: &Report,
    now: StoreNow,
) -> Outcome<Reported> {
    let Some(mut record) = records::locked(transaction, report.request.job_id).await? else {
        return Ok(Reported::Unknown);
    };
    let before = record.clone();
    let (reported, changes) = report.apply(&mut record, transaction.up_since, now);
    match changes {
        Some(changes) if leases::is_all(&before, &record, &changes) => {
            leases::renew(transaction, &[record]).await?;
        }
        Some(changes) => jobs::save(transaction, node, &record, changes, now.wall).await?,
        None => {}
    }
    Ok(reported)
}

pub(super) async fn commands(
    transaction: &Transaction,
    job: JobId,
    epoch: u32,
    token_hash: [u8; 32],
    after: u64,
) -> Outcome<Option<Vec<BotCommand>>> {
    let obeys = |record: &JobRecord| record.commands_bot(epoch, &token_hash);
    match records::of_any(transaction, job).await?.filter(obeys) {
        Some(_) => commands::pending(transaction, job, after).await.map(Some),
        None => Ok(None),
    }
}

/// An attempt's bot is gone. `false` where it did not have the job.
pub(super) async fn end_attempt(
    transaction: &Transaction,
    node: &str,
    job: JobId,
    now: StoreNow,
    verb: impl FnOnce(&mut JobRecord) -> Option<Changes> + Send,
) -> Outcome<bool> {
    let Some(mut record) = records::locked(transaction, job).await? else { return Ok(false) };
    let Some(changes) = verb(&mut record) else { return Ok(false) };
    jobs::save(transaction, node, &record, changes, now.wall).await?;
    Ok(true)
}

/// The jobs to look at for [`take_back`] or [`settle`].
pub(super) async fn lost(
    transaction: &Transaction,
    node: &str,
    leases: Leases,
    now: StoreNow,
) -> Outcome<Vec<JobId>> {
    // Nobody could be heard until then.
    if leases == Leases::RanOut && transaction.up_since + now.timing.lease() > now.lease {
        return Ok(Vec::new());
    }
    leases::ended(transaction, node, leases).await
}

/// Takes a job back, if its lease is over.
pub(super) async fn take_back(
    transaction: &Transaction,
    node: &str,
    id: JobId,
    now: StoreNow,
) -> Outcome<bool> {
    let Some(mut record) = records::locked(transaction, id).await? else { return Ok(false) };
    if record.lease_until.is_none_or(|until| until > now.lease) {
        return Ok(false);
    }
    let changes = record.lease_ran_out(now);
    jobs::save(transaction, node, &record, changes, now.wall).await?;
    Ok(true)
}

/// Settles a lease that this node gave before it started: the job, and whether its bot lives.
pub(super) async fn settle(
    transaction: &Transaction,
    node: &str,
    id: JobId,
    is_alive: &IsAlive,
    now: StoreNow,
) -> Outcome<Option<(Job, bool)>> {
    let Some(mut record) = records::locked(transaction, id).await? else { return Ok(None) };
    if record.lease_until.is_none() || !leases::is_of(transaction, node, id).await? {
        return Ok(None);
    }
    let job = record.job.clone();
    let alive = is_alive(id, record.epoch);
    let changes = if alive { record.outlived_server(now) } else { record.died_with_server(now) };
    jobs::save(transaction, node, &record, changes, now.wall).await?;
    Ok(Some((job, alive)))
}

/// Ends all jobs that have had a bot, without another one that joins their meeting.
pub(super) async fn end_all(transaction: &Transaction, node: &str, now: Timestamp) -> Outcome<()> {
    let open = transaction
        .rows(
            "SELECT id FROM jobs WHERE epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled')
                AND id NOT IN (SELECT job FROM uploads) ORDER BY id",
            &[],
        )
        .await?;
    for row in open {
        let id = parsed(&row, 0, "a job's id")?;
        let Some(mut record) = records::locked(transaction, id).await? else { continue };
        let changes = record.end_after_restore(now);
        jobs::save(transaction, node, &record, changes, now).await?;
    }
    Ok(())
}

/// The jobs to look at for [`expire`].
pub(super) async fn late(transaction: &Transaction, now: Timestamp) -> Outcome<Vec<JobId>> {
    if paused::is(transaction).await? {
        return Ok(Vec::new());
    }
    let late = transaction
        .rows(
            "SELECT id FROM jobs WHERE status = 'queued' AND epoch = 0 AND start_by <= $1 ORDER BY id",
            &[&now.as_millis()],
        )
        .await?;
    late.iter().map(|row| parsed(row, 0, "a job's id")).collect()
}

/// Fails a job that no worker has taken in time, if that is still so.
pub(super) async fn expire(
    transaction: &Transaction,
    node: &str,
    id: JobId,
    now: StoreNow,
) -> Outcome<Option<Expired>> {
    let Some(mut record) = records::locked(transaction, id).await? else { return Ok(None) };
    if record.job.status != JobStatus::Queued || record.epoch > 0 {
        return Ok(None);
    }
    let at_bot_limit = quotas::at_bot_limit(transaction, record.tenant).await?;
    let account_is_full = match &record.job.account {
        Some(account) => accounts::is_full(transaction, account).await?,
        None => false,
    };
    let awaited = Awaited::of(at_bot_limit, account_is_full);
    let changes = record.expire(awaited, now.wall);
    jobs::save(transaction, node, &record, changes, now.wall).await?;
    Ok(Some(Expired { job: id, awaited }))
}

pub(super) async fn first_start(transaction: &Transaction) -> Outcome<Option<Timestamp>> {
    if paused::is(transaction).await? {
        return Ok(None);
    }
    let next = transaction
        .one(
            "SELECT min(at) FROM (
                SELECT min(run_at) AS at FROM jobs WHERE status = 'queued' AND epoch > 0
                UNION ALL SELECT min(due_at) FROM tenants WHERE due_at IS NOT NULL) AS starts",
            &[],
        )
        .await?;
    let of_accounts =
        accounts::first(transaction, None).await?.into_iter().map(|first| first.from).min();
    let next = optional_time(&next, 0)?;
    Ok(next.into_iter().chain(of_accounts.map(Timestamp::from_millis)).min())
}
