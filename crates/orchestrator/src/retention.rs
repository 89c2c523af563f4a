//! Old recordings are deleted, where that is wanted.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use meetbot_types::{JobId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, Now},
    recordings,
    store::{Store, StoreError, Tenant},
};

/// How often to look.
const EVERY: Duration = Duration::from_hours(1);
/// How many are looked up at once.
const BATCH: u32 = 200;

/// Deletes recordings of jobs that ended longer ago than `keep`, until it is stopped.
pub(crate) async fn run(
    store: Arc<dyn Store>,
    recordings: PathBuf,
    keep: Duration,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = clock.now();
        let before = before(now.wall, keep);
        loop {
            match pass(store.as_ref(), &recordings, before, now, &stop).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "old recordings cannot be looked up");
                    break;
                }
            }
        }
    }
}

fn before(now: Timestamp, keep: Duration) -> Timestamp {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(keep))
}

/// Deletes some; answers whether there may be more that can be deleted.
async fn pass(
    store: &dyn Store,
    recordings: &Path,
    before: Timestamp,
    now: Now,
    stop: &CancellationToken,
) -> Result<bool, StoreError> {
    let old = store.old_recordings(before, BATCH).await?;
    let full = old.len() == BATCH as usize;
    let mut deleted = false;
    for (tenant, job) in old {
        if stop.is_cancelled() {
            return Ok(false);
        }
        deleted |= delete(store, recordings, tenant, job, now).await?;
    }
    // A batch of which nothing could be deleted would only come again.
    Ok(full && deleted)
}

/// Deletes one: first the mark, so that nobody is shown a manifest whose files go; it is looked up until its files are gone.
async fn delete(
    store: &dyn Store,
    recordings: &Path,
    tenant: Tenant,
    job: JobId,
    now: Now,
) -> Result<bool, StoreError> {
    let marked = store.delete_recording(tenant, job, now).await?;
    if marked.is_none_or(|job| job.recording.deleted_at.is_none()) {
        tracing::error!(%job, "a recording that is old belongs to no job that has ended; it is kept");
        return Ok(false);
    }
    match recordings::remove(recordings, job).await {
        Ok((removed, already_gone)) => {
            store.recording_removed(job).await?;
            let bytes: u64 = removed.iter().map(|object| object.bytes).sum();
            let names: Vec<&str> = removed.iter().map(|object| object.name.as_str()).collect();
            tracing::info!(%job, bytes, removed = ?names, ?already_gone, "an old recording was deleted");
            Ok(true)
        }
        Err(error) => {
            tracing::error!(%job, %error, "an old recording cannot be removed; it is tried again in an hour");
            Ok(false)
        }
    }
}
