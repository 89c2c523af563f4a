//! Recordings on their way into a bucket: a row for each, from the transaction that ends its bot's work to the one that ends its job. Their job's row is their lock.

use async_trait::async_trait;
use meetbot_types::{Job, JobId, Timestamp};

use super::{
    Outcome, PostgresStore, jobs, paused, records,
    transaction::{Caller, Transaction},
    values::{number, parsed, read_as, text},
};
use crate::{
    clock::StoreNow,
    jobs::{Upload, UploadChange},
    store::{Result, Storage, UploadStore, WaitingUploads},
};

#[async_trait]
impl UploadStore for PostgresStore {
    async fn waiting_uploads(&self, limit: u32) -> Result<WaitingUploads> {
        self.connections.read(limit, |it, limit| Box::pin(waiting(it, *limit))).await
    }

    async fn end_upload(
        &self,
        id: JobId,
        stored: Option<(String, u64)>,
        now: StoreNow,
    ) -> Result<Option<Job>> {
        let asked = (self.node.clone(), id, stored, now);
        self.connections
            .write(Caller::Other, Some(now), asked, |it, (node, id, stored, now)| {
                Box::pin(end(it, node, *id, stored.as_ref(), now.wall))
            })
            .await
    }

    async fn is_stored(&self, id: JobId) -> Result<bool> {
        self.connections.read(id, |it, id| Box::pin(is_stored(it, *id))).await
    }

    async fn storage(&self) -> Result<Storage> {
        self.connections
            .read((), |it, ()| {
                Box::pin(async move {
                    let row = it.one("SELECT cluster, url FROM storage", &[]).await?;
                    Ok(Storage { cluster: text(&row, 0)?, url: row.try_get(1)? })
                })
            })
            .await
    }

    async fn use_storage(&self, url: String) -> Result<()> {
        self.connections
            .write(Caller::Other, None, url, |it, url| {
                Box::pin(async move {
                    it.run("UPDATE storage SET url = $1", &[url]).await?;
                    Ok(())
                })
            })
            .await
    }
}

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

async fn waiting(transaction: &Transaction, limit: u32) -> Outcome<WaitingUploads> {
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

fn upload(text: &str) -> Outcome<Upload> {
    read_as(serde_json::from_str(text), "an upload")
}

/// Whether a job's recording waits; its job is locked.
pub(super) async fn waits(transaction: &Transaction, job: JobId) -> Outcome<bool> {
    let waits = "SELECT 1 FROM uploads WHERE job = $1";
    Ok(transaction.row(waits, &[&job.to_string()]).await?.is_some())
}

async fn end(
    transaction: &Transaction,
    node: &str,
    id: JobId,
    stored: Option<&(String, u64)>,
    now: Timestamp,
) -> Outcome<Option<Job>> {
    let Some(mut record) = records::locked(transaction, id).await? else { return Ok(None) };
    let row = "SELECT upload FROM uploads WHERE job = $1";
    let Some(row) = transaction.row(row, &[&id.to_string()]).await? else { return Ok(None) };
    let upload = upload(row.try_get(0)?)?;
    let Some(changes) = record.end_upload(&upload, stored, now) else { return Ok(None) };
    jobs::save(transaction, node, &record, changes, now).await?;
    Ok(Some(record.job))
}

async fn is_stored(transaction: &Transaction, id: JobId) -> Outcome<bool> {
    let mix = "SELECT 1 FROM mixes WHERE job = $1";
    let has_mix = transaction.row(mix, &[&id.to_string()]).await?.is_some();
    if has_mix || waits(transaction, id).await? {
        return Ok(false);
    }
    let record = records::of_any(transaction, id).await?;
    let uri = record.and_then(|record| record.job.manifest_uri);
    Ok(uri.is_some_and(|uri| uri.starts_with("s3://")))
}
