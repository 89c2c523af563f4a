//! A job's timeline, and the outbox that its webhooks leave from.

use meetbot_types::{EventId, Job, Page, TimelineEvent, Timestamp};
use rusqlite::{Connection, params};

use super::{Outcome, feed, outbox, pages, read_as};
use crate::{
    jobs::{EmittedEvent, JobRecord},
    store::{Tenant, Window, pages::Entry},
};

/// Writes the events of a job: a timeline entry each, and a delivery for each URL.
pub(super) fn write(
    connection: &Connection,
    record: &JobRecord,
    events: Vec<EmittedEvent>,
    now: Timestamp,
) -> Outcome<()> {
    if events.is_empty() {
        return Ok(());
    }
    let JobRecord { tenant, job, .. } = record;
    let (feed, first) = feed::take_numbers(connection, *tenant, events.len())?;
    for (number, emitted) in (first..).zip(events) {
        let sequence = emitted.sequence;
        let urls: Vec<&str> = emitted.urls(job).collect();
        insert(connection, job, sequence.cast_signed(), &emitted, (feed, number))?;
        for url in urls {
            outbox::put(connection, *tenant, &job.id.to_string(), sequence, url, now)?;
        }
    }
    Ok(())
}

/// Writes what happened to a job into its consumer's feed alone. Its row has a sequence below those of the timeline, which no other has.
pub(super) fn write_to_feed(
    connection: &Connection,
    tenant: Tenant,
    job: &Job,
    emitted: &EmittedEvent,
) -> Outcome<()> {
    let (feed, number) = feed::take_numbers(connection, tenant, 1)?;
    insert(connection, job, -number, emitted, (feed, number))
}

fn insert(
    connection: &Connection,
    job: &Job,
    row: i64,
    emitted: &EmittedEvent,
    (feed, number): (i64, i64),
) -> Outcome<()> {
    let data = read_as(serde_json::to_string(&emitted.data(job)), "an event")?;
    connection
        .prepare_cached(
            "INSERT INTO events (job, sequence, id, name, at, data, feed, number)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            job.id.to_string(),
            row,
            EventId::generate(emitted.at).to_string(),
            emitted.event.as_str(),
            emitted.at.as_millis(),
            data,
            feed,
            number
        ])?;
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    job: &str,
    window: Window<u64>,
) -> Outcome<Page<TimelineEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, id, name, at, data FROM events
         WHERE job = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
    )?;
    let rows =
        statement.query(params![job, window.after.unwrap_or(0), window.limit.saturating_add(1)])?;
    pages::page(rows, window.limit, |row| {
        let text: String = row.get(4)?;
        let value = TimelineEvent {
            id: read_as(row.get::<_, String>(1)?.parse(), "an event's id")?,
            event: row.get::<_, String>(2)?.as_str().into(),
            emitted_at: Timestamp::from_millis(row.get(3)?),
            data: read_as(serde_json::from_str(&text), "an event")?,
        };
        Ok(Entry { value, bytes: text.len(), cursor: row.get::<_, u64>(0)?.to_string() })
    })
}
