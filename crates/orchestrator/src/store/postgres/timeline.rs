//! A job's timeline, and the outbox that its webhooks leave from.

use std::collections::BTreeMap;

use meetbot_types::{EventId, Job, Page, TimelineEvent, Timestamp};

use super::{
    Outcome, endpoints, feed, outbox, pages,
    transaction::Transaction,
    values::{number, parsed, read_as, stored, text, time},
};
use crate::{
    jobs::{EmittedEvent, JobRecord},
    store::{Tenant, Window, pages::Entry},
};

/// Writes the events of a job: a timeline entry each, and a delivery for each URL.
pub(super) async fn write(
    transaction: &Transaction,
    record: &JobRecord,
    events: Vec<EmittedEvent>,
    now: Timestamp,
) -> Outcome<()> {
    let JobRecord { tenant, job, .. } = record;
    let id = job.id.to_string();
    // All endpoints are locked before the first delivery, in the order of their ids.
    let mut endpoints = BTreeMap::new();
    for url in events.iter().flat_map(|emitted| emitted.urls(job)) {
        if !endpoints.contains_key(url) {
            endpoints.insert(url, endpoints::id_of(transaction, *tenant, url).await?);
        }
    }
    endpoints::lock(transaction, endpoints.values()).await?;
    if events.is_empty() {
        return Ok(());
    }
    let feed = feed::id_of(transaction, *tenant).await?;
    let rows = events.iter().map(|emitted| Ok((job, emitted, Some(stored(emitted.sequence)?))));
    insert(transaction, feed, &rows.collect::<Outcome<Vec<_>>>()?).await?;
    for emitted in &events {
        let sequence = emitted.sequence;
        for url in emitted.urls(job) {
            let event = outbox::Put { tenant: *tenant, job: &id, sequence, url };
            outbox::put(transaction, &event, &endpoints[url], now).await?;
        }
    }
    Ok(())
}

/// Writes what happened to a job into its consumer's feed alone. Its row has a sequence below those of the timeline, which no other has.
pub(super) async fn write_to_feed(
    transaction: &Transaction,
    tenant: Tenant,
    job: &Job,
    emitted: &EmittedEvent,
) -> Outcome<()> {
    let feed = feed::id_of(transaction, tenant).await?;
    insert(transaction, feed, &[(job, emitted, None)]).await
}

/// Writes events of one feed in this order: each into the timeline of its job as the row with this number, or into the feed alone.
pub(super) async fn insert(
    transaction: &Transaction,
    feed: i64,
    events: &[(&Job, &EmittedEvent, Option<i64>)],
) -> Outcome<()> {
    let (mut jobs, mut rows, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut names, mut times, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for (job, emitted, row) in events {
        jobs.push(job.id.to_string());
        rows.push(*row);
        ids.push(EventId::generate(emitted.at).to_string());
        names.push(emitted.event.as_str());
        times.push(emitted.at.as_millis());
        data.push(read_as(serde_json::to_string(&emitted.data(job)), "an event")?);
    }
    transaction
        .run(
            "INSERT INTO events (job, sequence, id, name, at, data, feed, transaction, number)
             SELECT job, coalesce(row, -number), id, name, at, data, $1, pg_current_xact_id()::TEXT::BIGINT, number
             FROM (SELECT *, nextval('feed_numbers') AS number
                FROM unnest($2::TEXT[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::TEXT[])
                    AS given (job, row, id, name, at, data)) AS numbered",
            &[&feed, &jobs, &rows, &ids, &names, &times, &data],
        )
        .await?;
    Ok(())
}

pub(super) async fn list(
    transaction: &Transaction,
    job: &str,
    window: Window<u64>,
) -> Outcome<Page<TimelineEvent>> {
    let after = stored(window.after.unwrap_or(0).min(i64::MAX as u64))?;
    let rows = transaction
        .rows(
            "SELECT sequence, id, name, at, data FROM events
             WHERE job = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
            &[&job, &after, &i64::from(window.limit.saturating_add(1))],
        )
        .await?;
    pages::page(rows, window.limit, |row| {
        let data: &str = row.try_get(4)?;
        let value = TimelineEvent {
            id: parsed(&row, 1, "an event's id")?,
            event: text(&row, 2)?.as_str().into(),
            emitted_at: time(&row, 3)?,
            data: read_as(serde_json::from_str(data), "an event")?,
        };
        Ok(Entry { value, bytes: data.len(), cursor: number::<u64>(&row, 0)?.to_string() })
    })
}
