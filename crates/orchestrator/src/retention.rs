//! Deletes old recordings and old jobs after the times in the settings.

use std::{sync::Arc, time::Duration};

use meetbot_types::{JobId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::StoreNow,
    recordings::Recordings,
    store::{OldRecording, Store, StoreError, Tenant},
};

/// How often old recordings and jobs are looked for.
const EVERY: Duration = Duration::from_hours(1);
/// How many recordings are read from the store at a time.
const BATCH: u32 = 200;
/// How many jobs are deleted in one transaction. Each may have thousands of events, and more jobs would block other writes for long.
const PORTION: u32 = 20;

/// How long data of a job is kept after its end; `None`: without limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetentionPeriods {
    /// Its recording.
    pub(crate) recordings: Option<Duration>,
    /// The job itself.
    pub(crate) jobs: Option<Duration>,
}

impl RetentionPeriods {
    /// Whether any data is deleted after a time.
    pub(crate) const fn has_an_end(&self) -> bool {
        self.recordings.is_some() || self.jobs.is_some()
    }
}

/// Deletes recordings and jobs that are older than `keep` allows, every hour until `stop`; of several servers, one does.
pub(crate) async fn run(
    store: Arc<dyn Store>,
    recordings: Recordings,
    keep: RetentionPeriods,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if !store.has_duties() {
            continue;
        }
        let now = store.now();
        // Recordings first: a job is deleted only after its recording.
        if let Some(keep) = keep.recordings
            && let Err(error) =
                delete_recordings(store.as_ref(), &recordings, before(now.wall, keep), now, &stop)
                    .await
        {
            tracing::warn!(%error, "old recordings cannot be read from the store");
        }
        if let Some(keep) = keep.jobs
            && let Err(error) =
                prune_jobs(store.as_ref(), &recordings, before(now.wall, keep), &stop).await
        {
            tracing::warn!(%error, "old jobs cannot be deleted");
        }
    }
}

fn before(now: Timestamp, keep: Duration) -> Timestamp {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(keep))
}

/// Deletes all recordings of jobs that ended before this moment.
async fn delete_recordings(
    store: &dyn Store,
    recordings: &Recordings,
    before: Timestamp,
    now: StoreNow,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let old = store.old_recordings(before, after, BATCH).await?;
        for OldRecording { tenant, job, .. } in &old {
            if stop.is_cancelled() {
                return Ok(());
            }
            delete(store, recordings, *tenant, *job, now).await?;
        }
        after = old.last().copied();
        if old.len() < BATCH as usize {
            return Ok(());
        }
    }
}

/// Deletes all jobs that ended before this moment and have no files.
async fn prune_jobs(
    store: &dyn Store,
    recordings: &Recordings,
    before: Timestamp,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    note_without_files(store, recordings, before, stop).await?;
    let mut pruned = 0;
    while !stop.is_cancelled() {
        let jobs = store.prune_jobs(before, PORTION, store.now()).await?;
        pruned += jobs.len();
        if jobs.len() < PORTION as usize {
            break;
        }
    }
    if pruned > 0 {
        tracing::info!(jobs = pruned, "old jobs were deleted");
    }
    Ok(())
}

/// Marks jobs without files, as of bots that were never in their meeting, so that they can be deleted.
async fn note_without_files(
    store: &dyn Store,
    recordings: &Recordings,
    before: Timestamp,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let old = store.old_recordings(before, after, BATCH).await?;
        for OldRecording { job, .. } in &old {
            if stop.is_cancelled() {
                return Ok(());
            }
            if !store.is_stored(*job).await?
                && matches!(recordings.has_files(*job).await, Ok(false))
            {
                store.recording_removed(*job, store.now()).await?;
            }
        }
        after = old.last().copied();
        if old.len() < BATCH as usize {
            return Ok(());
        }
    }
}

/// Deletes one recording. It is marked first, so that no manifest is served whose files are being removed; it is retried until its files are gone.
async fn delete(
    store: &dyn Store,
    recordings: &Recordings,
    tenant: Tenant,
    job: JobId,
    now: StoreNow,
) -> Result<(), StoreError> {
    let marked = store.delete_recording(tenant, job, now).await?;
    if marked.is_none_or(|job| job.recording.deleted_at.is_none()) {
        tracing::error!(%job, "an old recording belongs to no ended job; it is kept");
        return Ok(());
    }
    match recordings.remove(job).await {
        Ok((removed, already_gone)) => {
            store.recording_removed(job, now).await?;
            let bytes: u64 = removed.iter().map(|object| object.bytes).sum();
            let names: Vec<&str> = removed.iter().map(|object| object.name.as_str()).collect();
            tracing::info!(%job, bytes, removed = ?names, ?already_gone, "an old recording was deleted");
        }
        Err(error) => {
            tracing::error!(%job, %error, "an old recording cannot be removed; it is tried again in an hour");
        }
    }
    Ok(())
}
