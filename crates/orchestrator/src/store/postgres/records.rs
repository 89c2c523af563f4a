//! Stored jobs and their locks.

use meetbot_types::{Job, JobId};
use tokio_postgres::Row;

use super::{
    Outcome,
    transaction::{Transaction, Value},
    values::{hash, lease_time, number, optional, parsed, read_as, text, time},
};
use crate::{
    jobs::{JobRecord, quota::MeteredTime, withheld::Withheld},
    store::Tenant,
};

/// A lease has its own `applied`, `stay_ms` and `stay_since`.
const RECORDS: &str = "SELECT j.consumer, j.live, j.job, j.link, j.epoch, j.token_hash, l.until,
        CASE WHEN l.job IS NULL THEN j.applied ELSE l.applied END, j.sequence, j.cause, j.run_at, j.handovers,
        CASE WHEN l.job IS NULL THEN j.stay_ms ELSE l.stay_ms END,
        CASE WHEN l.job IS NULL THEN j.stay_since ELSE l.stay_since END,
        j.withheld_messages, j.withheld_captions, j.past_tokens, j.recording_bytes
    FROM jobs j LEFT JOIN leases l ON l.job = j.id";

const LOCK: &str = "SELECT 1 FROM jobs WHERE id = $1 FOR NO KEY UPDATE";

fn record(row: &Row) -> Outcome<JobRecord> {
    let cause: Option<&str> = row.try_get(9)?;
    let token: Option<&[u8]> = row.try_get(5)?;
    Ok(JobRecord {
        tenant: Tenant { consumer: parsed(row, 0, "a job's consumer")?, live: row.try_get(1)? },
        job: job(row.try_get(2)?, optional(row, 17)?)?,
        link: read_as(serde_json::from_str(row.try_get(3)?), "a job's link")?,
        epoch: number(row, 4)?,
        token_hash: token.map(|_| hash(row, 5)).transpose()?,
        lease_until: lease_time(row, 6)?,
        applied: number(row, 7)?,
        sequence: number(row, 8)?,
        cause: cause
            .map(|cause| read_as(serde_json::from_str(cause), "a job's cause"))
            .transpose()?,
        run_at: time(row, 10)?,
        handovers: number(row, 11)?,
        metered: MeteredTime { ms: optional(row, 12)?, since: lease_time(row, 13)? },
        withheld: Withheld { messages: number(row, 14)?, captions: number(row, 15)? },
        past_tokens: row.try_get(16)?,
    })
}

/// A job of its columns `job` and `recording_bytes`: the bytes change without the rest, so that the text may have older ones.
pub(super) fn job(text: &str, recording_bytes: Option<u64>) -> Outcome<Job> {
    let mut job: Job = read_as(serde_json::from_str(text), "a job")?;
    job.recording.bytes = recording_bytes;
    Ok(job)
}

pub(super) async fn load(
    transaction: &Transaction,
    condition: &str,
    values: &[Value<'_>],
) -> Outcome<Option<JobRecord>> {
    let found = transaction.row(&format!("{RECORDS} WHERE {condition}"), values).await?;
    found.as_ref().map(record).transpose()
}

/// A job as it is, of whichever tenant.
pub(super) async fn of_any(transaction: &Transaction, id: JobId) -> Outcome<Option<JobRecord>> {
    load(transaction, "j.id = $1", &[&id.to_string()]).await
}

/// A tenant's job as it is.
pub(super) async fn of_tenant(
    transaction: &Transaction,
    tenant: Tenant,
    id: JobId,
) -> Outcome<Option<JobRecord>> {
    let (id, consumer) = (id.to_string(), tenant.consumer.to_string());
    let condition = "j.id = $1 AND j.consumer = $2 AND j.live = $3";
    load(transaction, condition, &[&id, &consumer, &tenant.live]).await
}

/// A job, locked until the transaction ends. The lock is a statement before the read, so that the read sees the changes of the previous holder.
pub(super) async fn locked(transaction: &Transaction, id: JobId) -> Outcome<Option<JobRecord>> {
    let id = id.to_string();
    let read = format!("{RECORDS} WHERE j.id = $1");
    let (_, rows) = transaction.rows_after((LOCK, &[&id]), (&read, &[&id])).await?;
    rows.first().map(record).transpose()
}

/// A job with its lock, if no other transaction has that.
pub(super) async fn locked_at_once(
    transaction: &Transaction,
    id: JobId,
) -> Outcome<Option<JobRecord>> {
    let id = id.to_string();
    let (lock, read) = (format!("{LOCK} SKIP LOCKED"), format!("{RECORDS} WHERE j.id = $1"));
    let (locked, rows) = transaction.rows_after((&lock, &[&id]), (&read, &[&id])).await?;
    rows.first().filter(|_| locked > 0).map(record).transpose()
}

/// Those of these jobs that no other transaction has locked, locked until this one ends.
pub(super) async fn locked_of_all(
    transaction: &Transaction,
    ids: &[JobId],
) -> Outcome<Vec<JobRecord>> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let lock = "SELECT id FROM jobs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED";
    let rows = transaction.rows(lock, &[&ids]).await?;
    let ids: Vec<String> = rows.iter().map(|row| text(row, 0)).collect::<Outcome<_>>()?;
    let rows = transaction.rows(&format!("{RECORDS} WHERE j.id = ANY($1)"), &[&ids]).await?;
    rows.iter().map(record).collect()
}

pub(super) async fn lock(transaction: &Transaction, id: JobId) -> Outcome<()> {
    transaction.run(LOCK, &[&id.to_string()]).await?;
    Ok(())
}

pub(super) async fn locked_of_tenant(
    transaction: &Transaction,
    tenant: Tenant,
    id: JobId,
) -> Outcome<Option<JobRecord>> {
    let record = locked(transaction, id).await?;
    Ok(record.filter(|record| record.tenant == tenant))
}
