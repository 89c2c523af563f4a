//! Mixes that are still to be made: a row for each, from the transaction that ends its job to the one that reports the mix.

use meetbot_types::{Job, JobId, Timestamp, manifest::File};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Outcome, labels, read_as, recordings, records, timeline};
use crate::{
    clock::StoreNow,
    jobs::{DueMix, JobRecord, derive},
    store::{Tenant, WaitingMixes},
};

/// A job has ended with a manifest.
pub(super) fn wait(connection: &Connection, job: &Job) -> Outcome<()> {
    connection
        .prepare_cached("INSERT INTO mixes (job) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([job.id.to_string()])?;
    Ok(())
}

/// Removes the queued mixes of these jobs.
pub(super) fn drop(connection: &Connection, jobs: &[JobId]) -> Outcome<()> {
    let mut statement = connection.prepare_cached("DELETE FROM mixes WHERE job = ?1")?;
    for job in jobs {
        statement.execute([job.to_string()])?;
    }
    Ok(())
}

pub(super) fn waiting(
    connection: &Connection,
    limit: u32,
    now: Timestamp,
) -> Outcome<WaitingMixes> {
    let mut statement = connection.prepare_cached(
        "SELECT job, since, worker_labels FROM (
             SELECT *, row_number() OVER (PARTITION BY worker_labels ORDER BY place, turn, due_at, job) AS number FROM (
                 SELECT mixes.job, mixes.due_at, consumers.worker_labels,
                     CASE WHEN mixes.maker IS NULL THEN coalesce(jobs.files_since, 0) ELSE 0 END AS since, coalesce(tenants.mix_turn, 0) AS turn,
                     row_number() OVER (PARTITION BY jobs.consumer, jobs.live ORDER BY mixes.due_at, mixes.job) AS place
                 FROM mixes JOIN jobs ON jobs.id = mixes.job
                 LEFT JOIN consumers ON consumers.id = jobs.consumer
                 LEFT JOIN tenants ON tenants.consumer = jobs.consumer AND tenants.live = jobs.live
                 WHERE mixes.due_at <= ?1) AS due) AS numbered
         WHERE number <= ?2 ORDER BY place, turn, due_at, job",
    )?;
    let mut rows = statement.query(params![now.as_millis(), limit])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let job = read_as(row.get::<_, String>(0)?.parse(), "a mix's job")?;
        let (since, requires) = (Timestamp::from_millis(row.get(1)?), labels::read(row.get(2)?)?);
        due.push(DueMix { job, since, requires });
    }
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(due_at) FROM mixes WHERE due_at > ?1")?
        .query_row([now.as_millis()], |row| row.get(0))?;
    Ok(WaitingMixes { due, next: next.map(Timestamp::from_millis) })
}

/// A mix of this tenant was tried, or a worker tries it: the tenant moves behind the others.
fn take_turn(connection: &Connection, tenant: Tenant) -> Outcome<()> {
    connection
        .prepare_cached(
            "UPDATE tenants SET mix_turn = 1 + (SELECT max(mix_turn) FROM tenants) WHERE consumer = ?1 AND live = ?2",
        )?
        .execute(params![tenant.consumer.to_string(), tenant.live])?;
    Ok(())
}

/// A mix that waits.
struct Stored {
    /// Its job.
    record: JobRecord,
    /// How often it was tried.
    tries: u32,
    due_at: i64,
    /// The lease by which a worker has it, or had it last.
    maker: Option<String>,
}

fn stored(connection: &Connection, id: JobId) -> Outcome<Option<Stored>> {
    let Some(record) = records::of_any(connection, id)? else { return Ok(None) };
    let mut stored =
        connection.prepare_cached("SELECT tries, due_at, maker FROM mixes WHERE job = ?1")?;
    let row = stored.query_row([id.to_string()], |row| {
        Ok(Stored { record, tries: row.get(0)?, due_at: row.get(1)?, maker: row.get(2)? })
    });
    Ok(row.optional()?)
}

pub(super) fn job(connection: &Connection, id: JobId) -> Outcome<Option<Job>> {
    Ok(stored(connection, id)?.map(|mix| mix.record.job))
}

pub(super) fn lease(
    connection: &Connection,
    id: JobId,
    maker: &str,
    now: StoreNow,
) -> Outcome<bool> {
    let Some(mix) = stored(connection, id)? else { return Ok(false) };
    if mix.due_at > now.wall.as_millis() {
        return Ok(false);
    }
    connection
        .prepare_cached("UPDATE mixes SET due_at = ?2, maker = ?3 WHERE job = ?1")?
        .execute(params![id.to_string(), derive::lease_end(now).as_millis(), maker])?;
    take_turn(connection, mix.record.tenant)?;
    Ok(true)
}

pub(super) fn hold(
    connection: &Connection,
    id: JobId,
    maker: &str,
    due_at: Timestamp,
) -> Outcome<bool> {
    let held = connection
        .prepare_cached("UPDATE mixes SET due_at = ?3 WHERE job = ?1 AND maker = ?2")?
        .execute(params![id.to_string(), maker, due_at.as_millis()])?;
    Ok(held > 0)
}

pub(super) fn end(
    connection: &Connection,
    id: JobId,
    made: Option<File>,
    recording_bytes: Option<u64>,
    now: StoreNow,
) -> Outcome<bool> {
    let Some(Stored { mut record, maker, .. }) = stored(connection, id)? else { return Ok(false) };
    drop(connection, &[id])?;
    recordings::set_bytes(connection, id, recording_bytes)?;
    if maker.is_none() {
        take_turn(connection, record.tenant)?;
    }
    if let Some(file) = made {
        let changes = record.derived(file, now.wall);
        timeline::write(connection, &record, changes.events, now.wall)?;
        connection
            .prepare_cached("UPDATE jobs SET sequence = ?2 WHERE id = ?1")?
            .execute(params![id.to_string(), record.sequence])?;
    }
    Ok(true)
}

pub(super) fn put_off(
    connection: &Connection,
    id: JobId,
    of: Option<&str>,
    now: StoreNow,
) -> Outcome<Option<Timestamp>> {
    let Some(Stored { record, tries, maker, .. }) = stored(connection, id)? else {
        return Ok(None);
    };
    if of.is_some() && of != maker.as_deref() {
        return Ok(None);
    }
    if maker.is_none() {
        take_turn(connection, record.tenant)?;
    }
    let next = derive::next_try(tries + 1, now.wall);
    match next {
        Some(next) => connection
            .prepare_cached(
                "UPDATE mixes SET due_at = ?2, tries = ?3, maker = NULL WHERE job = ?1",
            )?
            .execute(params![id.to_string(), next.as_millis(), tries + 1])
            .map(|_| ())?,
        None => drop(connection, &[id])?,
    }
    Ok(next)
}
