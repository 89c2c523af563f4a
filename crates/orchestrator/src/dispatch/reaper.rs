//! Takes jobs back whose bots gave no sign of life, and fails those that no worker took.

use std::{sync::Arc, time::Duration};

use meetbot_types::bot::LEASE_SECONDS;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    metrics::Metrics,
    store::{Expired, Store},
    wake::Wakes,
};

const EVERY: Duration = Duration::from_secs(1);
/// How often the store is swept, and shown to be writable.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Runs until `stop`. After the store was away, bots get a full lease to be heard again before any is given up.
pub(crate) async fn reap(
    store: Arc<dyn Store>,
    clock: Clock,
    wakes: Arc<Wakes>,
    metrics: Arc<Metrics>,
    queue: Arc<Notify>,
    outbox: Arc<Notify>,
    stop: CancellationToken,
) {
    let lease = Duration::from_secs(u64::from(LEASE_SECONDS));
    let mut in_touch_since = Some(clock.now().steady);
    let mut swept = None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = clock.now();
        if swept.is_none_or(|at| now.steady.saturating_sub(at) >= SWEEP_EVERY) {
            swept = Some(now.steady);
            if let Err(error) = store.sweep(now).await {
                tracing::error!(%error, "the store cannot be written");
                in_touch_since = None;
                swept = None;
                continue;
            }
        }
        match store.expire(now).await {
            Ok(expired) if expired.is_empty() => {}
            Ok(expired) => {
                tracing::warn!(jobs = expired.len(), "no bot was started in time");
                for Expired { job, at_bot_limit } in expired {
                    if at_bot_limit {
                        metrics.refused("bots_per_consumer");
                    }
                    wakes.poke(job);
                }
                outbox.notify_one();
            }
            Err(_) => in_touch_since = None,
        }
        let since = *in_touch_since.get_or_insert(now.steady);
        if now.steady.saturating_sub(since) < lease {
            continue;
        }
        match store.reap(false, now).await {
            Ok(lost) => {
                for job in &lost {
                    tracing::warn!(%job, "a bot's lease ran out");
                    wakes.poke(*job);
                }
                if !lost.is_empty() {
                    queue.notify_one();
                    outbox.notify_one();
                }
            }
            Err(_) => in_touch_since = None,
        }
    }
}
