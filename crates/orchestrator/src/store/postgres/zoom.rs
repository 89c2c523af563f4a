//! Streams of Zoom meetings. What is decided about one consumer's streams is decided by one transaction at a time.

use async_trait::async_trait;
use meetbot_types::{JobId, MeetingLink, Timestamp, bot::ZoomStream};
use tokio_postgres::Row;

use super::{
    Outcome, PostgresStore,
    transaction::{Caller, Transaction, Value},
    values::{escaped, number, optional, parsed, read_as, stored, text, time, unescaped},
};
use crate::{
    clock::StoreNow,
    store::{Result, StreamEvent, ZoomEventOutcome, ZoomStore},
    zoom::matching::{self, Stream, Waiting},
};

const COLUMNS: &str = "SELECT id, meeting_uuid, meeting, server_urls, state, stop_reason, version, since, heard_ms, job FROM zoom_streams";

#[async_trait]
impl ZoomStore for PostgresStore {
    async fn zoom_event(
        &self,
        consumer: String,
        event: StreamEvent,
        now: StoreNow,
    ) -> Result<ZoomEventOutcome> {
        self.connections
            .write(
                Caller::Other,
                Some(now),
                (consumer, event, now),
                |it, (consumer, event, now)| Box::pin(apply(it, consumer, event, now.wall)),
            )
            .await
    }

    async fn zoom_stream(&self, job: JobId, now: StoreNow) -> Result<Option<ZoomStream>> {
        self.connections
            .write(Caller::Other, Some(now), (job, now), |it, (job, now)| {
                Box::pin(of_job(it, *job, now.wall))
            })
            .await
    }
}

fn stream(row: &Row) -> Outcome<Stream> {
    let job: Option<&str> = row.try_get(9)?;
    Ok(Stream {
        id: unescaped(text(row, 0)?),
        meeting_uuid: unescaped(text(row, 1)?),
        meeting: row.try_get::<_, Option<String>>(2)?.map(unescaped),
        server_urls: read_as(serde_json::from_str(row.try_get(3)?), "a stream's servers")?,
        state: read_as(
            matching::state_of(row.try_get(4)?).ok_or("it is unknown"),
            "a stream's state",
        )?,
        stop_reason: optional(row, 5)?,
        version: number(row, 6)?,
        since: time(row, 7)?,
        heard_ms: row.try_get(8)?,
        job: job.map(|job| read_as(job.parse(), "a job's id")).transpose()?,
    })
}

/// Locks the consumer's streams until the transaction ends.
async fn lock(transaction: &Transaction, consumer: &str) -> Outcome<()> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    transaction.rows(lock, &[&format!("zoom {consumer}")]).await?;
    Ok(())
}

async fn load(
    transaction: &Transaction,
    condition: &str,
    values: &[Value<'_>],
) -> Outcome<Option<Stream>> {
    let found = transaction.row(&format!("{COLUMNS} WHERE {condition}"), values).await?;
    found.as_ref().map(stream).transpose()
}

async fn save(transaction: &Transaction, consumer: &str, stream: &Stream) -> Outcome<()> {
    transaction
        .run(
            "INSERT INTO zoom_streams (id, consumer, meeting_uuid, meeting, server_urls, state, stop_reason, version, since, heard_ms, job)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (id) DO UPDATE SET server_urls = excluded.server_urls, state = excluded.state, stop_reason = excluded.stop_reason,
                version = excluded.version, heard_ms = excluded.heard_ms, job = excluded.job
             WHERE zoom_streams.consumer = excluded.consumer",
            &[
                &escaped(&stream.id),
                &escaped(consumer),
                &escaped(&stream.meeting_uuid),
                &stream.meeting.as_deref().map(escaped),
                &read_as(serde_json::to_string(&stream.server_urls), "a stream's servers")?,
                &stream.state_name(),
                &stream.stop_reason.map(i64::from),
                &stored(stream.version)?,
                &stream.since.as_millis(),
                &stream.heard_ms,
                &stream.job.map(|job| job.to_string()),
            ],
        )
        .await?;
    Ok(())
}

/// The live jobs of a consumer that wait for a stream, those that have a bot among them.
async fn waiting(
    transaction: &Transaction,
    consumer: &str,
    now: Timestamp,
) -> Outcome<Vec<Waiting>> {
    let rows = transaction
        .rows(
            "SELECT id, link FROM jobs WHERE consumer = (SELECT id FROM consumers WHERE name = $1) AND live AND platform = 'zoom-web'
                AND status NOT IN ('completed', 'failed', 'cancelled') AND status <> 'finalizing' AND (run_at <= $2 OR epoch > 0)
                AND NOT EXISTS (SELECT 1 FROM zoom_streams WHERE job = jobs.id)",
            &[&escaped(consumer), &now.as_millis()],
        )
        .await?;
    let waits = |row: &Row| {
        let link: MeetingLink = read_as(serde_json::from_str(row.try_get(1)?), "a job's link")?;
        Ok(Waiting { job: parsed(row, 0, "a job's id")?, meeting: link.meeting_id })
    };
    rows.iter().map(waits).collect()
}

async fn apply(
    transaction: &Transaction,
    consumer: &str,
    event: &StreamEvent,
    now: Timestamp,
) -> Outcome<ZoomEventOutcome> {
    lock(transaction, consumer).await?;
    // An id is its app's: that of another consumer's stream changes nothing.
    let id = escaped(&event.stream_id);
    let owner = "SELECT 1 FROM zoom_streams WHERE id = $1 AND consumer <> $2";
    if transaction.row(owner, &[&id, &escaped(consumer)]).await?.is_some() {
        return Ok(ZoomEventOutcome::default());
    }
    let known = load(transaction, "id = $1", &[&id]).await?;
    let number = transaction
        .row(
            "SELECT meeting FROM zoom_streams WHERE consumer = $1 AND meeting_uuid = $2 AND meeting IS NOT NULL LIMIT 1",
            &[&escaped(consumer), &escaped(&event.meeting_uuid)],
        )
        .await?;
    let number = number.map(|row| text(&row, 0).map(unescaped)).transpose()?;
    let unclaimed = known.as_ref().and_then(|stream| matching::unclaimed(stream, now));
    let Some(mut stream) = matching::apply_event(known, event, number, now) else {
        return Ok(ZoomEventOutcome { jobs: Vec::new(), unclaimed });
    };
    let waiting = waiting(transaction, consumer, now).await?;
    let jobs = matching::give(&mut stream, &waiting, now);
    save(transaction, consumer, &stream).await?;
    Ok(ZoomEventOutcome { jobs, unclaimed: matching::unclaimed(&stream, now) })
}

async fn of_job(
    transaction: &Transaction,
    job: JobId,
    now: Timestamp,
) -> Outcome<Option<ZoomStream>> {
    let id = job.to_string();
    if let Some(stream) = load(transaction, "job = $1", &[&id]).await? {
        return Ok(Some(stream.shown()));
    }
    let consumer = transaction
        .row(
            "SELECT consumers.name FROM jobs JOIN consumers ON consumers.id = jobs.consumer WHERE jobs.id = $1",
            &[&id],
        )
        .await?;
    let Some(consumer) = consumer else { return Ok(None) };
    let consumer = unescaped(text(&consumer, 0)?);
    lock(transaction, &consumer).await?;
    // Before the lock was taken, the job may have been given one.
    if let Some(stream) = load(transaction, "job = $1", &[&id]).await? {
        return Ok(Some(stream.shown()));
    }
    let waiting = waiting(transaction, &consumer, now).await?;
    let Some(own) = waiting.iter().find(|one| one.job == job) else { return Ok(None) };
    let newest =
        "consumer = $1 AND meeting = $2 AND state <> 'stopped' ORDER BY since DESC LIMIT 1";
    let values: [Value<'_>; 2] = [&escaped(&consumer), &escaped(&own.meeting)];
    let Some(mut stream) = load(transaction, newest, &values).await? else {
        return Ok(None);
    };
    if let Some(chosen) = matching::chosen(&stream, &waiting, now) {
        stream.job = Some(chosen);
        save(transaction, &consumer, &stream).await?;
    }
    let has_ended = match stream.job {
        Some(has) if has != job => has_ended(transaction, has).await?,
        _ => false,
    };
    Ok(stream.shown_to(job, has_ended))
}

async fn has_ended(transaction: &Transaction, job: JobId) -> Outcome<bool> {
    let open = "SELECT 1 FROM jobs WHERE id = $1 AND ended_at IS NULL";
    Ok(transaction.row(open, &[&job.to_string()]).await?.is_none())
}

/// Forgets streams that no job has got, and those whose job was erased in the moment in which it got them.
pub(super) async fn sweep(transaction: &Transaction, now: Timestamp) -> Outcome<()> {
    let old = "DELETE FROM zoom_streams WHERE job IS NULL AND since <= $1";
    transaction.run(old, &[&(now - matching::KEEP).as_millis()]).await?;
    let orphans = "DELETE FROM zoom_streams WHERE job IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = zoom_streams.job)";
    transaction.run(orphans, &[]).await?;
    Ok(())
}
