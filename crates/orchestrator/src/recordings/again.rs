//! Removes again what workers that were cut off uploaded after a removal.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Recordings;
use crate::store::{Store, StoreError};

/// How many removals are repeated one after the other.
const BATCH: u32 = 100;
/// How often within the time until a removal is repeated first the store is asked: once a minute.
const LOOKS: u32 = 60;

/// Empties the folders in the bucket of removed recordings once more, 1 hour and 24 hours after their removal, until it is stopped. Of several servers, one does.
pub(crate) async fn remove_again(
    store: Arc<dyn Store>,
    recordings: Recordings,
    stop: CancellationToken,
) {
    let every = store.now().timing.removed_again_after() / LOOKS;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if !store.has_duties() {
            continue;
        }
        if let Err(error) = repeat(store.as_ref(), &recordings, &stop).await {
            tracing::warn!(%error, "what was uploaded after a removal stays in the bucket for now");
        }
    }
}

async fn repeat(
    store: &dyn Store,
    recordings: &Recordings,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let now = store.now();
    for job in store.removals_due(BATCH, now).await? {
        if stop.is_cancelled() {
            return Ok(());
        }
        match recordings.remove(job).await {
            Ok((removed, _)) => {
                if !removed.is_empty() {
                    let objects = removed.len();
                    tracing::warn!(%job, objects, "a worker uploaded files of a recording after its removal; they are removed, too");
                }
                store.removal_repeated(job, now).await?;
            }
            Err(error) => {
                tracing::warn!(%job, %error, "a removal cannot be repeated now");
                return Ok(());
            }
        }
    }
    store.forget_removals(now).await
}
