//! Jobs that are deleted with all that belongs to them.

use meetbot_types::{JobId, Timestamp};
use rusqlite::{Connection, params};

use super::{Outcome, endpoints, feed, read_as, removals};
use crate::clock::StoreNow;

/// What belongs to a job, in the order in which it can be deleted.
const OF_A_JOB: &[&str] = &[
    "tries WHERE delivery IN (SELECT id FROM deliveries WHERE job = ?1)",
    "deliveries WHERE job = ?1",
    "events WHERE job = ?1",
    "commands WHERE job = ?1",
    "mixes WHERE job = ?1",
    "uploads WHERE job = ?1",
    "room_bots WHERE job = ?1",
    "zoom_streams WHERE job = ?1",
    "jobs WHERE id = ?1",
];

/// Deletes a job that has ended.
pub(super) fn job(connection: &Connection, job: &str, now: StoreNow) -> Outcome<()> {
    removals::note(connection, job, now)?;
    let endpoints = endpoints::of_job(connection, job)?;
    feed::forget(connection, job)?;
    for table in OF_A_JOB {
        connection.prepare_cached(&format!("DELETE FROM {table}"))?.execute([job])?;
    }
    // Other jobs' deliveries may have waited for these.
    for endpoint in endpoints {
        endpoints::save(connection, &endpoints::load(connection, &endpoint)?)?;
    }
    Ok(())
}

pub(super) fn prune(
    connection: &Connection,
    before: Timestamp,
    limit: u32,
    now: StoreNow,
) -> Outcome<Vec<JobId>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM jobs WHERE ended_at < ?1 AND files_since IS NULL
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job = jobs.id AND state = 'pending')
         ORDER BY ended_at LIMIT ?2",
    )?;
    let rows = statement.query_map(params![before.as_millis(), limit], |row| row.get(0))?;
    let ids: Vec<String> = rows.collect::<Result<_, _>>()?;
    for id in &ids {
        job(connection, id, now)?;
    }
    ids.iter().map(|id| read_as(id.parse(), "a job's id")).collect()
}
