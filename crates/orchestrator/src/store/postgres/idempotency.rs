//! Responses stored under an `Idempotency-Key`.

use meetbot_types::Timestamp;

use super::{
    Outcome, Problem,
    transaction::Transaction,
    values::{hash, number, text},
};
use crate::store::{
    IdempotencyKey, PriorRequest, StoredResponse, Tenant,
    idempotency::{IdempotencyRecord, expired_before, running_until},
};

/// The earlier request with this key, if its response is still stored.
pub(super) async fn prior_request(
    transaction: &Transaction,
    tenant: Tenant,
    idempotency_key: &IdempotencyKey,
    now: Timestamp,
) -> Outcome<Option<PriorRequest>> {
    let expired = expired_before(now).as_millis();
    let found = transaction
        .row(
            "SELECT fingerprint, status, body, ignored, running_until FROM answers
             WHERE consumer = $1 AND live = $2 AND key = $3 AND created_at > $4",
            &[&tenant.consumer.to_string(), &tenant.live, &idempotency_key.key, &expired],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let (status, body, ignored) = (number(&row, 1)?, text(&row, 2)?, text(&row, 3)?);
    let response = StoredResponse { status, body, ignored };
    let record =
        IdempotencyRecord { fingerprint: hash(&row, 0)?, response, running_until: row.try_get(4)? };
    Ok(Some(record.compare(idempotency_key, now)))
}

/// Stores a response. One that is not final is replayed only when the final one is missing. Where another request has used the key meanwhile, the
/// transaction is repeated, and finds it.
pub(super) async fn insert(
    transaction: &Transaction,
    tenant: Tenant,
    idempotency_key: &IdempotencyKey,
    response: &StoredResponse,
    is_final: bool,
    now: Timestamp,
) -> Outcome<()> {
    let running_until = running_until(is_final, now);
    let inserted = transaction
        .run(
            "INSERT INTO answers (consumer, live, key, fingerprint, status, body, ignored, running_until, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (consumer, live, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,
                body = excluded.body, ignored = excluded.ignored, running_until = excluded.running_until,
                created_at = excluded.created_at
             WHERE answers.created_at <= $10",
            &[
                &tenant.consumer.to_string(),
                &tenant.live,
                &idempotency_key.key,
                &idempotency_key.fingerprint.as_slice(),
                &i64::from(response.status),
                &response.body,
                &response.ignored,
                &running_until,
                &now.as_millis(),
                &expired_before(now).as_millis(),
            ],
        )
        .await?;
    if inserted == 0 { Err(Problem::Again) } else { Ok(()) }
}

/// Stores a first response, unless the key was used before.
pub(super) async fn begin_request(
    transaction: &Transaction,
    tenant: Tenant,
    idempotency_key: &IdempotencyKey,
    response: &StoredResponse,
    now: Timestamp,
) -> Outcome<Option<PriorRequest>> {
    let prior = prior_request(transaction, tenant, idempotency_key, now).await?;
    if prior.is_none() {
        insert(transaction, tenant, idempotency_key, response, false, now).await?;
    }
    Ok(prior)
}

/// Replaces a first response by the final one.
pub(super) async fn set_final_response(
    transaction: &Transaction,
    tenant: Tenant,
    key: &str,
    response: &StoredResponse,
) -> Outcome<()> {
    transaction
        .run(
            "UPDATE answers SET status = $4, body = $5, ignored = $6, running_until = 0
             WHERE consumer = $1 AND live = $2 AND key = $3",
            &[
                &tenant.consumer.to_string(),
                &tenant.live,
                &key,
                &i64::from(response.status),
                &response.body,
                &response.ignored,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn sweep(transaction: &Transaction, now: Timestamp) -> Outcome<()> {
    let expired = expired_before(now).as_millis();
    transaction.run("DELETE FROM answers WHERE created_at <= $1", &[&expired]).await?;
    Ok(())
}
