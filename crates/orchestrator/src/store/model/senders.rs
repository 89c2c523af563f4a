//! Actions of the webhook senders.

use std::time::Duration;

use meetbot_types::{DeliveryTry, Timestamp};

use super::{action::TryResult, state::ModelTest};
use crate::store::{Capacity, DeliveryAttempt, DueBatch, Verdict};

impl ModelTest {
    /// Takes what is due; answers how many that were, and when there may be more.
    pub(super) async fn take(&mut self, limit: u32) -> (usize, Option<Timestamp>) {
        let room = Capacity { proven: limit, unproven: limit };
        let DueBatch { due, next } = self.store.due_deliveries(room, self.now).await.unwrap();
        let count = due.len();
        assert!(count <= 2 * limit as usize);
        assert!(!self.paused || (count == 0 && next.is_none()), "it is paused");
        for delivery in due {
            let event = &delivery.event;
            let job = self.place(event.data.job_id);
            let now = self.now;
            let deliveries = &mut self.jobs[job].deliveries;
            let id = Some(event.delivery_id);
            let place = deliveries.iter().position(|sent| sent.id == id).unwrap();
            let waits = deliveries.iter().any(|sent| {
                sent.holds && sent.url == delivery.url && sent.sequence < event.data.sequence
            });
            let sent = &mut deliveries[place];
            assert!(!waits, "one before it has not arrived: {delivery:?}");
            assert!(sent.free(now), "it is not due, or on its way: {delivery:?}, {sent:?}");
            assert_eq!(
                (&sent.event, sent.sequence, sent.url),
                (&event.event, event.data.sequence, delivery.url.as_str())
            );
            assert_eq!((delivery.tries, event.attempt), (sent.tries, sent.tries_ever + 1));
            assert!(sent.again_at.is_none_or(|at| at == delivery.since), "{delivery:?}, {sent:?}");
            sent.take(now);
            self.held_deliveries.push((job, place, delivery));
        }
        (count, next)
    }

    pub(super) async fn record_try(&mut self, held: usize, result: TryResult) {
        let (job, place, delivery) = self.held_deliveries.swap_remove(held);
        let (status, verdict, rest_wanted) = match result {
            TryResult::Delivered => (200, Verdict::Delivered, None),
            TryResult::Failed { retry_in, rest_wanted } => {
                let again = self.now.wall + Duration::from_secs(retry_in.into());
                (
                    500,
                    Verdict::RetryAt(again),
                    rest_wanted.map(|rest_wanted| Duration::from_secs(rest_wanted.into())),
                )
            }
            TryResult::Gone => (410, Verdict::Dead, None),
        };
        self.jobs[job].deliveries[place].note(&verdict, delivery.since, self.now);
        let tried = DeliveryTry {
            at: self.now.wall,
            duration_ms: 1,
            status: Some(status),
            error: None,
            answer: None,
        };
        let (delivery, since) = (delivery.event.delivery_id, delivery.since);
        self.store
            .tried(DeliveryAttempt { delivery, since, tried, verdict, rest_wanted }, self.now)
            .await
            .unwrap();
        self.compare(job).await;
    }
}
