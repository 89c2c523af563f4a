//! Counts the bytes of recordings whose size is unknown.

use std::{collections::HashMap, sync::Arc, time::Duration};

use meetbot_types::JobId;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Recordings;
use crate::store::{Store, StoreError};

/// How often to look for recordings that are to be counted.
const EVERY: Duration = Duration::from_secs(5);
/// How many of them are looked up at once.
const BATCH: u32 = 200;

/// Counts the bytes of all recordings once, since files may have come or gone while no server was there, and from then on those that are not known, until it is
/// stopped. Of several servers, one counts.
pub(crate) async fn count(store: Arc<dyn Store>, recordings: Recordings, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if !store.has_duties() {
            continue;
        }
        match count_once(store.as_ref(), &recordings, all, &stop).await {
            Ok(()) => all = false,
            Err(error) => {
                tracing::warn!(%error, "recordings cannot be looked up whose bytes are to be counted");
            }
        }
    }
}

async fn count_once(
    store: &dyn Store,
    recordings: &Recordings,
    all: bool,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    // The known counts are read before the files are looked at: a count that changes after that is newer than what was seen, and stays.
    let mut found: Vec<(JobId, Option<u64>)> = Vec::new();
    loop {
        let after = found.last().map(|(job, _)| *job);
        let page = store.recordings_to_count(all, after, BATCH).await?;
        let is_last = page.len() < BATCH as usize;
        found.extend(page);
        if is_last {
            break;
        }
    }
    // One look into the bucket for all of them, and not one for each.
    let in_bucket = if all { recordings.bytes_in_bucket().await } else { Ok(HashMap::new()) };
    let in_bucket = in_bucket.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    for (job, before) in found {
        if stop.is_cancelled() {
            return Ok(());
        }
        let counted = match in_bucket.get(&job) {
            Some(bytes) => recordings.bytes_of_evidence(job).await.ok().map(|more| bytes + more),
            None if all => recordings.bytes_on_disk(job).await.ok(),
            None => recordings.bytes(job).await,
        };
        match counted {
            Some(bytes) if before != Some(bytes) => {
                store.recording_counted(job, before, bytes).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
