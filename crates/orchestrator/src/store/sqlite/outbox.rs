//! The outbox: deliveries are put into it, taken when it is their turn, and tried until they are done.

use meetbot_types::{DeliveryId, DeliveryTry, Timestamp, WebhookEvent, event::ENVELOPE_VERSION};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    Outcome, Problem,
    endpoints::{self, Endpoint},
    read_as, secrets,
};
use crate::{
    clock::StoreNow,
    deliveries::{DeliveryRecord, GIVEN_UP_AT_ONCE, KEEP_TRYING, LEASE, Lane},
    store::{Capacity, DeliveryAttempt, DueBatch, DueDelivery, Leases, StoreError, Tenant},
};

/// Puts an event into the outbox, for one URL.
pub(super) fn put(
    connection: &Connection,
    tenant: Tenant,
    job: &str,
    sequence: u64,
    url: &str,
    now: Timestamp,
) -> Outcome<()> {
    let endpoint = endpoints::id_of(connection, tenant, url)?;
    let waits: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM deliveries WHERE endpoint = ?1 AND job = ?2 AND holds)",
        )?
        .query_row(params![endpoint, job], |row| row.get(0))?;
    let record = DeliveryRecord::new(waits, now);
    connection
        .prepare_cached(
            "INSERT INTO deliveries (id, job, sequence, consumer, live, url, endpoint, state, since, due_at, holds)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            DeliveryId::generate(now).to_string(),
            job,
            sequence,
            tenant.consumer.to_string(),
            tenant.live,
            url,
            endpoint,
            record.state.as_str(),
            record.since.as_millis(),
            record.due_at.map(Timestamp::as_millis),
            record.holds
        ])?;
    if waits { Ok(()) } else { endpoints::make_due(connection, &endpoint, now) }
}

/// Takes deliveries that are due: endpoints that answer first, and of each no more than it may have at once.
pub(super) fn take(
    connection: &Connection,
    mut capacity: Capacity,
    now: StoreNow,
) -> Outcome<DueBatch> {
    let mut due = Vec::new();
    for lane in Lane::ALL {
        let left = capacity.of(lane);
        let endpoints = endpoints::due(connection, lane, *left, now.wall)?;
        let mut behind = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        for endpoint in endpoints {
            let in_flight = endpoints::in_flight(connection, &endpoint.id)?;
            let limit = endpoint.health.share(in_flight, *left, behind);
            *left -= take_from(connection, &endpoint, limit, now, &mut due)?;
            behind -= 1;
        }
    }
    let mut next = None;
    for lane in Lane::ALL {
        if *capacity.of(lane) > 0 {
            next = next.into_iter().chain(endpoints::next(connection, lane)?).min();
        }
    }
    Ok(DueBatch { due, next })
}

fn take_from(
    connection: &Connection,
    endpoint: &Endpoint,
    limit: u32,
    now: StoreNow,
    taken: &mut Vec<DueDelivery>,
) -> Outcome<u32> {
    let consumer = &endpoint.consumer;
    let secrets = secrets::of_id(connection, consumer, now.wall)?
        .ok_or_else(|| Problem::Corrupt(format!("there is no consumer {consumer}")))?;
    let mut find = connection.prepare_cached(
        "SELECT d.id, (SELECT count(*) FROM tries WHERE delivery = d.id), d.url, e.name, e.at, e.data, d.tries, d.since
         FROM deliveries d JOIN events e ON e.job = d.job AND e.sequence = d.sequence
         WHERE d.endpoint = ?1 AND d.due_at IS NOT NULL AND d.due_at <= ?2 ORDER BY d.due_at LIMIT ?3",
    )?;
    let mut rows = find.query(params![endpoint.id, now.wall.as_millis(), limit])?;
    let (before, mut unreadable) = (taken.len(), Vec::new());
    while let Some(row) = rows.next()? {
        match event(row) {
            Ok(event) => taken.push(DueDelivery {
                event,
                tries: row.get(6)?,
                since: Timestamp::from_millis(row.get(7)?),
                url: row.get(2)?,
                secrets: secrets.clone(),
                lane: endpoint.health.lane(),
            }),
            // An unreadable one must not block the others.
            Err(problem) => {
                unreadable.push((row.get::<_, String>(0)?, StoreError::from(problem).to_string()));
            }
        }
    }
    let mut lease = connection
        .prepare_cached("UPDATE deliveries SET due_at = NULL, lease_until = ?2 WHERE id = ?1")?;
    for delivery in &taken[before..] {
        let until = (now.lease + LEASE).as_millis();
        lease.execute(params![delivery.event.delivery_id.to_string(), until])?;
    }
    for (id, error) in unreadable {
        give_up_unread(connection, &endpoint.id, &id, error, now.wall)?;
    }
    endpoints::save(connection, endpoint)?;
    Ok(u32::try_from(taken.len() - before).unwrap_or(u32::MAX))
}

/// The envelope, from a row of `take_from`.
fn event(row: &Row<'_>) -> Outcome<WebhookEvent> {
    Ok(WebhookEvent {
        delivery_id: read_as(row.get::<_, String>(0)?.parse(), "a delivery's id")?,
        event: row.get::<_, String>(3)?.as_str().into(),
        emitted_at: Timestamp::from_millis(row.get(4)?),
        attempt: row.get::<_, u32>(1)? + 1,
        version: ENVELOPE_VERSION,
        data: read_as(serde_json::from_str(&row.get::<_, String>(5)?), "an event")?,
    })
}

fn give_up_unread(
    connection: &Connection,
    endpoint: &str,
    id: &str,
    error: String,
    now: Timestamp,
) -> Outcome<()> {
    tracing::error!(delivery = id, error, "a webhook was given up");
    let tried =
        DeliveryTry { at: now, duration_ms: 0, status: None, error: Some(error), answer: None };
    write_try(connection, id, &tried)?;
    give_up(connection, endpoint, id, now)
}

/// A delivery, with its job and its endpoint. It may have been erased.
fn load(connection: &Connection, id: &str) -> Outcome<Option<(DeliveryRecord, String, String)>> {
    let mut find = connection.prepare_cached(
        "SELECT state, tries, since, due_at, lease_until > 0, holds, job, endpoint FROM deliveries WHERE id = ?1",
    )?;
    let found = find.query_row([id], |row| {
        let record = DeliveryRecord {
            state: row.get::<_, String>(0)?.as_str().into(),
            tries: row.get(1)?,
            since: Timestamp::from_millis(row.get(2)?),
            due_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
            under_way: row.get(4)?,
            holds: row.get(5)?,
        };
        Ok((record, row.get(6)?, row.get(7)?))
    });
    Ok(found.optional()?)
}

fn save(connection: &Connection, id: &str, record: &DeliveryRecord) -> Outcome<()> {
    let DeliveryRecord { state, tries, since, due_at, under_way, holds } = record;
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, tries = ?3, since = ?4, due_at = ?5,
                lease_until = CASE WHEN ?6 THEN lease_until ELSE 0 END, holds = ?7 WHERE id = ?1",
        )?
        .execute(params![
            id,
            state.as_str(),
            tries,
            since.as_millis(),
            due_at.map(Timestamp::as_millis),
            under_way,
            holds
        ])?;
    Ok(())
}

fn give_up(connection: &Connection, endpoint: &str, id: &str, now: Timestamp) -> Outcome<()> {
    let Some((mut record, job, _)) = load(connection, id)? else { return Ok(()) };
    record.give_up();
    save(connection, id, &record)?;
    release_next(connection, endpoint, &job, now)
}

fn write_try(connection: &Connection, id: &str, tried: &DeliveryTry) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO tries (delivery, number, at, duration_ms, status, error, answer)
             VALUES (?1, (SELECT count(*) + 1 FROM tries WHERE delivery = ?1), ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id,
            tried.at.as_millis(),
            tried.duration_ms,
            tried.status,
            tried.error,
            tried.answer
        ])?;
    Ok(())
}

/// Gives deliveries back whose sender has not noted its try in time; or that died with an earlier boot.
pub(super) fn forget_leases(connection: &Connection, leases: Leases, now: StoreNow) -> Outcome<()> {
    let before = leases.end_before(now.lease);
    let mut find = connection.prepare_cached(
        "SELECT DISTINCT endpoint FROM deliveries WHERE lease_until > 0 AND lease_until <= ?1",
    )?;
    let found = find.query_map([before], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for id in found {
        connection
            .prepare_cached(
                "UPDATE deliveries SET lease_until = 0, due_at = ?3
                 WHERE endpoint = ?1 AND lease_until > 0 AND lease_until <= ?2",
            )?
            .execute(params![id, before, now.wall.as_millis()])?;
        endpoints::save(connection, &endpoints::load(connection, &id)?)?;
    }
    Ok(())
}

/// Notes a try, and what follows for the delivery, for those behind it, and for the endpoint.
pub(super) fn note(connection: &Connection, noted: &DeliveryAttempt, now: StoreNow) -> Outcome<()> {
    let DeliveryAttempt { delivery, since, tried, verdict, rest_wanted } = noted;
    let id = delivery.to_string();
    // Its consumer may have been erased meanwhile.
    let Some((mut record, job, endpoint)) = load(connection, &id)? else { return Ok(()) };
    write_try(connection, &id, tried)?;
    let held = record.holds;
    if record.tried(*verdict, *since, now.wall) {
        save(connection, &id, &record)?;
        if held && !record.holds {
            release_next(connection, &endpoint, &job, now.wall)?;
        }
    }
    let mut endpoint = endpoints::load(connection, &endpoint)?;
    if endpoint.health.tried(*verdict, tried.at, *rest_wanted, now.wall) {
        give_up_the_old(connection, &endpoint.id, now.wall)?;
    }
    endpoints::save(connection, &endpoint)
}

/// The next delivery of a job at an endpoint has its turn.
fn release_next(connection: &Connection, endpoint: &str, job: &str, now: Timestamp) -> Outcome<()> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET due_at = ?3 WHERE due_at IS NULL AND lease_until = 0 AND id =
                (SELECT id FROM deliveries WHERE endpoint = ?1 AND job = ?2 AND holds ORDER BY sequence LIMIT 1)",
        )?
        .execute(params![endpoint, job, now.as_millis()])?;
    Ok(())
}

/// Gives up what has waited for too long.
fn give_up_the_old(connection: &Connection, endpoint: &str, now: Timestamp) -> Outcome<()> {
    let mut find = connection.prepare_cached(
        "SELECT id FROM deliveries WHERE endpoint = ?1 AND due_at IS NOT NULL AND since <= ?2
         ORDER BY due_at LIMIT ?3",
    )?;
    let before = (now - KEEP_TRYING).as_millis();
    let old = find
        .query_map(params![endpoint, before, GIVEN_UP_AT_ONCE], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    for id in old {
        give_up(connection, endpoint, &id, now)?;
    }
    Ok(())
}

/// Sends a delivery once more, where the tenant has it.
pub(super) fn redeliver(
    connection: &Connection,
    tenant: Tenant,
    id: DeliveryId,
    now: StoreNow,
) -> Outcome<()> {
    let mut find = connection.prepare_cached(
        "SELECT endpoint FROM deliveries WHERE id = ?1 AND consumer = ?2 AND live = ?3",
    )?;
    let id = id.to_string();
    let endpoint: Option<String> = find
        .query_row(params![id, tenant.consumer.to_string(), tenant.live], |row| row.get(0))
        .optional()?;
    let Some(endpoint) = endpoint else { return Ok(()) };
    redeliver_all(connection, &endpoint, &[id], now)
}

/// Sends deliveries of an endpoint once more.
pub(super) fn redeliver_all(
    connection: &Connection,
    endpoint: &str,
    ids: &[String],
    now: StoreNow,
) -> Outcome<()> {
    for id in ids {
        let Some((mut record, ..)) = load(connection, id)? else { continue };
        record.redeliver(now.wall);
        save(connection, id, &record)?;
    }
    let mut endpoint = endpoints::load(connection, endpoint)?;
    endpoint.health.wake();
    endpoints::save(connection, &endpoint)
}

#[cfg(test)]
mod tests {
    use meetbot_types::{ConsumerId, JobId};

    use super::*;
    use crate::store::{contract::at, sqlite::schema};

    #[test]
    fn an_unreadable_event_does_not_block_others() {
        let connection = Connection::open_in_memory().unwrap();
        schema::bring_up(&connection).unwrap();
        let now = StoreNow { wall: Timestamp::from_millis(1_000), ..at(0) };
        let (job, consumer) = (JobId::generate(now.wall), ConsumerId::generate(now.wall));
        let data = |sequence| {
            format!(
                r#"{{"event": "job.status_changed", "sequence": {sequence}, "jobId": "{job}", "externalId": null,
                "status": "joining", "metadata": {{}}, "previousStatus": null, "statusDetail": null, "leaveReason": null}}"#
            )
        };
        let sql = format!(
            "INSERT INTO consumers (id, name, webhook_secret, created_at) VALUES ('{consumer}', 'acme', 'whsec_', 0);
             INSERT INTO jobs (id, consumer, live, platform, status, created_at, run_at, start_by, link, job)
                VALUES ('{job}', '{consumer}', 1, 'sandbox', 'queued', 0, 0, 0, '', '');
             INSERT INTO events (job, sequence, id, name, at, data) VALUES ('{job}', 1, 'a', 'job.status_changed', 0, 'torn'),
                ('{job}', 2, 'b', 'job.status_changed', 0, '{}');",
            data(2)
        );
        connection.execute_batch(&sql).unwrap();
        let tenant = Tenant { consumer, live: true };
        for sequence in [1, 2] {
            put(&connection, tenant, &job.to_string(), sequence, "http://a.example/", now.wall)
                .unwrap();
        }
        let capacity = Capacity { proven: 10, unproven: 10 };
        let taken = take(&connection, capacity, now).unwrap();
        assert_eq!((taken.due.len(), taken.next), (0, Some(now.wall)));
        let taken = take(&connection, capacity, now).unwrap();
        assert_eq!(taken.due[0].event.data.sequence, 2);
        let reported: String =
            connection.query_row("SELECT error FROM tries", [], |row| row.get(0)).unwrap();
        assert!(reported.contains("an event"), "{reported}");
    }
}
