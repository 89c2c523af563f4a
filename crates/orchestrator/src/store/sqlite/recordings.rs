//! Which jobs may have files, and how many bytes these have.

use meetbot_types::{Job, JobId, Timestamp};
use rusqlite::{Connection, params};

use super::{Outcome, read_as, removals};
use crate::{
    clock::StoreNow,
    store::{OldRecording, Tenant},
};

/// A job that had a bot has ended.
pub(super) fn may_have_files(connection: &Connection, job: &Job, now: Timestamp) -> Outcome<()> {
    connection
        .prepare_cached("UPDATE jobs SET files_since = ?2 WHERE id = ?1")?
        .execute(params![job.id.to_string(), now.as_millis()])?;
    Ok(())
}

pub(super) fn old(
    connection: &Connection,
    before: Timestamp,
    after: Option<OldRecording>,
    limit: u32,
) -> Outcome<Vec<OldRecording>> {
    let (since, id) = after.map_or((i64::MIN, String::new()), |after| {
        (after.since.as_millis(), after.job.to_string())
    });
    let mut statement = connection.prepare_cached(
        "SELECT consumer, live, id, files_since FROM jobs
         WHERE files_since < ?1 AND (files_since, id) > (?2, ?3) ORDER BY files_since, id LIMIT ?4",
    )?;
    let mut rows = statement.query(params![before.as_millis(), since, id, limit])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        let consumer = read_as(row.get::<_, String>(0)?.parse(), "a job's consumer")?;
        old.push(OldRecording {
            tenant: Tenant { consumer, live: row.get(1)? },
            job: read_as(row.get::<_, String>(2)?.parse(), "a job's id")?,
            since: Timestamp::from_millis(row.get(3)?),
        });
    }
    Ok(old)
}

pub(super) fn removed(connection: &Connection, id: JobId, now: StoreNow) -> Outcome<()> {
    removals::note(connection, &id.to_string(), now)?;
    connection
        .prepare_cached("UPDATE jobs SET files_since = NULL, recording_bytes = 0 WHERE id = ?1")?
        .execute([id.to_string()])?;
    Ok(())
}

/// Says how many bytes a recording has; `None` where they are still to be counted.
pub(super) fn set_bytes(connection: &Connection, id: JobId, bytes: Option<u64>) -> Outcome<()> {
    connection
        .prepare_cached("UPDATE jobs SET recording_bytes = ?2 WHERE id = ?1")?
        .execute(params![id.to_string(), bytes])?;
    Ok(())
}

pub(super) fn to_count(
    connection: &Connection,
    all: bool,
    after: Option<JobId>,
    limit: u32,
) -> Outcome<Vec<(JobId, Option<u64>)>> {
    let known = if all { "" } else { "AND recording_bytes IS NULL" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, recording_bytes FROM jobs WHERE files_since IS NOT NULL {known} AND id > ?1
         ORDER BY id LIMIT ?2"
    ))?;
    let after = after.map_or(String::new(), |after| after.to_string());
    let rows = statement
        .query_map(params![after, limit], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let read = |row: rusqlite::Result<(String, _)>| {
        let (id, bytes) = row?;
        Ok((read_as(id.parse(), "a job's id")?, bytes))
    };
    rows.map(read).collect()
}

pub(super) fn counted(
    connection: &Connection,
    id: JobId,
    before: Option<u64>,
    bytes: u64,
) -> Outcome<()> {
    connection
        .prepare_cached(
            "UPDATE jobs SET recording_bytes = ?3
             WHERE id = ?1 AND files_since IS NOT NULL AND recording_bytes IS ?2",
        )?
        .execute(params![id.to_string(), before, bytes])?;
    Ok(())
}

/// How many bytes the recordings of a tenant have.
pub(super) fn bytes_of(connection: &Connection, tenant: Tenant) -> Outcome<u64> {
    let mut sum = connection.prepare_cached(
        "SELECT coalesce(sum(recording_bytes), 0) FROM jobs
         WHERE consumer = ?1 AND live = ?2 AND recording_bytes > 0",
    )?;
    Ok(sum.query_row(params![tenant.consumer.to_string(), tenant.live], |row| row.get(0))?)
}
