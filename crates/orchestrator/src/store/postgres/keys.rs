//! Consumers and their API keys.

use meetbot_types::{ConsumerId, CreatedKey, KeyId, Page, Timestamp, bot::Secret};
use tokio_postgres::Row;

use super::{
    Outcome, Problem, idempotency, pages,
    transaction::Transaction,
    values::{escaped, hash, optional_time, parsed, read_as, text, time, unescaped},
};
use crate::store::{
    IdempotencyKey, Key, KeyCreation, KeyFilter, NewKey, Revocation, Scope, Tenant, Window,
};

const COLUMNS: &str =
    "SELECT keys.id, consumer, name, live, scope, prefix, hash, keys.created_at, expires_at, revoked_at, last_used_at
    FROM keys JOIN consumers ON consumers.id = consumer";

/// The advisory lock of servers that make the first key ("meetbot", and a number).
const FIRST_LOCK: i64 = 0x6d65_6574_626f_7403;

/// The consumer with this name, locked against erasure, and its webhook secret.
async fn consumer(transaction: &Transaction, name: &str) -> Outcome<Option<(ConsumerId, String)>> {
    let find = "SELECT id, webhook_secret FROM consumers WHERE name = $1 FOR KEY SHARE";
    let found = transaction.row(find, &[&escaped(name)]).await?;
    found.map(|row| Ok((parsed(&row, 0, "a consumer's id")?, text(&row, 1)?))).transpose()
}

/// A new key with its consumer's webhook secret, and whether the consumer is new.
struct Created {
    key: Key,
    webhook_secret: String,
    is_first: bool,
}

pub(super) async fn create(
    transaction: &Transaction,
    new: &NewKey,
    now: Timestamp,
) -> Outcome<(Key, String)> {
    let Created { key, webhook_secret, .. } = insert(transaction, new, now).await?;
    Ok((key, webhook_secret))
}

pub(super) async fn create_first(
    transaction: &Transaction,
    new: &NewKey,
    now: Timestamp,
) -> Outcome<Option<(Key, String)>> {
    transaction.rows("SELECT pg_advisory_xact_lock($1)", &[&FIRST_LOCK]).await?;
    if transaction.row("SELECT FROM keys LIMIT 1", &[]).await?.is_some() {
        return Ok(None);
    }
    create(transaction, new, now).await.map(Some)
}

pub(super) async fn create_idempotently(
    transaction: &Transaction,
    asking: Tenant,
    new: &NewKey,
    idempotency_key: Option<&IdempotencyKey>,
    now: Timestamp,
) -> Outcome<KeyCreation> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(transaction, asking, idempotency_key, now).await?
    {
        return Ok(KeyCreation::Prior(prior));
    }
    let Created { key: created, webhook_secret, is_first } = insert(transaction, new, now).await?;
    let webhook_secret = is_first.then_some(webhook_secret);
    if let Some(idempotency_key) = idempotency_key {
        let (key, webhook_secret) = (String::new(), webhook_secret.clone());
        let shown = CreatedKey { key, webhook_secret, shown: created.clone().shown() };
        let body = read_as(serde_json::to_string(&shown), "a key")?;
        let response = idempotency_key.response(201, body);
        idempotency::insert(transaction, asking, idempotency_key, &response, true, now).await?;
    }
    Ok(KeyCreation::Created(created, webhook_secret.map(Secret::new)))
}

async fn insert(transaction: &Transaction, new: &NewKey, now: Timestamp) -> Outcome<Created> {
    let known = consumer(transaction, &new.consumer_name).await?;
    let mut is_first = false;
    let (consumer, webhook_secret) = if let Some(known) = known {
        known
    } else {
        let made = transaction
            .run(
                "INSERT INTO consumers (id, name, webhook_secret, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT DO NOTHING",
                &[
                    &ConsumerId::generate(now).to_string(),
                    &escaped(&new.consumer_name),
                    &new.webhook_secret,
                    &now.as_millis(),
                ],
            )
            .await?;
        is_first = made == 1;
        // Another transaction may have made it meanwhile, or erased it again.
        consumer(transaction, &new.consumer_name).await?.ok_or(Problem::Again)?
    };
    transaction
        .run(
            "INSERT INTO keys (id, consumer, live, scope, prefix, hash, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &new.id.to_string(),
                &consumer.to_string(),
                &new.live,
                &new.scope.as_str(),
                &new.prefix,
                &new.hash.as_slice(),
                &now.as_millis(),
                &new.expires_at.map(Timestamp::as_millis),
            ],
        )
        .await?;
    let key = new.of(consumer, now);
    Ok(Created { key, webhook_secret, is_first })
}

pub(super) async fn find(transaction: &Transaction, prefix: &str) -> Outcome<Option<Key>> {
    // What a caller sends: no key has such a prefix.
    if prefix.contains('\0') {
        return Ok(None);
    }
    let found = transaction.row(&format!("{COLUMNS} WHERE prefix = $1"), &[&prefix]).await?;
    found.as_ref().map(key).transpose()
}

pub(super) async fn of_id(transaction: &Transaction, id: &str) -> Outcome<Option<Key>> {
    let found = transaction.row(&format!("{COLUMNS} WHERE keys.id = $1"), &[&id]).await?;
    found.as_ref().map(key).transpose()
}

pub(super) async fn page(
    transaction: &Transaction,
    filter: &KeyFilter,
    window: Window<KeyId>,
) -> Outcome<Page<Key>> {
    // Behind all ids.
    let after = window.after.map_or_else(|| "~".to_owned(), |after| after.to_string());
    let consumer = filter.consumer.as_deref().map(escaped);
    let sql = format!(
        "{COLUMNS} WHERE keys.id < $1 AND ($2::TEXT IS NULL OR name = $2) ORDER BY keys.id DESC LIMIT $3"
    );
    let limit = i64::from(window.limit.saturating_add(1));
    let rows = transaction.rows(&sql, &[&after, &consumer, &limit]).await?;
    pages::page(rows, window.limit, |row| Ok(key(&row)?.into()))
}

pub(super) async fn list(transaction: &Transaction) -> Outcome<Vec<Key>> {
    let rows = transaction.rows(&format!("{COLUMNS} ORDER BY keys.id"), &[]).await?;
    rows.iter().map(key).collect()
}

pub(super) async fn revoke(
    transaction: &Transaction,
    id: KeyId,
    keep_operator: bool,
    now: Timestamp,
) -> Outcome<Revocation> {
    // All keys of operators are locked: two that are ended at the same time would each be the last but one.
    let lock = "SELECT 1 FROM keys WHERE id = $1 OR scope = $2 ORDER BY id FOR NO KEY UPDATE";
    let (text, scope) = (id.to_string(), Scope::Operator.as_str());
    transaction.rows(lock, &[&text, &scope]).await?;
    let Some(mut found) = of_id(transaction, &text).await? else {
        return Ok(Revocation::NotFound);
    };
    if keep_operator && found.opens_as_operator(now) {
        let other = "SELECT 1 FROM keys WHERE id <> $1 AND scope = $2 AND live
            AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3) LIMIT 1";
        if transaction.row(other, &[&text, &scope, &now.as_millis()]).await?.is_none() {
            return Ok(Revocation::LastOperator);
        }
    }
    found.revoke(now);
    let revoked_at = found.revoked_at.map(Timestamp::as_millis);
    let revoke = "UPDATE keys SET revoked_at = $2 WHERE id = $1";
    transaction.run(revoke, &[&text, &revoked_at]).await?;
    Ok(Revocation::Done(found))
}

fn key(row: &Row) -> Outcome<Key> {
    let scope = text(row, 4)?;
    Ok(Key {
        id: parsed(row, 0, "a key's id")?,
        tenant: Tenant { consumer: parsed(row, 1, "a key's consumer")?, live: row.try_get(3)? },
        consumer_name: unescaped(text(row, 2)?),
        scope: read_as(Scope::known(&scope).ok_or(scope), "a key's scope")?,
        prefix: text(row, 5)?,
        hash: hash(row, 6)?,
        created_at: time(row, 7)?,
        expires_at: optional_time(row, 8)?,
        revoked_at: optional_time(row, 9)?,
        last_used_at: optional_time(row, 10)?,
    })
}
