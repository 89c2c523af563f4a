//! Jobs: created, read, listed, changed.

use meetbot_types::{
    Cause, CommandId, ControlAction, ControlState, Job, JobId, JobStatus, MeetingLink, Page,
    RecordingState, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter, types::Value};
use subtle::ConstantTimeEq as _;

use super::{
    Outcome, answers, mixes,
    pages::{self, Entry},
    quotas, read_as, recordings, room_bots, tally, timeline,
    writer::Transaction,
};
use crate::{
    clock::Now,
    jobs::{
        JobEnd,
        advance::{self, Happened},
        quota::{self, Place, Stay},
        withheld::Withheld,
    },
    store::{Command, Commanded, Creation, JobFilter, KeptAnswer, Once, Start, Tenant, Window},
};

/// A job with what the API does not show.
pub(super) struct Stored {
    pub(super) tenant: Tenant,
    pub(super) job: Job,
    pub(super) link: MeetingLink,
    pub(super) epoch: u32,
    pub(super) token_hash: Option<[u8; 32]>,
    /// The hashes of its earlier bots' tokens, one behind the other.
    pub(super) past_tokens: Vec<u8>,
    pub(super) lease_until: Option<i64>,
    /// The last report of the attempt that is applied.
    pub(super) applied: u64,
    /// The last event's sequence number.
    pub(super) sequence: u64,
    /// Why the job will end, once that is known.
    pub(super) cause: Option<Cause>,
    /// When a bot may start.
    pub(super) run_at: Timestamp,
    /// How many of its bots were not lost, but left because their server stopped.
    pub(super) handovers: u32,
    /// How long its bots were in the meeting.
    pub(super) stay: Stay,
    /// What they kept to themselves, and the timeline has not told of yet.
    pub(super) withheld: Withheld,
    /// Its place when it was read, or last written.
    place: Place,
}

impl Stored {
    /// Whether a token is that of its bot.
    pub(super) fn has_bot(&self, token_hash: &[u8; 32]) -> bool {
        self.token_hash.is_some_and(|hash| hash.ct_eq(token_hash).into())
    }

    /// Whether a token is that of its bot, or of an earlier one.
    pub(super) fn has_had_bot(&self, token_hash: &[u8; 32]) -> bool {
        let mut earlier = self.past_tokens.chunks(token_hash.len());
        self.has_bot(token_hash) || earlier.any(|hash| hash.ct_eq(token_hash).into())
    }

    /// How many of its bots were lost, if none is at work.
    pub(super) fn lost(&self) -> u32 {
        self.epoch.saturating_sub(self.handovers)
    }
}

const COLUMNS: &str = "SELECT consumer, live, job, link, epoch, token_hash, lease_until, applied, sequence, cause, run_at, handovers, stay_ms, stay_since, withheld_messages, withheld_captions, past_tokens FROM jobs";

fn stored(row: &Row<'_>) -> Outcome<Stored> {
    let text = |index| row.get::<_, String>(index);
    let cause: Option<String> = row.get(9)?;
    let (job, epoch) = (job(&text(2)?)?, row.get(4)?);
    Ok(Stored {
        place: quota::place(&job.status, epoch),
        tenant: Tenant {
            consumer: read_as(text(0)?.parse(), "a job's consumer")?,
            live: row.get(1)?,
        },
        job,
        link: read_as(serde_json::from_str(&text(3)?), "a job's link")?,
        epoch,
        token_hash: row.get(5)?,
        lease_until: row.get(6)?,
        applied: row.get(7)?,
        sequence: row.get(8)?,
        cause: cause
            .map(|cause| read_as(serde_json::from_str(&cause), "a job's cause"))
            .transpose()?,
        run_at: Timestamp::from_millis(row.get(10)?),
        handovers: row.get(11)?,
        stay: Stay { ms: row.get(12)?, since: row.get(13)? },
        withheld: Withheld { messages: row.get(14)?, captions: row.get(15)? },
        past_tokens: row.get(16)?,
    })
}

fn job(text: &str) -> Outcome<Job> {
    read_as(serde_json::from_str(text), "a job")
}

pub(super) fn load(
    connection: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Outcome<Option<Stored>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE {condition}"))?;
    let mut rows = statement.query(values)?;
    rows.next()?.map(stored).transpose()
}

pub(super) fn of_tenant(
    connection: &Connection,
    tenant: Tenant,
    id: JobId,
) -> Outcome<Option<Stored>> {
    let (id, consumer) = (id.to_string(), tenant.consumer.to_string());
    load(connection, "id = ?1 AND consumer = ?2 AND live = ?3", &[&id, &consumer, &tenant.live])
}

/// Writes a changed job and what follows from the change.
pub(super) fn save(
    transaction: &Transaction<'_>,
    stored: &mut Stored,
    told: Vec<Happened>,
    now: Now,
) -> Outcome<()> {
    let Stored { tenant, job, sequence, .. } = stored;
    // Nothing is told of a job after its end, so that it ends once.
    if told.iter().any(|happened| happened.status.is_final()) {
        tally::count_end(transaction, job)?;
        let minutes = quotas::count_minutes(transaction, *tenant, job, stored.stay, now.wall)?;
        transaction.ends(JobEnd::of(job, minutes));
        if stored.epoch > 0 {
            recordings::may_have_files(transaction, job, now.wall)?;
        }
        if job.manifest_uri.is_some() {
            mixes::wait(transaction, job)?;
        }
    }
    *sequence = timeline::write(transaction, *tenant, job, *sequence, told, now.wall)?;
    if stored.job.status.is_final() {
        stored.lease_until = None;
        room_bots::leave(transaction, stored.job.id, now.wall)?;
        transaction
            .prepare_cached(
                "UPDATE commands SET updated_at = ?2,
                    state = CASE WHEN action IN ('cancel', 'leave_call') THEN 'done' ELSE 'expired' END
                 WHERE job = ?1 AND state = 'pending'",
            )?
            .execute(params![stored.job.id.to_string(), now.wall.as_millis()])?;
    }
    let cause = stored.cause.as_ref().map(serde_json::to_string).transpose();
    transaction
        .prepare_cached(
            "UPDATE jobs SET status = ?2, job = ?3, epoch = ?4, token_hash = ?5, lease_until = ?6,
                applied = ?7, sequence = ?8, cause = ?9, run_at = ?10, handovers = ?11,
                stay_ms = ?12, stay_since = ?13, ended_at = ?14, withheld_messages = ?15,
                withheld_captions = ?16, past_tokens = ?17 WHERE id = ?1",
        )?
        .execute(params![
            stored.job.id.to_string(),
            stored.job.status.as_str(),
            read_as(serde_json::to_string(&stored.job), "a job")?,
            stored.epoch,
            stored.token_hash,
            stored.lease_until,
            stored.applied,
            stored.sequence,
            read_as(cause, "a job's cause")?,
            stored.run_at.as_millis(),
            stored.handovers,
            stored.stay.ms,
            stored.stay.since,
            stored.job.ended_at.map(Timestamp::as_millis),
            stored.withheld.messages,
            stored.withheld.captions,
            stored.past_tokens
        ])?;
    let before =
        std::mem::replace(&mut stored.place, quota::place(&stored.job.status, stored.epoch));
    quotas::moved(transaction, stored.tenant, before, stored.place)
}

pub(super) fn create(
    connection: &Connection,
    tenant: Tenant,
    job: Job,
    link: &MeetingLink,
    start: Start,
    once: Option<&Once>,
    now: Now,
) -> Outcome<Creation> {
    if let Some(once) = once
        && let Some(earlier) = answers::earlier(connection, tenant, once, now.wall)?
    {
        return Ok(Creation::Earlier(earlier));
    }
    let consumer = tenant.consumer.to_string();
    let existing = match &job.external_id {
        Some(external_id) => load(
            connection,
            "consumer = ?1 AND live = ?2 AND external_id = ?3",
            &[&consumer, &tenant.live, external_id],
        )?,
        None => None,
    };
    if existing.is_none()
        && let Some(minutes) =
            quotas::used_up(connection, tenant, &job.platform, start.from, now.wall)?
    {
        return Ok(Creation::NoMinutes(minutes));
    }
    if existing.is_none()
        && let Some(limit) = quotas::queue_is_full(connection, tenant)?
    {
        return Ok(Creation::QueueFull(limit));
    }
    let (status, creation) = match existing {
        Some(existing) => (200, Creation::Existing(Box::new(existing.job))),
        None => (201, Creation::Created(Box::new(job))),
    };
    let (Creation::Created(job) | Creation::Existing(job)) = &creation else {
        return Ok(creation);
    };
    let body = read_as(serde_json::to_string(&job), "a job")?;
    if status == 201 {
        connection
            .prepare_cached(
                "INSERT INTO jobs (id, consumer, live, external_id, platform, status, created_at, run_at, start_by, link, job)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                job.id.to_string(),
                consumer,
                tenant.live,
                job.external_id,
                job.platform.as_str(),
                job.status.as_str(),
                job.created_at.as_millis(),
                start.from.as_millis(),
                start.by.as_millis(),
                read_as(serde_json::to_string(link), "a link")?,
                body
            ])?;
        quotas::joined(connection, tenant, start.from)?;
    }
    if let Some(once) = once {
        let answer = KeptAnswer { status, body, ignored: once.ignored.clone() };
        answers::keep(connection, tenant, once, &answer, true, now.wall)?;
    }
    Ok(creation)
}

pub(super) fn list(
    connection: &Connection,
    tenant: Tenant,
    filter: &JobFilter,
    window: Window<JobId>,
) -> Outcome<Page<Job>> {
    let mut sql = "SELECT id, job FROM jobs WHERE consumer = ? AND live = ?".to_owned();
    let mut values: Vec<Value> = vec![tenant.consumer.to_string().into(), tenant.live.into()];
    let mut and = |condition: &str, value: Value| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(after) = window.after {
        and("id < ?", after.to_string().into());
    }
    if let Some(external_id) = &filter.external_id {
        and("external_id = ?", external_id.clone().into());
    }
    if let Some(platform) = &filter.platform {
        and("platform = ?", platform.to_string().into());
    }
    if let Some(after) = filter.created_after {
        and("created_at >= ?", after.as_millis().into());
    }
    if let Some(before) = filter.created_before {
        and("created_at < ?", before.as_millis().into());
    }
    if !filter.statuses.is_empty() {
        let places = vec!["?"; filter.statuses.len()].join(", ");
        sql.extend([" AND status IN (", &places, ")"]);
        values.extend(filter.statuses.iter().map(|status| Value::from(status.to_string())));
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(i64::from(window.limit.saturating_add(1)).into());

    let mut statement = connection.prepare_cached(&sql)?;
    pages::page(statement.query(params_from_iter(values))?, window.limit, |row| {
        let text: String = row.get(1)?;
        Ok(Entry { value: job(&text)?, bytes: text.len(), cursor: row.get(0)? })
    })
}

pub(super) fn delete_recording(
    transaction: &Transaction<'_>,
    tenant: Tenant,
    id: JobId,
    now: Now,
) -> Outcome<Option<Job>> {
    let Some(mut stored) = of_tenant(transaction, tenant, id)? else { return Ok(None) };
    let told = advance::delete_recording(&mut stored.job, now.wall);
    mixes::drop(transaction, &[id])?;
    save(transaction, &mut stored, told, now)?;
    Ok(Some(stored.job))
}

pub(super) fn cancel(
    transaction: &Transaction<'_>,
    tenant: Tenant,
    id: JobId,
    now: Now,
) -> Outcome<Option<Job>> {
    let Some(mut stored) = of_tenant(transaction, tenant, id)? else { return Ok(None) };
    // What a bot has said about the end as it left holds: it writes its manifest by it.
    let is_ending = stored.job.status == JobStatus::Finalizing && stored.cause.is_some();
    if stored.job.status.is_final() || is_ending || stored.cause == Some(Cause::Cancelled) {
        return Ok(Some(stored.job));
    }
    stored.cause = Some(Cause::Cancelled);
    let recorded = stored.job.recording.started_at.is_some();
    if stored.job.status == JobStatus::Queued && recorded {
        // Its bot was lost: the next one only finalises what is on disk.
        stored.run_at = now.wall;
        save(transaction, &mut stored, Vec::new(), now)?;
        return Ok(Some(stored.job));
    }
    if stored.job.status != JobStatus::Queued {
        give(transaction, id, ControlAction::Cancel, None, now.wall)?;
    }
    let told = advance::cancel(&mut stored.job, &mut stored.withheld, now.wall);
    save(transaction, &mut stored, told, now)?;
    Ok(Some(stored.job))
}

pub(super) fn command(
    transaction: &Transaction<'_>,
    tenant: Tenant,
    id: JobId,
    action: ControlAction,
    message: Option<&str>,
    once: Option<&Once>,
    now: Now,
) -> Outcome<Commanded> {
    if let Some(once) = once
        && let Some(earlier) = answers::earlier(transaction, tenant, once, now.wall)?
    {
        return Ok(Commanded::Earlier(earlier));
    }
    let Some(mut stored) = of_tenant(transaction, tenant, id)? else {
        return Ok(Commanded::NotFound);
    };
    if !takes(&stored.job, &action) {
        return Ok(Commanded::InvalidState(Box::new(stored.job)));
    }
    let mut command = give(transaction, id, action, message, now.wall)?;
    if command.action == ControlAction::LeaveCall {
        stored.cause.get_or_insert(Cause::Requested);
        if stored.job.status == JobStatus::Queued {
            if stored.job.recording.started_at.is_some() {
                stored.run_at = now.wall;
                save(transaction, &mut stored, Vec::new(), now)?;
            } else {
                let told =
                    advance::leave_the_queue(&mut stored.job, &mut stored.withheld, now.wall);
                save(transaction, &mut stored, told, now)?;
            }
            command.state = ControlState::Done;
            transaction.execute(
                "UPDATE commands SET state = 'done' WHERE id = ?1",
                [command.id.to_string()],
            )?;
        } else {
            save(transaction, &mut stored, Vec::new(), now)?;
        }
    }
    if let Some(once) = once {
        let result = crate::jobs::control_result(&command, &stored.job);
        let body = read_as(serde_json::to_string(&result), "a control result")?;
        let answer = KeptAnswer { status: 202, body, ignored: once.ignored.clone() };
        answers::keep(transaction, tenant, once, &answer, false, now.wall)?;
    }
    Ok(Commanded::Given(command, Box::new(stored.job)))
}

/// Whether a job can take an action in its state.
fn takes(job: &Job, action: &ControlAction) -> bool {
    let in_call = matches!(job.status, JobStatus::InCall | JobStatus::Recording);
    let stopped = job.recording.state == RecordingState::Stopped;
    // A bot that came for one that was lost is in the call before it records; after a pause it records nothing until it is told to.
    let goes_on = matches!(job.recording.state, RecordingState::On | RecordingState::Paused);
    match action {
        ControlAction::LeaveCall => {
            matches!(job.status, JobStatus::Queued | JobStatus::Joining) || in_call
        }
        ControlAction::SendChatMessage => in_call,
        ControlAction::RequestRecordingPermission => in_call && !stopped,
        ControlAction::PauseRecording | ControlAction::ResumeRecording => in_call && goes_on,
        ControlAction::StopRecording => in_call && (goes_on || stopped),
        _ => false,
    }
}

fn give(
    connection: &Connection,
    job: JobId,
    action: ControlAction,
    message: Option<&str>,
    now: Timestamp,
) -> Outcome<Command> {
    let id = CommandId::generate(now);
    connection
        .prepare_cached(
            "INSERT INTO commands (id, job, sequence, action, message, state, requested_at, updated_at)
             VALUES (?1, ?2, (SELECT coalesce(max(sequence), 0) + 1 FROM commands WHERE job = ?2), ?3, ?4, 'pending', ?5, ?5)",
        )?
        .execute(params![id.to_string(), job.to_string(), action.as_str(), message, now.as_millis()])?;
    let state = ControlState::Pending;
    Ok(Command { id, job_id: job, action, state, requested_at: now, updated_at: now })
}

pub(super) fn commanded(
    connection: &Connection,
    tenant: Tenant,
    id: CommandId,
) -> Outcome<Option<(Command, Job)>> {
    let mut statement = connection.prepare_cached(
        "SELECT job, action, state, requested_at, updated_at FROM commands WHERE id = ?1",
    )?;
    let found = statement
        .query_row(
            [id.to_string()],
            |row| -> rusqlite::Result<(String, String, String, i64, i64)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            },
        )
        .optional()?;
    let Some((job_id, action, state, requested_at, updated_at)) = found else { return Ok(None) };
    let job_id: JobId = read_as(job_id.parse(), "a command's job")?;
    let Some(stored) = of_tenant(connection, tenant, job_id)? else { return Ok(None) };
    let command = Command {
        id,
        job_id,
        action: action.as_str().into(),
        state: state.as_str().into(),
        requested_at: Timestamp::from_millis(requested_at),
        updated_at: Timestamp::from_millis(updated_at),
    };
    Ok(Some((command, stored.job)))
}
