//! The database that the contract tests and the model run on: SQLite, or the PostgreSQL that the environment names.

use std::sync::Arc;

use meetbot_types::Timestamp;

use super::{RestoreOptions, Store, postgres, sqlite};
use crate::clock::StoreNow;

/// A separate, empty store.
pub(crate) enum Backend {
    Sqlite(sqlite::Folder),
    Postgres(postgres::Database),
}

impl Backend {
    pub(crate) fn new() -> Self {
        match postgres::socket() {
            Some(socket) => Self::Postgres(postgres::Database::new(&socket)),
            None => Self::Sqlite(sqlite::Folder::new()),
        }
    }

    /// The store as a server has it that has just started, on the data of the one before.
    pub(crate) fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(folder) => folder.open(),
            Self::Postgres(database) => database.open(),
        }
    }

    /// Another one: a backup of this one, restored.
    pub(crate) fn restored(&self, options: RestoreOptions, now: StoreNow) -> Self {
        match self {
            Self::Sqlite(folder) => Self::Sqlite(folder.restored(options, now)),
            Self::Postgres(database) => Self::Postgres(database.restored(options, now)),
        }
    }

    /// Since when it is paused, as `meetbot doctor` asks beside a server.
    pub(crate) async fn paused_since(&self) -> Option<Timestamp> {
        self.open().paused_since().await.unwrap()
    }

    /// Lets it go on, as `meetbot unpause` does beside a server; whether it was paused.
    pub(crate) async fn unpause(&self) -> bool {
        self.open().unpause().await.unwrap()
    }
}
