//! API keys and the audit log of their use, as they are stored.

use std::net::IpAddr;

use meetbot_types::{ConsumerId, ErrorCode, JobId, KeyId, Timestamp, UseId};
use serde::Serialize;

use super::Tenant;

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
