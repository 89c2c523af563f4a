//! The database, in the data folder or on PostgreSQL: whether a server can use it, and what endangers its data or its speed. An older one is not migrated.

use std::{path::Path, time::Duration};

use meetbot_orchestrator::{
    Config, keys,
    store::{Examination, Found, PostgresStore, SqliteStore, Storage, Store, StoreUrl},
};
use meetbot_types::Timestamp;

use super::Finding;
use crate::folder::quoted;

const DATABASE: &str = "database";
/// Leases, `joinAt` and retention are by both clocks.
const MOST_SKEW_MS: u64 = 1_000;
/// Consumers' feeds wait for older transactions.
const OLD_TRANSACTION: Duration = Duration::from_mins(1);

/// What other checks need of a database.
pub(super) struct Contents {
    /// How many keys that are not test keys are valid; or why that is not known.
    pub(super) live_keys: Result<usize, String>,
    /// Where its recordings are.
    pub(super) storage: Option<Storage>,
    paused_since: Option<Timestamp>,
}

impl Contents {
    /// Of a database that is new, or older than this program.
    const fn none() -> Self {
        Self { live_keys: Ok(0), storage: None, paused_since: None }
    }

    async fn of(store: &dyn Store, now: Timestamp) -> Self {
        let keys = store.keys().await.map_err(|error| error.to_string());
        let contents = Self {
            live_keys: keys.map(|keys| keys::count_live(&keys, now)),
            storage: store.storage().await.ok(),
            paused_since: store.paused_since().await.ok().flatten(),
        };
        store.close().await;
        contents
    }
}

/// Checks the database of these settings.
pub(super) async fn look(config: &Config, now: Timestamp) -> (Vec<Finding>, Contents) {
    match &config.store {
        Some(url) => on_postgres(url, now).await,
        None => in_folder(&config.data_dir, now).await,
    }
}

async fn in_folder(data: &Path, now: Timestamp) -> (Vec<Finding>, Contents) {
    let checked = SqliteStore::check(data).and_then(|found| {
        let store = (found == Found::Newest).then(|| SqliteStore::open(data)).transpose()?;
        Ok((found, store))
    });
    let (found, store) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            let remedy = "if it is broken, restore a backup (docs/operations.md)";
            return unusable(&error.to_string(), remedy);
        }
    };
    let contents = match store {
        Some(store) => Contents::of(&store, now).await,
        None => Contents::none(),
    };
    let mut findings = vec![Finding::ok(
        DATABASE,
        match found {
            Found::Nothing => "it is made at the first start",
            Found::Older | Found::Newest => "this program can work on it",
        },
    )];
    let unpause = format!("meetbot unpause --data-dir {}", quoted(data));
    findings.extend(contents.paused_since.map(|since| paused(since, &unpause)));
    (findings, contents)
}

fn unusable(error: &str, remedy: &str) -> (Vec<Finding>, Contents) {
    let contents = Contents { live_keys: Err(error.to_owned()), ..Contents::none() };
    (vec![Finding::fail(DATABASE, error, remedy)], contents)
}

async fn on_postgres(url: &StoreUrl, now: Timestamp) -> (Vec<Finding>, Contents) {
    match PostgresStore::examine(url).await {
        Ok((examination, store)) => {
            let contents = match store {
                Some(store) => Contents::of(&store, now).await,
                None => Contents::none(),
            };
            let mut findings = judge(&examination);
            let unpause = "meetbot unpause --store …";
            findings.extend(contents.paused_since.map(|since| paused(since, unpause)));
            (findings, contents)
        }
        Err(error) => {
            let remedy = "mend it first: no server starts on it (docs/operations.md, PostgreSQL)";
            unusable(&error.to_string(), remedy)
        }
    }
}

fn paused(since: Timestamp, unpause: &str) -> Finding {
    let found = format!("paused since {since}: no bots start and no webhooks are sent");
    Finding::warn(DATABASE, found, format!("when it is to go on: {unpause}"))
}

/// A finding, and one more for each danger.
fn judge(examination: &Examination) -> Vec<Finding> {
    let tables = match examination.tables {
        Found::Nothing => "its tables are made at the first start",
        Found::Older => "an older meetbot's tables, which the next start changes",
        Found::Newest => "this program can work on it",
    };
    let served = match &examination.served_by[..] {
        [] => "no server runs on it".to_owned(),
        [host] => format!("a server on {host} runs on it"),
        hosts => format!("{} servers run on it ({})", hosts.len(), hosts.join(", ")),
    };
    let round_trip = examination.round_trip.as_secs_f64() * 1e3;
    let all = format!(
        "PostgreSQL {}, {tables}; {served}; it answers in {round_trip:.1} ms",
        examination.version
    );
    let mut findings = vec![Finding::ok(DATABASE, all)];
    let mut warn = |found: String, remedy: &str| {
        findings.push(Finding::warn(DATABASE, found, remedy));
    };
    let error = u64::try_from(examination.round_trip.as_millis()).unwrap_or(u64::MAX);
    if examination.clock_ahead_ms.unsigned_abs() > MOST_SKEW_MS.saturating_add(error) {
        let seconds = examination.clock_ahead_ms as f64 / 1e3;
        let side = if seconds > 0.0 { "ahead of" } else { "behind" };
        let found = format!("its clock is {:.1} s {side} this machine's", seconds.abs());
        warn(found, "set both machines' clocks by NTP");
    }
    if !examination.is_durable {
        let found = "fsync or full_page_writes is off: a crash of its machine may lose acknowledged jobs, or the database";
        warn(found.to_owned(), "set both to on");
    }
    let wanted = i64::try_from(PostgresStore::CONNECTIONS).unwrap_or(i64::MAX);
    // Those of a running server are taken already.
    if examination.served_by.is_empty() && examination.free_connections < wanted {
        let free = examination.free_connections.max(0);
        let found = format!("it accepts {free} more connections, and a server needs {wanted}");
        warn(found, "raise max_connections, or the limit of the user or the database");
    }
    if !examination.deaf.is_empty() {
        let found = format!(
            "not notified of what other servers change: {}; commands and events of other servers arrive up to a second later there",
            examination.deaf.join(", ")
        );
        warn(
            found,
            "give these servers a direct connection: LISTEN does not work through PgBouncer in transaction mode",
        );
    }
    if examination.oldest_transaction >= OLD_TRANSACTION {
        let found = format!(
            "a transaction has been open for {} s: consumers' feeds wait for it, and deleted rows keep their room",
            examination.oldest_transaction.as_secs()
        );
        warn(found, "look at pg_stat_activity and pg_prepared_xacts, and end it");
    }
    match (examination.waits_for_replicas, examination.replicas) {
        (true, 0) => findings.push(Finding::fail(
            DATABASE,
            "synchronous_standby_names is set and no replica is connected: every write waits for one",
            "connect the replica, or empty synchronous_standby_names",
        )),
        (false, replicas @ 1..) => findings.push(Finding::warn(
            DATABASE,
            format!("{replicas} connected, and commits wait for none: one that is promoted lacks the last acknowledged jobs"),
            "set synchronous_standby_names, or accept the loss",
        )),
        (true, 1..) | (false, 0) => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    fn good() -> Examination {
        Examination {
            version: "15.18".to_owned(),
            tables: Found::Newest,
            served_by: Vec::new(),
            deaf: Vec::new(),
            clock_ahead_ms: 0,
            round_trip: Duration::from_millis(2),
            is_durable: true,
            free_connections: 97,
            oldest_transaction: Duration::ZERO,
            replicas: 0,
            waits_for_replicas: false,
        }
    }

    #[test]
    fn each_danger_of_a_database_is_a_finding() {
        let states = |examination: Examination| -> Vec<State> {
            judge(&examination).iter().map(|finding| finding.state).collect()
        };
        assert_eq!(states(good()), [State::Ok]);
        let synchronous = Examination { replicas: 1, waits_for_replicas: true, ..good() };
        assert_eq!(states(synchronous.clone()), [State::Ok]);
        let slow = Duration::from_secs(3);
        assert_eq!(
            states(Examination { clock_ahead_ms: 1_900, round_trip: slow, ..good() }),
            [State::Ok],
            "a slow answer is no skew"
        );
        let full = Examination { free_connections: 2, ..good() };
        assert_eq!(
            states(Examination { served_by: vec!["db".to_owned()], ..full.clone() }),
            [State::Ok]
        );
        for (examination, state) in [
            (Examination { clock_ahead_ms: -1_100, ..good() }, State::Warn),
            (Examination { clock_ahead_ms: 1_100, ..good() }, State::Warn),
            (Examination { is_durable: false, ..good() }, State::Warn),
            (full, State::Warn),
            (Examination { deaf: vec!["db".to_owned()], ..good() }, State::Warn),
            (Examination { oldest_transaction: OLD_TRANSACTION, ..good() }, State::Warn),
            (Examination { waits_for_replicas: false, ..synchronous.clone() }, State::Warn),
            (Examination { replicas: 0, ..synchronous }, State::Fail),
        ] {
            assert_eq!(states(examination.clone()), [State::Ok, state], "{examination:?}");
        }
    }
}
