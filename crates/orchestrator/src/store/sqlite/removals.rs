//! Recordings that were removed, and jobs that were deleted with theirs.

use meetbot_types::{JobId, Timestamp};
use rusqlite::{Connection, params};

use super::{Outcome, read_as};
use crate::{clock::StoreNow, jobs::removal};

/// Notes that all files of a job are removed. Workers upload only where there is a bucket, and only of jobs that had a bot.
pub(super) fn note(connection: &Connection, job: &str, now: StoreNow) -> Outcome<()> {
    let again = removal::next_look(now.wall, now).map(Timestamp::as_millis);
    connection
        .prepare_cached(
            "INSERT INTO removals (job, at, again_at) SELECT id, ?2, ?3 FROM jobs
                WHERE id = ?1 AND epoch > 0 AND EXISTS (SELECT 1 FROM storage WHERE url IS NOT NULL)
             ON CONFLICT (job) DO UPDATE SET at = excluded.at",
        )?
        .execute(params![job, now.wall.as_millis(), again])?;
    Ok(())
}

pub(super) fn is_noted(connection: &Connection, id: JobId) -> Outcome<bool> {
    let mut noted = connection.prepare_cached("SELECT 1 FROM removals WHERE job = ?1")?;
    Ok(noted.exists([id.to_string()])?)
}

pub(super) fn due(connection: &Connection, limit: u32, now: StoreNow) -> Outcome<Vec<JobId>> {
    let mut due = connection.prepare_cached(
        "SELECT job FROM removals WHERE again_at <= ?1 ORDER BY again_at, job LIMIT ?2",
    )?;
    let rows =
        due.query_map(params![now.wall.as_millis(), limit], |row| row.get::<_, String>(0))?;
    rows.map(|row| read_as(row?.parse(), "a removed job's id")).collect()
}

pub(super) fn repeated(connection: &Connection, id: JobId, now: StoreNow) -> Outcome<()> {
    let id = id.to_string();
    let at: i64 = connection
        .prepare_cached("SELECT coalesce(max(at), 0) FROM removals WHERE job = ?1")?
        .query_row([&id], |row| row.get(0))?;
    let again = removal::next_look(Timestamp::from_millis(at), now).map(Timestamp::as_millis);
    connection
        .prepare_cached("UPDATE removals SET again_at = ?2 WHERE job = ?1")?
        .execute(params![id, again])?;
    Ok(())
}

pub(super) fn forget(connection: &Connection, now: StoreNow) -> Outcome<()> {
    connection
        .prepare_cached("DELETE FROM removals WHERE at < ?1 AND again_at IS NULL")?
        .execute([removal::forgotten_before(now).as_millis()])?;
    Ok(())
}
