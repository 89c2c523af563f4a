//! Mixes that are still to be made: a row for each, from the transaction that ends its job to the one that reports the mix. Their job's row is their lock.

use meetbot_types::{Job, JobId, Timestamp, manifest::File};

use super::{
    Outcome, labels, quotas, recordings, records, timeline,
    transaction::Transaction,
    values::{number, optional_time, parsed, stored, time},
};
use crate::{
    clock::StoreNow,
    jobs::{DueMix, JobRecord, derive},
    store::{Tenant, WaitingMixes},
};

/// A job has ended with a manifest.
pub(super) async fn wait(transaction: &Transaction, job: &Job) -> Outcome<()> {
    let wait = "INSERT INTO mixes (job) VALUES ($1) ON CONFLICT DO NOTHING";
    transaction.run(wait, &[&job.id.to_string()]).await?;
    Ok(())
}

/// Removes the queued mixes of these jobs.
pub(super) async fn drop(transaction: &Transaction, jobs: &[JobId]) -> Outcome<()> {
    let mut jobs: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    jobs.sort();
    for job in jobs {
        transaction.run("DELETE FROM mixes WHERE job = $1", &[&job]).await?;
    }
    Ok(())
}

pub(super) async fn waiting(
    transaction: &Transaction,
    limit: u32,
    now: Timestamp,
) -> Outcome<WaitingMixes> {
    let rows = transaction
        .rows(
            "SELECT job, since, worker_labels FROM (
                 SELECT *, row_number() OVER (PARTITION BY worker_labels ORDER BY place, turn, due_at, job) AS number FROM (
                     SELECT mixes.job, mixes.due_at, consumers.worker_labels,
                         CASE WHEN mixes.maker IS NULL THEN coalesce(jobs.files_since, 0) ELSE 0 END AS since, coalesce(tenants.mix_turn, 0) AS turn,
                         row_number() OVER (PARTITION BY jobs.consumer, jobs.live ORDER BY mixes.due_at, mixes.job) AS place
                     FROM mixes JOIN jobs ON jobs.id = mixes.job
                     LEFT JOIN consumers ON consumers.id = jobs.consumer
                     LEFT JOIN tenants ON tenants.consumer = jobs.consumer AND tenants.live = jobs.live
                     WHERE mixes.due_at <= $1) AS due) AS numbered
             WHERE number <= $2 ORDER BY place, turn, due_at, job",
            &[&now.as_millis(), &i64::from(limit)],
        )
        .await?;
    let due = |row| {
        let (job, since) = (parsed(row, 0, "a mix's job")?, time(row, 1)?);
        Ok(DueMix { job, since, requires: labels::read(row, 2)? })
    };
    let due = rows.iter().map(due).collect::<Outcome<_>>()?;
    let next = "SELECT min(due_at) FROM mixes WHERE due_at > $1";
    let next = transaction.one(next, &[&now.as_millis()]).await?;
    Ok(WaitingMixes { due, next: optional_time(&next, 0)? })
}

/// A mix of this tenant was tried, or a worker tries it: the tenant moves behind the others.
async fn take_turn(transaction: &Transaction, tenant: Tenant) -> Outcome<()> {
    quotas::lock(transaction, tenant).await?;
    transaction
        .run(
            "UPDATE tenants SET mix_turn = 1 + (SELECT max(mix_turn) FROM tenants) WHERE consumer = $1 AND live = $2",
            &[&tenant.consumer.to_string(), &tenant.live],
        )
        .await?;
    Ok(())
}

/// A mix that waits.
struct Mix {
    /// Its job.
    record: JobRecord,
    /// How often it was tried.
    tries: u32,
    due_at: Timestamp,
    /// The lease by which a worker has it, or had it last.
    maker: Option<String>,
}

async fn stored_mix(transaction: &Transaction, id: JobId) -> Outcome<Option<Mix>> {
    let mix = "SELECT tries, due_at, maker FROM mixes WHERE job = $1";
    let Some(row) = transaction.row(mix, &[&id.to_string()]).await? else { return Ok(None) };
    let (tries, due_at, maker) = (number(&row, 0)?, time(&row, 1)?, row.try_get(2)?);
    let record = records::of_any(transaction, id).await?;
    Ok(record.map(|record| Mix { record, tries, due_at, maker }))
}

pub(super) async fn job(transaction: &Transaction, id: JobId) -> Outcome<Option<Job>> {
    Ok(stored_mix(transaction, id).await?.map(|mix| mix.record.job))
}

pub(super) async fn lease(
    transaction: &Transaction,
    id: JobId,
    maker: &str,
    now: StoreNow,
) -> Outcome<bool> {
    records::lock(transaction, id).await?;
    let Some(mix) = stored_mix(transaction, id).await? else { return Ok(false) };
    if mix.due_at > now.wall {
        return Ok(false);
    }
    let lease = "UPDATE mixes SET due_at = $2, maker = $3 WHERE job = $1";
    let until = derive::lease_end(now).as_millis();
    transaction.run(lease, &[&id.to_string(), &until, &maker]).await?;
    take_turn(transaction, mix.record.tenant).await?;
    Ok(true)
}

pub(super) async fn hold(
    transaction: &Transaction,
    id: JobId,
    maker: &str,
    due_at: Timestamp,
) -> Outcome<bool> {
    let hold = "UPDATE mixes SET due_at = $3 WHERE job = $1 AND maker = $2";
    Ok(transaction.run(hold, &[&id.to_string(), &maker, &due_at.as_millis()]).await? > 0)
}

pub(super) async fn end(
    transaction: &Transaction,
    id: JobId,
    made: Option<&File>,
    recording_bytes: Option<u64>,
    now: StoreNow,
) -> Outcome<bool> {
    records::lock(transaction, id).await?;
    let Some(Mix { mut record, maker, .. }) = stored_mix(transaction, id).await? else {
        return Ok(false);
    };
    drop(transaction, &[id]).await?;
    recordings::set_bytes(transaction, id, recording_bytes).await?;
    if maker.is_none() {
        take_turn(transaction, record.tenant).await?;
    }
    if let Some(file) = made {
        let changes = record.derived(file.clone(), now.wall);
        let sequence = "UPDATE jobs SET sequence = $2 WHERE id = $1";
        transaction.run(sequence, &[&id.to_string(), &stored(record.sequence)?]).await?;
        timeline::write(transaction, &record, changes.events, now.wall).await?;
    }
    Ok(true)
}

pub(super) async fn put_off(
    transaction: &Transaction,
    id: JobId,
    of: Option<&str>,
    now: StoreNow,
) -> Outcome<Option<Timestamp>> {
    records::lock(transaction, id).await?;
    let Some(Mix { record, tries, maker, .. }) = stored_mix(transaction, id).await? else {
        return Ok(None);
    };
    if of.is_some() && of != maker.as_deref() {
        return Ok(None);
    }
    let next = derive::next_try(tries + 1, now.wall);
    match next {
        Some(next) => {
            let put_off = "UPDATE mixes SET due_at = $2, tries = $3, maker = NULL WHERE job = $1";
            let tries = i64::from(tries + 1);
            transaction.run(put_off, &[&id.to_string(), &next.as_millis(), &tries]).await?;
        }
        None => drop(transaction, &[id]).await?,
    }
    if maker.is_none() {
        take_turn(transaction, record.tenant).await?;
    }
    Ok(next)
}
