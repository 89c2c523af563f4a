//! Consumers and their API keys.

use meetbot_types::{ConsumerId, CreatedKey, KeyId, Page, Timestamp, bot::Secret};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter, types::Value};

use super::{Outcome, idempotency, pages, read_as};
use crate::store::{
    IdempotencyKey, Key, KeyCreation, KeyFilter, NewKey, Revocation, Scope, Tenant, Window,
};

const COLUMNS: &str =
    "SELECT keys.id, consumer, name, live, scope, prefix, hash, keys.created_at, expires_at, revoked_at, last_used_at
    FROM keys JOIN consumers ON consumers.id = consumer";

/// A new key with its consumer's webhook secret, and whether the consumer is new.
struct Created {
    key: Key,
    webhook_secret: String,
    is_first: bool,
}

pub(super) fn create(
    connection: &Connection,
    new: &NewKey,
    now: Timestamp,
) -> Outcome<(Key, String)> {
    let Created { key, webhook_secret, .. } = insert(connection, new, now)?;
    Ok((key, webhook_secret))
}

pub(super) fn create_first(
    connection: &Connection,
    new: &NewKey,
    now: Timestamp,
) -> Outcome<Option<(Key, String)>> {
    let is_there: bool =
        connection.query_row("SELECT EXISTS (SELECT 1 FROM keys)", [], |row| row.get(0))?;
    if is_there { Ok(None) } else { create(connection, new, now).map(Some) }
}

pub(super) fn create_idempotently(
    connection: &Connection,
    asking: Tenant,
    new: &NewKey,
    idempotency_key: Option<&IdempotencyKey>,
    now: Timestamp,
) -> Outcome<KeyCreation> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) = idempotency::prior_request(connection, asking, idempotency_key, now)?
    {
        return Ok(KeyCreation::Prior(prior));
    }
    let Created { key: created, webhook_secret, is_first } = insert(connection, new, now)?;
    let webhook_secret = is_first.then_some(webhook_secret);
    if let Some(idempotency_key) = idempotency_key {
        let (key, webhook_secret) = (String::new(), webhook_secret.clone());
        let shown = CreatedKey { key, webhook_secret, shown: created.clone().shown() };
        let body = read_as(serde_json::to_string(&shown), "a key")?;
        let response = idempotency_key.response(201, body);
        idempotency::insert(connection, asking, idempotency_key, &response, true, now)?;
    }
    Ok(KeyCreation::Created(created, webhook_secret.map(Secret::new)))
}

fn insert(connection: &Connection, new: &NewKey, now: Timestamp) -> Outcome<Created> {
    let known: Option<(String, String)> = connection
        .query_row(
            "SELECT id, webhook_secret FROM consumers WHERE name = ?1",
            [&new.consumer_name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let is_first = known.is_none();
    let (consumer, webhook_secret) = if let Some((id, secret)) = known {
        (read_as(id.parse(), "a consumer's id")?, secret)
    } else {
        let id = ConsumerId::generate(now);
        connection.execute(
            "INSERT INTO consumers (id, name, webhook_secret, created_at) VALUES (?1, ?2, ?3, ?4)",
            params![id.to_string(), new.consumer_name, new.webhook_secret, now.as_millis()],
        )?;
        (id, new.webhook_secret.clone())
    };
    connection.execute(
        "INSERT INTO keys (id, consumer, live, scope, prefix, hash, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            new.id.to_string(),
            consumer.to_string(),
            new.live,
            new.scope.as_str(),
            new.prefix,
            new.hash,
            now.as_millis(),
            new.expires_at.map(Timestamp::as_millis)
        ],
    )?;
    let key = new.of(consumer, now);
    Ok(Created { key, webhook_secret, is_first })
}

pub(super) fn find(connection: &Connection, prefix: &str) -> Outcome<Option<Key>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE prefix = ?1"))?;
    let mut rows = statement.query([prefix])?;
    rows.next()?.map(key).transpose()
}

pub(super) fn of_id(connection: &Connection, id: &str) -> Outcome<Option<Key>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE keys.id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(key).transpose()
}

pub(super) fn list(connection: &Connection) -> Outcome<Vec<Key>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} ORDER BY keys.id"))?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(key(row)?);
    }
    Ok(keys)
}

pub(super) fn page(
    connection: &Connection,
    filter: KeyFilter,
    window: Window<KeyId>,
) -> Outcome<Page<Key>> {
    let mut sql = format!("{COLUMNS} WHERE true");
    let mut values: Vec<Value> = Vec::new();
    if let Some(after) = window.after {
        sql.push_str(" AND keys.id < ?");
        values.push(after.to_string().into());
    }
    if let Some(consumer) = filter.consumer {
        sql.push_str(" AND name = ?");
        values.push(consumer.into());
    }
    sql.push_str(" ORDER BY keys.id DESC LIMIT ?");
    values.push(i64::from(window.limit.saturating_add(1)).into());
    let mut statement = connection.prepare_cached(&sql)?;
    pages::page(
        statement.query(params_from_iter(values))?,
        window.limit,
        |row| Ok(key(row)?.into()),
    )
}

pub(super) fn revoke(
    connection: &Connection,
    id: KeyId,
    keep_operator: bool,
    now: Timestamp,
) -> Outcome<Revocation> {
    let with_id = format!("{COLUMNS} WHERE keys.id = ?1");
    let mut statement = connection.prepare_cached(&with_id)?;
    let mut rows = statement.query([id.to_string()])?;
    let Some(mut found) = rows.next()?.map(key).transpose()? else {
        return Ok(Revocation::NotFound);
    };
    if keep_operator && found.opens_as_operator(now) && !has_other_operator(connection, id, now)? {
        return Ok(Revocation::LastOperator);
    }
    found.revoke(now);
    let revoked_at = found.revoked_at.map(Timestamp::as_millis);
    connection.execute(
        "UPDATE keys SET revoked_at = ?2 WHERE id = ?1",
        params![id.to_string(), revoked_at],
    )?;
    Ok(Revocation::Done(found))
}

/// Whether there is another key with the scope `operator` that is good.
fn has_other_operator(connection: &Connection, but: KeyId, now: Timestamp) -> Outcome<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM keys WHERE id <> ?1 AND scope = ?2 AND live
            AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3))",
    )?;
    let scope = Scope::Operator.as_str();
    Ok(statement.query_row(params![but.to_string(), scope, now.as_millis()], |row| row.get(0))?)
}

fn key(row: &Row<'_>) -> Outcome<Key> {
    let text = |index| row.get::<_, String>(index);
    let time = |index| -> rusqlite::Result<_> {
        Ok(row.get::<_, Option<i64>>(index)?.map(Timestamp::from_millis))
    };
    let scope = text(4)?;
    Ok(Key {
        id: read_as(text(0)?.parse(), "a key's id")?,
        tenant: Tenant {
            consumer: read_as(text(1)?.parse(), "a key's consumer")?,
            live: row.get(3)?,
        },
        consumer_name: text(2)?,
        scope: read_as(Scope::known(&scope).ok_or(scope), "a key's scope")?,
        prefix: text(5)?,
        hash: row.get(6)?,
        created_at: Timestamp::from_millis(row.get(7)?),
        expires_at: time(8)?,
        revoked_at: time(9)?,
        last_used_at: time(10)?,
    })
}
