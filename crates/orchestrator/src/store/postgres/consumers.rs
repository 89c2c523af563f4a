//! Consumers: what they have, and their erasure.

use meetbot_types::{ConsumerId, JobId, JobStatus};

use super::{
    Outcome, quotas, records,
    transaction::Transaction,
    values::{parsed, text, unescaped},
};
use crate::{jobs::has_no_more_bots, store::Tenant};

pub(super) async fn name(
    transaction: &Transaction,
    consumer: ConsumerId,
) -> Outcome<Option<String>> {
    let name = "SELECT name FROM consumers WHERE id = $1";
    let found = transaction.row(name, &[&consumer.to_string()]).await?;
    found.map(|row| text(&row, 0).map(unescaped)).transpose()
}

pub(super) async fn jobs(
    transaction: &Transaction,
    Tenant { consumer, live }: Tenant,
) -> Outcome<Vec<(Tenant, JobId, bool)>> {
    let rows = transaction
        .rows(
            "SELECT id, live, status, id IN (SELECT job FROM uploads) FROM jobs WHERE consumer = $1 AND live <= $2 ORDER BY id",
            &[&consumer.to_string(), &live],
        )
        .await?;
    let job = |row: &tokio_postgres::Row| {
        let ended = has_no_more_bots(&JobStatus::from(row.try_get::<_, &str>(2)?), row.try_get(3)?);
        let tenant = Tenant { consumer, live: row.try_get(1)? };
        Ok((tenant, parsed(row, 0, "a job's id")?, ended))
    };
    rows.iter().map(job).collect()
}

/// Whether a job is this consumer's and has ended; it is locked then.
pub(super) async fn may_erase(
    transaction: &Transaction,
    consumer: ConsumerId,
    id: JobId,
) -> Outcome<bool> {
    let record = records::locked(transaction, id).await?;
    Ok(record.is_some_and(|record| record.may_be_erased(consumer)))
}

/// Erases a consumer, or its test world. The rows of its tenants are locked before its jobs are looked for, as those are that make a job.
pub(super) async fn erase(transaction: &Transaction, asking: Tenant) -> Outcome<Option<u64>> {
    let Tenant { consumer, live } = asking;
    let id = consumer.to_string();
    let known = "SELECT 1 FROM consumers WHERE id = $1";
    // Claims lock the rows of several tenants in any order.
    quotas::lock_claims(transaction).await?;
    if transaction.row(known, &[&id]).await?.is_some() {
        for world in [false, true].into_iter().filter(|world| *world <= live) {
            quotas::lock(transaction, Tenant { consumer, live: world }).await?;
        }
    }
    // What a test key reaches is less than what a live key does.
    let reached = "consumer = $1 AND live <= $2";
    let has_jobs = format!("SELECT 1 FROM jobs WHERE {reached} LIMIT 1");
    if transaction.row(&has_jobs, &[&id, &live]).await?.is_some() {
        return Ok(None);
    }
    let of_keys =
        format!("key_uses WHERE consumer = $1 AND key IN (SELECT id FROM keys WHERE {reached})");
    transaction.run(&format!("DELETE FROM {of_keys}"), &[&id, &live]).await?;
    let mut keys = 0;
    for table in ["endpoints", "answers", "feeds", "minutes", "tenants", "keys"] {
        let delete = format!("DELETE FROM {table} WHERE {reached}");
        keys = transaction.run(&delete, &[&id, &live]).await?;
    }
    // A key that is made at this moment holds its consumer's row.
    transaction.rows("SELECT 1 FROM consumers WHERE id = $1 FOR UPDATE", &[&id]).await?;
    transaction
        .run(
            "DELETE FROM consumers WHERE id = $1
                AND NOT EXISTS (SELECT 1 FROM keys WHERE consumer = $1)
                AND NOT EXISTS (SELECT 1 FROM jobs WHERE consumer = $1)
                AND NOT EXISTS (SELECT 1 FROM minutes WHERE consumer = $1)",
            &[&id],
        )
        .await?;
    Ok(Some(keys))
}
