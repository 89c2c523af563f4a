//! The verbs of [`Store`], each a transaction. Those that go over many jobs take one transaction for each, so that they lock one at a time.

mod deliveries;
mod feed;
mod jobs;
mod keys;
mod servers;
mod uploads;
mod usage;

use async_trait::async_trait;
use meetbot_types::Timestamp;

use crate::{
    clock::StoreNow,
    store::{
        Leases, Result, Store,
        postgres::{
            PostgresStore, idempotency, outbox, paused, room_bots, secrets,
            transaction::{Caller, Work},
            zoom,
        },
    },
};

impl PostgresStore {
    async fn read<A, T>(&self, asked: A, work: Work<A, T>) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.connections.read(asked, work).await
    }

    /// Writes, for anybody, at no moment of theirs.
    async fn write<A, T>(&self, asked: A, work: Work<A, T>) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.connections.write(Caller::Other, None, asked, work).await
    }

    /// Writes at a moment, with the name of this server's node.
    async fn write_at<A, T>(
        &self,
        caller: Caller,
        now: StoreNow,
        asked: A,
        work: Work<(String, A, StoreNow), T>,
    ) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let asked = (self.member.node.clone(), asked, now);
        self.connections.write(caller, Some(now), asked, work).await
    }

    /// Does the same for each of these, one after the other. What was done before an error counts: the rest is found again the next time.
    async fn each<I, T, F: Future<Output = Result<Option<T>>>>(
        found: Vec<I>,
        work: impl Fn(I) -> F,
    ) -> Result<Vec<T>> {
        let mut done = Vec::new();
        for one in found {
            match work(one).await {
                Ok(answer) => done.extend(answer),
                Err(error) if done.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the rest is done the next time");
                    break;
                }
            }
        }
        Ok(done)
    }

    async fn forget_leases(&self, leases: Leases, now: StoreNow) -> Result<()> {
        self.forget_leases_of(&self.member.node, leases, now).await
    }

    /// The same of the deliveries of the server with this data folder.
    pub(super) async fn forget_leases_of(
        &self,
        node: &str,
        leases: Leases,
        now: StoreNow,
    ) -> Result<()> {
        let asked = (node.to_owned(), leases);
        let endpoints = self
            .write_at(Caller::Other, now, asked, |it, (_, (node, leases), _)| {
                Box::pin(outbox::with_ended_leases(it, node, *leases))
            })
            .await?;
        for endpoint in endpoints {
            let asked = (node.to_owned(), endpoint, leases);
            self.write_at(Caller::Other, now, asked, |it, (_, (node, endpoint, leases), now)| {
                Box::pin(outbox::forget_leases(it, node, endpoint, *leases, it.at(*now)))
            })
            .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn now(&self) -> StoreNow {
        let now = self.clock.now();
        StoreNow { wall: now.wall, lease: self.offset() + now.steady, timing: self.timing }
    }

    async fn sweep(&self, now: StoreNow) -> Result<()> {
        self.forget_leases(Leases::RanOut, now).await?;
        self.write(now, |it, now| {
            Box::pin(async move {
                secrets::sweep(it, now.wall).await?;
                room_bots::sweep(it, now.wall).await?;
                zoom::sweep(it, now.wall).await?;
                idempotency::sweep(it, now.wall).await
            })
        })
        .await
    }

    async fn paused_since(&self) -> Result<Option<Timestamp>> {
        self.read((), |it, ()| Box::pin(paused::since(it))).await
    }

    async fn unpause(&self) -> Result<bool> {
        self.write((), |it, ()| Box::pin(paused::end(it))).await
    }

    async fn close(&self) {
        self.end().await;
    }
}
