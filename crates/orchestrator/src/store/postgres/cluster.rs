//! The servers on a database: who they are, and since when they could hear bots.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio_postgres::Client;

use super::{OpenError, PostgresStore, said};

const EVERY: Duration = Duration::from_secs(1);

/// The lock of those who join ("meetbot", and a number of its own).
const LOCK: i64 = 0x6d65_6574_626f_7402;

/// Says that the servers are there. All were away where nobody has said it for 5 seconds, or where the database's clock went back.
const SIGN: &str = "UPDATE cluster SET signed_at = meetbot_now(), up_since =
    CASE WHEN signed_at < meetbot_now() - 5000 OR signed_at > meetbot_now() THEN meetbot_now() ELSE up_since END
    RETURNING signed_at";

/// Lease time.
pub(super) async fn now(client: &Client) -> Result<i64, tokio_postgres::Error> {
    client.query_one("SELECT meetbot_now()", &[]).await?.try_get(0)
}

/// Lets a server in, unless another one is there: seen in the last 10 seconds.
pub(super) async fn join(client: &Client, node: &str) -> Result<(), OpenError> {
    client.batch_execute("BEGIN").await?;
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    client.execute("DELETE FROM nodes WHERE seen_at < meetbot_now() - 10000", &[]).await?;
    let other = "SELECT host FROM nodes WHERE node <> $1 LIMIT 1";
    if let Some(row) = client.query_opt(other, &[&node]).await? {
        return Err(OpenError::AnotherServer { host: row.try_get(0)? });
    }
    see(client, node).await?;
    client.query_one(SIGN, &[]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

async fn see(client: &Client, node: &str) -> Result<(), tokio_postgres::Error> {
    let host = sysinfo::System::host_name().unwrap_or_default();
    let see = "INSERT INTO nodes (node, host, seen_at) VALUES ($1, $2, meetbot_now())
        ON CONFLICT (node) DO UPDATE SET host = $2, seen_at = meetbot_now()";
    client.execute(see, &[&node, &host]).await?;
    Ok(())
}

impl PostgresStore {
    /// What the steady clock's zero is in lease time, which is this now.
    pub(super) fn measure(&self, now: i64) {
        let steady = i64::try_from(self.clock.now().steady.as_millis()).unwrap_or(i64::MAX);
        self.offset.store(now.saturating_sub(steady), Ordering::Relaxed);
    }

    /// Signs until the store is closed, then leaves: a last sign behind that would keep others out.
    pub(super) fn sign_each_second(&self) {
        let store = self.clone();
        let signing = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = store.closed.cancelled() => break,
                    _ = ticks.tick() => {}
                }
                if let Err(error) = store.sign().await {
                    tracing::warn!(%error, "the database does not hear this server");
                }
            }
            if let Ok(client) = store.connections.any().await {
                // Without an answer others wait 10 seconds.
                let _ = client.execute("DELETE FROM nodes WHERE node = $1", &[&store.node]).await;
            }
        });
        *self.signing.lock().unwrap_or_else(PoisonError::into_inner) = Some(signing);
    }

    async fn sign(&self) -> Result<(), String> {
        let client = self.connections.any().await?;
        let signed = client.query_one(SIGN, &[]).await;
        let now = signed.and_then(|row| row.try_get(0)).map_err(|error| said(&error))?;
        self.measure(now);
        see(&client, &self.node).await.map_err(|error| said(&error))
    }

    /// Leaves the database, and lets its connections go.
    pub(super) async fn end(&self) {
        self.closed.cancel();
        let signing = self.signing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(signing) = signing {
            let _ = signing.await;
        }
        self.connections.close();
    }
}
