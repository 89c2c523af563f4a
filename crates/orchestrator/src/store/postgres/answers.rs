//! Answers kept for `Idempotency-Key`.

use meetbot_types::Timestamp;

use super::{
    Outcome, Problem,
    transaction::Transaction,
    values::{hash, number, text},
};
use crate::store::{
    Earlier, KeptAnswer, Once, Tenant,
    answers::{Stored, oldest, running_until},
};

/// What the key was used for before.
pub(super) async fn earlier(
    transaction: &Transaction,
    tenant: Tenant,
    once: &Once,
    now: Timestamp,
) -> Outcome<Option<Earlier>> {
    let oldest = oldest(now).as_millis();
    let found = transaction
        .row(
            "SELECT fingerprint, status, body, ignored, running_until FROM answers
             WHERE consumer = $1 AND live = $2 AND key = $3 AND created_at > $4",
            &[&tenant.consumer.to_string(), &tenant.live, &once.key, &oldest],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let (status, body, ignored) = (number(&row, 1)?, text(&row, 2)?, text(&row, 3)?);
    let answer = KeptAnswer { status, body, ignored };
    let stored = Stored { fingerprint: hash(&row, 0)?, answer, running_until: row.try_get(4)? };
    Ok(Some(stored.to(once, now)))
}

/// Keeps an answer. One that is not the last word is given out only when the last one does not come. Where another request has used the key meanwhile, the
/// transaction is to be done again, and finds it.
pub(super) async fn keep(
    transaction: &Transaction,
    tenant: Tenant,
    once: &Once,
    answer: &KeptAnswer,
    last_word: bool,
    now: Timestamp,
) -> Outcome<()> {
    let running_until = running_until(last_word, now);
    let kept = transaction
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
                &once.key,
                &once.fingerprint.as_slice(),
                &i64::from(answer.status),
                &answer.body,
                &answer.ignored,
                &running_until,
                &now.as_millis(),
                &oldest(now).as_millis(),
            ],
        )
        .await?;
    if kept == 0 { Err(Problem::Again) } else { Ok(()) }
}

/// Keeps a first answer, unless the key was used before.
pub(super) async fn begin(
    transaction: &Transaction,
    tenant: Tenant,
    once: &Once,
    answer: &KeptAnswer,
    now: Timestamp,
) -> Outcome<Option<Earlier>> {
    let earlier = earlier(transaction, tenant, once, now).await?;
    if earlier.is_none() {
        keep(transaction, tenant, once, answer, false, now).await?;
    }
    Ok(earlier)
}

/// Replaces an answer by the last word.
pub(super) async fn replace(
    transaction: &Transaction,
    tenant: Tenant,
    key: &str,
    answer: &KeptAnswer,
) -> Outcome<()> {
    transaction
        .run(
            "UPDATE answers SET status = $4, body = $5, ignored = $6, running_until = 0
             WHERE consumer = $1 AND live = $2 AND key = $3",
            &[
                &tenant.consumer.to_string(),
                &tenant.live,
                &key,
                &i64::from(answer.status),
                &answer.body,
                &answer.ignored,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn sweep(transaction: &Transaction, now: Timestamp) -> Outcome<()> {
    let oldest = oldest(now).as_millis();
    transaction.run("DELETE FROM answers WHERE created_at <= $1", &[&oldest]).await?;
    Ok(())
}
