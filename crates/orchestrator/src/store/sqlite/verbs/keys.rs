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
        sqlite::{SqliteStore, audit, consumers, keys, secrets, sessions, writer::Transaction},
    },
};

#[async_trait]
impl KeyStore for SqliteStore {
    async fn create_key(&self, new: NewKey, now: StoreNow) -> Result<(Key, String)> {
        self.writer.write(move |connection| keys::create(connection, &new, now.wall)).await
    }

    async fn create_first_key(&self, new: NewKey, now: StoreNow) -> Result<Option<(Key, String)>> {
        self.writer.write(move |connection| keys::create_first(connection, &new, now.wall)).await
    }

    async fn create_key_idempotently(
        &self,
        asking: Tenant,
        new: NewKey,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<KeyCreation> {
        let create = move |connection: &Transaction<'_>| {
            keys::create_idempotently(connection, asking, &new, idempotency_key.as_ref(), now.wall)
        };
        self.writer.write(create).await
    }

    async fn find_key(&self, prefix: &str) -> Result<Option<Key>> {
        let prefix = prefix.to_owned();
        self.read(move |connection| keys::find(connection, &prefix)).await
    }

    async fn keys(&self) -> Result<Vec<Key>> {
        self.read(keys::list).await
    }

    async fn list_keys(&self, filter: KeyFilter, window: Window<KeyId>) -> Result<Page<Key>> {
        self.read(move |connection| keys::page(connection, filter, window)).await
    }

    async fn revoke_key(
        &self,
        id: KeyId,
        keep_operator: bool,
        now: StoreNow,
    ) -> Result<Revocation> {
        let revoke = move |connection: &Transaction<'_>| {
            keys::revoke(connection, id, keep_operator, now.wall)
        };
        self.writer.write(revoke).await
    }

    async fn note_uses(
        &self,
        uses: Vec<KeyUse>,
        repeats: Vec<(UseId, u64)>,
        last_used: Vec<(KeyId, Timestamp)>,
        keep_from: Timestamp,
    ) -> Result<()> {
        let note = move |connection: &Transaction<'_>| {
            audit::note(connection, &uses, &repeats, &last_used, keep_from)
        };
        self.writer.write(note).await
    }

    async fn key_uses(&self, filter: UseFilter, window: Window<UseId>) -> Result<Page<KeyUse>> {
        self.read(move |connection| audit::list(connection, &filter, window)).await
    }

    async fn webhook_secrets(
        &self,
        consumer: &str,
        now: StoreNow,
    ) -> Result<Option<WebhookSecrets>> {
        let consumer = consumer.to_owned();
        self.read(move |connection| secrets::of_name(connection, &consumer, now.wall)).await
    }

    async fn rotate_webhook_secret(
        &self,
        consumer: &str,
        new: Secret,
        overlap: Duration,
        now: StoreNow,
    ) -> Result<Rotation> {
        let consumer = consumer.to_owned();
        let rotate = move |connection: &Transaction<'_>| {
            secrets::rotate(connection, &consumer, &new, overlap, now.wall)
        };
        self.writer.write(rotate).await
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
        let rotate = move |connection: &Transaction<'_>| {
            let new = (&new, overlap);
            secrets::rotate_idempotently(
                connection,
                asking,
                consumer,
                new,
                idempotency_key.as_ref(),
                now.wall,
            )
        };
        self.writer.write(rotate).await
    }

    async fn consumer_name(&self, consumer: ConsumerId) -> Result<Option<String>> {
        self.read(move |connection| consumers::name(connection, consumer)).await
    }

    async fn consumer_jobs(&self, asking: Tenant) -> Result<Vec<(Tenant, JobId, bool)>> {
        self.read(move |connection| consumers::jobs(connection, asking)).await
    }

    async fn erase_jobs(
        &self,
        consumer: ConsumerId,
        jobs: Vec<JobId>,
        now: StoreNow,
    ) -> Result<u64> {
        self.writer
            .write(move |connection| consumers::erase_jobs(connection, consumer, &jobs, now))
            .await
    }

    async fn erase_consumer(&self, asking: Tenant) -> Result<Option<u64>> {
        self.writer.write(move |connection| consumers::erase(connection, asking)).await
    }
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn begin_session(&self, new: NewSession, now: StoreNow) -> Result<()> {
        self.writer.write(move |connection| sessions::begin(connection, &new, now.wall)).await
    }

    async fn session_key(&self, hash: [u8; 32], now: StoreNow) -> Result<Option<Key>> {
        self.read(move |connection| sessions::key(connection, hash, now.wall)).await
    }

    async fn end_session(&self, hash: [u8; 32], now: StoreNow) -> Result<Option<Key>> {
        self.writer.write(move |connection| sessions::end(connection, hash, now.wall)).await
    }
}
