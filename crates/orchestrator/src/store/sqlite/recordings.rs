//! Which jobs may have files.

use meetbot_types::{Job, JobId, Timestamp};
use rusqlite::{Connection, params};

use super::{Outcome, read_as};
use crate::store::{OldRecording, Tenant};

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

pub(super) fn removed(connection: &Connection, id: JobId) -> Outcome<()> {
    connection
        .prepare_cached("UPDATE jobs SET files_since = NULL WHERE id = ?1")?
        .execute([id.to_string()])?;
    Ok(())
}
