//! Bots: reports, commands and lost leases.

use meetbot_types::{
    Job, JobId, JobStatus, Timestamp,
    bot::{BotCommand, IngestRequest},
};

use super::{
    Outcome, accounts,
    cluster::ClaimRules,
    commands, jobs, leases, quotas, records,
    transaction::Transaction,
    values::{optional_time, parsed},
};
use crate::{
    clock::{LeaseTime, StoreNow},
    jobs::{Awaited, BotCredentials, Changes, Eligible, JobRecord},
    store::{Expired, IsAlive, Leases, Recorded, Reported},
};

/// Who has the lease of a bot that was adopted. It is not known on which machine the bot is, so no node takes the lease over at its start.
const ADOPTED: &str = "adopted";

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
    pub(super) credentials: BotCredentials,
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
        let Self { request: IngestRequest { epoch, reports, .. }, recorded, away, .. } = self;
        let token_hash = &self.credentials.token_hash;
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
    if record.adopts(report.request.epoch)
        && let ClaimRules { secret, .. } = ClaimRules::at(transaction, now.timing).await?
        && report.credentials.prove_claim(&secret, record.job.id, report.request.epoch)
    {
        return adopt(transaction, record, report, now).await;
    }
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

async fn adopt(
    transaction: &Transaction,
    mut record: JobRecord,
    report: &Report,
    now: StoreNow,
) -> Outcome<Reported> {
    let Report { request: IngestRequest { job_id, epoch, reports }, recorded, .. } = report;
    let token_hash = report.credentials.token_hash;
    let (reported, changes) = record.adopt(*epoch, reports, token_hash, recorded, now);
    if let Some(changes) = changes {
        tracing::info!(job = %job_id, attempt = epoch, "a bot is adopted whose claim the database had forgotten");
        // Another node's, if any is known.
        transaction.run("DELETE FROM leases WHERE job = $1", &[&job_id.to_string()]).await?;
        jobs::save(transaction, ADOPTED, &record, changes, now.wall).await?;
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
pub(super) async fn late(transaction: &Transaction, now: StoreNow) -> Outcome<Vec<JobId>> {
    if ClaimRules::at(transaction, now.timing).await?.are_held {
        return Ok(Vec::new());
    }
    let late = transaction
        .rows(
            "SELECT id FROM jobs WHERE status = 'queued' AND epoch = 0 AND start_by <= $1 ORDER BY id",
            &[&now.wall.as_millis()],
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

pub(super) async fn first_start(
    transaction: &Transaction,
    now: StoreNow,
) -> Outcome<Option<Timestamp>> {
    if ClaimRules::at(transaction, now.timing).await?.are_held {
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
    let of_accounts = accounts::first(transaction, &Eligible::default())
        .await?
        .into_iter()
        .map(|first| first.from)
        .min();
    let next = optional_time(&next, 0)?;
    Ok(next.into_iter().chain(of_accounts.map(Timestamp::from_millis)).min())
}
