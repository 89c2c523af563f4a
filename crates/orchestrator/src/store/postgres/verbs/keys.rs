//! The verbs of keys, their consumers and the dashboard's sessions.

use std::time::Duration;

use async_trait::async_trait;
use meetbot_types::{ConsumerId, JobId, KeyId, Page, Timestamp, UseId, bot::Secret};

use crate::{
    clock::StoreNow,
    store::{
        IdempotencyKey, Key, KeyCreation, KeyFilter, KeyStore, KeyUse, NewKey, NewSession, Result,
        Revocation, Rotation, RotationAnswer, SessionStore, Tenant, UseFilter, WebhookSecrets,
        Window,
        postgres::{PostgresStore, audit, consumers, erasure, keys, secrets, sessions},
    },
};

#[async_trait]
impl KeyStore for PostgresStore {
    async fn create_key(&self, new: NewKey, now: StoreNow) -> Result<(Key, String)> {
        self.write((new, now), |it, (new, now)| Box::pin(keys::create(it, new, now.wall))).await
    }

    async fn create_first_key(&self, new: NewKey, now: StoreNow) -> Result<Option<(Key, String)>> {
        self.write((new, now), |it, (new, now)| Box::pin(keys::create_first(it, new, now.wall)))
            .await
    }

    async fn create_key_idempotently(
        &self,
        asking: Tenant,
        new: NewKey,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<KeyCreation> {
        self.write(
            (asking, new, idempotency_key, now),
            |it, (asking, new, idempotency_key, now)| {
                Box::pin(keys::create_idempotently(
                    it,
                    *asking,
                    new,
                    idempotency_key.as_ref(),
                    now.wall,
                ))
            },
        )
        .await
    }

    async fn find_key(&self, prefix: &str) -> Result<Option<Key>> {
        self.read(prefix.to_owned(), |it, prefix| Box::pin(keys::find(it, prefix))).await
    }

    async fn keys(&self) -> Result<Vec<Key>> {
        self.read((), |it, ()| Box::pin(keys::list(it))).await
    }

    async fn list_keys(&self, filter: KeyFilter, window: Window<KeyId>) -> Result<Page<Key>> {
        self.read((filter, window), |it, (filter, window)| {
            Box::pin(keys::page(it, filter, *window))
        })
        .await
    }

    async fn revoke_key(
        &self,
        id: KeyId,
        keep_operator: bool,
        now: StoreNow,
    ) -> Result<Revocation> {
        self.write((id, keep_operator, now), |it, (id, keep_operator, now)| {
            Box::pin(keys::revoke(it, *id, *keep_operator, now.wall))
        })
        .await
    }

    async fn note_uses(
        &self,
        uses: Vec<KeyUse>,
        repeats: Vec<(UseId, u64)>,
        last_used: Vec<(KeyId, Timestamp)>,
        keep_from: Timestamp,
    ) -> Result<()> {
        let batch = audit::AuditBatch { uses, repeats, last_used, keep_from };
        self.write(batch, |it, batch| Box::pin(audit::note(it, batch))).await
    }

    async fn key_uses(&self, filter: UseFilter, window: Window<UseId>) -> Result<Page<KeyUse>> {
        self.read((filter, window), |it, (filter, window)| {
            Box::pin(audit::list(it, filter, *window))
        })
        .await
    }

    async fn webhook_secrets(
        &self,
        consumer: &str,
        now: StoreNow,
    ) -> Result<Option<WebhookSecrets>> {
        let asked = (consumer.to_owned(), now);
        self.read(asked, |it, (name, now)| Box::pin(secrets::of_name(it, name, now.wall))).await
    }

    async fn rotate_webhook_secret(
        &self,
        consumer: &str,
        new: Secret,
        overlap: Duration,
        now: StoreNow,
    ) -> Result<Rotation> {
        let asked = (consumer.to_owned(), new, overlap, now);
        self.write(asked, |it, (name, new, overlap, now)| {
            Box::pin(secrets::rotate(it, name, new, *overlap, now.wall))
        })
        .await
    }

    async fn rotate_webhook_secret_idempotently(
        &self,
        asking: Tenant,
        consumer: ConsumerId,
        new: Secret,
        overlap: Duration,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<RotationAnswer> {
        let rotation = secrets::Rotate { asking, consumer, new, overlap, idempotency_key };
        self.write((rotation, now), |it, (rotation, now)| {
            Box::pin(secrets::rotate_idempotently(it, rotation, now.wall))
        })
        .await
    }

    async fn consumer_name(&self, consumer: ConsumerId) -> Result<Option<String>> {
        self.read(consumer, |it, consumer| Box::pin(consumers::name(it, *consumer))).await
    }

    async fn consumer_jobs(&self, asking: Tenant) -> Result<Vec<(Tenant, JobId, bool)>> {
        self.read(asking, |it, asking| Box::pin(consumers::jobs(it, *asking))).await
    }

    async fn erase_jobs(
        &self,
        consumer: ConsumerId,
        jobs: Vec<JobId>,
        now: StoreNow,
    ) -> Result<u64> {
        let mut erased = 0;
        for job in jobs {
            erased += self
                .write((consumer, job, now), |it, (consumer, id, now)| {
                    Box::pin(async move {
                        let may = consumers::may_erase(it, *consumer, *id).await?;
                        if may {
                            erasure::job(it, &id.to_string(), *now).await?;
                        }
                        Ok(u64::from(may))
                    })
                })
                .await?;
        }
        Ok(erased)
    }

    async fn erase_consumer(&self, asking: Tenant) -> Result<Option<u64>> {
        self.write(asking, |it, asking| Box::pin(consumers::erase(it, *asking))).await
    }
}

#[async_trait]
impl SessionStore for PostgresStore {
    async fn begin_session(&self, new: NewSession, now: StoreNow) -> Result<()> {
        self.write((new, now), |it, (new, now)| Box::pin(sessions::begin(it, new, now.wall))).await
    }

    async fn session_key(&self, hash: [u8; 32], now: StoreNow) -> Result<Option<Key>> {
        self.read((hash, now), |it, (hash, now)| Box::pin(sessions::key(it, hash, now.wall))).await
    }

    async fn end_session(&self, hash: [u8; 32], now: StoreNow) -> Result<Option<Key>> {
        self.write((hash, now), |it, (hash, now)| Box::pin(sessions::end(it, hash, now.wall))).await
    }
}
