//! API keys and the audit log of their use, as they are stored.

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

    /// Whether it is about the whole server. A test key, which reaches the test world alone, cannot have it.
    pub const fn is_of_whole_server(self) -> bool {
        matches!(self, Self::Operator | Self::Worker)
    }

    /// Its word.
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

    /// The scope of a word.
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
    /// Whose it is.
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
    /// From when on it opens nothing. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Since when it opens nothing any more.
    pub revoked_at: Option<Timestamp>,
    /// When it was last shown, refused or not; half a minute may be missing. `None`: never.
    pub last_used_at: Option<Timestamp>,
}

/// Why a key opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEnd {
    /// Somebody ended it.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Key {
    /// Why it opens nothing at this moment, if so.
    pub fn ended(&self, now: Timestamp) -> Option<KeyEnd> {
        if self.revoked_at.is_some() {
            Some(KeyEnd::Revoked)
        } else if self.expires_at.is_some_and(|at| at <= now) {
            Some(KeyEnd::Expired)
        } else {
            None
        }
    }

    /// Whether it is an operator's that is good: the last one is kept from being revoked by mistake.
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
    /// From when on it opens nothing.
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

/// Which lines of the audit log. An empty field asks for all.
#[derive(Debug, Clone, Default)]
pub struct UseFilter {
    /// Of this key.
    pub key: Option<KeyId>,
    /// About this job.
    pub job: Option<JobId>,
    /// Of keys of this consumer.
    pub consumer: Option<ConsumerId>,
    /// Only what was refused.
    pub refused: bool,
    /// Since this moment.
    pub after: Option<Timestamp>,
    /// Before this moment.
    pub before: Option<Timestamp>,
}

/// The most lines of the audit log that are looked at for a page, so that a search for few among many millions takes a connection for some milliseconds only.
pub(crate) const SEARCHED_AT_ONCE: u32 = 20_000;
/// The most old lines that go at once, so that a log that was cut shorter holds nobody up.
pub(crate) const SWEPT_AT_ONCE: u32 = 1_000;

impl UseFilter {
    /// Between which ids the lines stand, behind a cursor: ids sort by time, and one made for a moment sorts behind all that are older. They bound the search to the
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

/// What became of a key that was to be made for a caller.
#[derive(Debug, Clone)]
pub enum KeyCreation {
    /// It is there, and so is its consumer: with this webhook secret, where the consumer is new.
    Created(Key, Option<Secret>),
    /// The request came before. A kept answer has an empty `key`: the store never sees it.
    Prior(PriorRequest),
}

/// What became of a key that was to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, now or before.
    Done(Key),
    /// It is the last key with the scope `operator` that is good, and was to be kept in that case.
    LastOperator,
    /// There is no such key.
    NotFound,
}

/// What became of a rotation that a caller asked for.
#[derive(Debug, Clone)]
pub enum RotationAnswer {
    /// What became of it.
    Now(Rotation),
    /// The request came before.
    Prior(PriorRequest),
}

/// Who may call: keys, their log, webhook secrets, and consumers as a whole.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Stores a key, and its consumer when that is new (then its webhook secret is the one given). Answers the key and the
    /// consumer's webhook secret.
    async fn create_key(&self, new: NewKey, now: StoreNow) -> Result<(Key, String)>;
    /// The same for a caller of this tenant: nothing is made where its request came before. With a new key, its answer is kept: 201 and a `CreatedKey` whose
    /// `key` is empty.
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
    /// Ends a key; with `keep_operator` not the last one with the scope `operator` that is good.
    async fn revoke_key(&self, id: KeyId, keep_operator: bool, now: StoreNow)
    -> Result<Revocation>;
    /// Writes what keys were used for into the audit log, how many more calls lines stand for that are written, and when each key was used last; drops
    /// what is older than `keep_from`.
    async fn note_uses(
        &self,
        uses: Vec<KeyUse>,
        repeats: Vec<(UseId, u64)>,
        last_used: Vec<(KeyId, Timestamp)>,
        keep_from: Timestamp,
    ) -> Result<()>;
    /// What keys were used for, newest first.
    ///
    /// A page may end early, even without a line, where many lines were searched for it; then it has a cursor.
    async fn key_uses(&self, filter: UseFilter, window: Window<UseId>) -> Result<Page<KeyUse>>;
    /// The webhook secrets of the consumer with this name. `None` where there is none.
    async fn webhook_secrets(
        &self,
        consumer: &str,
        now: StoreNow,
    ) -> Result<Option<WebhookSecrets>>;
    /// Gives the consumer with this name a new webhook secret; the one before it signs along for as long as `overlap` says.
    async fn rotate_webhook_secret(
        &self,
        consumer: &str,
        new: Secret,
        overlap: Duration,
        now: StoreNow,
    ) -> Result<Rotation>;
    /// The same for a caller of this tenant, and by the consumer's id: nothing is changed where its request came before. With a new secret, its answer is kept:
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
    async fn erase_jobs(&self, consumer: ConsumerId, jobs: Vec<JobId>) -> Result<u64>;
    /// Erases all that a key of this tenant may: with a live key the consumer, with a test key its test world (and the consumer, where it has no
    /// other). Answers how many keys were erased. `None`, and nothing is changed, while there is a job there.
    async fn erase_consumer(&self, asking: Tenant) -> Result<Option<u64>>;
}
