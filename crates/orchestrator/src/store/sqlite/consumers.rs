//! Consumers: what they have, and their erasure.

use meetbot_types::{ConsumerId, JobId, JobStatus};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Outcome, erasure, read_as, records};
use crate::{clock::StoreNow, jobs::has_no_more_bots, store::Tenant};

pub(super) fn name(connection: &Connection, consumer: ConsumerId) -> Outcome<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM consumers WHERE id = ?1")?;
    Ok(statement.query_row([consumer.to_string()], |row| row.get(0)).optional()?)
}

pub(super) fn jobs(
    connection: &Connection,
    Tenant { consumer, live }: Tenant,
) -> Outcome<Vec<(Tenant, JobId, bool)>> {
    let mut statement = connection
        .prepare_cached("SELECT id, live, status, id IN (SELECT job FROM uploads) FROM jobs WHERE consumer = ?1 AND live <= ?2")?;
    let mut rows = statement.query(params![consumer.to_string(), live])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let id = read_as(row.get::<_, String>(0)?.parse(), "a job's id")?;
        let status = JobStatus::from(row.get::<_, String>(2)?.as_str());
        let ended = has_no_more_bots(&status, row.get(3)?);
        jobs.push((Tenant { consumer, live: row.get(1)? }, id, ended));
    }
    Ok(jobs)
}

pub(super) fn erase_jobs(
    connection: &Connection,
    consumer: ConsumerId,
    jobs: &[JobId],
    now: StoreNow,
) -> Outcome<u64> {
    let mut erased = 0;
    for job in jobs {
        let record = records::of_any(connection, *job)?;
        if !record.is_some_and(|record| record.may_be_erased(consumer)) {
            continue;
        }
        erasure::job(connection, &job.to_string(), now)?;
        erased += 1;
    }
    Ok(erased)
}

pub(super) fn erase(
    connection: &Connection,
    Tenant { consumer, live }: Tenant,
) -> Outcome<Option<u64>> {
    let id = consumer.to_string();
    // What a test key reaches is less than what a live key does.
    let reached = "consumer = ?1 AND live <= ?2";
    let has_jobs = format!("SELECT EXISTS (SELECT 1 FROM jobs WHERE {reached})");
    if connection.query_row(&has_jobs, params![id, live], |row| row.get(0))? {
        return Ok(None);
    }
    let run = |sql: &str| connection.execute(sql, params![id, live]);
    run(&format!("DELETE FROM endpoints WHERE {reached}"))?;
    run(&format!("DELETE FROM answers WHERE {reached}"))?;
    run(&format!("DELETE FROM feeds WHERE {reached}"))?;
    run(&format!(
        "DELETE FROM key_uses WHERE consumer = ?1 AND key IN (SELECT id FROM keys WHERE {reached})"
    ))?;
    let keys = run(&format!("DELETE FROM keys WHERE {reached}"))?;
    run(&format!("DELETE FROM minutes WHERE {reached}"))?;
    run(&format!("DELETE FROM tenants WHERE {reached}"))?;
    connection.execute(
        "DELETE FROM consumers WHERE id = ?1
            AND NOT EXISTS (SELECT 1 FROM keys WHERE consumer = ?1)
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE consumer = ?1)
            AND NOT EXISTS (SELECT 1 FROM minutes WHERE consumer = ?1)",
        [&id],
    )?;
    Ok(Some(keys as u64))
}
