//! Bots: claims, reports, commands and lost leases.

use meetbot_types::{
    JobId, Timestamp,
    bot::{BotCommand, IngestRequest, Secret},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Outcome, accounts, commands, consumers, jobs, labels, outbox, quotas, records,
    writer::Transaction,
};
use crate::{
    clock::{LeaseTime, StoreNow},
    jobs::{
        Awaited, BotCredentials, Changes, Eligible, JobRecord, quota::GUEST_WAITING, sign_claim,
    },
    store::{
        AvailabilityLookup, Claim, Claimed, Claimer, Expired, IsAlive, Leases, Recorded, Reported,
        TakenOver,
    },
};

impl Leases {
    /// The lease time of the last of them. No server shares its database with another: while one starts, all leases are of those before.
    pub(super) const fn end_before(self, now: LeaseTime) -> i64 {
        match self {
            Self::RanOut => now.as_millis(),
            Self::OfEarlierBoots => i64::MAX,
        }
    }
}

/// The worker of a bot that was adopted. It is not known which one that is: a server that starts keeps the attempt, as those of all workers.
const ADOPTED: &str = "adopted";

pub(super) fn claim(
    transaction: &Transaction<'_>,
    claimer: &Claimer,
    token_hash: [u8; 32],
    lookup: &AvailabilityLookup,
    now: StoreNow,
) -> Outcome<Claim> {
    let due = now.wall.as_millis();
    let required = labels::required(transaction)?;
    let eligible = Eligible::new(claimer.pool, &claimer.labels, required);
    let and_job = eligible.and_job();
    let lost = format!(
        "status = 'queued' AND epoch > 0 AND run_at <= ?1{and_job} ORDER BY run_at, id LIMIT 1"
    );
    let mut found = records::load(transaction, &lost, &[&due])?;
    // Before those of guests, which it can hold up by as many bots as accounts have places.
    if found.is_none()
        && let Some(id) = accounts::next(transaction, due, &eligible)?
    {
        found = records::of_any(transaction, id)?;
    }
    if found.is_none()
        && let Some((consumer, live)) = quotas::next_tenant(transaction, due, &eligible)?
    {
        let first = format!(
            "consumer = ?1 AND live = ?2 AND {GUEST_WAITING}{and_job} ORDER BY run_at, id LIMIT 1"
        );
        found = records::load(transaction, &first, &[&consumer, &live])?;
    }
    let Some(mut record) = found else { return Ok(Claim::Nothing) };
    if record.needs_minutes()
        && let Some(minutes) =
            quotas::used_up(transaction, record.tenant, &record.job.platform, now.wall, now.wall)?
    {
        let changes = record.refuse_for_minutes(minutes, now.wall);
        jobs::save(transaction, &record, changes, now.wall)?;
        return Ok(Claim::NoMinutes(record.job.id));
    }
    let consumer = if record.needs_consumer() {
        consumers::name(transaction, record.tenant.consumer)?
    } else {
        None
    };
    let available = lookup(record.tenant.live, consumer.as_deref());
    let (finalize, changes) = record.claim(token_hash, &available, now);
    jobs::save(transaction, &record, changes, now.wall)?;
    hand_to(transaction, record.job.id, claimer.worker.as_deref())?;
    let signature =
        sign_claim(&claim_secret(transaction)?, record.job.id, record.epoch, &token_hash);
    let JobRecord { job, tenant, link, .. } = record;
    let bot = Claimed { job, tenant, consumer, link, finalize, signature };
    Ok(Claim::Bot(Box::new(bot)))
}

pub(super) fn has_had_bot(
    connection: &Connection,
    job: JobId,
    token_hash: &[u8; 32],
) -> Outcome<bool> {
    Ok(records::of_any(connection, job)?.is_some_and(|record| record.has_had_bot(token_hash)))
}

pub(super) fn report(
    transaction: &Transaction<'_>,
    request: &IngestRequest,
    credentials: &BotCredentials,
    recorded: &Recorded,
    away: Option<LeaseTime>,
    now: StoreNow,
) -> Outcome<Reported> {
    let IngestRequest { job_id, epoch, reports } = request;
    let Some(mut record) = records::of_any(transaction, *job_id)? else {
        return Ok(Reported::Unknown);
    };
    let token_hash = credentials.token_hash;
    let is_adopted = record.adopts(*epoch)
        && credentials.prove_claim(&claim_secret(transaction)?, *job_id, *epoch);
    let (reported, changes) = if is_adopted {
        record.adopt(*epoch, reports, token_hash, recorded, now)
    } else {
        record.report(*epoch, reports, &token_hash, recorded, away, now)
    };
    if let Some(changes) = changes {
        jobs::save(transaction, &record, changes, now.wall)?;
        if is_adopted {
            tracing::info!(job = %job_id, attempt = epoch, "a bot is adopted whose claim the database had forgotten");
            hand_to(transaction, *job_id, Some(ADOPTED))?;
        }
    }
    Ok(reported)
}

/// The secret that signs claims.
fn claim_secret(connection: &Connection) -> Outcome<Secret> {
    let secret: String = connection
        .prepare_cached("SELECT claim_secret FROM storage")?
        .query_row([], |row| row.get(0))?;
    Ok(Secret::new(secret))
}

/// Notes the worker whose bot has a job; `None`: the server's own.
fn hand_to(transaction: &Transaction<'_>, job: JobId, worker: Option<&str>) -> Outcome<()> {
    transaction
        .prepare_cached("UPDATE jobs SET worker = ?2 WHERE id = ?1 AND worker IS NOT ?2")?
        .execute(params![job.to_string(), worker])?;
    Ok(())
}

pub(super) fn commands(
    connection: &Connection,
    job: JobId,
    epoch: u32,
    token_hash: [u8; 32],
    after: u64,
) -> Outcome<Option<Vec<BotCommand>>> {
    let obeys = |record: &JobRecord| record.commands_bot(epoch, &token_hash);
    match records::of_any(connection, job)?.filter(obeys) {
        Some(_) => commands::pending(connection, job, after).map(Some),
        None => Ok(None),
    }
}

/// An attempt's bot is gone. `false` where it did not have the job.
pub(super) fn end_attempt(
    transaction: &Transaction<'_>,
    job: JobId,
    now: StoreNow,
    verb: impl FnOnce(&mut JobRecord) -> Option<Changes>,
) -> Outcome<bool> {
    let Some(mut record) = records::of_any(transaction, job)? else { return Ok(false) };
    let Some(changes) = verb(&mut record) else { return Ok(false) };
    jobs::save(transaction, &record, changes, now.wall)?;
    Ok(true)
}

pub(super) fn reap(transaction: &Transaction<'_>, now: StoreNow) -> Outcome<Vec<JobId>> {
    let before = Leases::RanOut.end_before(now.lease);
    let mut lost = Vec::new();
    while let Some(mut record) =
        records::load(transaction, "lease_until <= ?1 LIMIT 1", &[&before])?
    {
        lost.push(record.job.id);
        let changes = record.lease_ran_out(now);
        jobs::save(transaction, &record, changes, now.wall)?;
    }
    Ok(lost)
}

pub(super) fn take_over(
    transaction: &Transaction<'_>,
    is_alive: &IsAlive,
    now: StoreNow,
) -> Outcome<TakenOver> {
    outbox::forget_leases(transaction, Leases::OfEarlierBoots, now)?;
    let leased = "SELECT id, worker IS NOT NULL FROM jobs WHERE lease_until IS NOT NULL";
    let mut leased = transaction.prepare(leased)?;
    let leased = leased.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let leased = leased.collect::<Result<Vec<(String, bool)>, _>>()?;
    let mut taken = TakenOver::default();
    for (id, is_workers) in leased {
        let Some(mut record) = records::load(transaction, "id = ?1", &[&id])? else { continue };
        let changes = if is_workers {
            record.outlived_server(now)
        } else if is_alive(record.job.id, record.epoch) {
            taken.running.push(record.job.clone());
            record.outlived_server(now)
        } else {
            taken.lost.push(record.job.id);
            record.died_with_server(now)
        };
        jobs::save(transaction, &record, changes, now.wall)?;
    }
    Ok(taken)
}

/// Ends all jobs that have had a bot, without another one that joins their meeting. Those whose bot has ended its work end by themselves.
pub(super) fn end_all(transaction: &Transaction<'_>, now: Timestamp) -> Outcome<()> {
    let mut open = transaction.prepare(
        "SELECT id FROM jobs WHERE epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled')
            AND id NOT IN (SELECT job FROM uploads)",
    )?;
    let open = open.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for id in open {
        let Some(mut record) = records::load(transaction, "id = ?1", &[&id])? else { continue };
        let changes = record.end_after_restore(now);
        jobs::save(transaction, &record, changes, now)?;
    }
    Ok(())
}

pub(super) fn expire(transaction: &Transaction<'_>, now: StoreNow) -> Outcome<Vec<Expired>> {
    let mut expired = Vec::new();
    let due = now.wall.as_millis();
    let next = "status = 'queued' AND epoch = 0 AND start_by <= ?1 LIMIT 1";
    while let Some(mut record) = records::load(transaction, next, &[&due])? {
        let at_bot_limit = quotas::at_bot_limit(transaction, record.tenant)?;
        let account_is_full = match &record.job.account {
            Some(account) => accounts::is_full(transaction, account)?,
            None => false,
        };
        let awaited = Awaited::of(at_bot_limit, account_is_full);
        expired.push(Expired { job: record.job.id, awaited });
        let changes = record.expire(awaited, now.wall);
        jobs::save(transaction, &record, changes, now.wall)?;
    }
    Ok(expired)
}

pub(super) fn first_start(connection: &Connection) -> Outcome<Option<Timestamp>> {
    let next: Option<i64> = connection
        .prepare_cached(
            "SELECT min(at) FROM (
                SELECT min(run_at) AS at FROM jobs WHERE status = 'queued' AND epoch > 0
                UNION ALL SELECT min(due_at) FROM tenants WHERE due_at IS NOT NULL)",
        )?
        .query_row([], |row| row.get(0))
        .optional()?
        .flatten();
    let of_accounts = accounts::first(connection, &Eligible::default())?
        .into_iter()
        .map(|first| first.from)
        .min();
    Ok(next.into_iter().chain(of_accounts).min().map(Timestamp::from_millis))
}
