//! Sessions of browsers.

use meetbot_types::Timestamp;

use super::{Outcome, keys, transaction::Transaction, values::text};
use crate::store::{Key, NewSession, SESSIONS_PER_KEY};

pub(super) async fn begin(
    transaction: &Transaction,
    new: &NewSession,
    now: Timestamp,
) -> Outcome<()> {
    let key = new.key.to_string();
    // Of one key's sessions one is begun at a time, and none with a key that is erased.
    transaction.rows("SELECT 1 FROM keys WHERE id = $1 FOR NO KEY UPDATE", &[&key]).await?;
    let over = "DELETE FROM sessions WHERE expires_at <= $1";
    transaction.run(over, &[&now.as_millis()]).await?;
    transaction
        .run(
            "INSERT INTO sessions (hash, key, created_at, expires_at) VALUES ($1, $2, $3, $4)",
            &[&new.hash.as_slice(), &key, &now.as_millis(), &new.expires_at.as_millis()],
        )
        .await?;
    transaction
        .run(
            "DELETE FROM sessions WHERE key = $1 AND hash NOT IN
                (SELECT hash FROM sessions WHERE key = $1 ORDER BY created_at DESC, hash LIMIT $2)",
            &[&key, &i64::from(SESSIONS_PER_KEY)],
        )
        .await?;
    Ok(())
}

pub(super) async fn key(
    transaction: &Transaction,
    hash: &[u8; 32],
    now: Timestamp,
) -> Outcome<Option<Key>> {
    let found = transaction
        .row(
            "SELECT key FROM sessions WHERE hash = $1 AND expires_at > $2",
            &[&hash.as_slice(), &now.as_millis()],
        )
        .await?;
    match found {
        Some(row) => keys::of_id(transaction, &text(&row, 0)?).await,
        None => Ok(None),
    }
}

pub(super) async fn end(
    transaction: &Transaction,
    hash: &[u8; 32],
    now: Timestamp,
) -> Outcome<Option<Key>> {
    let lock = "SELECT 1 FROM sessions WHERE hash = $1 FOR UPDATE";
    transaction.rows(lock, &[&hash.as_slice()]).await?;
    let key = key(transaction, hash, now).await?;
    transaction.run("DELETE FROM sessions WHERE hash = $1", &[&hash.as_slice()]).await?;
    Ok(key)
}
