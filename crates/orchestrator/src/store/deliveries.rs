//! Webhooks on their way: what senders take from the store and what they bring back.

use std::time::Duration;

use meetbot_types::{
    Delivery, DeliveryId, DeliveryState, DeliveryTry, JobId, Timestamp, WebhookEvent,
};

use super::{Earlier, WebhookSecrets};
use crate::deliveries::Lane;
pub use crate::deliveries::{Room, Verdict};

/// A delivery that is to be tried now.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    /// The envelope; its `attempt` counts all tries.
    pub event: WebhookEvent,
    /// How many tries have failed since it was sent first, or again.
    pub tries: u32,
    /// When it was sent first, or last asked for again.
    pub since: Timestamp,
    /// The endpoint.
    pub url: String,
    /// The consumer's webhook secrets.
    pub secrets: WebhookSecrets,
    /// Where its endpoint queues.
    pub(crate) lane: Lane,
}

/// Deliveries that were taken to be tried.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// These.
    pub due: Vec<DueDelivery>,
    /// When there may be more, as far as there is room for it.
    pub next: Option<Timestamp>,
}

/// A try that was made.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The delivery.
    pub delivery: DeliveryId,
    /// [`DueDelivery::since`], as the try saw it.
    pub since: Timestamp,
    /// What happened.
    pub tried: DeliveryTry,
    /// What becomes of the delivery. One that was asked for again during the try, and did not arrive, is tried again at once instead.
    pub verdict: Verdict,
    /// How long the endpoint asks to be left alone.
    pub wish: Option<Duration>,
}

/// What became of a delivery that was to be sent once more.
#[derive(Debug, Clone)]
pub enum Redelivery {
    /// It waits for its next try.
    Sent(Box<Delivery>),
    /// There is no such delivery.
    NotFound,
    /// The request came before.
    Earlier(Earlier),
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this job.
    pub job_id: Option<JobId>,
    /// In this state.
    pub state: Option<DeliveryState>,
}
