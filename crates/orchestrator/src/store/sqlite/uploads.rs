//! Uploads of recordings to a bucket: a row for each, from the transaction that ends its bot's work to the one that ends its job.

use meetbot_types::JobId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Outcome, read_as, records, removals};
use crate::{
    jobs::{self, Spooled, Upload, UploadChange},
    store::WaitingUploads,
};

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

pub(super) fn waiting(connection: &Connection, limit: u32) -> Outcome<WaitingUploads> {
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

pub(super) fn upload(text: &str) -> Outcome<Upload> {
    read_as(serde_json::from_str(text), "an upload")
}

pub(super) fn spooled(connection: &Connection, id: JobId, spool: &str) -> Outcome<Spooled> {
    let text: Option<String> = connection
        .prepare_cached("SELECT upload FROM uploads WHERE job = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    let waits = text.as_deref().map(upload).transpose()?;
    Ok(jobs::upload::spooled(
        records::of_any(connection, id)?.as_ref(),
        removals::is_noted(connection, id)?,
        waits,
        spool,
    ))
}

pub(super) fn is_stored(connection: &Connection, id: JobId) -> Outcome<bool> {
    let waits = |table: &str| -> Outcome<bool> {
        Ok(connection
            .prepare_cached(&format!("SELECT 1 FROM {table} WHERE job = ?1"))?
            .exists([id.to_string()])?)
    };
    let waits = waits("uploads")? || waits("mixes")?;
    Ok(records::of_any(connection, id)?.is_some_and(|record| record.is_stored(waits)))
}
