//! Consumers: what they have, and their erasure.

use meetbot_types::{ConsumerId, JobId, JobStatus};
use rusqlite::{Connection, OptionalExtension as _};

use super::{Outcome, read_as};
use crate::store::Tenant;

pub(super) fn name(connection: &Connection, consumer: ConsumerId) -> Outcome<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM consumers WHERE id = ?1")?;
    Ok(statement.query_row([consumer.to_string()], |row| row.get(0)).optional()?)
}

pub(super) fn jobs(
    connection: &Connection,
    consumer: ConsumerId,
) -> Outcome<Vec<(Tenant, JobId, bool)>> {
    let mut statement =
        connection.prepare_cached("SELECT id, live, status FROM jobs WHERE consumer = ?1")?;
    let mut rows = statement.query([consumer.to_string()])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let id = read_as(row.get::<_, String>(0)?.parse(), "a job's id")?;
        let ended = JobStatus::from(row.get::<_, String>(2)?.as_str()).is_final();
        jobs.push((Tenant { consumer, live: row.get(1)? }, id, ended));
    }
    Ok(jobs)
}

pub(super) fn erase(connection: &Connection, consumer: ConsumerId) -> Outcome<Option<(u64, u64)>> {
    if jobs(connection, consumer)?.iter().any(|(.., ended)| !ended) {
        return Ok(None);
    }
    let id = consumer.to_string();
    let run = |sql: &str| connection.execute(sql, [&id]);
    run("DELETE FROM tries WHERE delivery IN (SELECT id FROM deliveries WHERE consumer = ?1)")?;
    run("DELETE FROM deliveries WHERE consumer = ?1")?;
    run("DELETE FROM endpoints WHERE consumer = ?1")?;
    run("DELETE FROM events WHERE job IN (SELECT id FROM jobs WHERE consumer = ?1)")?;
    run("DELETE FROM commands WHERE job IN (SELECT id FROM jobs WHERE consumer = ?1)")?;
    run("DELETE FROM answers WHERE consumer = ?1")?;
    let jobs = run("DELETE FROM jobs WHERE consumer = ?1")?;
    let keys = run("DELETE FROM keys WHERE consumer = ?1")?;
    run("DELETE FROM minutes WHERE consumer = ?1")?;
    run("DELETE FROM tenants WHERE consumer = ?1")?;
    run("DELETE FROM key_uses WHERE consumer = ?1")?;
    run("DELETE FROM consumers WHERE id = ?1")?;
    Ok(Some((jobs as u64, keys as u64)))
}
