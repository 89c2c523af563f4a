//! The ledger: deliveries with their tries, as the API shows them.

use meetbot_types::{
    Delivery, DeliveryId, DeliveryState, DeliveryTry, Page, Redeliver, Redelivered, Timestamp,
};
use rusqlite::{Connection, Row, params, params_from_iter, types::Value};

use super::{Outcome, endpoints, idempotency, outbox, pages, read_as};
use crate::{
    clock::StoreNow,
    store::{
        DeliveryFilter, EndpointRedelivery, IdempotencyKey, REDELIVERED_AT_ONCE, Redelivery,
        Tenant, Window,
    },
};

const COLUMNS: &str = "SELECT d.id, d.job, e.name, d.sequence, d.url, d.state, d.due_at, e.at,
        p.failures, p.failing_since, p.rest_ms, p.rests_until, p.proven
    FROM deliveries d JOIN events e ON e.job = d.job AND e.sequence = d.sequence
    JOIN endpoints p ON p.id = d.endpoint
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
        // Those that did not arrive are few among many; there is an index of them.
        let open = *state != DeliveryState::Delivered;
        let few = if open { " AND d.state <> 'delivered'" } else { "" };
        and(&format!("{few} AND d.state = ?"), state.to_string());
    }
    sql.push_str(" ORDER BY d.id DESC LIMIT ?");
    values.push(i64::from(window.limit.saturating_add(1)).into());
    let mut statement = connection.prepare_cached(&sql)?;
    pages::page(statement.query(params_from_iter(values))?, window.limit, |row| {
        Ok(delivery(connection, row)?.into())
    })
}

pub(super) fn redeliver(
    connection: &Connection,
    tenant: Tenant,
    id: DeliveryId,
    idempotency_key: Option<&IdempotencyKey>,
    now: StoreNow,
) -> Outcome<Redelivery> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(connection, tenant, idempotency_key, now.wall)?
    {
        return Ok(Redelivery::Prior(prior));
    }
    outbox::redeliver(connection, tenant, id, now)?;
    let Some(delivery) = of_tenant(connection, tenant, id)? else {
        return Ok(Redelivery::NotFound);
    };
    if let Some(idempotency_key) = idempotency_key {
        let body = read_as(serde_json::to_string(&delivery), "a delivery")?;
        let response = idempotency_key.response(200, body);
        idempotency::insert(connection, tenant, idempotency_key, &response, true, now.wall)?;
    }
    Ok(Redelivery::Sent(Box::new(delivery)))
}

pub(super) fn redeliver_all(
    connection: &Connection,
    tenant: Tenant,
    which: &Redeliver,
    idempotency_key: Option<&IdempotencyKey>,
    now: StoreNow,
) -> Outcome<EndpointRedelivery> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(connection, tenant, idempotency_key, now.wall)?
    {
        return Ok(EndpointRedelivery::Prior(prior));
    }
    let Some(endpoint) = endpoints::find(connection, tenant, &which.endpoint)? else {
        return Ok(EndpointRedelivery::NoEndpoint);
    };
    let after = which.cursor.map_or_else(String::new, |cursor| cursor.to_string());
    let mut find = connection.prepare_cached(
        "SELECT id FROM deliveries WHERE endpoint = ?1 AND id >= ?2 AND id > ?3 ORDER BY id LIMIT ?4",
    )?;
    let first = DeliveryId::first_of(which.since).to_string();
    let found =
        find.query_map(params![endpoint, first, after, REDELIVERED_AT_ONCE + 1], |row| row.get(0))?;
    let mut ids = found.collect::<Result<Vec<String>, _>>()?;
    let has_more = ids.len() > REDELIVERED_AT_ONCE as usize;
    ids.truncate(REDELIVERED_AT_ONCE as usize);
    let last = ids.last().map(|id| read_as(id.parse(), "a delivery's id")).transpose()?;
    outbox::redeliver_all(connection, &endpoint, &ids, now)?;
    let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let sent = Redelivered { count, next_cursor: last.filter(|_| has_more) };
    if let Some(idempotency_key) = idempotency_key {
        let body = read_as(serde_json::to_string(&sent), "an answer")?;
        let response = idempotency_key.response(200, body);
        idempotency::insert(connection, tenant, idempotency_key, &response, true, now.wall)?;
    }
    Ok(EndpointRedelivery::Sent(sent))
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
    let health = endpoints::health(row, 8)?;
    let due_at = row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis);
    Ok(Delivery {
        id: read_as(id.parse(), "a delivery's id")?,
        job_id: read_as(text(1)?.parse(), "a delivery's job")?,
        event: text(2)?.as_str().into(),
        sequence: row.get(3)?,
        url: text(4)?,
        next_try_at: due_at.map(|due| health.not_before(due)),
        state: state.as_str().into(),
        created_at: Timestamp::from_millis(row.get(7)?),
        endpoint: health.api_endpoint(),
        tries,
    })
}
