//! The servers on a database: their names, and since when they have been able to receive reports.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio_postgres::Client;

use super::{OpenError, PostgresStore, describe, transaction::DISPLACED};

const EVERY: Duration = Duration::from_secs(1);
/// How long the entry of a silent server blocks others, in milliseconds.
const SILENCE_MS: i64 = 10_000;

/// The advisory lock of servers that join ("meetbot", and a number).
const LOCK: i64 = 0x6d65_6574_626f_7402;

/// Stores that the servers are running. All were away where this was not stored for 5 seconds, or where the database's clock went back.
const HEARTBEAT: &str = "UPDATE cluster SET signed_at = meetbot_now(), up_since =
    CASE WHEN signed_at < meetbot_now() - 5000 OR signed_at > meetbot_now() THEN meetbot_now() ELSE up_since END
    RETURNING signed_at";

/// Lease time.
pub(super) async fn now(client: &Client) -> Result<i64, tokio_postgres::Error> {
    client.query_one("SELECT meetbot_now()", &[]).await?.try_get(0)
}

/// Lets a server in, unless another one is there. One that was killed is there until it was not heard for [`SILENCE_MS`]: that is waited for. The server before on the
/// same data folder of the same machine is dead, since this process has the folder's lock.
pub(super) async fn join(client: &Client, node: &str, boot: &str) -> Result<(), OpenError> {
    let host = sysinfo::System::host_name().unwrap_or_default();
    let mut first_look = None;
    loop {
        client.batch_execute("BEGIN").await?;
        client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        let other = "SELECT host, seen_at, meetbot_now() FROM nodes WHERE node <> $1 OR host <> $2
            ORDER BY seen_at DESC LIMIT 1";
        if let Some(row) = client.query_opt(other, &[&node, &host]).await? {
            let (seen_at, now): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
            let (seen_first, since) = *first_look.get_or_insert((seen_at, now));
            if seen_at != seen_first {
                return Err(OpenError::AnotherServer { host: row.try_get(0)? });
            }
            if seen_at >= now - SILENCE_MS && now < since + SILENCE_MS {
                client.batch_execute("ROLLBACK").await?;
                tokio::time::sleep(EVERY / 2).await;
                continue;
            }
        }
        client.execute("DELETE FROM nodes", &[]).await?;
        let enter =
            "INSERT INTO nodes (node, host, boot, seen_at) VALUES ($1, $2, $3, meetbot_now())";
        client.execute(enter, &[&node, &host, &boot]).await?;
        client.query_one(HEARTBEAT, &[]).await?;
        client.batch_execute("COMMIT").await?;
        return Ok(());
    }
}

/// Whether a server works on the database, or did until it was killed a moment ago. None joins before this transaction ends.
pub(super) async fn is_served(client: &Client) -> Result<bool, tokio_postgres::Error> {
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let seen = "SELECT 1 FROM nodes WHERE seen_at >= meetbot_now() - $1";
    Ok(client.query_opt(seen, &[&SILENCE_MS]).await?.is_some())
}

/// The host of the server that works on the database.
pub(super) async fn served_by(client: &Client) -> Result<Option<String>, tokio_postgres::Error> {
    let seen =
        "SELECT host FROM nodes WHERE seen_at >= meetbot_now() - $1 ORDER BY seen_at DESC LIMIT 1";
    client.query_opt(seen, &[&SILENCE_MS]).await?.map(|row| row.try_get(0)).transpose()
}

impl PostgresStore {
    /// What the steady clock's zero is in lease time, which is this now.
    pub(super) fn measure(&self, now: i64) {
        let steady = i64::try_from(self.clock.now().steady.as_millis()).unwrap_or(i64::MAX);
        self.offset.store(now.saturating_sub(steady), Ordering::Relaxed);
    }

    /// Writes a heartbeat each second until the store is closed, then removes the server's entry, which would block others.
    pub(super) fn start_heartbeat(&self) {
        let store = self.clone();
        let heartbeat = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = store.closed.cancelled() => break,
                    _ = ticks.tick() => {}
                }
                if let Err(error) = store.write_heartbeat().await {
                    tracing::warn!(%error, "the database does not hear this server");
                }
                if store.displaced.is_cancelled() {
                    break;
                }
            }
            if let Ok(client) = store.connections.any().await {
                // Without an answer others wait until it was silent for long enough.
                let _ = client.execute("DELETE FROM nodes WHERE boot = $1", &[&store.boot]).await;
            }
        });
        *self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner) = Some(heartbeat);
    }

    async fn write_heartbeat(&self) -> Result<(), String> {
        let client = self.connections.any().await?;
        let see = "UPDATE nodes SET seen_at = meetbot_now() WHERE boot = $1";
        let seen = client.execute(see, &[&self.boot]).await.map_err(|error| describe(&error))?;
        if seen == 0 {
            self.displaced.cancel();
            return Err(DISPLACED.to_owned());
        }
        let signed = client.query_one(HEARTBEAT, &[]).await;
        let now = signed.and_then(|row| row.try_get(0)).map_err(|error| describe(&error))?;
        self.measure(now);
        Ok(())
    }

    /// Answers once another server works on the database, since this one was not heard for so long that it seemed dead. All its verbs are refused from then on.
    pub(crate) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// Leaves the database, and lets its connections go.
    pub(super) async fn end(&self) {
        self.closed.cancel();
        let heartbeat = self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(heartbeat) = heartbeat {
            let _ = heartbeat.await;
        }
        self.connections.close();
    }
}
