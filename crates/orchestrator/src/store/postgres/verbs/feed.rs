//! The verbs of feeds.

use async_trait::async_trait;
use meetbot_types::EventName;

use crate::store::{
    Feed, FeedCursor, FeedStore, Result, Tenant,
    postgres::{PostgresStore, feed},
};

#[async_trait]
impl FeedStore for PostgresStore {
    async fn feed(
        &self,
        tenant: Tenant,
        names: Vec<EventName>,
        after: Option<FeedCursor>,
        limit: u32,
    ) -> Result<Feed> {
        self.read((tenant, names, after, limit), |it, (tenant, names, after, limit)| {
            Box::pin(feed::read(it, *tenant, names, *after, *limit))
        })
        .await
    }

    async fn feed_end(&self, tenant: Tenant) -> Result<FeedCursor> {
        self.read(tenant, |it, tenant| Box::pin(feed::end(it, *tenant))).await
    }
}
