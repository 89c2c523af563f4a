//! Jobs as their rows hold them.

use meetbot_types::{Job, JobId, Timestamp};
use rusqlite::{Connection, Row};

use super::{Outcome, read_as};
use crate::{
    clock::LeaseTime,
    jobs::{JobRecord, quota::MeteredTime, withheld::Withheld},
    store::Tenant,
};

const COLUMNS: &str = "SELECT consumer, live, job, link, epoch, token_hash, lease_until, applied, sequence, cause, run_at, handovers, stay_ms, stay_since, withheld_messages, withheld_captions, past_tokens, recording_bytes FROM jobs";

fn record(row: &Row<'_>) -> Outcome<JobRecord> {
    let text = |index| row.get::<_, String>(index);
    let cause: Option<String> = row.get(9)?;
    Ok(JobRecord {
        tenant: Tenant {
            consumer: read_as(text(0)?.parse(), "a job's consumer")?,
            live: row.get(1)?,
        },
        job: job(&text(2)?, row.get(17)?)?,
        link: read_as(serde_json::from_str(&text(3)?), "a job's link")?,
        epoch: row.get(4)?,
        token_hash: row.get(5)?,
        lease_until: lease_time(row, 6)?,
        applied: row.get(7)?,
        sequence: row.get(8)?,
        cause: cause
            .map(|cause| read_as(serde_json::from_str(&cause), "a job's cause"))
            .transpose()?,
        run_at: Timestamp::from_millis(row.get(10)?),
        handovers: row.get(11)?,
        metered: MeteredTime { ms: row.get(12)?, since: lease_time(row, 13)? },
        withheld: Withheld { messages: row.get(14)?, captions: row.get(15)? },
        past_tokens: row.get(16)?,
    })
}

fn lease_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<LeaseTime>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(LeaseTime::from_millis))
}

/// A job of its columns `job` and `recording_bytes`: the bytes change without the rest, so that the text may have older ones.
pub(super) fn job(text: &str, recording_bytes: Option<u64>) -> Outcome<Job> {
    let mut job: Job = read_as(serde_json::from_str(text), "a job")?;
    job.recording.bytes = recording_bytes;
    Ok(job)
}

/// The first job that meets a condition, of whichever tenant.
pub(super) fn load(
    connection: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Outcome<Option<JobRecord>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE {condition}"))?;
    let mut rows = statement.query(values)?;
    rows.next()?.map(record).transpose()
}

/// A job, of whichever tenant.
pub(super) fn of_any(connection: &Connection, id: JobId) -> Outcome<Option<JobRecord>> {
    load(connection, "id = ?1", &[&id.to_string()])
}

pub(super) fn of_tenant(
    connection: &Connection,
    tenant: Tenant,
    id: JobId,
) -> Outcome<Option<JobRecord>> {
    let (id, consumer) = (id.to_string(), tenant.consumer.to_string());
    load(connection, "id = ?1 AND consumer = ?2 AND live = ?3", &[&id, &consumer, &tenant.live])
}
