//! The outbox: deliveries are put into it, taken when it is their turn, and tried until they are done.

use meetbot_types::{DeliveryId, DeliveryTry, Timestamp, WebhookEvent, event::ENVELOPE_VERSION};
use tokio_postgres::Row;

use super::{
    Outcome, Problem,
    endpoints::{self, Endpoint},
    secrets,
    transaction::Transaction,
    values::{escaped, number, optional_time, parsed, read_as, stored, text, time, unescaped},
};
use crate::{
    clock::StoreNow,
    deliveries::{DeliveryRecord, GIVEN_UP_AT_ONCE, KEEP_TRYING, LEASE, Lane},
    store::{Capacity, DeliveryAttempt, DueBatch, DueDelivery, Leases, StoreError, Tenant},
};

/// An event for one URL.
pub(super) struct Put<'a> {
    pub(super) tenant: Tenant,
    pub(super) job: &'a str,
    pub(super) sequence: u64,
    pub(super) url: &'a str,
}

/// Puts an event into the outbox of an endpoint, which is locked.
pub(super) async fn put(
    transaction: &Transaction,
    event: &Put<'_>,
    endpoint: &str,
    now: Timestamp,
) -> Outcome<()> {
    let Put { tenant, job, sequence, url } = event;
    let waits = transaction
        .row(
            "SELECT 1 FROM deliveries WHERE endpoint = $1 AND job = $2 AND holds LIMIT 1",
            &[&endpoint, job],
        )
        .await?
        .is_some();
    let record = DeliveryRecord::new(waits, now);
    transaction
        .run(
            "INSERT INTO deliveries (id, job, sequence, consumer, live, url, endpoint, state, since, due_at, holds)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                &DeliveryId::generate(now).to_string(),
                job,
                &stored(*sequence)?,
                &tenant.consumer.to_string(),
                &tenant.live,
                &escaped(url),
                &endpoint,
                &record.state.as_str(),
                &record.since.as_millis(),
                &record.due_at.map(Timestamp::as_millis),
                &record.holds,
            ],
        )
        .await?;
    if waits { Ok(()) } else { endpoints::make_due(transaction, endpoint, now).await }
}

/// Takes deliveries that are due: endpoints that answer first, and of each no more than it may have at once.
pub(super) async fn take(
    transaction: &Transaction,
    node: &str,
    mut capacity: Capacity,
    now: StoreNow,
) -> Outcome<DueBatch> {
    let mut due = Vec::new();
    for lane in Lane::ALL {
        let left = capacity.of(lane);
        let endpoints = endpoints::due(transaction, lane, *left, now.wall).await?;
        let mut behind = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        for endpoint in endpoints {
            let in_flight = endpoints::in_flight(transaction, &endpoint.id).await?;
            let limit = endpoint.health.share(in_flight, *left, behind);
            *left -= take_from(transaction, node, &endpoint, limit, now, &mut due).await?;
            behind -= 1;
        }
    }
    let mut next = None;
    for lane in Lane::ALL {
        if *capacity.of(lane) > 0 {
            next = next.into_iter().chain(endpoints::next(transaction, lane).await?).min();
        }
    }
    Ok(DueBatch { due, next })
}

async fn take_from(
    transaction: &Transaction,
    node: &str,
    endpoint: &Endpoint,
    limit: u32,
    now: StoreNow,
    taken: &mut Vec<DueDelivery>,
) -> Outcome<u32> {
    let consumer = &endpoint.consumer;
    let secrets = secrets::of_id(transaction, consumer, now.wall)
        .await?
        .ok_or_else(|| Problem::Corrupt(format!("there is no consumer {consumer}")))?;
    let rows = transaction
        .rows(
            "SELECT d.id, (SELECT count(*) FROM tries WHERE delivery = d.id), d.url, e.name, e.at, e.data, d.tries, d.since
             FROM deliveries d JOIN events e ON e.job = d.job AND e.sequence = d.sequence
             WHERE d.endpoint = $1 AND d.due_at IS NOT NULL AND d.due_at <= $2 ORDER BY d.due_at, d.number LIMIT $3",
            &[&endpoint.id, &now.wall.as_millis(), &i64::from(limit)],
        )
        .await?;
    let (before, mut unreadable) = (taken.len(), Vec::new());
    for row in rows {
        match event(&row) {
            Ok(event) => taken.push(DueDelivery {
                event,
                tries: number(&row, 6)?,
                since: time(&row, 7)?,
                url: unescaped(text(&row, 2)?),
                secrets: secrets.clone(),
                lane: endpoint.health.lane(),
            }),
            // An unreadable one must not block the others.
            Err(problem) => {
                unreadable.push((text(&row, 0)?, StoreError::from(problem).to_string()));
            }
        }
    }
    let until = (now.lease + LEASE).as_millis();
    for delivery in &taken[before..] {
        let id = delivery.event.delivery_id.to_string();
        transaction
            .run(
                "UPDATE deliveries SET due_at = NULL, lease_until = $2, node = $3 WHERE id = $1",
                &[&id, &until, &node],
            )
            .await?;
    }
    for (id, error) in unreadable {
        give_up_unread(transaction, &endpoint.id, &id, error, now.wall).await?;
    }
    endpoints::save(transaction, endpoint).await?;
    Ok(u32::try_from(taken.len() - before).unwrap_or(u32::MAX))
}

/// The envelope, from a row of `take_from`.
fn event(row: &Row) -> Outcome<WebhookEvent> {
    Ok(WebhookEvent {
        delivery_id: parsed(row, 0, "a delivery's id")?,
        event: text(row, 3)?.as_str().into(),
        emitted_at: time(row, 4)?,
        attempt: number::<u32>(row, 1)? + 1,
        version: ENVELOPE_VERSION,
        data: read_as(serde_json::from_str(row.try_get(5)?), "an event")?,
    })
}

async fn give_up_unread(
    transaction: &Transaction,
    endpoint: &str,
    id: &str,
    error: String,
    now: Timestamp,
) -> Outcome<()> {
    tracing::error!(delivery = id, error, "a webhook was given up");
    let tried =
        DeliveryTry { at: now, duration_ms: 0, status: None, error: Some(error), answer: None };
    write_try(transaction, id, &tried).await?;
    give_up(transaction, endpoint, id, now).await
}

const RECORD: &str =
    "SELECT state, tries, since, due_at, lease_until > 0, holds, job, id FROM deliveries WHERE id";

fn record(row: &Row) -> Outcome<DeliveryRecord> {
    Ok(DeliveryRecord {
        state: text(row, 0)?.as_str().into(),
        tries: number(row, 1)?,
        since: time(row, 2)?,
        due_at: optional_time(row, 3)?,
        under_way: row.try_get(4)?,
        holds: row.try_get(5)?,
    })
}

/// A delivery, whose endpoint is locked, with its job. It may have been erased.
async fn load(transaction: &Transaction, id: &str) -> Outcome<Option<(DeliveryRecord, String)>> {
    let found = transaction.row(&format!("{RECORD} = $1"), &[&id]).await?;
    found.map(|row| Ok((record(&row)?, text(&row, 6)?))).transpose()
}

/// Writes deliveries with these ids.
async fn save(
    transaction: &Transaction,
    ids: &[String],
    records: &[DeliveryRecord],
) -> Outcome<()> {
    let times = |time: fn(&DeliveryRecord) -> Option<Timestamp>| -> Vec<Option<i64>> {
        records.iter().map(|record| time(record).map(Timestamp::as_millis)).collect()
    };
    let flags =
        |flag: fn(&DeliveryRecord) -> bool| -> Vec<bool> { records.iter().map(flag).collect() };
    let states: Vec<&str> = records.iter().map(|record| record.state.as_str()).collect();
    let tries: Vec<i64> = records.iter().map(|record| record.tries.into()).collect();
    transaction
        .run(
            "UPDATE deliveries SET state = new.state, tries = new.tries, since = new.since, due_at = new.due_at,
                lease_until = CASE WHEN new.under_way THEN lease_until ELSE 0 END,
                node = CASE WHEN new.under_way THEN node END, holds = new.holds
             FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BOOLEAN[], $7::BOOLEAN[])
                AS new(id, state, tries, since, due_at, under_way, holds)
             WHERE deliveries.id = new.id",
            &[
                &ids,
                &states,
                &tries,
                &times(|record| Some(record.since)),
                &times(|record| record.due_at),
                &flags(|record| record.under_way),
                &flags(|record| record.holds),
            ],
        )
        .await?;
    Ok(())
}

async fn give_up(
    transaction: &Transaction,
    endpoint: &str,
    id: &str,
    now: Timestamp,
) -> Outcome<()> {
    let Some((mut record, job)) = load(transaction, id).await? else { return Ok(()) };
    record.give_up();
    save(transaction, &[id.to_owned()], &[record]).await?;
    release_next(transaction, endpoint, &job, now).await
}

async fn write_try(transaction: &Transaction, id: &str, tried: &DeliveryTry) -> Outcome<()> {
    transaction
        .run(
            "INSERT INTO tries (delivery, number, at, duration_ms, status, error, answer)
             VALUES ($1, (SELECT count(*) + 1 FROM tries WHERE delivery = $1), $2, $3, $4, $5, $6)",
            &[
                &id,
                &tried.at.as_millis(),
                &stored(tried.duration_ms)?,
                &tried.status.map(i64::from),
                &tried.error.as_deref().map(escaped),
                &tried.answer.as_deref().map(escaped),
            ],
        )
        .await?;
    Ok(())
}

/// The endpoints with deliveries to look at for [`forget_leases`].
pub(super) async fn with_ended_leases(
    transaction: &Transaction,
    node: &str,
    leases: Leases,
) -> Outcome<Vec<String>> {
    let rows = match leases {
        Leases::RanOut => {
            let ran_out = "SELECT DISTINCT endpoint FROM deliveries WHERE lease_until > 0 AND lease_until <= $1";
            transaction.rows(ran_out, &[&transaction.lease_time().as_millis()]).await
        }
        Leases::OfEarlierBoots => {
            let own =
                "SELECT DISTINCT endpoint FROM deliveries WHERE lease_until > 0 AND node = $1";
            transaction.rows(own, &[&node]).await
        }
    }?;
    rows.iter().map(|row| text(row, 0)).collect()
}

/// Gives an endpoint's deliveries back whose sender has not noted its try in time; or that died with an earlier boot.
pub(super) async fn forget_leases(
    transaction: &Transaction,
    node: &str,
    endpoint: &String,
    leases: Leases,
    now: StoreNow,
) -> Outcome<()> {
    let Some(endpoint) = endpoints::locked(transaction, endpoint).await? else { return Ok(()) };
    let give_back = "UPDATE deliveries SET lease_until = 0, due_at = $3, node = NULL WHERE endpoint = $1 AND lease_until > 0 AND";
    let due_at = now.wall.as_millis();
    match leases {
        Leases::RanOut => {
            let sql = format!("{give_back} lease_until <= $2");
            transaction.run(&sql, &[&endpoint.id, &now.lease.as_millis(), &due_at]).await?;
        }
        Leases::OfEarlierBoots => {
            let sql = format!("{give_back} node = $2");
            transaction.run(&sql, &[&endpoint.id, &node, &due_at]).await?;
        }
    }
    endpoints::save(transaction, &endpoint).await
}

/// Notes a try, and what follows for the delivery, for those behind it, and for the endpoint.
pub(super) async fn note(
    transaction: &Transaction,
    noted: &DeliveryAttempt,
    now: StoreNow,
) -> Outcome<()> {
    let DeliveryAttempt { delivery, since, tried, verdict, rest_wanted } = noted;
    let id = delivery.to_string();
    // Its consumer may have been erased meanwhile.
    let endpoint = "SELECT endpoint FROM deliveries WHERE id = $1";
    let Some(row) = transaction.row(endpoint, &[&id]).await? else { return Ok(()) };
    let Some(mut endpoint) = endpoints::locked(transaction, &text(&row, 0)?).await? else {
        return Ok(());
    };
    let Some((mut record, job)) = load(transaction, &id).await? else { return Ok(()) };
    write_try(transaction, &id, tried).await?;
    let held = record.holds;
    if record.tried(*verdict, *since, now.wall) {
        let holds = record.holds;
        save(transaction, &[id], &[record]).await?;
        if held && !holds {
            release_next(transaction, &endpoint.id, &job, now.wall).await?;
        }
    }
    if endpoint.health.tried(*verdict, tried.at, *rest_wanted, now.wall) {
        give_up_the_old(transaction, &endpoint.id, now.wall).await?;
    }
    endpoints::save(transaction, &endpoint).await
}

/// The next delivery of a job at an endpoint has its turn.
async fn release_next(
    transaction: &Transaction,
    endpoint: &str,
    job: &str,
    now: Timestamp,
) -> Outcome<()> {
    transaction
        .run(
            "UPDATE deliveries SET due_at = $3 WHERE due_at IS NULL AND lease_until = 0 AND id =
                (SELECT id FROM deliveries WHERE endpoint = $1 AND job = $2 AND holds ORDER BY sequence LIMIT 1)",
            &[&endpoint, &job, &now.as_millis()],
        )
        .await?;
    Ok(())
}

/// Gives up what has waited for too long.
async fn give_up_the_old(transaction: &Transaction, endpoint: &str, now: Timestamp) -> Outcome<()> {
    let before = (now - KEEP_TRYING).as_millis();
    let old = transaction
        .rows(
            "SELECT id FROM deliveries WHERE endpoint = $1 AND due_at IS NOT NULL AND since <= $2
             ORDER BY due_at, number LIMIT $3",
            &[&endpoint, &before, &i64::from(GIVEN_UP_AT_ONCE)],
        )
        .await?;
    for row in old {
        give_up(transaction, endpoint, &text(&row, 0)?, now).await?;
    }
    Ok(())
}

/// Sends a delivery once more, where the tenant has it.
pub(super) async fn redeliver(
    transaction: &Transaction,
    tenant: Tenant,
    id: DeliveryId,
    now: StoreNow,
) -> Outcome<()> {
    let (id, consumer) = (id.to_string(), tenant.consumer.to_string());
    let endpoint = "SELECT endpoint FROM deliveries WHERE id = $1 AND consumer = $2 AND live = $3";
    let Some(row) = transaction.row(endpoint, &[&id, &consumer, &tenant.live]).await? else {
        return Ok(());
    };
    redeliver_all(transaction, &text(&row, 0)?, &[id], now).await
}

/// Sends deliveries of an endpoint once more.
pub(super) async fn redeliver_all(
    transaction: &Transaction,
    endpoint: &String,
    ids: &[String],
    now: StoreNow,
) -> Outcome<()> {
    let Some(mut endpoint) = endpoints::locked(transaction, endpoint).await? else {
        return Ok(());
    };
    let rows = transaction.rows(&format!("{RECORD} = ANY ($1)"), &[&ids]).await?;
    let (mut found, mut records) = (Vec::new(), Vec::new());
    for row in rows {
        let mut record = record(&row)?;
        record.redeliver(now.wall);
        found.push(text(&row, 7)?);
        records.push(record);
    }
    save(transaction, &found, &records).await?;
    endpoint.health.wake();
    endpoints::save(transaction, &endpoint).await
}
