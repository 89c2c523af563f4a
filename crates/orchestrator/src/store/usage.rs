//! Calls for usage and counts.

use async_trait::async_trait;
use meetbot_types::{ConsumerId, Page, Timestamp, work::Pool};

use super::{ConsumerFilter, ConsumerUse, Quota, QuotaChange, Result, Tally, Tenant, Used, Window};
use crate::clock::StoreNow;

/// What consumers may use and have used, and what is counted for those who run the server.
#[async_trait]
pub trait UsageStore: Send + Sync + 'static {
    /// What a consumer may use and has used in a world.
    async fn used(&self, tenant: Tenant, now: StoreNow) -> Result<Used>;
    /// The same of all consumers, by name.
    async fn consumers(&self, now: StoreNow) -> Result<Vec<ConsumerUse>>;
    /// The same of some consumers, newest first.
    async fn list_consumers(
        &self,
        filter: ConsumerFilter,
        window: Window<ConsumerId>,
        now: StoreNow,
    ) -> Result<Page<ConsumerUse>>;
    /// Sets the default quota of consumers without overrides.
    async fn set_default_quota(&self, quota: Quota) -> Result<()>;
    /// Changes what the consumer with this name may use, from now on; `false` where there is none.
    async fn change_quota(&self, consumer: &str, change: QuotaChange) -> Result<bool>;
    /// Whether a consumer has as many bots as it may have, so that its other jobs wait.
    async fn at_bot_limit(&self, tenant: Tenant) -> Result<bool>;
    /// Sets how many bots may be signed in as each account at once.
    async fn set_accounts(&self, accounts: Vec<(String, u32)>) -> Result<()>;
    /// The accounts of which all places are taken, so that their other jobs wait.
    async fn full_accounts(&self) -> Result<Vec<String>>;
    /// Counts jobs, deliveries and the bytes of recordings, at a cost that does not grow with the jobs that have ended, but with the recordings that are kept.
    async fn tally(&self) -> Result<Tally>;
    /// How many bots each pool would run at this moment if no job had to wait for a worker: those of jobs that hold a slot, and of jobs that may start by then.
    async fn places_wanted(&self, by: Timestamp) -> Result<Vec<(Pool, u64)>>;
}
