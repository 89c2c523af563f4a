//! Answers kept for `Idempotency-Key`.

use meetbot_types::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Outcome;
use crate::store::{
    Earlier, KeptAnswer, Once, Tenant,
    answers::{Stored, oldest, running_until},
};

/// What the key was used for before.
pub(super) fn earlier(
    connection: &Connection,
    tenant: Tenant,
    once: &Once,
    now: Timestamp,
) -> Outcome<Option<Earlier>> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, status, body, ignored, running_until FROM answers
         WHERE consumer = ?1 AND live = ?2 AND key = ?3 AND created_at > ?4",
    )?;
    let oldest = oldest(now).as_millis();
    let found = statement
        .query_row(params![tenant.consumer.to_string(), tenant.live, once.key, oldest], |row| {
            let (status, body, ignored) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let answer = KeptAnswer { status, body, ignored };
            Ok(Stored { fingerprint: row.get(0)?, answer, running_until: row.get(4)? })
        })
        .optional()?;
    Ok(found.map(|stored| stored.to(once, now)))
}

/// Keeps an answer. One that is not the last word is given out only when the last one does not come.
pub(super) fn keep(
    connection: &Connection,
    tenant: Tenant,
    once: &Once,
    answer: &KeptAnswer,
    last_word: bool,
    now: Timestamp,
) -> Outcome<()> {
    let running_until = running_until(last_word, now);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO answers
                (consumer, live, key, fingerprint, status, body, ignored, running_until, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            tenant.consumer.to_string(),
            tenant.live,
            once.key,
            once.fingerprint,
            answer.status,
            answer.body,
            answer.ignored,
            running_until,
            now.as_millis()
        ])?;
    Ok(())
}

/// Keeps a first answer, unless the key was used before.
pub(super) fn begin(
    connection: &Connection,
    tenant: Tenant,
    once: &Once,
    answer: &KeptAnswer,
    now: Timestamp,
) -> Outcome<Option<Earlier>> {
    let earlier = earlier(connection, tenant, once, now)?;
    if earlier.is_none() {
        keep(connection, tenant, once, answer, false, now)?;
    }
    Ok(earlier)
}

/// Replaces an answer by the last word.
pub(super) fn replace(
    connection: &Connection,
    tenant: Tenant,
    key: &str,
    answer: &KeptAnswer,
) -> Outcome<()> {
    connection.execute(
        "UPDATE answers SET status = ?4, body = ?5, ignored = ?6, running_until = 0
         WHERE consumer = ?1 AND live = ?2 AND key = ?3",
        params![
            tenant.consumer.to_string(),
            tenant.live,
            key,
            answer.status,
            answer.body,
            answer.ignored
        ],
    )?;
    Ok(())
}

pub(super) fn sweep(connection: &Connection, now: Timestamp) -> Outcome<()> {
    let oldest = oldest(now).as_millis();
    connection.execute("DELETE FROM answers WHERE created_at <= ?1", [oldest])?;
    connection.execute(
        "INSERT OR REPLACE INTO signs_of_life (name, at) VALUES ('server', ?1)",
        [now.as_millis()],
    )?;
    Ok(())
}
