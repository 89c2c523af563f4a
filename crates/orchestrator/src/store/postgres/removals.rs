//! Recordings that were removed, and jobs that were deleted with theirs.

use meetbot_types::{JobId, Timestamp};

use super::{
    Outcome, paused,
    transaction::Transaction,
    values::{parsed, time},
};
use crate::{clock::StoreNow, jobs::removal};

/// Notes that all files of a job are removed. Workers upload only where there is a bucket, and only of jobs that had a bot.
pub(super) async fn note(transaction: &Transaction, job: &str, now: StoreNow) -> Outcome<()> {
    let again = removal::next_look(now.wall, now).map(Timestamp::as_millis);
    let note =
        "INSERT INTO removals (job, at, again_at) SELECT id, $2::BIGINT, $3::BIGINT FROM jobs
            WHERE id = $1 AND epoch > 0 AND EXISTS (SELECT 1 FROM storage WHERE url IS NOT NULL)
        ON CONFLICT (job) DO UPDATE SET at = excluded.at";
    transaction.run(note, &[&job, &now.wall.as_millis(), &again]).await?;
    Ok(())
}

pub(super) async fn is_noted(transaction: &Transaction, id: JobId) -> Outcome<bool> {
    let noted = "SELECT 1 FROM removals WHERE job = $1";
    Ok(transaction.row(noted, &[&id.to_string()]).await?.is_some())
}

pub(super) async fn due(
    transaction: &Transaction,
    limit: u32,
    now: StoreNow,
) -> Outcome<Vec<JobId>> {
    if paused::is(transaction).await? {
        return Ok(Vec::new());
    }
    let due = "SELECT job FROM removals WHERE again_at <= $1 ORDER BY again_at, job LIMIT $2";
    let rows = transaction.rows(due, &[&now.wall.as_millis(), &i64::from(limit)]).await?;
    rows.iter().map(|row| parsed(row, 0, "a removed job's id")).collect()
}

pub(super) async fn repeated(transaction: &Transaction, id: JobId, now: StoreNow) -> Outcome<()> {
    let id = id.to_string();
    let at = "SELECT at FROM removals WHERE job = $1 FOR NO KEY UPDATE";
    let Some(row) = transaction.row(at, &[&id]).await? else { return Ok(()) };
    let again = removal::next_look(time(&row, 0)?, now).map(Timestamp::as_millis);
    transaction.run("UPDATE removals SET again_at = $2 WHERE job = $1", &[&id, &again]).await?;
    Ok(())
}

pub(super) async fn forget(transaction: &Transaction, now: StoreNow) -> Outcome<()> {
    if paused::is(transaction).await? {
        return Ok(());
    }
    let forget = "DELETE FROM removals WHERE at < $1 AND again_at IS NULL";
    transaction.run(forget, &[&removal::forgotten_before(now).as_millis()]).await?;
    Ok(())
}
