//! The tables, and how a database of an older program gets them.

use tokio_postgres::{Client, Row};

use super::OpenError;
use crate::store::Found;

/// A change of the tables.
struct Step {
    sql: &'static str,
    /// How many steps the oldest program knows that can work on the tables after this one: while servers are replaced one after the other, older ones go on. A
    /// step only adds; what is not used any more is dropped one release later.
    oldest: usize,
}

/// Every change of the tables since the first, in order; a step that was released never changes again.
const STEPS: &[Step] = &[
    Step { sql: include_str!("first.sql"), oldest: 1 },
    // An older program's events would be in no feed.
    Step { sql: include_str!("feed.sql"), oldest: 2 },
    Step { sql: include_str!("uploads.sql"), oldest: 2 },
    // An older program's bots would join as guests.
    Step { sql: include_str!("accounts.sql"), oldest: 4 },
    Step { sql: include_str!("removals.sql"), oldest: 4 },
    Step { sql: include_str!("servers.sql"), oldest: 4 },
    // An older program gives jobs to workers without the labels: none are set before all servers are new.
    Step { sql: include_str!("worker_labels.sql"), oldest: 4 },
    Step { sql: include_str!("adoption.sql"), oldest: 4 },
    Step { sql: include_str!("mix_leases.sql"), oldest: 4 },
];

/// How many steps this program knows.
const KNOWN: usize = STEPS.len();

/// The advisory lock for migrations: one program migrates the database at a time ("meetbot", and a number).
const LOCK: i64 = 0x6d65_6574_626f_7400;

/// How a database stands to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// It has had so many steps, which this program can work on or bring up.
    Known(usize),
    /// A newer program changed it in a way that this one cannot work on.
    TooNew(usize),
}

/// `steps` were taken, and programs that know `oldest` can work on them.
const fn version(steps: usize, oldest: usize) -> Version {
    if oldest > KNOWN { Version::TooNew(steps) } else { Version::Known(steps) }
}

/// Brings a database to the newest tables, in one transaction.
pub(super) async fn bring_up(client: &Client) -> Result<(), OpenError> {
    client.batch_execute("BEGIN").await?;
    take(client).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Whose tables a database has; nothing is changed.
pub(super) async fn look(client: &Client) -> Result<Found, OpenError> {
    let made = client.query_one("SELECT to_regclass('meetbot_schema') IS NOT NULL", &[]).await?;
    if !made.try_get::<_, bool>(0)? {
        return Ok(Found::Nothing);
    }
    let row = client.query_opt("SELECT steps, oldest FROM meetbot_schema", &[]).await?;
    let Some(row) = row else { return Ok(Found::Nothing) };
    match version(number(&row, 0)?, number(&row, 1)?) {
        Version::TooNew(steps) => Err(OpenError::Newer { steps, known: KNOWN }),
        Version::Known(steps) if steps < KNOWN => Ok(Found::Older),
        Version::Known(_) => Ok(Found::Newest),
    }
}

/// The same, in a transaction that was begun.
pub(super) async fn take(client: &Client) -> Result<(), OpenError> {
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS meetbot_schema (steps BIGINT NOT NULL, oldest BIGINT NOT NULL)",
        )
        .await?;
    let row = client.query_opt("SELECT steps, oldest FROM meetbot_schema", &[]).await?;
    let (steps, oldest) = match &row {
        Some(row) => (number(row, 0)?, number(row, 1)?),
        None => (0, 0),
    };
    let steps = match version(steps, oldest) {
        Version::TooNew(steps) => return Err(OpenError::Newer { steps, known: KNOWN }),
        Version::Known(steps) => steps,
    };
    for (before, step) in STEPS.iter().enumerate().skip(steps) {
        client.batch_execute(step.sql).await?;
        let is = format!(
            "DELETE FROM meetbot_schema; INSERT INTO meetbot_schema VALUES ({}, {})",
            before + 1,
            step.oldest
        );
        client.batch_execute(&is).await?;
    }
    Ok(())
}

/// A count of steps, which only this program's kind writes.
fn number(row: &Row, column: usize) -> Result<usize, tokio_postgres::Error> {
    row.try_get::<_, i64>(column).map(|steps| usize::try_from(steps).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_database_is_refused_only_where_its_last_step_says_so() {
        assert_eq!(version(0, 0), Version::Known(0));
        assert_eq!(version(KNOWN, KNOWN), Version::Known(KNOWN));
        assert_eq!(version(KNOWN + 3, KNOWN), Version::Known(KNOWN + 3));
        assert_eq!(version(KNOWN + 3, KNOWN + 1), Version::TooNew(KNOWN + 3));
    }
}
