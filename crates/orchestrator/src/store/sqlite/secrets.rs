//! Webhook secrets: one for each consumer, and for a while the one before it.

use std::time::Duration;

use meetbot_types::{ConsumerId, Timestamp, bot::Secret};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Outcome, consumers, idempotency, read_as};
use crate::store::{
    IdempotencyKey, PreviousSecret, Rotation, RotationAnswer, Tenant, WebhookSecrets,
};

const COLUMNS: &str = "SELECT webhook_secret, previous_secret, previous_until FROM consumers";

fn secrets(row: &Row<'_>) -> rusqlite::Result<WebhookSecrets> {
    let previous: Option<(String, i64)> = row.get::<_, Option<_>>(1)?.zip(row.get(2)?);
    Ok(WebhookSecrets {
        current: Secret::new(row.get::<_, String>(0)?),
        previous: previous.map(|(secret, until)| PreviousSecret {
            secret: Secret::new(secret),
            until: Timestamp::from_millis(until),
        }),
    })
}

fn find(
    connection: &Connection,
    column: &str,
    value: &str,
    now: Timestamp,
) -> Outcome<Option<WebhookSecrets>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE {column} = ?1"))?;
    let found = statement.query_row([value], secrets).optional()?;
    Ok(found.map(|found| found.at(now)))
}

/// Those of the consumer with this id.
pub(super) fn of_id(
    connection: &Connection,
    id: &str,
    now: Timestamp,
) -> Outcome<Option<WebhookSecrets>> {
    find(connection, "id", id, now)
}

/// Those of the consumer with this name.
pub(super) fn of_name(
    connection: &Connection,
    name: &str,
    now: Timestamp,
) -> Outcome<Option<WebhookSecrets>> {
    find(connection, "name", name, now)
}

pub(super) fn rotate(
    connection: &Connection,
    name: &str,
    new: &Secret,
    overlap: Duration,
    now: Timestamp,
) -> Outcome<Rotation> {
    let Some(secrets) = of_name(connection, name, now)? else { return Ok(Rotation::NoConsumer) };
    let secrets = match secrets.rotated(new.clone(), overlap, now) {
        Ok(secrets) => secrets,
        Err(under_way) => return Ok(Rotation::UnderWay(under_way.until)),
    };
    let previous = secrets.previous.as_ref();
    connection.execute(
        "UPDATE consumers SET webhook_secret = ?2, previous_secret = ?3, previous_until = ?4 WHERE name = ?1",
        params![
            name,
            secrets.current.expose(),
            previous.map(|previous| previous.secret.expose()),
            previous.map(|previous| previous.until.as_millis())
        ],
    )?;
    Ok(Rotation::Done(secrets))
}

/// The same for a caller, by the consumer's id, unless its request came before.
pub(super) fn rotate_idempotently(
    connection: &Connection,
    asking: Tenant,
    consumer: ConsumerId,
    (new, overlap): (&Secret, Duration),
    idempotency_key: Option<&IdempotencyKey>,
    now: Timestamp,
) -> Outcome<RotationAnswer> {
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) = idempotency::prior_request(connection, asking, idempotency_key, now)?
    {
        return Ok(RotationAnswer::Prior(prior));
    }
    let Some(name) = consumers::name(connection, consumer)? else {
        return Ok(RotationAnswer::Now(Rotation::NoConsumer));
    };
    let rotation = rotate(connection, &name, new, overlap, now)?;
    if let (Some(idempotency_key), Rotation::Done(secrets)) = (idempotency_key, &rotation) {
        let shown = secrets.shown(consumer, name);
        let body = read_as(serde_json::to_string(&shown), "a webhook secret")?;
        let response = idempotency_key.response(200, body);
        idempotency::insert(connection, asking, idempotency_key, &response, true, now)?;
    }
    Ok(RotationAnswer::Now(rotation))
}

/// Forgets secrets whose time is over.
pub(super) fn sweep(connection: &Connection, now: Timestamp) -> Outcome<()> {
    connection.execute(
        "UPDATE consumers SET previous_secret = NULL, previous_until = NULL WHERE previous_until <= ?1",
        [now.as_millis()],
    )?;
    Ok(())
}
