//! Streams of Zoom meetings.

use async_trait::async_trait;
use meetbot_types::{JobId, MeetingLink, Timestamp, bot::ZoomStream};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Outcome, SqliteStore, read_as, writer::Transaction};
use crate::{
    clock::StoreNow,
    store::{Result, StreamEvent, ZoomEventOutcome, ZoomStore},
    zoom::matching::{self, Stream, Waiting},
};

const COLUMNS: &str = "SELECT id, meeting_uuid, meeting, server_urls, state, stop_reason, version, since, heard_ms, job FROM zoom_streams";

#[async_trait]
impl ZoomStore for SqliteStore {
    async fn zoom_event(
        &self,
        consumer: String,
        event: StreamEvent,
        now: StoreNow,
    ) -> Result<ZoomEventOutcome> {
        let apply_event =
            move |connection: &Transaction<'_>| apply(connection, &consumer, &event, now.wall);
        self.writer.write(apply_event).await
    }

    async fn zoom_stream(&self, job: JobId, now: StoreNow) -> Result<Option<ZoomStream>> {
        self.writer.write(move |connection| of_job(connection, job, now.wall)).await
    }
}

fn stream(row: &Row<'_>) -> Outcome<Stream> {
    let (urls, state): (String, String) = (row.get(3)?, row.get(4)?);
    let job: Option<String> = row.get(9)?;
    Ok(Stream {
        id: row.get(0)?,
        meeting_uuid: row.get(1)?,
        meeting: row.get(2)?,
        server_urls: read_as(serde_json::from_str(&urls), "a stream's servers")?,
        state: read_as(matching::state_of(&state).ok_or("it is unknown"), "a stream's state")?,
        stop_reason: row.get(5)?,
        version: row.get(6)?,
        since: Timestamp::from_millis(row.get(7)?),
        heard_ms: row.get(8)?,
        job: job.map(|job| read_as(job.parse(), "a job's id")).transpose()?,
    })
}

fn load(
    connection: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Outcome<Option<Stream>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE {condition}"))?;
    let mut rows = statement.query(values)?;
    rows.next()?.map(stream).transpose()
}

fn save(connection: &Connection, consumer: &str, stream: &Stream) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO zoom_streams (id, consumer, meeting_uuid, meeting, server_urls, state, stop_reason, version, since, heard_ms, job)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (id) DO UPDATE SET server_urls = excluded.server_urls, state = excluded.state, stop_reason = excluded.stop_reason,
                version = excluded.version, heard_ms = excluded.heard_ms, job = excluded.job",
        )?
        .execute(params![
            stream.id,
            consumer,
            stream.meeting_uuid,
            stream.meeting,
            read_as(serde_json::to_string(&stream.server_urls), "a stream's servers")?,
            stream.state_name(),
            stream.stop_reason,
            stream.version,
            stream.since.as_millis(),
            stream.heard_ms,
            stream.job.map(|job| job.to_string())
        ])?;
    Ok(())
}

/// The live jobs of a consumer that wait for a stream, those that have a bot among them.
fn waiting(connection: &Connection, consumer: &str, now: Timestamp) -> Outcome<Vec<Waiting>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, link FROM jobs WHERE consumer = (SELECT id FROM consumers WHERE name = ?1) AND live AND platform = 'zoom-web'
            AND status NOT IN ('completed', 'failed', 'cancelled') AND status <> 'finalizing' AND (run_at <= ?2 OR epoch > 0)
            AND NOT EXISTS (SELECT 1 FROM zoom_streams WHERE job = jobs.id)",
    )?;
    let mut rows = statement.query(params![consumer, now.as_millis()])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, link): (String, String) = (row.get(0)?, row.get(1)?);
        let link: MeetingLink = read_as(serde_json::from_str(&link), "a job's link")?;
        let job = read_as(id.parse(), "a job's id")?;
        waiting.push(Waiting { job, meeting: link.meeting_id });
    }
    Ok(waiting)
}

fn apply(
    connection: &Connection,
    consumer: &str,
    event: &StreamEvent,
    now: Timestamp,
) -> Outcome<ZoomEventOutcome> {
    // An id is its app's: that of another consumer's stream changes nothing.
    let owner: Option<String> = connection
        .prepare_cached("SELECT consumer FROM zoom_streams WHERE id = ?1")?
        .query_row([&event.stream_id], |row| row.get(0))
        .optional()?;
    if owner.is_some_and(|owner| owner != consumer) {
        return Ok(ZoomEventOutcome::default());
    }
    let known = load(connection, "id = ?1", &[&event.stream_id])?;
    let number: Option<String> = connection
        .prepare_cached(
            "SELECT meeting FROM zoom_streams WHERE consumer = ?1 AND meeting_uuid = ?2 AND meeting IS NOT NULL LIMIT 1",
        )?
        .query_row([consumer, &event.meeting_uuid], |row| row.get(0))
        .optional()?;
    let unclaimed = known.as_ref().and_then(|stream| matching::unclaimed(stream, now));
    let Some(mut stream) = matching::apply_event(known, event, number, now) else {
        return Ok(ZoomEventOutcome { jobs: Vec::new(), unclaimed });
    };
    let waiting = waiting(connection, consumer, now)?;
    let jobs = matching::give(&mut stream, &waiting, now);
    save(connection, consumer, &stream)?;
    Ok(ZoomEventOutcome { jobs, unclaimed: matching::unclaimed(&stream, now) })
}

fn of_job(connection: &Connection, job: JobId, now: Timestamp) -> Outcome<Option<ZoomStream>> {
    let id = job.to_string();
    if let Some(stream) = load(connection, "job = ?1", &[&id])? {
        return Ok(Some(stream.shown()));
    }
    let consumer: Option<String> = connection
        .prepare_cached(
            "SELECT consumers.name FROM jobs JOIN consumers ON consumers.id = jobs.consumer WHERE jobs.id = ?1",
        )?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    let Some(consumer) = consumer else { return Ok(None) };
    let waiting = waiting(connection, &consumer, now)?;
    let Some(own) = waiting.iter().find(|one| one.job == job) else { return Ok(None) };
    let newest =
        "consumer = ?1 AND meeting = ?2 AND state <> 'stopped' ORDER BY since DESC LIMIT 1";
    let Some(mut stream) = load(connection, newest, &[&consumer, &own.meeting])? else {
        return Ok(None);
    };
    if let Some(chosen) = matching::chosen(&stream, &waiting, now) {
        stream.job = Some(chosen);
        save(connection, &consumer, &stream)?;
    }
    let has_ended = match stream.job {
        Some(has) if has != job => has_ended(connection, has)?,
        _ => false,
    };
    Ok(stream.shown_to(job, has_ended))
}

fn has_ended(connection: &Connection, job: JobId) -> Outcome<bool> {
    let ended = "SELECT ended_at IS NOT NULL FROM jobs WHERE id = ?1";
    let ended = connection.prepare_cached(ended)?.query_row([job.to_string()], |row| row.get(0));
    Ok(ended.optional()?.unwrap_or(true))
}

/// Forgets streams that no job has got.
pub(super) fn sweep(connection: &Connection, now: Timestamp) -> Outcome<()> {
    connection
        .prepare_cached("DELETE FROM zoom_streams WHERE job IS NULL AND since <= ?1")?
        .execute([(now - matching::KEEP).as_millis()])?;
    Ok(())
}
