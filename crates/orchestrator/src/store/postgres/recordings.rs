//! Which jobs may have files, and how many bytes these have.

use meetbot_types::{Job, JobId, Timestamp};

use super::{
    Outcome, removals,
    transaction::Transaction,
    values::{number, optional, parsed, stored, time},
};
use crate::{
    clock::StoreNow,
    store::{OldRecording, Tenant},
};

/// A job that had a bot has ended.
pub(super) async fn may_have_files(
    transaction: &Transaction,
    job: &Job,
    now: Timestamp,
) -> Outcome<()> {
    let since = "UPDATE jobs SET files_since = $2 WHERE id = $1";
    transaction.run(since, &[&job.id.to_string(), &now.as_millis()]).await?;
    Ok(())
}

pub(super) async fn old(
    transaction: &Transaction,
    before: Timestamp,
    after: Option<OldRecording>,
    limit: u32,
) -> Outcome<Vec<OldRecording>> {
    let (since, id) = after.map_or((i64::MIN, String::new()), |after| {
        (after.since.as_millis(), after.job.to_string())
    });
    let rows = transaction
        .rows(
            "SELECT consumer, live, id, files_since FROM jobs
             WHERE files_since < $1 AND (files_since, id) > ($2, $3) ORDER BY files_since, id LIMIT $4",
            &[&before.as_millis(), &since, &id, &i64::from(limit)],
        )
        .await?;
    let recording = |row: &tokio_postgres::Row| {
        let consumer = parsed(row, 0, "a job's consumer")?;
        Ok(OldRecording {
            tenant: Tenant { consumer, live: row.try_get(1)? },
            job: parsed(row, 2, "a job's id")?,
            since: time(row, 3)?,
        })
    };
    rows.iter().map(recording).collect()
}

pub(super) async fn removed(transaction: &Transaction, id: JobId, now: StoreNow) -> Outcome<()> {
    removals::note(transaction, &id.to_string(), now).await?;
    let removed = "UPDATE jobs SET files_since = NULL, recording_bytes = 0 WHERE id = $1";
    transaction.run(removed, &[&id.to_string()]).await?;
    Ok(())
}

/// Says how many bytes a recording has; `None` where they are still to be counted.
pub(super) async fn set_bytes(
    transaction: &Transaction,
    id: JobId,
    bytes: Option<u64>,
) -> Outcome<()> {
    let bytes = bytes.map(stored).transpose()?;
    let set = "UPDATE jobs SET recording_bytes = $2 WHERE id = $1";
    transaction.run(set, &[&id.to_string(), &bytes]).await?;
    Ok(())
}

pub(super) async fn to_count(
    transaction: &Transaction,
    all: bool,
    after: Option<JobId>,
    limit: u32,
) -> Outcome<Vec<(JobId, Option<u64>)>> {
    let known = if all { "" } else { "AND recording_bytes IS NULL" };
    let sql = format!(
        "SELECT id, recording_bytes FROM jobs WHERE files_since IS NOT NULL {known} AND id > $1
         ORDER BY id LIMIT $2"
    );
    let after = after.map_or(String::new(), |after| after.to_string());
    let rows = transaction.rows(&sql, &[&after, &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok((parsed(row, 0, "a job's id")?, optional(row, 1)?))).collect()
}

pub(super) async fn counted(
    transaction: &Transaction,
    id: JobId,
    before: Option<u64>,
    bytes: u64,
) -> Outcome<()> {
    transaction
        .run(
            "UPDATE jobs SET recording_bytes = $3
             WHERE id = $1 AND files_since IS NOT NULL AND recording_bytes IS NOT DISTINCT FROM $2",
            &[&id.to_string(), &before.map(stored).transpose()?, &stored(bytes)?],
        )
        .await?;
    Ok(())
}

/// How many bytes the recordings of a tenant have.
pub(super) async fn bytes_of(transaction: &Transaction, tenant: Tenant) -> Outcome<u64> {
    let sum = transaction
        .one(
            "SELECT coalesce(sum(recording_bytes), 0)::BIGINT FROM jobs
             WHERE consumer = $1 AND live = $2 AND recording_bytes > 0",
            &[&tenant.consumer.to_string(), &tenant.live],
        )
        .await?;
    number(&sum, 0)
}
