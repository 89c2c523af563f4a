//! Looks at a database, and changes nothing: for `meetbot doctor`.

use std::time::Duration;

use tokio_postgres::{Client, Row};

use super::{OpenError, PostgresStore, StoreUrl, cluster, open, schema};
use crate::{clock::Clock, store::Found};

/// A database that a server can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The version of PostgreSQL, as in `15.18`.
    pub version: String,
    /// Whose tables it has.
    pub tables: Found,
    /// The hosts of the servers that work on it: those that have sent a heartbeat in the last 10 seconds.
    pub served_by: Vec<String>,
    /// Those of them that are not notified of what the others change.
    pub deaf: Vec<String>,
    /// How far its clock is ahead of this machine's, in milliseconds. The error is at most [`Self::round_trip`].
    pub clock_ahead_ms: i64,
    /// How long it took to answer a query.
    pub round_trip: Duration,
    /// Whether `fsync` and `full_page_writes` are on: without them a crash of its machine may lose or corrupt it.
    pub is_durable: bool,
    /// How many more connections it accepts from this user.
    pub free_connections: i64,
    /// The age of its oldest transaction. Without the role `pg_read_all_stats` only this user's own and prepared ones are known.
    pub oldest_transaction: Duration,
    /// How many replicas are connected.
    pub replicas: u64,
    /// Whether commits wait for a replica (`synchronous_standby_names`).
    pub waits_for_replicas: bool,
}

impl PostgresStore {
    /// How many connections a server has.
    pub const CONNECTIONS: usize = open::CONNECTIONS;

    /// Looks at a database. Returns also the store, if the tables are this program's.
    ///
    /// # Errors
    /// A server would not start on it.
    pub async fn examine(url: &StoreUrl) -> Result<(Examination, Option<Self>), OpenError> {
        let client = open::connection(url).await?;
        let tables = schema::look(&client).await?;
        if let Some(why) = missing_right(&client, tables).await? {
            return Err(OpenError::NoRights { url: url.shown().to_owned(), why });
        }
        // The tables of an older program say nothing of notifications.
        let (served_by, deaf) = match tables {
            Found::Nothing => (Vec::new(), Vec::new()),
            Found::Older => (cluster::hosts(&client, "TRUE").await?, Vec::new()),
            Found::Newest => (
                cluster::hosts(&client, "TRUE").await?,
                cluster::hosts(&client, "NOT hears").await?,
            ),
        };
        let (clock_ahead_ms, round_trip) = clock_ahead(&client).await?;
        let row = state(&client).await?;
        let (age_s, replicas): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        let examination = Examination {
            version: row.try_get(0)?,
            tables,
            served_by,
            deaf,
            clock_ahead_ms,
            round_trip,
            is_durable: row.try_get(1)?,
            free_connections: row.try_get(2)?,
            oldest_transaction: Duration::from_secs(age_s.unsigned_abs()),
            replicas: replicas.unsigned_abs(),
            waits_for_replicas: row.try_get(5)?,
        };
        if tables != Found::Newest {
            return Ok((examination, None));
        }
        let (config, tls) = url.config()?;
        Ok((examination, Some(Self::of(config, tls, "", None, false)?)))
    }
}

/// Which right is missing to make tables, or to change those of an older program.
async fn missing_right(client: &Client, tables: Found) -> Result<Option<String>, OpenError> {
    let (query, why) = if tables == Found::Nothing {
        let query = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
        (query, "it may not create tables there")
    } else {
        let query = "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class
            WHERE oid IN (to_regclass('meetbot_schema'), to_regclass('jobs'))";
        (query, "the tables belong to another user")
    };
    let may: bool = client.query_one(query, &[]).await?.try_get(0)?;
    Ok((!may).then(|| why.to_owned()))
}

async fn clock_ahead(client: &Client) -> Result<(i64, Duration), OpenError> {
    let query = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT";
    // The first query on a connection takes longer.
    client.query_one(query, &[]).await?;
    let clock = Clock::start();
    let before = clock.now();
    let theirs: i64 = client.query_one(query, &[]).await?.try_get(0)?;
    let round_trip = clock.now().steady.saturating_sub(before.steady);
    let half = i64::try_from(round_trip.as_millis() / 2).unwrap_or(i64::MAX);
    Ok((theirs - before.wall.as_millis() - half, round_trip))
}

/// Everything that one query answers. Users without `pg_read_all_stats` see that there are other sessions, and whose, and nothing else of them.
async fn state(client: &Client) -> Result<Row, tokio_postgres::Error> {
    client
        .query_one(
            "WITH sessions AS (SELECT * FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL),
                transactions AS (
                    SELECT xact_start AS began FROM sessions WHERE pid <> pg_backend_pid()
                    UNION ALL SELECT prepared FROM pg_prepared_xacts)
            SELECT current_setting('server_version'),
                current_setting('fsync')::BOOLEAN AND current_setting('full_page_writes')::BOOLEAN,
                least(
                    current_setting('max_connections')::BIGINT - current_setting('superuser_reserved_connections')::BIGINT
                        - (SELECT count(*) FROM sessions),
                    (SELECT rolconnlimit - (SELECT count(*) FROM sessions WHERE usename = current_user)
                        FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0),
                    (SELECT datconnlimit - (SELECT count(*) FROM sessions WHERE datname = current_database())
                        FROM pg_database WHERE datname = current_database() AND datconnlimit >= 0)),
                (SELECT coalesce(greatest(max(extract(epoch FROM clock_timestamp() - began)), 0), 0)::BIGINT FROM transactions),
                (SELECT count(*) FROM pg_stat_replication),
                current_setting('synchronous_standby_names') <> ''",
            &[],
        )
        .await
}
