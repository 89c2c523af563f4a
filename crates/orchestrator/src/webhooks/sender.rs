//! Sends what is due in the outbox: sign, POST, note what came of it.

use std::{sync::Arc, time::Duration};

use meetbot_types::Timestamp;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{guard::Guard, post::Post, schedule};
use crate::{
    clock::Clock,
    store::{DueDelivery, Store, Verdict},
};

/// How many deliveries are on their way at once.
const AT_ONCE: usize = 32;
/// How long to wait at most before looking into the outbox again; pokes come sooner.
const POLL: Duration = Duration::from_secs(5);

/// Sends deliveries until it is stopped.
pub(crate) struct Sender {
    store: Arc<dyn Store>,
    post: Post,
    clock: Clock,
    poke: Arc<Notify>,
}

impl Sender {
    /// A sender. `poke` wakes it when there may be something to send.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        guard: Arc<Guard>,
        clock: Clock,
        poke: Arc<Notify>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { store, post: Post::new(guard, clock)?, clock, poke })
    }

    /// Runs until `stop`; what is on its way then is let arrive.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let sender = Arc::new(self);
        let mut flying = JoinSet::new();
        loop {
            let room = AT_ONCE - flying.len();
            let now = sender.clock.now();
            let due = match sender.store.due_deliveries(u32::try_from(room).unwrap_or(0), now).await
            {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read");
                    Vec::new()
                }
            };
            let found = due.len();
            for delivery in due {
                let sender = Arc::clone(&sender);
                flying.spawn(async move { sender.deliver(delivery).await });
            }
            if found > 0 && found == room {
                flying.join_next().await;
                continue;
            }
            let sleep = sender.until_next(now.wall).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sender.poke.notified() => {}
                // The next delivery of a job may have waited for this one.
                Some(_) = flying.join_next(), if !flying.is_empty() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while flying.join_next().await.is_some() {}
    }

    async fn until_next(&self, now: Timestamp) -> Duration {
        let next = self.store.next_delivery().await.ok().flatten();
        let ahead = next.map(|next| next.millis_since(now)).and_then(|ms| u64::try_from(ms).ok());
        // One that is due but waits its turn is no reason to spin.
        ahead.filter(|ms| *ms > 0).map_or(POLL, |ms| Duration::from_millis(ms).min(POLL))
    }

    async fn deliver(&self, delivery: DueDelivery) {
        let (tried, outcome) = self.post.make(&delivery).await;
        let verdict = schedule::next(delivery.tries + 1, outcome, random(), self.clock.now().wall);
        let (id, job) = (delivery.event.delivery_id, delivery.event.data.job_id);
        let error = tried.error.as_deref();
        match &verdict {
            Verdict::Delivered => tracing::debug!(delivery = %id, %job, "a webhook was delivered"),
            Verdict::Again(at) => {
                tracing::info!(delivery = %id, %job, error, again = %at, "a webhook was not taken");
            }
            Verdict::Dead => tracing::warn!(delivery = %id, %job, error, "a webhook was given up"),
        }
        if let Err(error) = self.store.tried(id, tried, verdict).await {
            // It stays pending: the endpoint will see the same deliveryId once more.
            tracing::warn!(%error, delivery = %id, "a delivery's try was not noted");
        }
    }
}

fn random() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
