//! The ledger: deliveries with their tries, as the API shows them.

use std::fmt::Write as _;

use meetbot_types::{
    Delivery, DeliveryId, DeliveryState, DeliveryTry, Page, Redeliver, Redelivered,
};
use tokio_postgres::{Row, types::ToSql};

use super::{
    Outcome, endpoints, idempotency, outbox,
    transaction::{Transaction, Value},
    values::{number, optional, optional_time, parsed, read_as, text, time, unescaped},
};
use crate::{
    clock::StoreNow,
    store::{
        DeliveryFilter, EndpointRedelivery, IdempotencyKey, REDELIVERED_AT_ONCE, Redelivery,
        Tenant, Window, pages::PageBuilder,
    },
};

const COLUMNS: &str = "SELECT d.id, d.job, e.name, d.sequence, d.url, d.state, d.due_at, e.at,
        p.failures, p.failing_since, p.rest_ms, p.rests_until, p.proven
    FROM deliveries d JOIN events e ON e.job = d.job AND e.sequence = d.sequence
    JOIN endpoints p ON p.id = d.endpoint
    WHERE d.consumer = $1 AND d.live = $2";

pub(super) async fn list(
    transaction: &Transaction,
    tenant: Tenant,
    filter: &DeliveryFilter,
    window: Window<DeliveryId>,
) -> Outcome<Page<Delivery>> {
    let mut sql = COLUMNS.to_owned();
    let mut values: Vec<Box<dyn ToSql + Sync + Send>> =
        vec![Box::new(tenant.consumer.to_string()), Box::new(tenant.live)];
    let mut and = |condition: &str, value: String| {
        values.push(Box::new(value));
        sql.push_str(&condition.replace('$', &format!("${}", values.len())));
    };
    if let Some(after) = window.after {
        and(" AND d.id < $", after.to_string());
    }
    if let Some(job) = filter.job_id {
        and(" AND d.job = $", job.to_string());
    }
    if let Some(state) = &filter.state {
        // Those that did not arrive are few among many; there is an index of them.
        let open = *state != DeliveryState::Delivered;
        let few = if open { " AND d.state <> 'delivered'" } else { "" };
        and(&format!("{few} AND d.state = $"), state.to_string());
    }
    let limit = i64::from(window.limit.saturating_add(1));
    let _ = write!(sql, " ORDER BY d.id DESC LIMIT {limit}");
    let values: Vec<Value<'_>> = values.iter().map(|value| &**value as Value<'_>).collect();
    let rows = transaction.rows(&sql, &values).await?;
    let mut page = PageBuilder::new(window.limit);
    for row in rows {
        if page.is_full() {
            return Ok(page.end(true));
        }
        page.push(delivery(transaction, &row).await?.into());
    }
    Ok(page.end(false))
}

pub(super) async fn redeliver(
    transaction: &Transaction,
    tenant: Tenant,
    id: DeliveryId,
    idempotency_key: Option<&IdempotencyKey>,
    now: StoreNow,
) -> Outcome<Redelivery> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(transaction, tenant, idempotency_key, now.wall).await?
    {
        return Ok(Redelivery::Prior(prior));
    }
    outbox::redeliver(transaction, tenant, id, now).await?;
    let Some(delivery) = of_tenant(transaction, tenant, id).await? else {
        return Ok(Redelivery::NotFound);
    };
    if let Some(idempotency_key) = idempotency_key {
        let body = read_as(serde_json::to_string(&delivery), "a delivery")?;
        let response = idempotency_key.response(200, body);
        idempotency::insert(transaction, tenant, idempotency_key, &response, true, now.wall)
            .await?;
    }
    Ok(Redelivery::Sent(Box::new(delivery)))
}

pub(super) async fn redeliver_all(
    transaction: &Transaction,
    tenant: Tenant,
    which: &Redeliver,
    idempotency_key: Option<&IdempotencyKey>,
    now: StoreNow,
) -> Outcome<EndpointRedelivery> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(transaction, tenant, idempotency_key, now.wall).await?
    {
        return Ok(EndpointRedelivery::Prior(prior));
    }
    let Some(endpoint) = endpoints::find(transaction, tenant, &which.endpoint).await? else {
        return Ok(EndpointRedelivery::NoEndpoint);
    };
    let after = which.cursor.map_or_else(String::new, |cursor| cursor.to_string());
    let first = DeliveryId::first_of(which.since).to_string();
    let rows = transaction
        .rows(
            "SELECT id FROM deliveries WHERE endpoint = $1 AND id >= $2 AND id > $3 ORDER BY id LIMIT $4",
            &[&endpoint, &first, &after, &i64::from(REDELIVERED_AT_ONCE + 1)],
        )
        .await?;
    let mut ids = rows.iter().map(|row| text(row, 0)).collect::<Outcome<Vec<_>>>()?;
    let has_more = ids.len() > REDELIVERED_AT_ONCE as usize;
    ids.truncate(REDELIVERED_AT_ONCE as usize);
    let last = ids.last().map(|id| read_as(id.parse(), "a delivery's id")).transpose()?;
    outbox::redeliver_all(transaction, &endpoint, &ids, now).await?;
    let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let sent = Redelivered { count, next_cursor: last.filter(|_| has_more) };
    if let Some(idempotency_key) = idempotency_key {
        let body = read_as(serde_json::to_string(&sent), "an answer")?;
        let response = idempotency_key.response(200, body);
        idempotency::insert(transaction, tenant, idempotency_key, &response, true, now.wall)
            .await?;
    }
    Ok(EndpointRedelivery::Sent(sent))
}

pub(super) async fn of_tenant(
    transaction: &Transaction,
    tenant: Tenant,
    id: DeliveryId,
) -> Outcome<Option<Delivery>> {
    let sql = format!("{COLUMNS} AND d.id = $3");
    let consumer = tenant.consumer.to_string();
    let found = transaction.row(&sql, &[&consumer, &tenant.live, &id.to_string()]).await?;
    match found {
        Some(row) => delivery(transaction, &row).await.map(Some),
        None => Ok(None),
    }
}

async fn delivery(transaction: &Transaction, row: &Row) -> Outcome<Delivery> {
    let tries = transaction
        .rows(
            "SELECT at, duration_ms, status, error, answer FROM tries WHERE delivery = $1 ORDER BY number",
            &[&text(row, 0)?],
        )
        .await?;
    let one_try = |row: &Row| {
        let text_of = |column| -> Outcome<Option<String>> {
            Ok(row.try_get::<_, Option<String>>(column)?.map(unescaped))
        };
        Ok(DeliveryTry {
            at: time(row, 0)?,
            duration_ms: number(row, 1)?,
            status: optional(row, 2)?,
            error: text_of(3)?,
            answer: text_of(4)?,
        })
    };
    let tries = tries.iter().map(one_try).collect::<Outcome<_>>()?;
    let health = endpoints::health(row, 8)?;
    let due_at = optional_time(row, 6)?;
    Ok(Delivery {
        id: parsed(row, 0, "a delivery's id")?,
        job_id: parsed(row, 1, "a delivery's job")?,
        event: text(row, 2)?.as_str().into(),
        sequence: number(row, 3)?,
        url: unescaped(text(row, 4)?),
        next_try_at: due_at.map(|due| health.not_before(due)),
        state: text(row, 5)?.as_str().into(),
        created_at: time(row, 7)?,
        endpoint: health.api_endpoint(),
        tries,
    })
}
