//! Stored API keys and the audit log of their use.

use std::time::Duration;

use async_trait::async_trait;
pub use meetbot_types::KeyUse;
use meetbot_types::{
    ApiKey, ConsumerId, JobId, KeyId, KeyScope, Page, Timestamp, UseId, bot::Secret,
};

use super::{IdempotencyKey, PriorRequest, Result, Rotation, Tenant, WebhookSecrets, Window};
use crate::clock::StoreNow;

/// What a key may do; [`Scope::includes`] says which includes which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Look.
    Read,
    /// Make and change jobs.
    Write,
    /// See how the server and its machine are, and erase the key's consumer.
    Admin,
    /// Run the server: keys, quotas, secrets and erasure of all consumers.
    Operator,
    /// Take jobs for bots, and nothing else.
    Worker,
}

impl Scope {
    /// Whether a key with this scope may do what needs the other one. Of `read`, `write`, `admin` and `operator` each includes those before it; an operator makes keys of workers,
    /// and a worker's key does a worker's work alone.
    pub const fn includes(self, needed: Self) -> bool {
        match (self, needed) {
            (Self::Worker, _) => matches!(needed, Self::Worker),
            (_, Self::Worker) => matches!(self, Self::Operator),
            (own, needed) => own as u8 >= needed as u8,
        }
    }

    /// Whether the scope is for the whole server. A test key, which is for the test world only, cannot have it.
    pub const fn is_of_whole_server(self) -> bool {
        matches!(self, Self::Operator | Self::Worker)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Worker => "worker",
        }
    }

    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Admin, Self::Operator, Self::Worker];

    /// The scope with this name.
    pub fn known(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl From<Scope> for KeyScope {
    fn from(scope: Scope) -> Self {
        Self::from(scope.as_str())
    }
}

/// An API key as it is stored: its secret only as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its tenant.
    pub tenant: Tenant,
    /// Their name.
    pub consumer_name: String,
    /// What it may do.
    pub scope: Scope,
    /// The public part, by which it is found.
    pub prefix: String,
    /// The SHA-256 of the whole key.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, refused or not; up to half a minute late. `None`: never.
    pub last_used_at: Option<Timestamp>,
}

/// Why a key is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEnd {
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired,
}

impl Key {
    /// Why it is not valid at this moment, if so.
    pub fn ended(&self, now: Timestamp) -> Option<KeyEnd> {
        if self.revoked_at.is_some() {
            Some(KeyEnd::Revoked)
        } else if self.expires_at.is_some_and(|at| at <= now) {
            Some(KeyEnd::Expired)
        } else {
            None
        }
    }

    /// Whether it is a valid key of an operator: the last one is protected from an accidental revocation.
    pub(crate) fn opens_as_operator(&self, now: Timestamp) -> bool {
        self.scope == Scope::Operator && self.ended(now).is_none()
    }

    /// Revokes it; the first time counts.
    pub(crate) fn revoke(&mut self, now: Timestamp) {
        self.revoked_at.get_or_insert(now);
    }

    /// The key as the API shows it.
    pub fn shown(self) -> ApiKey {
        ApiKey {
            id: self.id,
            consumer: self.consumer_name,
            consumer_id: self.tenant.consumer,
            live: self.tenant.live,
            scope: self.scope.into(),
            prefix: self.prefix,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
        }
    }
}

/// A key to be stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// The consumer's name; a name that is new makes a new consumer.
    pub consumer_name: String,
    /// For the live world, or the one of tests.
    pub live: bool,
    /// What it may do.
    pub scope: Scope,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The public part.
    pub prefix: String,
    /// The SHA-256 of the whole key.
    pub hash: [u8; 32],
    /// The webhook secret of the consumer, should it be new.
    pub webhook_secret: String,
}

impl NewKey {
    /// The key, of the consumer with this id.
    pub(crate) fn of(&self, consumer: ConsumerId, now: Timestamp) -> Key {
        Key {
            id: self.id,
            tenant: Tenant { consumer, live: self.live },
            consumer_name: self.consumer_name.clone(),
            scope: self.scope,
            prefix: self.prefix.clone(),
            hash: self.hash,
            created_at: now,
            expires_at: self.expires_at,
            revoked_at: None,
            last_used_at: None,
        }
    }
}

/// Which entries of the audit log. An empty field asks for all.
#[derive(Debug, Clone, Default)]
pub struct UseFilter {
    /// Of this key.
    pub key: Option<KeyId>,
    /// About this job.
    pub job: Option<JobId>,
    /// Of keys of this consumer.
    pub consumer: Option<ConsumerId>,
    /// Only refusals.
    pub refused: bool,
    /// Since this moment.
    pub after: Option<Timestamp>,
    /// Before this moment.
    pub before: Option<Timestamp>,
}

/// The most entries of the audit log that are read for a page, so that a search among many millions takes a connection for some milliseconds only.
pub(crate) const SEARCHED_AT_ONCE: u32 = 20_000;
/// The most old entries that are deleted at once, so that other calls do not wait after the retention was shortened.
pub(crate) const SWEPT_AT_ONCE: u32 = 1_000;

impl UseFilter {
    /// The range of ids of the entries, after a cursor: ids sort by time, and one made for a moment sorts behind all that are older. They bound the search to the
    /// millisecond; within one they are in no order.
    pub(crate) fn ids(&self, cursor: Option<UseId>) -> (Option<UseId>, Option<UseId>) {
        let from = self.after.map(|after| UseId::generate(after - Duration::from_millis(1)));
        let until = self.before.map(UseId::generate);
        (from, until.into_iter().chain(cursor).min())
    }
}

/// Which keys. An empty field asks for all.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Of the consumer with this name.
    pub consumer: Option<String>,
}

/// The result of the creation of a key for a caller.
#[derive(Debug, Clone)]
pub enum KeyCreation {
    /// It is there, and so is its consumer: with this webhook secret, where the consumer is new.
    Created(Key, Option<Secret>),
    /// The same `Idempotency-Key` was used before. The stored response has an empty `key`, since the store never has the key itself.
    Prior(PriorRequest),
}

/// The result of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, now or before.
    Done(Key),
    /// It is the last valid key with the scope `operator`, and the caller asked to keep that one.
    LastOperator,
    /// There is no such key.
    NotFound,
}

/// The result of a rotation for a caller.
#[derive(Debug, Clone)]
pub enum RotationAnswer {
    /// The result.
    Now(Rotation),
    /// The same `Idempotency-Key` was used before.
    Prior(PriorRequest),
}

/// Keys, their audit log, webhook secrets, and consumers as a whole.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Stores a key, and its consumer when that is new (then its webhook secret is the one given). Answers the key and the
    /// consumer's webhook secret.
    async fn create_key(&self, new: NewKey, now: StoreNow) -> Result<(Key, String)>;
    /// The same if the store has no key yet, also a revoked one; else `None`, and nothing is stored. Of servers that start at the same moment, one makes the first key.
    async fn create_first_key(&self, new: NewKey, now: StoreNow) -> Result<Option<(Key, String)>>;
    /// The same for a caller of this tenant: creates nothing where the `Idempotency-Key` was used before. With a new key its response is stored: 201 and a `CreatedKey`
    /// whose `key` is empty.
    async fn create_key_idempotently(
        &self,
        asking: Tenant,
        new: NewKey,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<KeyCreation>;
    /// The key with this public part.
    async fn find_key(&self, prefix: &str) -> Result<Option<Key>>;
    /// All keys, oldest first.
    async fn keys(&self) -> Result<Vec<Key>>;
    /// Some keys, newest first.
    async fn list_keys(&self, filter: KeyFilter, window: Window<KeyId>) -> Result<Page<Key>>;
    /// Ends a key; with `keep_operator` not the last valid one with the scope `operator`.
    async fn revoke_key(&self, id: KeyId, keep_operator: bool, now: StoreNow)
    -> Result<Revocation>;
    /// Writes entries of the audit log, counts of repeated calls for entries that exist, and the last use of each key; deletes
    /// entries older than `keep_from`.
    async fn note_uses(
        &self,
        uses: Vec<KeyUse>,
        repeats: Vec<(UseId, u64)>,
        last_used: Vec<(KeyId, Timestamp)>,
        keep_from: Timestamp,
    ) -> Result<()>;
    /// Entries of the audit log, newest first.
    ///
    /// A page may end early, even without an entry, where many entries were searched for it; then it has a cursor.
    async fn key_uses(&self, filter: UseFilter, window: Window<UseId>) -> Result<Page<KeyUse>>;
    /// The webhook secrets of the consumer with this name. `None` where there is none.
    async fn webhook_secrets(
        &self,
        consumer: &str,
        now: StoreNow,
    ) -> Result<Option<WebhookSecrets>>;
    /// Gives the consumer with this name a new webhook secret; the previous one also signs for `overlap`.
    async fn rotate_webhook_secret(
        &self,
        consumer: &str,
        new: Secret,
        overlap: Duration,
        now: StoreNow,
    ) -> Result<Rotation>;
    /// The same for a caller of this tenant, and by the consumer's id: changes nothing where the `Idempotency-Key` was used before. With a new secret its response is stored:
    /// 200 and a `RotatedSecret`.
    async fn rotate_webhook_secret_idempotently(
        &self,
        asking: Tenant,
        consumer: ConsumerId,
        new: Secret,
        overlap: Duration,
        idempotency_key: Option<IdempotencyKey>,
        now: StoreNow,
    ) -> Result<RotationAnswer>;
    /// A consumer's name.
    async fn consumer_name(&self, consumer: ConsumerId) -> Result<Option<String>>;
    /// All jobs that a key of this tenant may erase, and whether each has ended: with a live key those of both worlds of its consumer, with a test key
    /// those of the test world.
    async fn consumer_jobs(&self, asking: Tenant) -> Result<Vec<(Tenant, JobId, bool)>>;
    /// Erases these jobs of a consumer, whose files are gone already; answers how many. Those that have not ended stay. What else is to be written waits for
    /// all of them.
    async fn erase_jobs(
        &self,
        consumer: ConsumerId,
        jobs: Vec<JobId>,
        now: StoreNow,
    ) -> Result<u64>;
    /// Erases all that a key of this tenant may: with a live key the consumer, with a test key its test world (and the consumer, where it has no
    /// other). Answers how many keys were erased. `None`, and nothing is changed, while there is a job there.
    async fn erase_consumer(&self, asking: Tenant) -> Result<Option<u64>>;
}
