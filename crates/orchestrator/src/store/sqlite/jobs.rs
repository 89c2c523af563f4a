//! Jobs: created, listed, changed.

use meetbot_types::{ControlAction, Job, JobId, MeetingLink, Page, Timestamp};
use rusqlite::{Connection, params, params_from_iter, types::Value};

use super::{
    Outcome, commands, idempotency, mixes, pages, quotas, read_as, recordings,
    records::{job as job_of, load, of_tenant},
    room_bots, tally, timeline, uploads,
    writer::Transaction,
};
use crate::{
    clock::{LeaseTime, StoreNow},
    jobs::{Changes, EmittedEvent, JobRecord, MixChange},
    store::{
        CommandOutcome, Creation, IdempotencyKey, JobFilter, Start, Tenant, Window, pages::Entry,
    },
};

/// Writes a job that was changed, and what follows from the change.
pub(super) fn save(
    transaction: &Transaction<'_>,
    record: &JobRecord,
    changes: Changes,
    now: Timestamp,
) -> Outcome<()> {
    let Changes {
        record: has_changed,
        events,
        unreported,
        commands,
        rooms,
        slot,
        mix,
        upload,
        end,
    } = changes;
    if let Some(end) = end {
        tally::count_end(transaction, &end.job)?;
        quotas::count_minutes(transaction, record.tenant, end.minutes, now)?;
        if end.may_have_files() {
            recordings::may_have_files(transaction, &end.job, now)?;
        }
        transaction.ends(end);
    }
    match mix {
        Some(MixChange::Waits) => mixes::wait(transaction, &record.job)?,
        Some(MixChange::Dropped) => mixes::drop(transaction, &[record.job.id])?,
        None => {}
    }
    uploads::write(transaction, record.job.id, upload)?;
    timeline::write(transaction, record, events, now)?;
    if let Some(unreported) = unreported {
        timeline::write_to_feed(transaction, record.tenant, &record.job, &unreported)?;
    }
    commands::write(transaction, record.job.id, commands, now)?;
    room_bots::write(transaction, record, &rooms, now)?;
    if has_changed {
        update(transaction, record)?;
    }
    quotas::moved(transaction, record.tenant, slot)
}

fn update(connection: &Connection, record: &JobRecord) -> Outcome<()> {
    let cause = record.cause.as_ref().map(serde_json::to_string).transpose();
    connection
        .prepare_cached(
            "UPDATE jobs SET status = ?2, job = ?3, epoch = ?4, token_hash = ?5, lease_until = ?6,
                applied = ?7, sequence = ?8, cause = ?9, run_at = ?10, handovers = ?11,
                stay_ms = ?12, stay_since = ?13, ended_at = ?14, withheld_messages = ?15,
                withheld_captions = ?16, past_tokens = ?17, recording_bytes = ?18
             WHERE id = ?1",
        )?
        .execute(params![
            record.job.id.to_string(),
            record.job.status.as_str(),
            read_as(serde_json::to_string(&record.job), "a job")?,
            record.epoch,
            record.token_hash,
            record.lease_until.map(LeaseTime::as_millis),
            record.applied,
            record.sequence,
            read_as(cause, "a job's cause")?,
            record.run_at.as_millis(),
            record.handovers,
            record.metered.ms,
            record.metered.since.map(LeaseTime::as_millis),
            record.job.ended_at.map(Timestamp::as_millis),
            record.withheld.messages,
            record.withheld.captions,
            record.past_tokens,
            record.job.recording.bytes
        ])?;
    Ok(())
}

pub(super) fn create(
    connection: &Connection,
    tenant: Tenant,
    job: Job,
    link: &MeetingLink,
    start: Start,
    idempotency_key: Option<&IdempotencyKey>,
    now: StoreNow,
) -> Outcome<Creation> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(connection, tenant, idempotency_key, now.wall)?
    {
        return Ok(Creation::Prior(prior));
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
    let (used_up, full_queue) = match existing {
        Some(_) => (None, None),
        None => (
            quotas::used_up(connection, tenant, &job.platform, start.from, now.wall)?,
            quotas::queue_is_full(connection, tenant)?,
        ),
    };
    let creation = Creation::of(job, existing.map(|existing| existing.job), used_up, full_queue);
    let Some((status, job)) = creation.answered() else { return Ok(creation) };
    let body = read_as(serde_json::to_string(job), "a job")?;
    if matches!(creation, Creation::Created(_)) {
        connection
            .prepare_cached(
                "INSERT INTO jobs (id, consumer, live, external_id, platform, status, created_at, run_at, start_by, link, job, account)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
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
                body,
                job.account
            ])?;
        quotas::joined(connection, tenant, start.from)?;
        timeline::write_to_feed(connection, tenant, job, &EmittedEvent::created(job))?;
    }
    if let Some(idempotency_key) = idempotency_key {
        let response = idempotency_key.response(status, body);
        idempotency::insert(connection, tenant, idempotency_key, &response, true, now.wall)?;
    }
    Ok(creation)
}

pub(super) fn list(
    connection: &Connection,
    tenant: Tenant,
    filter: &JobFilter,
    window: Window<JobId>,
) -> Outcome<Page<Job>> {
    let mut sql =
        "SELECT id, job, recording_bytes FROM jobs WHERE consumer = ? AND live = ?".to_owned();
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
        Ok(Entry { value: job_of(&text, row.get(2)?)?, bytes: text.len(), cursor: row.get(0)? })
    })
}

/// A verb of a tenant's job, which it may leave as it is. `None` where there is no such job.
fn change(
    transaction: &Transaction<'_>,
    tenant: Tenant,
    id: JobId,
    now: StoreNow,
    verb: impl FnOnce(&mut JobRecord) -> Option<Changes>,
) -> Outcome<Option<Job>> {
    let Some(mut record) = of_tenant(transaction, tenant, id)? else { return Ok(None) };
    if let Some(changes) = verb(&mut record) {
        save(transaction, &record, changes, now.wall)?;
    }
    Ok(Some(record.job))
}

pub(super) fn delete_recording(
    transaction: &Transaction<'_>,
    tenant: Tenant,
    id: JobId,
    now: StoreNow,
) -> Outcome<Option<Job>> {
    change(transaction, tenant, id, now, |record| record.delete_recording(now.wall))
}

pub(super) fn cancel(
    transaction: &Transaction<'_>,
    tenant: Tenant,
    id: JobId,
    now: StoreNow,
) -> Outcome<Option<Job>> {
    change(transaction, tenant, id, now, |record| record.cancel(now))
}

pub(super) fn command(
    transaction: &Transaction<'_>,
    tenant: Tenant,
    id: JobId,
    action: &ControlAction,
    message: Option<String>,
    idempotency_key: Option<&IdempotencyKey>,
    now: StoreNow,
) -> Outcome<CommandOutcome> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(transaction, tenant, idempotency_key, now.wall)?
    {
        return Ok(CommandOutcome::Prior(prior));
    }
    let Some(mut record) = of_tenant(transaction, tenant, id)? else {
        return Ok(CommandOutcome::NotFound);
    };
    let Some((command, changes)) = record.command(action, message, now) else {
        return Ok(CommandOutcome::InvalidState(Box::new(record.job)));
    };
    save(transaction, &record, changes, now.wall)?;
    if let Some(idempotency_key) = idempotency_key {
        let body = serde_json::to_string(&command.result(&record.job));
        let body = read_as(body, "a control result")?;
        let response = idempotency_key.response(202, body);
        idempotency::insert(transaction, tenant, idempotency_key, &response, false, now.wall)?;
    }
    Ok(CommandOutcome::Accepted(command, Box::new(record.job)))
}
