//! Recordings on their way into a bucket: a row for each, from the transaction that ends its bot's work to the one that ends its job.

use async_trait::async_trait;
use meetbot_types::{Job, JobId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Outcome, SqliteStore, jobs, paused, read_as, records, writer::Transaction};
use crate::{
    clock::StoreNow,
    jobs::{Upload, UploadChange},
    store::{Result, Storage, UploadStore, WaitingUploads},
};

#[async_trait]
impl UploadStore for SqliteStore {
    async fn waiting_uploads(&self, limit: u32) -> Result<WaitingUploads> {
        self.read(move |connection| paused::unless(connection, || waiting(connection, limit))).await
    }

    async fn end_upload(
        &self,
        id: JobId,
        stored: Option<(String, u64)>,
        now: StoreNow,
    ) -> Result<Option<Job>> {
        let ends =
            move |connection: &Transaction<'_>| end(connection, id, stored.as_ref(), now.wall);
        self.writer.write(ends).await
    }

    async fn is_stored(&self, id: JobId) -> Result<bool> {
        self.read(move |connection| is_stored(connection, id)).await
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

/// Writes what becomes of a job's upload.
pub(super) fn write(
    connection: &Connection,
    job: JobId,
    change: Option<UploadChange>,
) -> Outcome<()> {
    match change {
        Some(UploadChange::Waits(upload)) => {
            let text = read_as(serde_json::to_string(&upload), "an upload")?;
            connection
                .prepare_cached(
                    "INSERT INTO uploads (job, since, upload) VALUES (?1, ?2, ?3)
                     ON CONFLICT (job) DO UPDATE SET since = ?2, upload = ?3",
                )?
                .execute(params![job.to_string(), upload.since.as_millis(), text])?;
        }
        Some(UploadChange::Ended) => {
            connection
                .prepare_cached("DELETE FROM uploads WHERE job = ?1")?
                .execute([job.to_string()])?;
        }
        None => {}
    }
    Ok(())
}

fn waiting(connection: &Connection, limit: u32) -> Outcome<WaitingUploads> {
    let mut statement = connection
        .prepare_cached("SELECT job, upload FROM uploads ORDER BY since, job LIMIT ?1")?;
    let mut rows = statement.query([limit])?;
    let mut first = Vec::new();
    while let Some(row) = rows.next()? {
        let job = read_as(row.get::<_, String>(0)?.parse(), "an upload's job")?;
        first.push((job, upload(&row.get::<_, String>(1)?)?));
    }
    let all = connection
        .prepare_cached("SELECT count(*) FROM uploads")?
        .query_row([], |row| row.get(0))?;
    Ok(WaitingUploads { first, all })
}

fn upload(text: &str) -> Outcome<Upload> {
    read_as(serde_json::from_str(text), "an upload")
}

fn end(
    transaction: &Transaction<'_>,
    id: JobId,
    stored: Option<&(String, u64)>,
    now: Timestamp,
) -> Outcome<Option<Job>> {
    let text: Option<String> = transaction
        .prepare_cached("SELECT upload FROM uploads WHERE job = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    let Some(text) = text else { return Ok(None) };
    let Some(mut record) = records::of_any(transaction, id)? else { return Ok(None) };
    let Some(changes) = record.end_upload(&upload(&text)?, stored, now) else { return Ok(None) };
    jobs::save(transaction, &record, changes, now)?;
    Ok(Some(record.job))
}

fn is_stored(connection: &Connection, id: JobId) -> Outcome<bool> {
    let waits = |table: &str| -> Outcome<bool> {
        Ok(connection
            .prepare_cached(&format!("SELECT 1 FROM {table} WHERE job = ?1"))?
            .exists([id.to_string()])?)
    };
    if waits("uploads")? || waits("mixes")? {
        return Ok(false);
    }
    let record = records::of_any(connection, id)?;
    let uri = record.and_then(|record| record.job.manifest_uri);
    Ok(uri.is_some_and(|uri| uri.starts_with("s3://")))
}
