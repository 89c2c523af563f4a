//! The verbs of deliveries.

use async_trait::async_trait;
use meetbot_types::{Delivery, DeliveryId, Page, Redeliver};

use crate::{
    clock::StoreNow,
    store::{
        Capacity, DeliveryAttempt, DeliveryFilter, DeliveryStore, DueBatch, EndpointRedelivery,
        IdempotencyKey, Redelivery, Result, Tenant, Window,
        postgres::{PostgresStore, deliveries, outbox, paused, transaction::Caller},
    },
};

#[async_trait]
impl DeliveryStore for PostgresStore {
    async fn due_deliveries(&self, capacity: Capacity, now: StoreNow) -> Result<DueBatch> {
        self.write_at(Caller::Sender, now, capacity, |it, (node, capacity, now)| {
            Box::pin(async move {
                if paused::is(it).await? {
                    return Ok(DueBatch::default());
                }
                outbox::take(it, node, *capacity, it.at(*now)).await
            })
        })
        .await
    }

    async fn tried(&self, tried: DeliveryAttempt, now: StoreNow) -> Result<()> {
        self.write_at(Caller::Sender, now, tried, |it, (_, tried, now)| {
            Box::pin(outbox::note(it, tried, *now))
        })
        .await
    }

    async fn deliveries(
        &self,
        tenant: Tenant,
        filter: DeliveryFilter,
        window: Window<DeliveryId>,
    ) -> Result<Page<Delivery>> {
        self.read((tenant, filter, window), |it, (tenant, filter, window)| {
            Box::pin(deliveries::list(it, *tenant, filter, *window))
        })
        .await
    }

    async fn delivery(&self, tenant: Tenant, id: DeliveryId) -> Result<Option<Delivery>> {
        self.read((tenant, id), |it, (tenant, id)| {
            Box::pin(deliveries::of_tenant(it, *tenant, *id))
        })
        .await
    }

    async fn redeliver(
        &self,
        tenant: Tenant,
        id: DeliveryId,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<Redelivery> {
        self.write((tenant, id, idempotency_key, now), |it, (tenant, id, idempotency_key, now)| {
            Box::pin(deliveries::redeliver(it, *tenant, *id, idempotency_key.as_ref(), *now))
        })
        .await
    }

    async fn redeliver_all(
        &self,
        tenant: Tenant,
        which: Redeliver,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<EndpointRedelivery> {
        self.write(
            (tenant, which, idempotency_key, now),
            |it, (tenant, which, idempotency_key, now)| {
                Box::pin(deliveries::redeliver_all(
                    it,
                    *tenant,
                    which,
                    idempotency_key.as_ref(),
                    *now,
                ))
            },
        )
        .await
    }
}
