//! Webhook secrets: one for each consumer, and for a while the one before it.

use std::time::Duration;

use meetbot_types::{ConsumerId, Timestamp, bot::Secret};
use tokio_postgres::Row;

use super::{
    Outcome, consumers, idempotency,
    transaction::Transaction,
    values::{escaped, read_as, text},
};
use crate::store::{
    IdempotencyKey, PreviousSecret, Rotation, RotationAnswer, Tenant, WebhookSecrets,
};

const COLUMNS: &str = "SELECT webhook_secret, previous_secret, previous_until FROM consumers";

fn secrets(row: &Row) -> Outcome<WebhookSecrets> {
    let previous: Option<String> = row.try_get(1)?;
    let previous = previous.zip(row.try_get::<_, Option<i64>>(2)?);
    Ok(WebhookSecrets {
        current: Secret::new(text(row, 0)?),
        previous: previous.map(|(secret, until)| PreviousSecret {
            secret: Secret::new(secret),
            until: Timestamp::from_millis(until),
        }),
    })
}

async fn find(
    transaction: &Transaction,
    condition: &str,
    value: &str,
    now: Timestamp,
) -> Outcome<Option<WebhookSecrets>> {
    let found = transaction.row(&format!("{COLUMNS} WHERE {condition}"), &[&value]).await?;
    Ok(found.as_ref().map(secrets).transpose()?.map(|found| found.at(now)))
}

/// Those of the consumer with this id.
pub(super) async fn of_id(
    transaction: &Transaction,
    id: &str,
    now: Timestamp,
) -> Outcome<Option<WebhookSecrets>> {
    find(transaction, "id = $1", id, now).await
}

/// Those of the consumer with this name.
pub(super) async fn of_name(
    transaction: &Transaction,
    name: &str,
    now: Timestamp,
) -> Outcome<Option<WebhookSecrets>> {
    find(transaction, "name = $1", &escaped(name), now).await
}

pub(super) async fn rotate(
    transaction: &Transaction,
    name: &str,
    new: &Secret,
    overlap: Duration,
    now: Timestamp,
) -> Outcome<Rotation> {
    let name = escaped(name);
    let locked = find(transaction, "name = $1 FOR NO KEY UPDATE", &name, now).await?;
    let Some(secrets) = locked else { return Ok(Rotation::NoConsumer) };
    let secrets = match secrets.rotated(new.clone(), overlap, now) {
        Ok(secrets) => secrets,
        Err(under_way) => return Ok(Rotation::UnderWay(under_way.until)),
    };
    let previous = secrets.previous.as_ref();
    transaction
        .run(
            "UPDATE consumers SET webhook_secret = $2, previous_secret = $3, previous_until = $4 WHERE name = $1",
            &[
                &name,
                &secrets.current.expose(),
                &previous.map(|previous| previous.secret.expose()),
                &previous.map(|previous| previous.until.as_millis()),
            ],
        )
        .await?;
    Ok(Rotation::Done(secrets))
}

/// A rotation that a caller asks for.
pub(super) struct Rotate {
    pub(super) asking: Tenant,
    pub(super) consumer: ConsumerId,
    pub(super) new: Secret,
    pub(super) overlap: Duration,
    pub(super) idempotency_key: Option<IdempotencyKey>,
}

/// The same for a caller, by the consumer's id, unless its request came before.
pub(super) async fn rotate_idempotently(
    transaction: &Transaction,
    rotation: &Rotate,
    now: Timestamp,
) -> Outcome<RotationAnswer> {
    let Rotate { asking, consumer, new, overlap, idempotency_key } = rotation;
    let lock = "SELECT 1 FROM consumers WHERE id = $1 FOR NO KEY UPDATE";
    transaction.rows(lock, &[&consumer.to_string()]).await?;
    if let Some(idempotency_key) = idempotency_key
        && let Some(prior) =
            idempotency::prior_request(transaction, *asking, idempotency_key, now).await?
    {
        return Ok(RotationAnswer::Prior(prior));
    }
    let Some(name) = consumers::name(transaction, *consumer).await? else {
        return Ok(RotationAnswer::Now(Rotation::NoConsumer));
    };
    let rotation = rotate(transaction, &name, new, *overlap, now).await?;
    if let (Some(idempotency_key), Rotation::Done(secrets)) = (idempotency_key, &rotation) {
        let shown = secrets.shown(*consumer, name);
        let body = read_as(serde_json::to_string(&shown), "a webhook secret")?;
        let response = idempotency_key.response(200, body);
        idempotency::insert(transaction, *asking, idempotency_key, &response, true, now).await?;
    }
    Ok(RotationAnswer::Now(rotation))
}

/// Forgets secrets whose time is over.
pub(super) async fn sweep(transaction: &Transaction, now: Timestamp) -> Outcome<()> {
    let forget = "UPDATE consumers SET previous_secret = NULL, previous_until = NULL WHERE previous_until <= $1";
    transaction.run(forget, &[&now.as_millis()]).await?;
    Ok(())
}
