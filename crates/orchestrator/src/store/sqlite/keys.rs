//! Consumers and their API keys.

use meetbot_types::{ConsumerId, KeyId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Outcome, read_as};
use crate::store::{Key, NewKey, Scope, Tenant};

const COLUMNS: &str =
    "SELECT keys.id, consumer, name, live, scope, prefix, hash, keys.created_at, expires_at, revoked_at, last_used_at
    FROM keys JOIN consumers ON consumers.id = consumer";

pub(super) fn create(
    connection: &Connection,
    new: NewKey,
    now: Timestamp,
) -> Outcome<(Key, String)> {
    let known: Option<(String, String)> = connection
        .query_row(
            "SELECT id, webhook_secret FROM consumers WHERE name = ?1",
            [&new.consumer_name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (consumer, secret) = if let Some((id, secret)) = known {
        (read_as(id.parse(), "a consumer's id")?, secret)
    } else {
        let id = ConsumerId::generate(now);
        connection.execute(
            "INSERT INTO consumers (id, name, webhook_secret, created_at) VALUES (?1, ?2, ?3, ?4)",
            params![id.to_string(), new.consumer_name, new.webhook_secret, now.as_millis()],
        )?;
        (id, new.webhook_secret)
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
    let key = Key {
        id: new.id,
        tenant: Tenant { consumer, live: new.live },
        consumer_name: new.consumer_name,
        scope: new.scope,
        prefix: new.prefix,
        hash: new.hash,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    Ok((key, secret))
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

pub(super) fn revoke(connection: &Connection, id: KeyId, now: Timestamp) -> Outcome<bool> {
    let changed = connection.execute(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1",
        params![id.to_string(), now.as_millis()],
    )?;
    Ok(changed == 1)
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
