//! Calls for usage and limits of consumers.

use async_trait::async_trait;
use meetbot_types::{ConsumerId, Page, Timestamp, work::Pool};

use crate::{
    clock::StoreNow,
    store::{
        ConsumerFilter, ConsumerUse, Quota, QuotaChange, Result, Tally, Tenant, UsageStore, Used,
        Window,
        postgres::{PostgresStore, accounts, quotas, tally},
    },
};

#[async_trait]
impl UsageStore for PostgresStore {
    async fn used(&self, tenant: Tenant, now: StoreNow) -> Result<Used> {
        self.read((tenant, now), |it, (tenant, now)| Box::pin(quotas::used(it, *tenant, now.wall)))
            .await
    }

    async fn consumers(&self, now: StoreNow) -> Result<Vec<ConsumerUse>> {
        self.read(now, |it, now| Box::pin(quotas::list(it, now.wall))).await
    }

    async fn list_consumers(
        &self,
        filter: ConsumerFilter,
        window: Window<ConsumerId>,
        now: StoreNow,
    ) -> Result<Page<ConsumerUse>> {
        self.read((filter, window, now), |it, (filter, window, now)| {
            Box::pin(quotas::page(it, filter, *window, now.wall))
        })
        .await
    }

    async fn set_default_quota(&self, quota: Quota) -> Result<()> {
        self.write(quota, |it, quota| Box::pin(quotas::set_default(it, *quota))).await
    }

    async fn change_quota(&self, consumer: &str, change: QuotaChange) -> Result<bool> {
        let asked = (consumer.to_owned(), change);
        self.write(asked, |it, (name, change)| Box::pin(quotas::change(it, name, change))).await
    }

    async fn at_bot_limit(&self, tenant: Tenant) -> Result<bool> {
        self.read(tenant, |it, tenant| Box::pin(quotas::at_bot_limit(it, *tenant))).await
    }

    async fn set_accounts(&self, accounts: Vec<(String, u32)>) -> Result<()> {
        self.write(accounts, |it, accounts| Box::pin(accounts::set(it, accounts))).await
    }

    async fn full_accounts(&self) -> Result<Vec<String>> {
        self.read((), |it, ()| Box::pin(accounts::full(it))).await
    }

    async fn tally(&self) -> Result<Tally> {
        self.read((), |it, ()| Box::pin(tally::count(it))).await
    }

    async fn places_wanted(&self, by: Timestamp) -> Result<Vec<(Pool, u64)>> {
        self.read(by, |it, by| Box::pin(quotas::places_wanted(it, *by))).await
    }
}
