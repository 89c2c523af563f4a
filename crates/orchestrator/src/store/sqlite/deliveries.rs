//! Webhook deliveries: taken when due, tried, listed.

use meetbot_types::{
    Delivery, DeliveryId, DeliveryTry, Page, Timestamp, WebhookEvent, event::ENVELOPE_VERSION,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter, types::Value};

use super::{Outcome, read_as};
use crate::{
    clock::Now,
    store::{DeliveryFilter, DueDelivery, TRIES_IN_ORDER, Tenant, Verdict, Window},
};

/// How long one sender may take over one delivery before another one takes it.
const LEASE_MS: i64 = 60_000;

pub(super) fn due(connection: &Connection, limit: u32, now: Now) -> Outcome<Vec<DueDelivery>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.id, (SELECT count(*) FROM tries WHERE delivery = d.id), d.url, webhook_secret, e.name, e.at, e.data, d.tries
         FROM deliveries d
         JOIN events e ON e.job = d.job AND e.sequence = d.sequence
         JOIN consumers ON consumers.id = d.consumer
         WHERE d.state = 'pending' AND d.next_at <= ?1 AND d.lease_until <= ?2
           AND NOT EXISTS (SELECT 1 FROM deliveries o
                WHERE o.job = d.job AND o.url = d.url AND o.state = 'pending'
                  AND o.sequence < d.sequence AND o.tries < ?3)
         ORDER BY d.next_at, d.id LIMIT ?4",
    )?;
    let mut rows =
        statement.query(params![now.wall.as_millis(), now.steady_ms(), TRIES_IN_ORDER, limit])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        due.push(DueDelivery {
            event: WebhookEvent {
                delivery_id: read_as(row.get::<_, String>(0)?.parse(), "a delivery's id")?,
                event: row.get::<_, String>(4)?.as_str().into(),
                emitted_at: Timestamp::from_millis(row.get(5)?),
                attempt: row.get::<_, u32>(1)? + 1,
                version: ENVELOPE_VERSION,
                data: read_as(serde_json::from_str(&row.get::<_, String>(6)?), "an event")?,
            },
            tries: row.get(7)?,
            url: row.get(2)?,
            secret: row.get(3)?,
        });
    }
    for delivery in &due {
        connection
            .prepare_cached("UPDATE deliveries SET lease_until = ?2 WHERE id = ?1")?
            .execute(params![delivery.event.delivery_id.to_string(), now.steady_ms() + LEASE_MS])?;
    }
    Ok(due)
}

/// Deliveries that the process before was sending are nobody's now.
pub(super) fn forget_leases(connection: &Connection) -> Outcome<()> {
    connection.execute(
        "UPDATE deliveries SET lease_until = 0 WHERE state = 'pending' AND lease_until <> 0",
        [],
    )?;
    Ok(())
}

pub(super) fn next(connection: &Connection) -> Outcome<Option<Timestamp>> {
    let next: Option<i64> = connection
        .prepare_cached(
            "SELECT min(next_at) FROM deliveries WHERE state = 'pending' AND lease_until = 0",
        )?
        .query_row([], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(next.map(Timestamp::from_millis))
}

pub(super) fn tried(
    connection: &Connection,
    id: DeliveryId,
    tried: &DeliveryTry,
    verdict: &Verdict,
) -> Outcome<()> {
    let id = id.to_string();
    let (state, next_at) = match verdict {
        Verdict::Delivered => ("delivered", tried.at),
        Verdict::Again(at) => ("pending", *at),
        Verdict::Dead => ("dead", tried.at),
    };
    connection
        .prepare_cached(
            "UPDATE deliveries SET tries = tries + 1, state = ?2, next_at = ?3, lease_until = 0
             WHERE id = ?1",
        )?
        .execute(params![id, state, next_at.as_millis()])?;
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

const COLUMNS: &str = "SELECT d.id, d.job, e.name, d.sequence, d.url, d.state, d.next_at, e.at
    FROM deliveries d JOIN events e ON e.job = d.job AND e.sequence = d.sequence
    WHERE d.consumer = ? AND d.live = ?";

pub(super) fn list(
    connection: &Connection,
    tenant: Tenant,
    filter: &DeliveryFilter,
    window: Window<DeliveryId>,
) -> Outcome<Page<Delivery>> {
    let mut sql = COLUMNS.to_owned();
    let mut values: Vec<Value> = vec![tenant.consumer.to_string().into(), tenant.live.into()];
    let mut and = |condition: &str, value: String| {
        sql.push_str(condition);
        values.push(value.into());
    };
    if let Some(after) = window.after {
        and(" AND d.id < ?", after.to_string());
    }
    if let Some(job) = filter.job_id {
        and(" AND d.job = ?", job.to_string());
    }
    if let Some(state) = &filter.state {
        and(" AND d.state = ?", state.to_string());
    }
    sql.push_str(" ORDER BY d.id DESC LIMIT ?");
    values.push(i64::from(window.limit.saturating_add(1)).into());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut data = Vec::new();
    while let Some(row) = rows.next()? {
        data.push(delivery(connection, row)?);
    }
    let limit = window.limit as usize;
    let more = data.len() > limit;
    data.truncate(limit);
    let next_cursor = data.last().filter(|_| more).map(|delivery| delivery.id.to_string());
    Ok(Page { data, next_cursor })
}

pub(super) fn redeliver(
    connection: &Connection,
    tenant: Tenant,
    id: DeliveryId,
    now: Now,
) -> Outcome<Option<Delivery>> {
    let values =
        params![id.to_string(), tenant.consumer.to_string(), tenant.live, now.wall.as_millis()];
    let changed = connection.execute(
        "UPDATE deliveries SET state = 'pending', tries = 0, next_at = ?4
         WHERE id = ?1 AND consumer = ?2 AND live = ?3",
        values,
    )?;
    if changed == 0 {
        return Ok(None);
    }
    of_tenant(connection, tenant, id)
}

pub(super) fn of_tenant(
    connection: &Connection,
    tenant: Tenant,
    id: DeliveryId,
) -> Outcome<Option<Delivery>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} AND d.id = ?"))?;
    let mut rows =
        statement.query(params![tenant.consumer.to_string(), tenant.live, id.to_string()])?;
    rows.next()?.map(|row| delivery(connection, row)).transpose()
}

fn delivery(connection: &Connection, row: &Row<'_>) -> Outcome<Delivery> {
    let text = |index| row.get::<_, String>(index);
    let (id, state) = (text(0)?, text(5)?);
    let mut statement = connection.prepare_cached(
        "SELECT at, duration_ms, status, error, answer FROM tries WHERE delivery = ?1 ORDER BY number",
    )?;
    let tries = statement
        .query_map([&id], |row| {
            Ok(DeliveryTry {
                at: Timestamp::from_millis(row.get(0)?),
                duration_ms: row.get(1)?,
                status: row.get(2)?,
                error: row.get(3)?,
                answer: row.get(4)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let next_at = Timestamp::from_millis(row.get(6)?);
    Ok(Delivery {
        id: read_as(id.parse(), "a delivery's id")?,
        job_id: read_as(text(1)?.parse(), "a delivery's job")?,
        event: text(2)?.as_str().into(),
        sequence: row.get(3)?,
        url: text(4)?,
        next_try_at: (state == "pending").then_some(next_at),
        state: state.as_str().into(),
        created_at: Timestamp::from_millis(row.get(7)?),
        tries,
    })
}
