//! Endpoints: how each has been, and when something is due there. An endpoint's row is the lock of its deliveries.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use meetbot_types::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;

use super::{
    Outcome,
    transaction::{Transaction, Value},
    values::{escaped, number, optional_time, text},
};
use crate::{
    deliveries::{Health, Lane, endpoint_of},
    store::Tenant,
};

/// An endpoint: a consumer's URL without its query.
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) consumer: String,
    pub(super) health: Health,
}

const COLUMNS: &str =
    "SELECT failures, failing_since, rest_ms, rests_until, proven, id, consumer FROM endpoints";

fn endpoint(row: &Row) -> Outcome<Endpoint> {
    Ok(Endpoint { health: health(row, 0)?, id: text(row, 5)?, consumer: text(row, 6)? })
}

/// The health that stands in a row from this column on.
pub(super) fn health(row: &Row, column: usize) -> Outcome<Health> {
    Ok(Health {
        failures: number(row, column)?,
        failing_since: optional_time(row, column + 1)?,
        rest: Duration::from_millis(number(row, column + 2)?),
        rests_until: optional_time(row, column + 3)?,
        proven: row.try_get(column + 4)?,
    })
}

const FIND: &str = "SELECT id FROM endpoints WHERE consumer = $1 AND live = $2 AND url_hash = $3";

/// A URL without its query, as it is stored, and its SHA-256.
fn without_query(url: &str) -> (Cow<'_, str>, Vec<u8>) {
    let url = escaped(endpoint_of(url));
    let hash = Sha256::digest(url.as_bytes()).to_vec();
    (url, hash)
}

/// The id of the endpoint behind a URL; `None` where nothing was ever sent there.
pub(super) async fn find(
    transaction: &Transaction,
    tenant: Tenant,
    url: &str,
) -> Outcome<Option<String>> {
    let (_, hash) = without_query(url);
    let found = transaction.row(FIND, &[&tenant.consumer.to_string(), &tenant.live, &hash]).await?;
    found.map(|row| text(&row, 0)).transpose()
}

/// The id of the endpoint behind a URL, which is made where it is new.
pub(super) async fn id_of(transaction: &Transaction, tenant: Tenant, url: &str) -> Outcome<String> {
    if let Some(id) = find(transaction, tenant, url).await? {
        return Ok(id);
    }
    let consumer = tenant.consumer.to_string();
    let (url, hash) = without_query(url);
    // Another transaction may have made it meanwhile.
    transaction
        .run(
            "INSERT INTO endpoints (id, consumer, live, url, url_hash) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            &[&crate::letters::letters(20), &consumer, &tenant.live, &url, &hash],
        )
        .await?;
    text(&transaction.one(FIND, &[&consumer, &tenant.live, &hash]).await?, 0)
}

/// Locks endpoints, in the order of their ids.
pub(super) async fn lock(
    transaction: &Transaction,
    ids: impl Iterator<Item = &String> + Send,
) -> Outcome<()> {
    let ids: Vec<&str> = ids.map(String::as_str).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let lock = "SELECT 1 FROM endpoints WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";
    transaction.rows(lock, &[&ids]).await?;
    Ok(())
}

/// Locks the endpoints behind these URLs, if all are there and no other transaction has a lock.
pub(super) async fn try_lock(
    transaction: &Transaction,
    tenant: Tenant,
    urls: &[&str],
) -> Outcome<bool> {
    if urls.is_empty() {
        return Ok(true);
    }
    let hashes: BTreeSet<Vec<u8>> = urls.iter().map(|url| without_query(url).1).collect();
    let hashes: Vec<Vec<u8>> = hashes.into_iter().collect();
    let lock = "SELECT 1 FROM endpoints WHERE consumer = $1 AND live = $2 AND url_hash = ANY ($3) FOR NO KEY UPDATE SKIP LOCKED";
    let values: [Value<'_>; 3] = [&tenant.consumer.to_string(), &tenant.live, &hashes];
    Ok(transaction.rows(lock, &values).await?.len() == hashes.len())
}

/// An endpoint with its lock; `None` where it was erased.
pub(super) async fn locked(transaction: &Transaction, id: &String) -> Outcome<Option<Endpoint>> {
    lock(transaction, std::iter::once(id)).await?;
    let found = transaction.row(&format!("{COLUMNS} WHERE id = $1"), &[id]).await?;
    found.as_ref().map(endpoint).transpose()
}

/// The ids of the endpoints of a job's deliveries.
pub(super) async fn of_job(transaction: &Transaction, job: &str) -> Outcome<Vec<String>> {
    let of_job = "SELECT DISTINCT endpoint FROM deliveries WHERE job = $1 ORDER BY endpoint";
    let rows = transaction.rows(of_job, &[&job]).await?;
    rows.iter().map(|row| text(row, 0)).collect()
}

/// Endpoints of a lane where something is due, those first that have waited longest, with their locks. Those that others have locked at this moment are left
/// out; they are looked at again at once, since something is due there.
pub(super) async fn due(
    transaction: &Transaction,
    lane: Lane,
    limit: u32,
    now: Timestamp,
) -> Outcome<Vec<Endpoint>> {
    let locked = transaction
        .rows(
            "SELECT id FROM endpoints WHERE lane = $1 AND due_at IS NOT NULL AND due_at <= $2 ORDER BY due_at LIMIT $3
             FOR NO KEY UPDATE SKIP LOCKED",
            &[&lane.number(), &now.as_millis(), &i64::from(limit)],
        )
        .await?;
    let ids = locked.iter().map(|row| text(row, 0)).collect::<Outcome<Vec<_>>>()?;
    let rows = transaction
        .rows(&format!("{COLUMNS} WHERE id = ANY ($1) ORDER BY due_at"), &[&ids])
        .await?;
    rows.iter().map(endpoint).collect()
}

/// When something is due next at an endpoint of this lane.
pub(super) async fn next(transaction: &Transaction, lane: Lane) -> Outcome<Option<Timestamp>> {
    let next = "SELECT min(due_at) FROM endpoints WHERE lane = $1 AND due_at IS NOT NULL";
    optional_time(&transaction.one(next, &[&lane.number()]).await?, 0)
}

/// Something new is due there. Whether it may be tried at once shows when it is looked at.
pub(super) async fn make_due(transaction: &Transaction, id: &str, now: Timestamp) -> Outcome<()> {
    transaction
        .run(
            "UPDATE endpoints SET due_at = greatest($2, coalesce(rests_until, 0))
             WHERE id = $1 AND (due_at IS NULL OR due_at > $2)",
            &[&id, &now.as_millis()],
        )
        .await?;
    Ok(())
}

/// How many tries are under way there.
pub(super) async fn in_flight(transaction: &Transaction, id: &str) -> Outcome<u32> {
    let in_flight = "SELECT count(*) FROM deliveries WHERE endpoint = $1 AND lease_until > 0";
    number(&transaction.one(in_flight, &[&id]).await?, 0)
}

/// Writes the health of an endpoint and its next check. The row is locked.
pub(super) async fn save(transaction: &Transaction, endpoint: &Endpoint) -> Outcome<()> {
    let Endpoint { id, health, .. } = endpoint;
    let rests_until = health.rests_until.map(Timestamp::as_millis);
    let due: Option<i64> = if health.has_room(in_flight(transaction, id).await?) {
        let first = "SELECT min(due_at) FROM deliveries WHERE endpoint = $1 AND due_at IS NOT NULL";
        let due: Option<i64> = transaction.one(first, &[id]).await?.try_get(0)?;
        due.map(|due| health.not_before(Timestamp::from_millis(due)).as_millis())
    } else {
        None
    };
    transaction
        .run(
            "UPDATE endpoints SET failures = $2, failing_since = $3, rest_ms = $4, rests_until = $5, proven = $6,
                lane = $7, due_at = $8 WHERE id = $1",
            &[
                id,
                &i64::from(health.failures),
                &health.failing_since.map(Timestamp::as_millis),
                &i64::try_from(health.rest.as_millis()).unwrap_or(i64::MAX),
                &rests_until,
                &health.proven,
                &health.lane().number(),
                &due,
            ],
        )
        .await?;
    Ok(())
}
