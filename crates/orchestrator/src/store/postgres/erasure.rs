//! Jobs that are deleted with all that belongs to them.

use meetbot_types::{JobId, Timestamp};

use super::{
    Outcome, endpoints, feed, paused, records, removals, transaction::Transaction, values::parsed,
};
use crate::clock::StoreNow;

/// What belongs to a job.
const OF_A_JOB: &[&str] = &[
    "tries WHERE delivery IN (SELECT id FROM deliveries WHERE job = $1)",
    "deliveries WHERE job = $1",
    "events WHERE job = $1",
    "commands WHERE job = $1",
    "mixes WHERE job = $1",
    "uploads WHERE job = $1",
    "room_bots WHERE job = $1",
    "leases WHERE job = $1",
    "zoom_streams WHERE job = $1",
    "jobs WHERE id = $1",
];

/// Deletes a job that has ended, and is locked.
pub(super) async fn job(transaction: &Transaction, job: &str, now: StoreNow) -> Outcome<()> {
    removals::note(transaction, job, now).await?;
    let endpoints = endpoints::of_job(transaction, job).await?;
    endpoints::lock(transaction, endpoints.iter()).await?;
    feed::forget(transaction, job).await?;
    for table in OF_A_JOB {
        transaction.run(&format!("DELETE FROM {table}"), &[&job]).await?;
    }
    // Other jobs' deliveries may have waited for these.
    for endpoint in endpoints {
        if let Some(endpoint) = endpoints::locked(transaction, &endpoint).await? {
            endpoints::save(transaction, &endpoint).await?;
        }
    }
    Ok(())
}

const OLD: &str = "ended_at < $1 AND files_since IS NULL
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job = jobs.id AND state = 'pending')";

/// The jobs to look at for [`prune`].
pub(super) async fn old(
    transaction: &Transaction,
    before: Timestamp,
    limit: u32,
) -> Outcome<Vec<JobId>> {
    if paused::is(transaction).await? {
        return Ok(Vec::new());
    }
    let old = format!("SELECT id FROM jobs WHERE {OLD} ORDER BY ended_at, id LIMIT $2");
    let rows = transaction.rows(&old, &[&before.as_millis(), &i64::from(limit)]).await?;
    rows.iter().map(|row| parsed(row, 0, "a job's id")).collect()
}

/// Deletes an old job, if it still is one. A delivery that is sent again meanwhile goes with it.
pub(super) async fn prune(
    transaction: &Transaction,
    id: JobId,
    before: Timestamp,
    now: StoreNow,
) -> Outcome<bool> {
    records::lock(transaction, id).await?;
    let still = format!("SELECT 1 FROM jobs WHERE {OLD} AND id = $2");
    let id = id.to_string();
    if transaction.row(&still, &[&before.as_millis(), &id]).await?.is_none() {
        return Ok(false);
    }
    job(transaction, &id, now).await?;
    Ok(true)
}
