//! Sends due deliveries of the outbox, and stores the results.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use meetbot_types::{DeliveryId, Timestamp};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::post::Post;
use crate::{
    clock::Clock,
    deliveries::{Lane, Lanes, schedule},
    metrics::Metrics,
    store::{DeliveryAttempt, DueBatch, DueDelivery, Store, Verdict},
};

/// The longest wait before the outbox is read again; notifications end it sooner.
const POLL: Duration = Duration::from_secs(5);
/// The same while every place is taken: a try that takes long makes room without having ended.
const POLL_FULL: Duration = Duration::from_millis(200);
/// How many endpoints that may not answer are taken in one transaction: the store is not to be held up by many of them.
const UNPROVEN_AT_A_TIME: u32 = 32;

/// Sends deliveries until it is stopped.
pub(crate) struct Sender {
    store: Arc<dyn Store>,
    post: Arc<Post>,
    lanes: Lanes,
    clock: Clock,
    wake: Arc<Notify>,
    metrics: Arc<Metrics>,
}

impl Sender {
    /// A sender with so many connections at once. `wake` wakes it when there may be something to send.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        post: Arc<Post>,
        connections: u32,
        clock: Clock,
        wake: Arc<Notify>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { store, post, lanes: Lanes::new(connections), clock, wake, metrics }
    }

    /// Runs until `stop`; running tries are completed.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { store, post, mut lanes, clock, wake, metrics } = self;
        let trying = Arc::new(Delivering { store: Arc::clone(&store), post, clock, metrics });
        let mut in_flight: JoinSet<DeliveryId> = JoinSet::new();
        while !stop.is_cancelled() {
            while let Some(ended) = in_flight.try_join_next() {
                end(&mut lanes, ended);
            }
            let now = clock.now();
            let mut room = lanes.room(now.steady);
            let places = room.unproven;
            room.unproven = places.min(UNPROVEN_AT_A_TIME);
            let taken = store.due_deliveries(room, store.now()).await;
            let DueBatch { due, next } = taken.unwrap_or_else(|error| {
                tracing::warn!(%error, "the outbox cannot be read");
                DueBatch { due: Vec::new(), next: None }
            });
            let unproven = due.iter().filter(|one| one.lane != Lane::Proven).count();
            for delivery in due {
                let (id, job) = (delivery.event.delivery_id, delivery.event.data.job_id);
                lanes.begin(id, delivery.lane, now.steady);
                let trying = Arc::clone(&trying);
                in_flight.spawn(async move {
                    // A panic is a bug; it must not leave the lanes with a try that never ends.
                    if AssertUnwindSafe(trying.deliver(delivery)).catch_unwind().await.is_err() {
                        tracing::error!(delivery = %id, %job, "a try of a webhook crashed");
                    }
                    id
                });
            }
            // Where only the cap ended it, there may be more, of which the store has not said when.
            if unproven == UNPROVEN_AT_A_TIME as usize && places > UNPROVEN_AT_A_TIME {
                continue;
            }
            let full = lanes.proven_is_full(now.steady);
            let sleep = until(next, now.wall).min(if full { POLL_FULL } else { POLL });
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = wake.notified() => {}
                // The next delivery of a job may have waited for this one.
                Some(ended) = in_flight.join_next() => end(&mut lanes, ended),
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while in_flight.join_next().await.is_some() {}
    }
}

fn end(lanes: &mut Lanes, ended: Result<DeliveryId, tokio::task::JoinError>) {
    match ended {
        Ok(delivery) => lanes.end(delivery),
        Err(error) => tracing::error!(%error, "a try of a webhook was aborted"),
    }
}

fn until(next: Option<Timestamp>, now: Timestamp) -> Duration {
    next.map_or(POLL, |next| {
        Duration::from_millis(u64::try_from(next.millis_since(now)).unwrap_or(0))
    })
}

/// The state that all tries share.
struct Delivering {
    store: Arc<dyn Store>,
    post: Arc<Post>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Delivering {
    async fn deliver(&self, delivery: DueDelivery) {
        let (tried, outcome) = self.post.make(&delivery).await;
        let now = self.clock.now();
        let verdict = schedule::next(delivery.tries + 1, outcome, random(), now.wall);
        let (id, job) = (delivery.event.delivery_id, delivery.event.data.job_id);
        // For one that was redelivered by hand the time would include the wait for that request.
        let first = delivery.event.attempt == delivery.tries + 1;
        let latency = first.then(|| {
            Duration::from_millis(
                u64::try_from(now.wall.millis_since(delivery.event.emitted_at)).unwrap_or(0),
            )
        });
        self.metrics.tried(verdict, Duration::from_millis(tried.duration_ms), latency);
        let error = tried.error.as_deref();
        match &verdict {
            Verdict::Delivered => tracing::debug!(delivery = %id, %job, "a webhook was delivered"),
            Verdict::RetryAt(at) => {
                tracing::info!(delivery = %id, %job, error, again = %at, "a webhook was not taken");
            }
            Verdict::Dead => tracing::warn!(delivery = %id, %job, error, "a webhook was given up"),
        }
        let since = delivery.since;
        let tried = DeliveryAttempt {
            delivery: id,
            since,
            tried,
            verdict,
            rest_wanted: outcome.rest_wanted(),
        };
        if let Err(error) = self.store.tried(tried, self.store.now()).await {
            // It stays pending: the endpoint will see the same deliveryId once more.
            tracing::warn!(%error, delivery = %id, %job, "a delivery's try was not noted");
        }
    }
}

fn random() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use meetbot_types::{AddressPolicy, Webhooks};
    use tokio::net::TcpListener;

    use super::*;
    use crate::store::{
        Backend,
        contract::{all_available, key, link, new_job, start},
    };
    use crate::{egress::Guard, metrics::StoreTimes};

    /// They fill more than one transaction, and nothing that happens wakes the sender for the rest.
    #[tokio::test]
    async fn new_endpoints_that_hang_are_all_tried_before_the_next_poll() {
        let endpoints = 2 * UNPROVEN_AT_A_TIME + 6;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (backend, clock) = (Backend::new(), Clock::start());
        let store = backend.open();
        let metrics = Arc::new(Metrics::new(clock.now().wall, 0, &StoreTimes::new()));
        let (key, _) = store.create_key(key("acme", true), store.now()).await.unwrap();
        for number in 0..endpoints {
            let (now, url) = (store.now(), format!("http://{address}/{number}"));
            let mut job = new_job(now);
            job.webhooks = Webhooks { on_status_change: Some(url), on_finalize: None };
            let start = start(&job);
            store.create_job(key.tenant, job, link(), start, None, now).await.unwrap();
            store.claim([1; 32], all_available(), now).await.unwrap();
        }
        let address_policy = AddressPolicy { loopback: true, networks: Vec::new() };
        let post = Post::new(Arc::new(Guard::new(address_policy)), clock).unwrap();
        let sender = Sender::new(store, Arc::new(post), 1_024, clock, Arc::default(), metrics);
        let mut hanging = Vec::new();
        let all = async {
            while hanging.len() < endpoints as usize {
                hanging.push(listener.accept().await.unwrap());
            }
        };
        let trying = async {
            tokio::select! {
                () = sender.run(CancellationToken::new()) => panic!("nobody stopped it"),
                () = all => {}
            }
        };
        tokio::time::timeout(POLL, trying).await.expect("it sleeps while there are places");
    }
}
