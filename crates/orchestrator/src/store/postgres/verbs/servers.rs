//! The calls for the servers of this database.

use std::{sync::atomic::Ordering, time::Duration};

use async_trait::async_trait;
use meetbot_types::Timestamp;

use crate::store::{
    Result, ServerStore, StoreError,
    postgres::{PostgresStore, transaction::Caller, values::time},
};

#[async_trait]
impl ServerStore for PostgresStore {
    fn has_duties(&self) -> bool {
        let until = Duration::from_millis(self.servers.duties_until.load(Ordering::Relaxed));
        self.clock.now().steady < until
    }

    fn has_others(&self) -> bool {
        self.servers.others.load(Ordering::Relaxed)
    }

    async fn keep_files(&self) -> Result<bool> {
        self.keep_others_away().await.map_err(StoreError::Unavailable)
    }

    async fn hear_spool(&self, folder: String, at: Timestamp) -> Result<()> {
        self.connections
            .write(Caller::Other, None, (folder, at), |it, (folder, at)| {
                Box::pin(async move {
                    let hear = "INSERT INTO spools (folder, heard_at) VALUES ($1, $2)
                        ON CONFLICT (folder) DO UPDATE SET heard_at = greatest(spools.heard_at, $2)";
                    it.run(hear, &[folder, &at.as_millis()]).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn spool_heard(&self, folder: String) -> Result<Option<Timestamp>> {
        self.connections
            .read(folder, |it, folder| {
                Box::pin(async move {
                    let row =
                        it.row("SELECT heard_at FROM spools WHERE folder = $1", &[folder]).await?;
                    row.map(|row| time(&row, 0)).transpose()
                })
            })
            .await
    }

    async fn spools_heard(&self, beginning: String, after: Timestamp) -> Result<Vec<String>> {
        self.connections
            .read((beginning, after), |it, (beginning, after)| {
                Box::pin(async move {
                    // A range of the primary key, which has the order of bytes.
                    let heard = "SELECT folder FROM spools WHERE folder BETWEEN $1 AND $2 AND heard_at > $3";
                    let last = format!("{beginning}~");
                    let rows = it.rows(heard, &[beginning, &last, &after.as_millis()]).await?;
                    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
                })
            })
            .await
    }
}
