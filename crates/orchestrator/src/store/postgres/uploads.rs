//! Uploads of recordings to a bucket: a row for each, from the transaction that ends its bot's work to the one that ends its job. Their job's row is their lock.

use meetbot_types::JobId;

use super::{
    Outcome, paused, records, removals,
    transaction::Transaction,
    values::{number, parsed, read_as},
};
use crate::{
    jobs::{self, Spooled, Upload, UploadChange},
    store::WaitingUploads,
};

/// Writes what becomes of a job's upload.
pub(super) async fn write(
    transaction: &Transaction,
    job: JobId,
    change: Option<UploadChange>,
) -> Outcome<()> {
    let job = job.to_string();
    match change {
        Some(UploadChange::Waits(upload)) => {
            let text = read_as(serde_json::to_string(&upload), "an upload")?;
            let waits = "INSERT INTO uploads (job, since, upload) VALUES ($1, $2, $3)
                ON CONFLICT (job) DO UPDATE SET since = excluded.since, upload = excluded.upload";
            transaction.run(waits, &[&job, &upload.since.as_millis(), &text]).await?;
        }
        Some(UploadChange::Ended) => {
            transaction.run("DELETE FROM uploads WHERE job = $1", &[&job]).await?;
        }
        None => {}
    }
    Ok(())
}

pub(super) async fn waiting(transaction: &Transaction, limit: u32) -> Outcome<WaitingUploads> {
    if paused::is(transaction).await? {
        return Ok(WaitingUploads::default());
    }
    let first = "SELECT job, upload FROM uploads ORDER BY since, job LIMIT $1";
    let rows = transaction.rows(first, &[&i64::from(limit)]).await?;
    let first = rows
        .iter()
        .map(|row| Ok((parsed(row, 0, "an upload's job")?, upload(row.try_get(1)?)?)))
        .collect::<Outcome<_>>()?;
    let all = transaction.one("SELECT count(*) FROM uploads", &[]).await?;
    Ok(WaitingUploads { first, all: number(&all, 0)? })
}

pub(super) fn upload(text: &str) -> Outcome<Upload> {
    read_as(serde_json::from_str(text), "an upload")
}

/// Whether a job's recording waits; its job is locked.
pub(super) async fn waits(transaction: &Transaction, job: JobId) -> Outcome<bool> {
    let waits = "SELECT 1 FROM uploads WHERE job = $1";
    Ok(transaction.row(waits, &[&job.to_string()]).await?.is_some())
}

pub(super) async fn spooled(transaction: &Transaction, id: JobId, spool: &str) -> Outcome<Spooled> {
    // The job first: what ends an upload ends its job in the same transaction, and a job that has ended has no other upload.
    let record = records::of_any(transaction, id).await?;
    let row = "SELECT upload FROM uploads WHERE job = $1";
    let row = transaction.row(row, &[&id.to_string()]).await?;
    let waits = row.map(|row| upload(row.try_get(0)?)).transpose()?;
    // Last: a job is deleted in the transaction that notes its removal.
    let was_deleted = removals::is_noted(transaction, id).await?;
    Ok(jobs::upload::spooled(record.as_ref(), was_deleted, waits, spool))
}

pub(super) async fn is_stored(transaction: &Transaction, id: JobId) -> Outcome<bool> {
    let mix = "SELECT 1 FROM mixes WHERE job = $1";
    let has_mix = transaction.row(mix, &[&id.to_string()]).await?.is_some();
    let waits = has_mix || waits(transaction, id).await?;
    Ok(records::of_any(transaction, id).await?.is_some_and(|record| record.is_stored(waits)))
}
