//! Calls for the servers that work on one store. A store in a data folder has one server.

use async_trait::async_trait;
use meetbot_types::Timestamp;

use super::Result;

/// The servers of a store, and what they know of its workers.
#[async_trait]
pub trait ServerStore: Send + Sync + 'static {
    /// Whether this server does the work that one server does for all. Two may do it for a moment, which harms nothing: each of them changes rows under their locks.
    fn has_duties(&self) -> bool;
    /// Whether other servers work on the store, as of the last second.
    fn has_others(&self) -> bool;
    /// Keeps other servers away from now on, because files of recordings are on this server's disk. `false`: others are there already.
    async fn keep_files(&self) -> Result<bool>;
    /// A server has heard of the worker with this data folder.
    async fn hear_spool(&self, folder: String, at: Timestamp) -> Result<()>;
    /// When a server heard of it last; `None` where none has, or where the store does not keep it.
    async fn spool_heard(&self, folder: String) -> Result<Option<Timestamp>>;
    /// Those with names of this beginning, followed by ASCII below `~`, of which a server heard after this time; none where the store does not keep it.
    async fn spools_heard(&self, beginning: String, after: Timestamp) -> Result<Vec<String>>;
}
