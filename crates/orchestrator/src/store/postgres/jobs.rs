//! Jobs: created, read, listed, changed.

use std::fmt::Write as _;

use meetbot_types::{ControlAction, Job, JobId, Page, Timestamp};
use tokio_postgres::types::ToSql;

use super::{
    Outcome, commands, idempotency, leases, mixes, pages, quotas, recordings, records, room_bots,
    tally, timeline,
    together::both,
    transaction::{Transaction, Value},
    uploads,
    values::{escaped, optional, read_as, stored, text},
};
use crate::{
    clock::{LeaseTime, StoreNow},
    jobs::{Changes, JobRecord, MixChange},
    store::{CommandOutcome, IdempotencyKey, JobFilter, Tenant, Window, pages::Entry},
};

/// Writes a job that was changed, and what follows from the change. Locks are taken in one order: the job, its lease, its tenant, endpoints, counters.
pub(super) async fn save(
    transaction: &Transaction,
    node: &str,
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
    if has_changed {
        both(update(transaction, record), leases::save(transaction, node, record)).await?;
    }
    if let Some(end) = &end
        && end.may_have_files()
    {
        recordings::may_have_files(transaction, &end.job, now).await?;
    }
    match mix {
        Some(MixChange::Waits) => mixes::wait(transaction, &record.job).await?,
        Some(MixChange::Dropped) => mixes::drop(transaction, &[record.job.id]).await?,
        None => {}
    }
    uploads::write(transaction, record.job.id, upload).await?;
    commands::write(transaction, record.job.id, commands, now).await?;
    room_bots::write(transaction, record, &rooms, now).await?;
    quotas::moved(transaction, record.tenant, slot).await?;
    timeline::write(transaction, record, events, now).await?;
    if let Some(unreported) = unreported {
        timeline::write_to_feed(transaction, record.tenant, &record.job, &unreported).await?;
    }
    if let Some(end) = end {
        quotas::count_minutes(transaction, record, end.minutes, now).await?;
        tally::count_end(transaction, &end.job).await?;
        transaction.ends(end);
    }
    Ok(())
}

async fn update(transaction: &Transaction, record: &JobRecord) -> Outcome<()> {
    let cause = record.cause.as_ref().map(serde_json::to_string).transpose();
    let bytes = record.job.recording.bytes.map(stored).transpose()?;
    transaction
        .run(
            "UPDATE jobs SET status = $2, job = $3, epoch = $4, token_hash = $5, applied = $6, sequence = $7,
                cause = $8, run_at = $9, handovers = $10, stay_ms = $11, stay_since = $12, ended_at = $13,
                withheld_messages = $14, withheld_captions = $15, past_tokens = $16, recording_bytes = $17
             WHERE id = $1",
            &[
                &record.job.id.to_string(),
                &record.job.status.as_str(),
                &read_as(serde_json::to_string(&record.job), "a job")?,
                &i64::from(record.epoch),
                &record.token_hash.as_ref().map(<[u8; 32]>::as_slice),
                &stored(record.applied)?,
                &stored(record.sequence)?,
                &read_as(cause, "a job's cause")?,
                &record.run_at.as_millis(),
                &i64::from(record.handovers),
                &record.metered.ms,
                &record.metered.since.map(LeaseTime::as_millis),
                &record.job.ended_at.map(Timestamp::as_millis),
                &stored(record.withheld.messages)?,
                &stored(record.withheld.captions)?,
                &record.past_tokens,
                &bytes,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn list(
    transaction: &Transaction,
    tenant: Tenant,
    filter: &JobFilter,
    window: Window<JobId>,
) -> Outcome<Page<Job>> {
    let mut sql =
        "SELECT id, job, recording_bytes FROM jobs WHERE consumer = $1 AND live = $2".to_owned();
    let mut values: Vec<Box<dyn ToSql + Sync + Send>> =
        vec![Box::new(tenant.consumer.to_string()), Box::new(tenant.live)];
    let mut and = |condition: &str, value: Box<dyn ToSql + Sync + Send>| {
        values.push(value);
        let _ = write!(sql, " AND {}", condition.replace('$', &format!("${}", values.len())));
    };
    if let Some(after) = window.after {
        and("id < $", Box::new(after.to_string()));
    }
    if let Some(external_id) = &filter.external_id {
        and("external_id = $", Box::new(escaped(external_id).into_owned()));
    }
    if let Some(platform) = &filter.platform {
        and("platform = $", Box::new(platform.to_string()));
    }
    if let Some(after) = filter.created_after {
        and("created_at >= $", Box::new(after.as_millis()));
    }
    if let Some(before) = filter.created_before {
        and("created_at < $", Box::new(before.as_millis()));
    }
    if !filter.statuses.is_empty() {
        let statuses: Vec<String> = filter.statuses.iter().map(ToString::to_string).collect();
        and("status = ANY ($)", Box::new(statuses));
    }
    let limit = i64::from(window.limit.saturating_add(1));
    let _ = write!(sql, " ORDER BY id DESC LIMIT {limit}");
    let values: Vec<Value<'_>> = values.iter().map(|value| &**value as Value<'_>).collect();
    let rows = transaction.rows(&sql, &values).await?;
    pages::page(rows, window.limit, |row| {
        let body: &str = row.try_get(1)?;
        Ok(Entry {
            value: records::job(body, optional(&row, 2)?)?,
            bytes: body.len(),
            cursor: text(&row, 0)?,
        })
    })
}

/// A verb of a tenant's job, which it may leave as it is. `None` where there is no such job.
pub(super) async fn change(
    transaction: &Transaction,
    node: &str,
    tenant: Tenant,
    id: JobId,
    now: StoreNow,
    verb: impl FnOnce(&mut JobRecord) -> Option<Changes> + Send,
) -> Outcome<Option<Job>> {
    let Some(mut record) = records::locked_of_tenant(transaction, tenant, id).await? else {
        return Ok(None);
    };
    if let Some(changes) = verb(&mut record) {
        save(transaction, node, &record, changes, now.wall).await?;
    }
    Ok(Some(record.job))
}

/// A control call.
pub(super) struct Call {
    pub(super) tenant: Tenant,
    pub(super) id: JobId,
    pub(super) action: ControlAction,
    pub(super) message: Option<String>,
    pub(super) idempotency_key: Option<IdempotencyKey>,
}

pub(super) async fn command(
    transaction: &Transaction,
    node: &str,
    call: &Call,
    now: StoreNow,
) -> Outcome<CommandOutcome> {
    let Call { tenant, id, action, message, idempotency_key } = call;
    let record = records::locked_of_tenant(transaction, *tenant, *id).await?;
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(transaction, *tenant, idempotency_key, now.wall).await?
    {
        return Ok(CommandOutcome::Prior(prior));
    }
    let Some(mut record) = record else { return Ok(CommandOutcome::NotFound) };
    let Some((command, changes)) = record.command(action, message.clone(), now) else {
        return Ok(CommandOutcome::InvalidState(Box::new(record.job)));
    };
    save(transaction, node, &record, changes, now.wall).await?;
    if let Some(idempotency_key) = idempotency_key {
        let body = serde_json::to_string(&command.result(&record.job));
        let body = read_as(body, "a control result")?;
        let response = idempotency_key.response(202, body);
        idempotency::insert(transaction, *tenant, idempotency_key, &response, false, now.wall)
            .await?;
    }
    Ok(CommandOutcome::Accepted(command, Box::new(record.job)))
}
