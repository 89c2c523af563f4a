//! Mixes that are still to be made: a row for each, from the transaction that ends its job to the one that reports the mix. Their job's row is their lock.

use meetbot_types::{Job, JobId, Timestamp, manifest::File};

use super::{
    Outcome, quotas, recordings, records, timeline,
    transaction::Transaction,
    values::{number, optional_time, parsed, stored},
};
use crate::{
    clock::StoreNow,
    jobs::{JobRecord, derive},
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
            "SELECT job FROM (
                 SELECT mixes.job, mixes.due_at, coalesce(tenants.mix_turn, 0) AS turn,
                     row_number() OVER (PARTITION BY jobs.consumer, jobs.live ORDER BY mixes.due_at, mixes.job) AS place
                 FROM mixes JOIN jobs ON jobs.id = mixes.job
                 LEFT JOIN tenants ON tenants.consumer = jobs.consumer AND tenants.live = jobs.live
                 WHERE mixes.due_at <= $1) AS due
             ORDER BY place, turn, due_at, job LIMIT $2",
            &[&now.as_millis(), &i64::from(limit)],
        )
        .await?;
    let due = rows.iter().map(|row| parsed(row, 0, "a mix's job")).collect::<Outcome<_>>()?;
    let next = "SELECT min(due_at) FROM mixes WHERE due_at > $1";
    let next = transaction.one(next, &[&now.as_millis()]).await?;
    Ok(WaitingMixes { due, next: optional_time(&next, 0)? })
}

/// A mix of this tenant was tried: it moves behind the other tenants.
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

/// The job whose mix waits, and how often the mix was tried.
async fn stored_mix(transaction: &Transaction, id: JobId) -> Outcome<Option<(JobRecord, u32)>> {
    let tries = "SELECT tries FROM mixes WHERE job = $1";
    let Some(row) = transaction.row(tries, &[&id.to_string()]).await? else { return Ok(None) };
    let tries = number(&row, 0)?;
    Ok(records::of_any(transaction, id).await?.map(|record| (record, tries)))
}

pub(super) async fn job(transaction: &Transaction, id: JobId) -> Outcome<Option<Job>> {
    Ok(stored_mix(transaction, id).await?.map(|(record, _)| record.job))
}

pub(super) async fn end(
    transaction: &Transaction,
    id: JobId,
    made: Option<&File>,
    recording_bytes: Option<u64>,
    now: StoreNow,
) -> Outcome<bool> {
    records::lock(transaction, id).await?;
    let Some((mut record, _)) = stored_mix(transaction, id).await? else { return Ok(false) };
    drop(transaction, &[id]).await?;
    recordings::set_bytes(transaction, id, recording_bytes).await?;
    take_turn(transaction, record.tenant).await?;
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
    now: StoreNow,
) -> Outcome<Option<Timestamp>> {
    records::lock(transaction, id).await?;
    let Some((record, tries)) = stored_mix(transaction, id).await? else { return Ok(None) };
    let next = derive::next_try(tries + 1, now.wall);
    match next {
        Some(next) => {
            let put_off = "UPDATE mixes SET due_at = $2, tries = $3 WHERE job = $1";
            let tries = i64::from(tries + 1);
            transaction.run(put_off, &[&id.to_string(), &next.as_millis(), &tries]).await?;
        }
        None => drop(transaction, &[id]).await?,
    }
    take_turn(transaction, record.tenant).await?;
    Ok(next)
}
