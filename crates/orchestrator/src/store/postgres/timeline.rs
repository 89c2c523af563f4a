//! A job's timeline, and the outbox that its webhooks leave from.

use std::collections::BTreeMap;

use meetbot_types::{EventId, Page, TimelineEvent, Timestamp, event::EventData};

use super::{
    Outcome, endpoints, outbox,
    pages::{self, Entry},
    transaction::Transaction,
    values::{number, parsed, read_as, stored, text, time},
};
use crate::{
    jobs::{Happened, JobRecord},
    store::Window,
};

/// Writes what happened to a job: a line each, and a delivery for each URL that gets it.
pub(super) async fn write(
    transaction: &Transaction,
    record: &JobRecord,
    events: Vec<Happened>,
    now: Timestamp,
) -> Outcome<()> {
    let JobRecord { tenant, job, .. } = record;
    let id = job.id.to_string();
    // All endpoints are locked before the first delivery, in the order of their ids.
    let mut endpoints = BTreeMap::new();
    for url in events.iter().flat_map(|happened| happened.urls(job)) {
        if !endpoints.contains_key(url) {
            endpoints.insert(url, endpoints::id_of(transaction, *tenant, url).await?);
        }
    }
    endpoints::lock(transaction, endpoints.values()).await?;
    for happened in &events {
        let urls = happened.urls(job);
        let Happened { sequence, event, details, status, at } = happened;
        let data = EventData {
            event: event.clone(),
            sequence: *sequence,
            job_id: job.id,
            external_id: job.external_id.clone(),
            status: status.clone(),
            metadata: job.metadata.clone(),
            details: details.clone(),
        };
        let data = read_as(serde_json::to_string(&data), "an event")?;
        let event_id = EventId::generate(*at).to_string();
        transaction
            .run(
                "INSERT INTO events (job, sequence, id, name, at, data) VALUES ($1, $2, $3, $4, $5, $6)",
                &[&id, &stored(*sequence)?, &event_id, &event.as_str(), &at.as_millis(), &data],
            )
            .await?;
        for url in urls {
            let event = outbox::Put { tenant: *tenant, job: &id, sequence: *sequence, url };
            outbox::put(transaction, &event, &endpoints[url], now).await?;
        }
    }
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
