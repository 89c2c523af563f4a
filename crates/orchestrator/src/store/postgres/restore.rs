//! A database that was restored from a dump is made ready for its next server.

use std::sync::Arc;

use super::{
    OpenError, Outcome, PostgresStore, StoreUrl, bots, feed, open, paused, schema,
    transaction::{Caller, Transaction},
    values::number,
};
use crate::{
    clock::StoreNow,
    letters::letters,
    store::{Found, RestoreOptions, Result, Store as _, StoreError},
};

/// How long the name of a command is that takes the place of a server.
const NODE_LETTERS: usize = 20;

/// What is in a restored database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoredDatabase {
    /// How many jobs.
    pub jobs: u64,
    /// How many of them had a bot and have not ended: the next server continues them.
    pub running: u64,
    /// How many webhooks are still to be delivered.
    pub deliveries: u64,
    /// Whether it is paused.
    pub paused: bool,
}

/// Why a restored database is not ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadyError {
    /// It has no tables of a server.
    #[error(
        "the database {0} has no tables of a meetbot server: restore a dump into it first, with pg_restore"
    )]
    Empty(String),
    /// It cannot be used, or a server works on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It refuses the changes.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Changes a database into which a dump was restored, in one transaction: cursors of the database that was dumped are refused from then on, and the jobs that had a
/// bot end or the database is paused as the options say. A database on which a server works is refused.
pub(crate) async fn make_ready(
    url: &StoreUrl,
    options: RestoreOptions,
) -> std::result::Result<RestoredDatabase, ReadyError> {
    let client = open::connection(url).await?;
    if schema::look(&client).await? == Found::Nothing {
        return Err(ReadyError::Empty(url.shown().to_owned()));
    }
    drop(client);
    // In the place of a server: no other one is let in meanwhile. The entry of the server that was dumped is waited for until it counts as silent.
    let store =
        PostgresStore::serve(url, &letters(NODE_LETTERS), None, Arc::new(|_, _, _| {})).await?;
    let ready = store.after_restore(options, store.now()).await;
    store.close().await;
    Ok(ready?)
}

impl PostgresStore {
    /// What a restore changes.
    pub(super) async fn after_restore(
        &self,
        options: RestoreOptions,
        now: StoreNow,
    ) -> Result<RestoredDatabase> {
        self.connections
            .write(
                Caller::Other,
                Some(now),
                (self.member.node.clone(), options, now),
                |it, (node, options, now)| Box::pin(change(it, node, *options, *now)),
            )
            .await
    }
}

async fn change(
    transaction: &Transaction,
    node: &str,
    options: RestoreOptions,
    now: StoreNow,
) -> Outcome<RestoredDatabase> {
    feed::rename(transaction).await?;
    if options.end_running {
        bots::end_all(transaction, node, now.wall).await?;
    }
    if options.paused && !paused::is(transaction).await? {
        paused::begin(transaction, now.wall).await?;
    }
    let row = transaction
        .one(
            "SELECT (SELECT count(*) FROM jobs),
                (SELECT count(*) FROM jobs WHERE epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled')),
                (SELECT count(*) FROM deliveries WHERE state = 'pending')",
            &[],
        )
        .await?;
    Ok(RestoredDatabase {
        jobs: number(&row, 0)?,
        running: number(&row, 1)?,
        deliveries: number(&row, 2)?,
        paused: paused::is(transaction).await?,
    })
}
