//! A data folder has one server.

use async_trait::async_trait;
use meetbot_types::Timestamp;

use crate::store::{Result, ServerStore, sqlite::SqliteStore};

#[async_trait]
impl ServerStore for SqliteStore {
    fn has_duties(&self) -> bool {
        true
    }

    fn has_others(&self) -> bool {
        false
    }

    async fn keep_files(&self) -> Result<bool> {
        Ok(true)
    }

    /// The server remembers it in memory.
    async fn hear_spool(&self, _: String, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn spool_heard(&self, _: String) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    async fn spools_heard(&self, _: String, _: Timestamp) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
