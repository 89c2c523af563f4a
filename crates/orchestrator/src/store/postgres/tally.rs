//! Counts for those who run the server.

use meetbot_types::{DeliveryId, FailureCode, Job};

use super::{
    Outcome, quotas,
    transaction::Transaction,
    values::{number, read_as, text},
};
use crate::store::{Ended, Tally};

pub(super) async fn count(transaction: &Transaction) -> Outcome<Tally> {
    let open = transaction
        .rows(
            "SELECT status, count(*) FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled') GROUP BY status ORDER BY status",
            &[],
        )
        .await?;
    let open = open.iter().map(|row| Ok((text(row, 0)?.as_str().into(), number(row, 1)?)));
    let ended = transaction
        .rows(
            "SELECT status, failure_code, sum(jobs)::BIGINT FROM endings GROUP BY 1, 2 ORDER BY 1, 2",
            &[],
        )
        .await?;
    let ended = ended.iter().map(|row| {
        let code = text(row, 1)?;
        Ok(Ended {
            status: text(row, 0)?.as_str().into(),
            failure_code: (!code.is_empty()).then(|| FailureCode::from(code.as_str())),
            jobs: number(row, 2)?,
        })
    });
    let (open, ended) = (open.collect::<Outcome<_>>()?, ended.collect::<Outcome<_>>()?);
    // Only the index of those that are under way is read: an id says when it was made.
    let backlog = "SELECT count(*), min(id) FROM deliveries WHERE state = 'pending'";
    let backlog = transaction.one(backlog, &[]).await?;
    let oldest: Option<&str> = backlog.try_get(1)?;
    let oldest: Option<DeliveryId> =
        oldest.map(|id| read_as(id.parse(), "a delivery's id")).transpose()?;
    let mixes = transaction.one("SELECT count(*) FROM mixes", &[]).await?;
    // Only the index of those that have files is read.
    let bytes =
        "SELECT coalesce(sum(recording_bytes), 0)::BIGINT FROM jobs WHERE recording_bytes > 0";
    let bytes = transaction.one(bytes, &[]).await?;
    Ok(Tally {
        open,
        ended,
        backlog: number(&backlog, 0)?,
        oldest: oldest.map(|id| id.created_at()),
        mixes: number(&mixes, 0)?,
        recording_bytes: number(&bytes, 0)?,
    })
}

/// A job has ended.
pub(super) async fn count_end(transaction: &Transaction, job: &Job) -> Outcome<()> {
    let code = job.failure_code.as_ref().map_or("", FailureCode::as_str);
    transaction
        .run(
            "INSERT INTO endings (status, failure_code, shard, jobs) VALUES ($1, $2, $3, 1)
             ON CONFLICT (status, failure_code, shard) DO UPDATE SET jobs = endings.jobs + 1",
            &[&job.status.as_str(), &code, &quotas::shard(job.id)],
        )
        .await?;
    Ok(())
}
