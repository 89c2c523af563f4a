//! Endpoints: how each has been, and when something is due there.

use std::time::Duration;

use meetbot_types::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Outcome;
use crate::{
    deliveries::{Health, Lane, endpoint_of},
    store::Tenant,
};

/// An endpoint: a consumer's URL without its query.
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) consumer: String,
    pub(super) health: Health,
}

const COLUMNS: &str =
    "SELECT failures, failing_since, rest_ms, rests_until, proven, id, consumer FROM endpoints";

fn endpoint(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    Ok(Endpoint { health: health(row, 0)?, id: row.get(5)?, consumer: row.get(6)? })
}

/// The health that stands in a row from this column on.
pub(super) fn health(row: &Row<'_>, column: usize) -> rusqlite::Result<Health> {
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    Ok(Health {
        failures: row.get(column)?,
        failing_since: time(row.get(column + 1)?),
        rest: Duration::from_millis(row.get(column + 2)?),
        rests_until: time(row.get(column + 3)?),
        proven: row.get(column + 4)?,
    })
}

/// The id of the endpoint behind a URL; `None` where nothing was ever sent there.
pub(super) fn find(connection: &Connection, tenant: Tenant, url: &str) -> Outcome<Option<String>> {
    let mut find = connection.prepare_cached(
        "SELECT id FROM endpoints WHERE consumer = ?1 AND live = ?2 AND url = ?3",
    )?;
    let consumer = tenant.consumer.to_string();
    let found = find.query_row(params![consumer, tenant.live, endpoint_of(url)], |row| row.get(0));
    Ok(found.optional()?)
}

/// The id of the endpoint behind a URL, which is made where it is new.
pub(super) fn id_of(connection: &Connection, tenant: Tenant, url: &str) -> Outcome<String> {
    if let Some(id) = find(connection, tenant, url)? {
        return Ok(id);
    }
    let (consumer, url) = (tenant.consumer.to_string(), endpoint_of(url));
    let id = crate::letters::letters(20);
    connection
        .prepare_cached("INSERT INTO endpoints (id, consumer, live, url) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id, consumer, tenant.live, url])?;
    Ok(id)
}

pub(super) fn load(connection: &Connection, id: &str) -> Outcome<Endpoint> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?;
    Ok(statement.query_row([id], endpoint)?)
}

/// The ids of the endpoints of a job's deliveries.
pub(super) fn of_job(connection: &Connection, job: &str) -> Outcome<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT endpoint FROM deliveries WHERE job = ?1 AND endpoint IS NOT NULL",
    )?;
    let found = statement.query_map([job], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Endpoints of a lane where something is due, those first that have waited longest.
pub(super) fn due(
    connection: &Connection,
    lane: Lane,
    limit: u32,
    now: Timestamp,
) -> Outcome<Vec<Endpoint>> {
    let mut statement = connection.prepare_cached(&format!(
        "{COLUMNS} WHERE lane = ?1 AND due_at IS NOT NULL AND due_at <= ?2 ORDER BY due_at LIMIT ?3"
    ))?;
    let found = statement.query_map(params![lane.number(), now.as_millis(), limit], endpoint)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// When something is due next at an endpoint of this lane.
pub(super) fn next(connection: &Connection, lane: Lane) -> Outcome<Option<Timestamp>> {
    let mut statement = connection.prepare_cached(
        "SELECT min(due_at) FROM endpoints WHERE lane = ?1 AND due_at IS NOT NULL",
    )?;
    let next: Option<i64> = statement.query_row([lane.number()], |row| row.get(0))?;
    Ok(next.map(Timestamp::from_millis))
}

/// Something new is due there. Whether it may be tried at once shows when it is looked at.
pub(super) fn make_due(connection: &Connection, id: &str, now: Timestamp) -> Outcome<()> {
    connection
        .prepare_cached(
            "UPDATE endpoints SET due_at = max(?2, coalesce(rests_until, 0))
             WHERE id = ?1 AND (due_at IS NULL OR due_at > ?2)",
        )?
        .execute(params![id, now.as_millis()])?;
    Ok(())
}

/// How many tries are under way there.
pub(super) fn in_flight(connection: &Connection, id: &str) -> Outcome<u32> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM deliveries WHERE endpoint = ?1 AND lease_until > 0",
    )?;
    Ok(statement.query_row([id], |row| row.get(0))?)
}

/// Writes the health of an endpoint and its next check.
pub(super) fn save(connection: &Connection, endpoint: &Endpoint) -> Outcome<()> {
    let Endpoint { id, health, .. } = endpoint;
    let rests_until = health.rests_until.map(Timestamp::as_millis);
    let due: Option<i64> = if health.has_room(in_flight(connection, id)?) {
        let mut first = connection.prepare_cached(
            "SELECT min(due_at) FROM deliveries WHERE endpoint = ?1 AND due_at IS NOT NULL",
        )?;
        let due: Option<i64> = first.query_row([id], |row| row.get(0))?;
        due.map(|due| health.not_before(Timestamp::from_millis(due)).as_millis())
    } else {
        None
    };
    connection
        .prepare_cached(
            "UPDATE endpoints SET failures = ?2, failing_since = ?3, rest_ms = ?4, rests_until = ?5, proven = ?6,
                lane = ?7, due_at = ?8 WHERE id = ?1",
        )?
        .execute(params![
            id,
            health.failures,
            health.failing_since.map(Timestamp::as_millis),
            u64::try_from(health.rest.as_millis()).unwrap_or(u64::MAX),
            rests_until,
            health.proven,
            health.lane().number(),
            due
        ])?;
    Ok(())
}
