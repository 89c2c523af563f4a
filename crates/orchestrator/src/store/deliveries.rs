//! Deliveries: senders take them from the store and store the results of their tries.

use std::time::Duration;

use async_trait::async_trait;
use meetbot_types::{
    Delivery, DeliveryId, DeliveryState, DeliveryTry, JobId, Page, Redeliver, Redelivered,
    Timestamp, WebhookEvent,
};

use super::{IdempotencyKey, PriorRequest, Result, Tenant, WebhookSecrets, Window};
use crate::clock::StoreNow;
use crate::deliveries::Lane;
pub use crate::deliveries::{Capacity, Verdict};

/// A delivery that is due.
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

/// Deliveries that are due, leased to one sender.
#[derive(Debug, Clone, Default)]
pub struct DueBatch {
    /// These.
    pub due: Vec<DueDelivery>,
    /// When more may be due, as far as the capacity allows.
    pub next: Option<Timestamp>,
}

/// A try of a delivery, with its result.
#[derive(Debug, Clone)]
pub struct DeliveryAttempt {
    /// The delivery.
    pub delivery: DeliveryId,
    /// [`DueDelivery::since`], as the try saw it.
    pub since: Timestamp,
    /// What happened.
    pub tried: DeliveryTry,
    /// The result. A delivery whose redelivery was requested during a failed try is retried at once instead.
    pub verdict: Verdict,
    /// For how long the endpoint asks for no requests.
    pub rest_wanted: Option<Duration>,
}

/// The result of a redelivery.
#[derive(Debug, Clone)]
pub enum Redelivery {
    /// It waits for its next try.
    Sent(Box<Delivery>),
    /// There is no such delivery.
    NotFound,
    /// The same `Idempotency-Key` was used before.
    Prior(PriorRequest),
}

/// How many deliveries of an endpoint are sent once more in one transaction, at most.
pub const REDELIVERED_AT_ONCE: u32 = 1_000;

/// The result of a redelivery of an endpoint's deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointRedelivery {
    /// So many wait for their next try.
    Sent(Redelivered),
    /// Nothing was ever sent to such an endpoint.
    NoEndpoint,
    /// The same `Idempotency-Key` was used before.
    Prior(PriorRequest),
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this job.
    pub job_id: Option<JobId>,
    /// In this state.
    pub state: Option<DeliveryState>,
}

/// Deliveries: for their senders, and for callers who list them.
#[async_trait]
pub trait DeliveryStore: Send + Sync + 'static {
    /// Takes deliveries that are due, in order per job and endpoint; no other sender gets them for a minute. Endpoints that answer come first,
    /// those that rest not at all, and none gets more at once than its bulkhead lets through.
    async fn due_deliveries(&self, capacity: Capacity, now: StoreNow) -> Result<DueBatch>;
    /// Notes a try, and what follows from it for the delivery, those behind it and the endpoint.
    async fn tried(&self, tried: DeliveryAttempt, now: StoreNow) -> Result<()>;
    /// Deliveries with their tries, newest first.
    async fn deliveries(
        &self,
        tenant: Tenant,
        filter: DeliveryFilter,
        window: Window<DeliveryId>,
    ) -> Result<Page<Delivery>>;
    /// A delivery.
    async fn delivery(&self, tenant: Tenant, id: DeliveryId) -> Result<Option<Delivery>>;
    /// Redelivers a delivery in any state, and stores the response for its `Idempotency-Key`.
    async fn redeliver(
        &self,
        tenant: Tenant,
        id: DeliveryId,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<Redelivery>;
    /// Redelivers deliveries of an endpoint in any state: the oldest [`REDELIVERED_AT_ONCE`]. Stores the response for its
    /// `Idempotency-Key`.
    async fn redeliver_all(
        &self,
        tenant: Tenant,
        which: Redeliver,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<EndpointRedelivery>;
}
