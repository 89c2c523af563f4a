//! API keys and the audit log of their use, as they are stored.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use meetbot_types::{ConsumerId, ErrorCode, JobId, KeyId, Timestamp, UseId, bot::Secret};
use serde::Serialize;

use super::{Result, Rotation, Tenant, WebhookSecrets};
use crate::clock::StoreNow;

/// What a key may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look.
    Read,
    /// Make and change jobs.
    Write,
    /// Run the server.
    Admin,
}

impl Scope {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The scope of a word.
    pub fn known(word: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|scope| scope.as_str() == word)
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

/// A line of the audit log: what a key was used for, and what became of it. Refusals of one key for one reason in a minute are one line, and so is a change
/// that is made again: it shows the first, and how many there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyUse {
    /// Its id; they sort by time.
    pub id: UseId,
    /// When the first call came.
    pub at: Timestamp,
    /// With which key.
    pub key: KeyId,
    /// Whose.
    pub consumer: ConsumerId,
    /// From where, as the server saw it: behind a proxy, the proxy's address.
    pub address: IpAddr,
    /// The HTTP method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The job that it was about.
    pub job: Option<JobId>,
    /// The HTTP status of the answer; 499 when the caller had gone before there was one.
    pub status: u16,
    /// The error of the answer.
    pub error: Option<ErrorCode>,
    /// The request's id.
    pub request: String,
    /// How many calls it stands for.
    pub times: u64,
}

/// Which lines of the audit log. An empty field asks for all.
#[derive(Debug, Clone, Default)]
pub struct UseFilter {
    /// Of this key.
    pub key: Option<KeyId>,
    /// About this job.
    pub job: Option<JobId>,
    /// Only what was refused.
    pub refused: bool,
}

/// Who may call: keys, their log, webhook secrets, and consumers as a whole.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Stores a key, and its consumer when that is new (then its webhook secret is the one given). Answers the key and the
    /// consumer's webhook secret.
    async fn create_key(&self, new: NewKey, now: StoreNow) -> Result<(Key, String)>;
    /// The key with this public part.
    async fn find_key(&self, prefix: &str) -> Result<Option<Key>>;
    /// All keys, oldest first.
    async fn keys(&self) -> Result<Vec<Key>>;
    /// Ends a key; `false` where there is none.
    async fn revoke_key(&self, id: KeyId, now: StoreNow) -> Result<bool>;
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
    async fn key_uses(&self, filter: UseFilter, limit: u32) -> Result<Vec<KeyUse>>;
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
