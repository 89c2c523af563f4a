//! Stored sessions of browsers.

use async_trait::async_trait;
use meetbot_types::{KeyId, Timestamp};

use super::{Key, Result};
use crate::clock::StoreNow;

/// How many sessions of one key are kept; one more, and the oldest ends.
pub const SESSIONS_PER_KEY: u32 = 100;

/// A session to be stored, or a link that opens one. What the browser shows is stored only as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The SHA-256 of what the browser shows.
    pub hash: [u8; 32],
    /// The key whose rights it has.
    pub key: KeyId,
    /// From when on it opens nothing.
    pub expires_at: Timestamp,
}

/// Sessions of browsers.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Stores a session, and drops those that are over; beyond [`SESSIONS_PER_KEY`] the oldest of its key go.
    async fn begin_session(&self, new: NewSession, now: StoreNow) -> Result<()>;
    /// The key of a session that is not over. The key itself may have [ended](Key::ended).
    async fn session_key(&self, hash: [u8; 32], now: StoreNow) -> Result<Option<Key>>;
    /// Ends a session; of two who end the same one, one is answered its key. `None` where there is none, or it is over.
    async fn end_session(&self, hash: [u8; 32], now: StoreNow) -> Result<Option<Key>>;
}
