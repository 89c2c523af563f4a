//! Which jobs may have files.

use meetbot_types::{Job, JobId, Timestamp};
use rusqlite::{Connection, params};

use super::{Outcome, read_as};
use crate::store::Tenant;

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
    limit: u32,
) -> Outcome<Vec<(Tenant, JobId)>> {
    let mut statement = connection.prepare_cached(
        "SELECT consumer, live, id FROM jobs WHERE files_since < ?1 ORDER BY files_since LIMIT ?2",
    )?;
    let mut rows = statement.query(params![before.as_millis(), limit])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        let consumer = read_as(row.get::<_, String>(0)?.parse(), "a job's consumer")?;
        let id = read_as(row.get::<_, String>(2)?.parse(), "a job's id")?;
        old.push((Tenant { consumer, live: row.get(1)? }, id));
    }
    Ok(old)
}

pub(super) fn removed(connection: &Connection, id: JobId) -> Outcome<()> {
    connection
        .prepare_cached("UPDATE jobs SET files_since = NULL WHERE id = ?1")?
        .execute([id.to_string()])?;
    Ok(())
}
