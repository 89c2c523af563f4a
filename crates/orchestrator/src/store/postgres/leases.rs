//! Leases: a narrow row for each job that has a bot, which is all that most of the bot's signs of life change.

use meetbot_types::JobId;

use super::{
    Outcome,
    transaction::Transaction,
    values::{parsed, stored},
};
use crate::{
    clock::LeaseTime,
    jobs::{Changes, JobRecord},
    store::Leases,
};

/// Writes the lease that a job has, or that it has none any more.
pub(super) async fn save(transaction: &Transaction, node: &str, record: &JobRecord) -> Outcome<()> {
    let id = record.job.id.to_string();
    let Some(until) = record.lease_until else {
        transaction.run("DELETE FROM leases WHERE job = $1", &[&id]).await?;
        return Ok(());
    };
    transaction
        .run(
            "INSERT INTO leases (job, node, until, applied, stay_ms, stay_since) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (job) DO UPDATE SET until = $3, applied = $4, stay_ms = $5, stay_since = $6",
            &[
                &id,
                &node,
                &until.as_millis(),
                &stored(record.applied)?,
                &record.metered.ms,
                &record.metered.since.map(LeaseTime::as_millis),
            ],
        )
        .await?;
    Ok(())
}

/// Writes the leases of jobs that had one before.
pub(super) async fn renew(transaction: &Transaction, records: &[JobRecord]) -> Outcome<()> {
    let (mut ids, mut untils, mut applied) = (Vec::new(), Vec::new(), Vec::new());
    let (mut stays, mut since) = (Vec::new(), Vec::new());
    for record in records {
        ids.push(record.job.id.to_string());
        untils.push(record.lease_until.map(LeaseTime::as_millis));
        applied.push(stored(record.applied)?);
        stays.push(record.metered.ms);
        since.push(record.metered.since.map(LeaseTime::as_millis));
    }
    transaction
        .run(
            "UPDATE leases SET until = n.until, applied = n.applied, stay_ms = n.stay_ms, stay_since = n.stay_since
             FROM unnest($1::TEXT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[])
                AS n (job, until, applied, stay_ms, stay_since) WHERE leases.job = n.job",
            &[&ids, &untils, &applied, &stays, &since],
        )
        .await?;
    Ok(())
}

/// Whether all that a report has changed is in the lease.
pub(super) fn is_all(before: &JobRecord, after: &JobRecord, changes: &Changes) -> bool {
    let renewed = JobRecord {
        lease_until: after.lease_until,
        applied: after.applied,
        metered: after.metered,
        ..before.clone()
    };
    let only_record = Changes { record: changes.record, ..Changes::default() };
    after.lease_until.is_some() && renewed == *after && only_record == *changes
}

/// The jobs whose leases are to be taken back, as far as can be seen without their locks.
pub(super) async fn ended(
    transaction: &Transaction,
    node: &str,
    leases: Leases,
) -> Outcome<Vec<JobId>> {
    let rows = match leases {
        Leases::RanOut => {
            let now = transaction.lease_time().as_millis();
            transaction.rows("SELECT job FROM leases WHERE until <= $1 ORDER BY job", &[&now]).await
        }
        Leases::OfEarlierBoots => {
            transaction.rows("SELECT job FROM leases WHERE node = $1 ORDER BY job", &[&node]).await
        }
    }?;
    rows.iter().map(|row| parsed(row, 0, "a lease's job")).collect()
}

/// Whether the lease of a locked job is this node's.
pub(super) async fn is_of(transaction: &Transaction, node: &str, id: JobId) -> Outcome<bool> {
    let own = "SELECT 1 FROM leases WHERE job = $1 AND node = $2";
    Ok(transaction.row(own, &[&id.to_string(), &node]).await?.is_some())
}
