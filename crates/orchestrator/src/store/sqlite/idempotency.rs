//! Responses stored under an `Idempotency-Key`.

use meetbot_types::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Outcome;
use crate::store::{
    IdempotencyKey, PriorRequest, StoredResponse, Tenant,
    idempotency::{IdempotencyRecord, expired_before, running_until},
};

/// The earlier request with this key, if its response is still stored.
pub(super) fn prior_request(
    connection: &Connection,
    tenant: Tenant,
    idempotency_key: &IdempotencyKey,
    now: Timestamp,
) -> Outcome<Option<PriorRequest>> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, status, body, ignored, running_until FROM answers
         WHERE consumer = ?1 AND live = ?2 AND key = ?3 AND created_at > ?4",
    )?;
    let expired = expired_before(now).as_millis();
    let found = statement
        .query_row(
            params![tenant.consumer.to_string(), tenant.live, idempotency_key.key, expired],
            |row| {
                let (status, body, ignored) = (row.get(1)?, row.get(2)?, row.get(3)?);
                let response = StoredResponse { status, body, ignored };
                Ok(IdempotencyRecord {
                    fingerprint: row.get(0)?,
                    response,
                    running_until: row.get(4)?,
                })
            },
        )
        .optional()?;
    Ok(found.map(|record| record.compare(idempotency_key, now)))
}

/// Stores a response. One that is not final is replayed only when the final one is missing.
pub(super) fn insert(
    connection: &Connection,
    tenant: Tenant,
    idempotency_key: &IdempotencyKey,
    response: &StoredResponse,
    is_final: bool,
    now: Timestamp,
) -> Outcome<()> {
    let running_until = running_until(is_final, now);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO answers
                (consumer, live, key, fingerprint, status, body, ignored, running_until, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            tenant.consumer.to_string(),
            tenant.live,
            idempotency_key.key,
            idempotency_key.fingerprint,
            response.status,
            response.body,
            response.ignored,
            running_until,
            now.as_millis()
        ])?;
    Ok(())
}

/// Stores a first response, unless the key was used before.
pub(super) fn begin_request(
    connection: &Connection,
    tenant: Tenant,
    idempotency_key: &IdempotencyKey,
    response: &StoredResponse,
    now: Timestamp,
) -> Outcome<Option<PriorRequest>> {
    let prior = prior_request(connection, tenant, idempotency_key, now)?;
    if prior.is_none() {
        insert(connection, tenant, idempotency_key, response, false, now)?;
    }
    Ok(prior)
}

/// Replaces a first response by the final one.
pub(super) fn set_final_response(
    connection: &Connection,
    tenant: Tenant,
    key: &str,
    response: &StoredResponse,
) -> Outcome<()> {
    connection.execute(
        "UPDATE answers SET status = ?4, body = ?5, ignored = ?6, running_until = 0
         WHERE consumer = ?1 AND live = ?2 AND key = ?3",
        params![
            tenant.consumer.to_string(),
            tenant.live,
            key,
            response.status,
            response.body,
            response.ignored
        ],
    )?;
    Ok(())
}

pub(super) fn sweep(connection: &Connection, now: Timestamp) -> Outcome<()> {
    let expired = expired_before(now).as_millis();
    connection.execute("DELETE FROM answers WHERE created_at <= ?1", [expired])?;
    connection.execute(
        "INSERT OR REPLACE INTO signs_of_life (name, at) VALUES ('server', ?1)",
        [now.as_millis()],
    )?;
    Ok(())
}
