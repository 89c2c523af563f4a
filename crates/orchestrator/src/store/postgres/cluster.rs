//! The servers on a database: their names, which of them does the work that one does for all, and since when they have been able to receive reports.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use meetbot_types::{Labels, bot::Secret};
use tokio_postgres::{Client, Row};

use super::{
    OpenError, Outcome, PostgresStore, describe, labels,
    transaction::{DISPLACED, Transaction},
    values::text,
};
use crate::{
    clock::{LeaseTime, StoreNow},
    store::Leases,
    timing::Timing,
};

const EVERY: Duration = Duration::from_secs(1);
/// How long the entry of a silent server counts, in milliseconds. After that others remove it, and the server, if it comes back, is refused until it has entered anew.
const SILENCE_MS: i64 = 10_000;
/// How long a server has the duties after each heartbeat, in milliseconds.
const DUTIES_MS: i64 = 5_000;

/// The advisory lock of servers that join ("meetbot", and a number).
const LOCK: i64 = 0x6d65_6574_626f_7402;

/// Stores that the servers are running. All were away where this was not stored for 5 seconds, or where the database's clock went back. The database was
/// promoted, or restored, where it continues another history than before.
const HEARTBEAT: &str = "UPDATE cluster SET signed_at = meetbot_now(), up_since =
    CASE WHEN signed_at < meetbot_now() - 5000 OR signed_at > meetbot_now() THEN meetbot_now() ELSE up_since END,
    promoted_at = CASE WHEN timeline = history.now THEN promoted_at ELSE meetbot_now() END, timeline = history.now
    FROM (SELECT meetbot_timeline() AS now) AS history RETURNING signed_at";

/// Takes the duties, or keeps them. A row from the future was written before the database's clock went back.
const TAKE_DUTIES: &str =
    "INSERT INTO duties (name, boot, until) VALUES ('all', $1, meetbot_now() + $2)
    ON CONFLICT (name) DO UPDATE SET boot = $1, until = excluded.until
    WHERE duties.boot = $1 OR duties.until <= meetbot_now() OR duties.until > meetbot_now() + $2";

/// Removes the entries of servers that were not heard, unless that was since all were away.
const REMOVE_SILENT: &str = "DELETE FROM nodes WHERE boot <> $1 AND seen_at < meetbot_now() - $2
    AND (SELECT up_since FROM cluster) <= meetbot_now() - $2 RETURNING node";

/// A server among those of a database.
#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    /// The name of its data folder, whose lock no other process of its machine has. The leases and deliveries of this name are this server's.
    pub(super) node: String,
    /// The name of its process; none other has it. Empty: no server.
    pub(super) boot: String,
    pub(super) host: String,
    /// The bucket that has all recordings of its bots: another server may work beside it that has the same.
    pub(super) bucket: Option<String>,
}

/// Another server's row in `nodes`.
struct Other {
    boot: String,
    host: String,
    seen_at: i64,
    /// Whether both may be there.
    is_welcome: bool,
}

impl Other {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            boot: row.try_get(0)?,
            host: row.try_get(1)?,
            seen_at: row.try_get(2)?,
            is_welcome: row.try_get(3)?,
        })
    }
}

/// Lease time.
pub(super) async fn now(client: &Client) -> Result<i64, tokio_postgres::Error> {
    client.query_one("SELECT meetbot_now()", &[]).await?.try_get(0)
}

/// Lets a server in, unless another one is there beside which it may not work. One that was killed is there until it was not heard for [`SILENCE_MS`]: that is
/// waited for. The server before on the same data folder of the same machine is dead, since this process has the folder's lock.
pub(super) async fn join(client: &Client, member: &Member) -> Result<(), OpenError> {
    let mut first_look: Option<(String, i64, i64)> = None;
    loop {
        match enter(client, member, Look::First(first_look.as_ref())).await? {
            Entry::Done => return Ok(()),
            Entry::Waits { boot, seen_at, now } => {
                if first_look.as_ref().is_none_or(|(before, ..)| *before != boot) {
                    first_look = Some((boot, seen_at, now));
                }
                tokio::time::sleep(EVERY / 2).await;
            }
        }
    }
}

/// The result of one try to enter.
enum Entry {
    Done,
    /// This other server may be dead, or not.
    Waits {
        boot: String,
        seen_at: i64,
        now: i64,
    },
}

/// Which time it is that a server enters.
#[derive(Clone, Copy)]
enum Look<'a> {
    /// It starts. What was seen before of a server that is in the way: its name, when it was heard, and when that was looked up.
    First(Option<&'a (String, i64, i64)>),
    /// Its entry is gone. A server on the same data folder has taken its place.
    Again,
}

/// Tries to enter.
async fn enter(client: &Client, member: &Member, look: Look<'_>) -> Result<Entry, OpenError> {
    let Member { node, boot, host, bucket } = member;
    let (first_look, is_again) = match look {
        Look::First(seen) => (seen, false),
        Look::Again => (None, true),
    };
    client.batch_execute("BEGIN").await?;
    let entered = async {
        client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        let now = now(client).await?;
        let others =
            "SELECT boot, host, seen_at, coalesce(bucket = $3 AND node <> $1, FALSE) FROM nodes
            WHERE node <> $1 OR host <> $2 OR $4 ORDER BY seen_at DESC";
        let others = client.query(others, &[node, host, bucket, &is_again]).await?;
        let others: Vec<Other> = others.iter().map(Other::of).collect::<Result<_, _>>()?;
        if let Some(other) = others.iter().find(|other| !other.is_welcome) {
            let before = first_look.filter(|(boot, ..)| *boot == other.boot);
            if before.is_some_and(|(_, seen_at, _)| *seen_at != other.seen_at) {
                return Err(OpenError::AnotherServer { host: other.host.clone() });
            }
            let since = before.map_or(now, |(.., since)| *since);
            if other.seen_at >= now - SILENCE_MS && now < since + SILENCE_MS {
                let (boot, seen_at) = (other.boot.clone(), other.seen_at);
                return Ok(Entry::Waits { boot, seen_at, now });
            }
        }
        let is_alive = |other: &&Other| other.is_welcome && other.seen_at >= now - SILENCE_MS;
        if let Some(other) = others.iter().find(is_alive)
            && let Some(recordings) = on_a_disk(client).await?
        {
            return Err(OpenError::OnADisk { host: other.host.clone(), recordings });
        }
        // The others that are in the way are dead.
        let leave =
            "DELETE FROM nodes WHERE node = $1 OR bucket IS NULL OR bucket IS DISTINCT FROM $2";
        client.execute(leave, &[node, bucket]).await?;
        let enter = "INSERT INTO nodes (node, host, boot, seen_at, bucket) VALUES ($1, $2, $3, meetbot_now(), $4)";
        client.execute(enter, &[node, host, boot, bucket]).await?;
        client
            .execute("DELETE FROM duties WHERE boot NOT IN (SELECT boot FROM nodes)", &[])
            .await?;
        client.query_one(HEARTBEAT, &[]).await?;
        Ok(Entry::Done)
    };
    let entered = entered.await;
    let end = if matches!(entered, Ok(Entry::Done)) { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await?;
    entered
}

/// Where recordings that are finished are on a server's disk: what is there. Another server could serve none of them.
async fn on_a_disk(client: &Client) -> Result<Option<String>, tokio_postgres::Error> {
    let count = "SELECT
        (SELECT count(*) FROM uploads WHERE upload::JSON ->> 'spool' IS NULL),
        (SELECT count(*) FROM jobs WHERE files_since IS NOT NULL AND job::JSON ->> 'manifestUri' LIKE 'file:%')";
    let row = client.query_one(count, &[]).await?;
    let (waiting, kept): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match (waiting, kept) {
        (0, 0) => None,
        (0, kept) => Some(format!(
            "{kept} recordings were finished before there was a bucket, and are on a server's disk: delete them (DELETE /api/v1/jobs/ID/recording)"
        )),
        (waiting, _) => Some(format!(
            "{waiting} recordings on a server's disk are not in the bucket yet: wait until that server has uploaded them"
        )),
    })
}

/// What all servers have to know to give jobs to bots.
pub(super) struct ClaimRules {
    /// Jobs are given to no bot now: the database is [`paused`](super::paused), or bots may still have to prove claims that a replica did not have when it was promoted.
    /// That takes two heartbeats, since a bot waits for one at most between two tries.
    pub(super) are_held: bool,
    /// Signs claims.
    pub(super) secret: Secret,
    /// The labels that consumers require of workers, each set of them once.
    pub(super) required: Vec<Labels>,
}

impl ClaimRules {
    pub(super) async fn at(transaction: &Transaction, timing: Timing) -> Outcome<Self> {
        let wait = i64::try_from((timing.heartbeat() * 2).as_millis()).unwrap_or(i64::MAX);
        // A promotion that no server has noted yet counts too. One in the future was noted before the database's clock went back.
        // All of it is one query, since each transaction of claims waits for it.
        let rules = format!(
            "SELECT EXISTS (SELECT FROM paused) OR timeline <> meetbot_timeline()
                OR (promoted_at + $1 > meetbot_now() AND promoted_at <= meetbot_now()),
             claim_secret, ARRAY({})
             FROM cluster",
            labels::REQUIRED
        );
        let row = transaction.one(&rules, &[&wait]).await?;
        let required: Vec<&str> = row.try_get(2)?;
        let required = required.into_iter().map(labels::parse).collect::<Outcome<_>>()?;
        Ok(Self { are_held: row.try_get(0)?, secret: Secret::new(text(&row, 1)?), required })
    }
}

/// Whether a server works on the database, or did until it was killed a moment ago. None joins before this transaction ends.
pub(super) async fn is_served(client: &Client) -> Result<bool, tokio_postgres::Error> {
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let seen = "SELECT 1 FROM nodes WHERE seen_at >= meetbot_now() - $1";
    Ok(client.query_opt(seen, &[&SILENCE_MS]).await?.is_some())
}

/// The hosts of the servers that work on the database, of those for which a condition holds.
pub(super) async fn hosts(
    client: &Client,
    condition: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let seen = format!(
        "SELECT host FROM nodes WHERE seen_at >= meetbot_now() - $1 AND {condition} ORDER BY host"
    );
    client.query(&seen, &[&SILENCE_MS]).await?.iter().map(|row| row.try_get(0)).collect()
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
                for table in ["nodes", "duties"] {
                    let leave = format!("DELETE FROM {table} WHERE boot = $1");
                    let _ = client.execute(&leave, &[&store.member.boot]).await;
                }
            }
        });
        *self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner) = Some(heartbeat);
    }

    pub(super) async fn write_heartbeat(&self) -> Result<(), String> {
        let client = self.connections.any().await?;
        let boot = &self.member.boot;
        let asked_at = self.clock.now().steady;
        let hears = self.servers.hears.load(Ordering::Relaxed);
        let see = "UPDATE nodes SET seen_at = meetbot_now(), hears = $2 WHERE boot = $1";
        let sql = |error| describe(&error);
        if client.execute(see, &[boot, &hears]).await.map_err(sql)? == 0 {
            self.enter_again(&client).await?;
        }
        let signed = client.query_one(HEARTBEAT, &[]).await;
        self.measure(signed.and_then(|row| row.try_get(0)).map_err(sql)?);
        let has_duties = client.execute(TAKE_DUTIES, &[boot, &DUTIES_MS]).await.map_err(sql)? > 0;
        let until = if has_duties {
            asked_at + Duration::from_millis(DUTIES_MS.unsigned_abs())
        } else {
            Duration::ZERO
        };
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.servers.duties_until.store(until, Ordering::Relaxed);
        let silent = client.query(REMOVE_SILENT, &[boot, &SILENCE_MS]).await.map_err(sql)?;
        let others =
            client.query_opt("SELECT 1 FROM nodes WHERE boot <> $1 LIMIT 1", &[boot]).await;
        self.servers.others.store(others.map_err(sql)?.is_some(), Ordering::Relaxed);
        drop(client);
        for row in silent {
            let node: String = row.try_get(0).map_err(sql)?;
            tracing::warn!(
                node,
                "another server was not heard for 10 s: what it was sending is sent by others"
            );
            self.take_deliveries_of(&node).await?;
        }
        Ok(())
    }

    /// This server's entry is gone: it was not heard for long. All that it asked meanwhile was refused, and what it holds in memory is read again within seconds, so
    /// that it may go on, unless another one is there beside which it may not work.
    async fn enter_again(&self, client: &Client) -> Result<(), String> {
        let entered =
            if self.member.bucket.is_some() && !self.servers.keeps_files.load(Ordering::Relaxed) {
                enter(client, &self.member, Look::Again).await
            } else {
                Ok(Entry::Waits { boot: String::new(), seen_at: 0, now: 0 })
            };
        match entered {
            Ok(Entry::Done) => {
                tracing::warn!("this server was not heard for 10 s, and is back among the others");
                Ok(())
            }
            Err(OpenError::Sql(error)) => Err(describe(&error)),
            Ok(Entry::Waits { .. }) | Err(_) => {
                self.displaced.cancel();
                Err(DISPLACED.to_owned())
            }
        }
    }

    /// Gives back the deliveries that a server was sending whose entry is gone. If that fails, they are back when their leases end.
    async fn take_deliveries_of(&self, node: &str) -> Result<(), String> {
        let now = self.clock.now();
        // The lease time of a transaction is the database's.
        let lease = LeaseTime::from_millis(0);
        let now = StoreNow { wall: now.wall, lease, timing: self.timing };
        let given = self.forget_leases_of(node, Leases::OfEarlierBoots, now).await;
        given.map_err(|error| error.to_string())
    }

    /// Answers once another server works on the database, since this one was not heard for so long that it seemed dead. All its verbs are refused from then on.
    pub(crate) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// Keeps others away; `false` where there are some.
    pub(super) async fn keep_others_away(&self) -> Result<bool, String> {
        if self.servers.keeps_files.load(Ordering::Relaxed) || self.member.bucket.is_none() {
            return Ok(true);
        }
        let mut client = self.connections.any().await?;
        let sql = |error| describe(&error);
        let transaction = client.transaction().await.map_err(sql)?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(sql)?;
        let keep = "UPDATE nodes SET bucket = NULL WHERE boot = $1
            AND NOT EXISTS (SELECT 1 FROM nodes WHERE boot <> $1)";
        let kept = transaction.execute(keep, &[&self.member.boot]).await.map_err(sql)? > 0;
        transaction.commit().await.map_err(sql)?;
        self.servers.keeps_files.store(kept, Ordering::Relaxed);
        Ok(kept)
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
