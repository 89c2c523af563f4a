//! Counts for those who run the server.

use meetbot_types::{DeliveryId, FailureCode, Job};
use rusqlite::{Connection, params};

use super::{Outcome, read_as};
use crate::store::{Ended, Tally};

/// Only the index of those that are under way is read: an id says when it was made.
const BACKLOG: &str = "SELECT count(*), min(id) FROM deliveries WHERE state = 'pending'";

/// Only the index of those that have files is read.
const RECORDING_BYTES: &str =
    "SELECT coalesce(sum(recording_bytes), 0) FROM jobs WHERE recording_bytes > 0";

pub(super) fn count(connection: &Connection) -> Outcome<Tally> {
    let mut open = connection.prepare_cached(
        "SELECT status, count(*) FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled') GROUP BY status",
    )?;
    let open = open
        .query_map([], |row| Ok((row.get::<_, String>(0)?.as_str().into(), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut ended = connection
        .prepare_cached("SELECT status, failure_code, jobs FROM endings ORDER BY 1, 2")?;
    let ended = ended
        .query_map([], |row| {
            let code: String = row.get(1)?;
            Ok(Ended {
                status: row.get::<_, String>(0)?.as_str().into(),
                failure_code: (!code.is_empty()).then(|| FailureCode::from(code.as_str())),
                jobs: row.get(2)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let (backlog, oldest): (u64, Option<String>) =
        connection.prepare_cached(BACKLOG)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let oldest: Option<DeliveryId> =
        oldest.map(|id| read_as(id.parse(), "a delivery's id")).transpose()?;
    let mixes =
        connection.prepare_cached("SELECT count(*) FROM mixes")?.query_row([], |row| row.get(0))?;
    let recording_bytes =
        connection.prepare_cached(RECORDING_BYTES)?.query_row([], |row| row.get(0))?;
    let oldest = oldest.map(|id| id.created_at());
    Ok(Tally { open, ended, backlog, oldest, mixes, recording_bytes })
}

/// A job has ended.
pub(super) fn count_end(connection: &Connection, job: &Job) -> Outcome<()> {
    let code = job.failure_code.as_ref().map_or("", FailureCode::as_str);
    connection
        .prepare_cached(
            "INSERT INTO endings (status, failure_code, jobs) VALUES (?1, ?2, 1)
             ON CONFLICT (status, failure_code) DO UPDATE SET jobs = jobs + 1",
        )?
        .execute(params![job.status.as_str(), code])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;

    #[test]
    fn deliveries_that_were_given_up_and_recordings_that_are_deleted_cost_the_counts_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        schema::bring_up(&connection).unwrap();
        let plan = |sql: &str| -> String {
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            connection.query_row(&explain, [], |row| row.get("detail")).unwrap()
        };
        assert_eq!(plan(BACKLOG), "SCAN deliveries USING COVERING INDEX deliveries_pending");
        assert_eq!(plan(RECORDING_BYTES), "SCAN jobs USING COVERING INDEX jobs_recording_bytes");
    }
}
