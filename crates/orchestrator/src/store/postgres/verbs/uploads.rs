//! Calls for recordings that are uploaded to a bucket, and for the bucket's identity.

use async_trait::async_trait;
use meetbot_types::{Job, JobId, Timestamp};

use crate::{
    clock::StoreNow,
    jobs::{Changes, JobRecord, Spooled, Upload},
    store::{
        Result, Storage, UploadStore, WaitingUploads,
        postgres::{
            Outcome, PostgresStore, jobs, records, removals,
            transaction::{Caller, Transaction},
            uploads,
            values::text,
        },
    },
};

#[async_trait]
impl UploadStore for PostgresStore {
    async fn waiting_uploads(&self, limit: u32) -> Result<WaitingUploads> {
        self.connections.read(limit, |it, limit| Box::pin(uploads::waiting(it, *limit))).await
    }

    async fn end_upload(
        &self,
        id: JobId,
        nonce: String,
        stored: Option<(String, u64)>,
        now: StoreNow,
    ) -> Result<Option<Job>> {
        let asked = (self.member.node.clone(), id, nonce, stored, now);
        self.connections
            .write(Caller::Other, Some(now), asked, |it, (node, id, nonce, stored, now)| {
                Box::pin(change(it, node, *id, now.wall, |record, upload| {
                    record.end_upload(upload, nonce, stored.as_ref(), now.wall)
                }))
            })
            .await
    }

    async fn finish_elsewhere(
        &self,
        id: JobId,
        nonce: String,
        now: StoreNow,
    ) -> Result<Option<Job>> {
        let asked = (self.member.node.clone(), id, nonce, now);
        self.connections
            .write(Caller::Other, Some(now), asked, |it, (node, id, nonce, now)| {
                Box::pin(change(it, node, *id, now.wall, |record, upload| {
                    record.finish_elsewhere(upload, nonce, now.wall)
                }))
            })
            .await
    }

    async fn is_stored(&self, id: JobId) -> Result<bool> {
        self.connections.read(id, |it, id| Box::pin(uploads::is_stored(it, *id))).await
    }

    async fn spooled(&self, id: JobId, spool: String) -> Result<Spooled> {
        let asked = (id, spool);
        self.connections
            .read(asked, |it, (id, spool)| Box::pin(uploads::spooled(it, *id, spool)))
            .await
    }

    async fn removals_due(&self, limit: u32, now: StoreNow) -> Result<Vec<JobId>> {
        self.connections
            .read((limit, now), |it, (limit, now)| Box::pin(removals::due(it, *limit, *now)))
            .await
    }

    async fn removal_repeated(&self, id: JobId, now: StoreNow) -> Result<()> {
        self.connections
            .write(Caller::Other, None, (id, now), |it, (id, now)| {
                Box::pin(removals::repeated(it, *id, *now))
            })
            .await
    }

    async fn forget_removals(&self, now: StoreNow) -> Result<()> {
        self.connections
            .write(Caller::Other, None, now, |it, now| Box::pin(removals::forget(it, *now)))
            .await
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

/// A verb of a job whose recording waits for its upload.
async fn change(
    transaction: &Transaction,
    node: &str,
    id: JobId,
    now: Timestamp,
    verb: impl FnOnce(&mut JobRecord, &Upload) -> Option<Changes> + Send,
) -> Outcome<Option<Job>> {
    let Some(mut record) = records::locked(transaction, id).await? else { return Ok(None) };
    let row = "SELECT upload FROM uploads WHERE job = $1";
    let Some(row) = transaction.row(row, &[&id.to_string()]).await? else { return Ok(None) };
    let upload = uploads::upload(row.try_get(0)?)?;
    let Some(changes) = verb(&mut record, &upload) else { return Ok(None) };
    jobs::save(transaction, node, &record, changes, now).await?;
    Ok(Some(record.job))
}
