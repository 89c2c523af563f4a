//! Sessions of browsers.

use meetbot_types::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Outcome, keys};
use crate::store::{Key, NewSession, SESSIONS_PER_KEY};

pub(super) fn begin(connection: &Connection, new: &NewSession, now: Timestamp) -> Outcome<()> {
    connection
        .prepare_cached("DELETE FROM sessions WHERE expires_at <= ?1")?
        .execute([now.as_millis()])?;
    let key = new.key.to_string();
    connection
        .prepare_cached(
            "INSERT INTO sessions (hash, key, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![new.hash, key, now.as_millis(), new.expires_at.as_millis()])?;
    connection
        .prepare_cached(
            "DELETE FROM sessions WHERE key = ?1 AND hash NOT IN
                (SELECT hash FROM sessions WHERE key = ?1 ORDER BY created_at DESC, hash LIMIT ?2)",
        )?
        .execute(params![key, SESSIONS_PER_KEY])?;
    Ok(())
}

pub(super) fn key(connection: &Connection, hash: [u8; 32], now: Timestamp) -> Outcome<Option<Key>> {
    let key: Option<String> = connection
        .prepare_cached("SELECT key FROM sessions WHERE hash = ?1 AND expires_at > ?2")?
        .query_row(params![hash, now.as_millis()], |row| row.get(0))
        .optional()?;
    match key {
        Some(key) => keys::of_id(connection, &key),
        None => Ok(None),
    }
}

pub(super) fn end(connection: &Connection, hash: [u8; 32], now: Timestamp) -> Outcome<Option<Key>> {
    let key = key(connection, hash, now)?;
    connection.prepare_cached("DELETE FROM sessions WHERE hash = ?1")?.execute([hash])?;
    Ok(key)
}
