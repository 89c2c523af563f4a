//! Opens a database, and says plainly why it cannot be used.

use std::{path::PathBuf, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Client, error::SqlState};
use tokio_util::sync::CancellationToken;

use super::{
    PostgresStore, StoreUrl,
    cluster::{self, Member},
    describe, feed, schema,
    transaction::Connections,
};
use crate::{clock::Clock, store::Observer, timing::Timing};

/// How many connections a server has.
pub(super) const CONNECTIONS: usize = 16;
/// The oldest version of PostgreSQL, as `server_version_num` has it.
const OLDEST: i32 = 140_000;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL.
    #[error("store.url: {0}")]
    Url(String),
    /// A file that the settings name.
    #[error("{} cannot be used: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("no TLS for the database: {0}")]
    Tls(String),
    /// Nothing answers there.
    #[error("the database {url} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// It refuses this user and password.
    #[error(
        "the database {url} refuses the user: {why}; check the user in store.url and the password in store.password_file"
    )]
    Refused {
        /// Where.
        url: String,
        /// What it said.
        why: String,
    },
    /// There is no such database on the server.
    #[error("{url}: {why}; make it with `createdb`")]
    NoDatabase {
        /// Where.
        url: String,
        /// What it said.
        why: String,
    },
    /// It takes no writes.
    #[error("the database is read-only, as a replica is: give store.url the primary")]
    ReadOnly,
    /// The server is too old.
    #[error("PostgreSQL {0} is too old: meetbot needs 14 or newer")]
    TooOld(String),
    /// A newer program has changed its tables.
    #[error(
        "a newer meetbot has changed the database's tables (version {steps}, this program knows {known}): use that program"
    )]
    Newer {
        /// How many changes were made.
        steps: usize,
        /// How many this program knows.
        known: usize,
    },
    /// Acknowledged writes could be lost.
    #[error(
        "synchronous_commit is off: the database would forget what was acknowledged; set it to on for this user or database"
    )]
    NotSynchronous,
    /// The user may not do what a server does.
    #[error(
        "the database {url} does not let this user make and change tables: {why}; make the user its owner (`ALTER DATABASE … OWNER TO …`)"
    )]
    NoRights {
        /// Where.
        url: String,
        /// What it said.
        why: String,
    },
    /// Another server works on it.
    #[error(
        "another meetbot server (on {host}) works on this database. Several servers can share one only if no recording is on a server's disk: set bots.workers = \"none\" and the same storage.url for each of them, and run workers with data folders of their own. Or stop the other server, or give this one another database"
    )]
    AnotherServer {
        /// The name of its machine.
        host: String,
    },
    /// Another server works on it, and recordings are where only one server can reach them.
    #[error(
        "another meetbot server (on {host}) works on this database, and {recordings}. A second server could not serve them"
    )]
    OnADisk {
        /// The name of the other server's machine.
        host: String,
        /// How many there are, and what to do.
        recordings: String,
    },
    /// The database said no in another way.
    #[error("the database: {}", describe(.0))]
    Sql(#[from] tokio_postgres::Error),
}

impl OpenError {
    fn connecting(url: &StoreUrl, error: &tokio_postgres::Error) -> Self {
        let (url, why) = (url.shown().to_owned(), describe(error));
        let code = error.code().cloned();
        if code == Some(SqlState::INVALID_PASSWORD)
            || code == Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
            || why.contains("password missing")
        {
            Self::Refused { url, why }
        } else if code == Some(SqlState::INVALID_CATALOG_NAME) {
            Self::NoDatabase { url, why }
        } else if code == Some(SqlState::INSUFFICIENT_PRIVILEGE) {
            Self::NoRights { url, why }
        } else {
            Self::Unreachable { url, why }
        }
    }
}

impl PostgresStore {
    /// Opens the database for commands, beside a server or without one.
    pub async fn open(url: &StoreUrl) -> Result<Self, OpenError> {
        let store = Self::connect(url, None).await?;
        Ok(store)
    }

    /// Opens it for a server whose data folder has this name. `bucket`: where all finished recordings of this server are, without any on its disk; another server
    /// with the same bucket may work on the same database then, and every other one is refused.
    pub(crate) async fn serve(
        url: &StoreUrl,
        node: &str,
        bucket: Option<String>,
        observer: Observer,
    ) -> Result<Self, OpenError> {
        let mut store = Self::connect(url, Some(observer)).await?;
        let client = connection(url).await?;
        let member = Member {
            node: node.to_owned(),
            boot: crate::letters::letters(20),
            host: sysinfo::System::host_name().unwrap_or_default(),
            bucket,
        };
        cluster::join(&client, &member).await?;
        store.connections.boot = Some(member.boot.as_str().into());
        store.member = Arc::new(member);
        store.url = url.clone();
        if let Err(error) = store.write_heartbeat().await {
            tracing::warn!(%error, "the database does not hear this server");
        }
        store.start_heartbeat();
        Ok(store)
    }

    async fn connect(url: &StoreUrl, observer: Option<Observer>) -> Result<Self, OpenError> {
        let (config, tls) = url.config()?;
        let client = connection(url).await?;
        schema::bring_up(&client).await.map_err(|error| with_rights(url, error))?;
        feed::settle(&client).await?;
        let store = Self::of(config, tls, "", observer, false)?;
        store.measure(cluster::now(&client).await?);
        Ok(store)
    }

    /// A store whose connections are made when they are needed.
    pub(super) fn of(
        config: tokio_postgres::Config,
        tls: tokio_postgres_rustls::MakeRustlsConnect,
        node: &str,
        observer: Option<Observer>,
        callers_clock: bool,
    ) -> Result<Self, OpenError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, tls, recycling))
            .max_size(CONNECTIONS)
            .wait_timeout(Some(Duration::from_secs(2)))
            .create_timeout(Some(Duration::from_secs(5)))
            .recycle_timeout(Some(Duration::from_secs(2)))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| OpenError::Tls(error.to_string()))?;
        let clock = Clock::start();
        Ok(Self {
            connections: Connections::new(pool, clock, observer, callers_clock),
            creations: Arc::default(),
            claims: Arc::default(),
            heartbeats: Arc::default(),
            member: Arc::new(Member { node: node.to_owned(), ..Member::default() }),
            servers: Arc::default(),
            url: StoreUrl::default(),
            displaced: CancellationToken::new(),
            clock,
            timing: Timing::default(),
            offset: Arc::default(),
            closed: CancellationToken::new(),
            heartbeat: Arc::default(),
        })
    }
}

/// A connection to a database that a server can use, independent of its tables.
pub(super) async fn connection(url: &StoreUrl) -> Result<Client, OpenError> {
    let (config, tls) = url.config()?;
    let (client, connection) =
        config.connect(tls).await.map_err(|error| OpenError::connecting(url, &error))?;
    tokio::spawn(connection);
    check(&client).await?;
    Ok(client)
}

/// An error of who makes or changes tables: mostly they may not.
pub(super) fn with_rights(url: &StoreUrl, error: OpenError) -> OpenError {
    match error {
        OpenError::Sql(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            OpenError::NoRights { url: url.shown().to_owned(), why: describe(&error) }
        }
        other => other,
    }
}

async fn check(client: &Client) -> Result<(), OpenError> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::INT, current_setting('server_version'),
                pg_is_in_recovery() OR current_setting('transaction_read_only')::BOOLEAN,
                current_setting('synchronous_commit')",
            &[],
        )
        .await?;
    judge(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)
}

fn judge(
    version: i32,
    name: &str,
    read_only: bool,
    synchronous_commit: &str,
) -> Result<(), OpenError> {
    if version < OLDEST {
        Err(OpenError::TooOld(name.to_owned()))
    } else if read_only {
        Err(OpenError::ReadOnly)
    } else if synchronous_commit == "off" {
        Err(OpenError::NotSynchronous)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_read_only_or_without_durable_commits_is_refused() {
        assert!(matches!(judge(130_012, "13.12", false, "on"), Err(OpenError::TooOld(_))));
        assert!(matches!(judge(150_018, "15.18", true, "on"), Err(OpenError::ReadOnly)));
        assert!(matches!(judge(150_018, "15.18", false, "off"), Err(OpenError::NotSynchronous)));
        assert!(judge(140_000, "14.0", false, "remote_apply").is_ok());
    }
}
