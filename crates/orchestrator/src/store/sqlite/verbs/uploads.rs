//! Calls for recordings that are uploaded to a bucket, and for the bucket's identity.

use async_trait::async_trait;
use meetbot_types::{Job, JobId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    clock::StoreNow,
    jobs::{Changes, JobRecord, Spooled, Upload},
    store::{
        Result, Storage, UploadStore, WaitingUploads,
        sqlite::{
            Outcome, SqliteStore, jobs, paused, records, removals, uploads, writer::Transaction,
        },
    },
};

#[async_trait]
impl UploadStore for SqliteStore {
    async fn waiting_uploads(&self, limit: u32) -> Result<WaitingUploads> {
        self.read(move |connection| {
            paused::unless(connection, || uploads::waiting(connection, limit))
        })
        .await
    }

    async fn end_upload(
        &self,
        id: JobId,
        nonce: String,
        stored: Option<(String, u64)>,
        now: StoreNow,
    ) -> Result<Option<Job>> {
        let ends = move |connection: &Transaction<'_>| {
            change(connection, id, now.wall, |record, upload| {
                record.end_upload(upload, &nonce, stored.as_ref(), now.wall)
            })
        };
        self.writer.write(ends).await
    }

    async fn finish_elsewhere(
        &self,
        id: JobId,
        nonce: String,
        now: StoreNow,
    ) -> Result<Option<Job>> {
        let goes = move |connection: &Transaction<'_>| {
            change(connection, id, now.wall, |record, upload| {
                record.finish_elsewhere(upload, &nonce, now.wall)
            })
        };
        self.writer.write(goes).await
    }

    async fn is_stored(&self, id: JobId) -> Result<bool> {
        self.read(move |connection| uploads::is_stored(connection, id)).await
    }

    async fn spooled(&self, id: JobId, spool: String) -> Result<Spooled> {
        self.read(move |connection| uploads::spooled(connection, id, &spool)).await
    }

    async fn removals_due(&self, limit: u32, now: StoreNow) -> Result<Vec<JobId>> {
        self.read(move |connection| {
            paused::unless(connection, || removals::due(connection, limit, now))
        })
        .await
    }

    async fn removal_repeated(&self, id: JobId, now: StoreNow) -> Result<()> {
        self.writer.write(move |connection| removals::repeated(connection, id, now)).await
    }

    async fn forget_removals(&self, now: StoreNow) -> Result<()> {
        let forget = move |connection: &Transaction<'_>| {
            paused::unless(connection, || removals::forget(connection, now))
        };
        self.writer.write(forget).await
    }

    async fn storage(&self) -> Result<Storage> {
        let storage = |connection: &Connection| {
            let row = "SELECT cluster, url FROM storage";
            let read =
                |row: &rusqlite::Row<'_>| Ok(Storage { cluster: row.get(0)?, url: row.get(1)? });
            Ok(connection.query_row(row, [], read)?)
        };
        self.read(storage).await
    }

    async fn use_storage(&self, url: String) -> Result<()> {
        let uses = move |connection: &Transaction<'_>| {
            connection.execute("UPDATE storage SET url = ?1", [&url])?;
            Ok(())
        };
        self.writer.write(uses).await
    }
}

/// A verb of a job whose recording waits for its upload.
fn change(
    transaction: &Transaction<'_>,
    id: JobId,
    now: Timestamp,
    verb: impl FnOnce(&mut JobRecord, &Upload) -> Option<Changes>,
) -> Outcome<Option<Job>> {
    let text: Option<String> = transaction
        .prepare_cached("SELECT upload FROM uploads WHERE job = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    let Some(text) = text else { return Ok(None) };
    let Some(mut record) = records::of_any(transaction, id)? else { return Ok(None) };
    let Some(changes) = verb(&mut record, &uploads::upload(&text)?) else { return Ok(None) };
    jobs::save(transaction, &record, changes, now)?;
    Ok(Some(record.job))
}
