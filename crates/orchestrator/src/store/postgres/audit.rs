//! The audit log: what keys were used for.

use meetbot_types::{ErrorCode, KeyId, Page, Timestamp, UseId};
use tokio_postgres::Row;

use super::{
    Outcome, pages,
    transaction::Transaction,
    values::{escaped, number, parsed, read_as, stored, text, time, unescaped},
};
use crate::store::{
    KeyUse, UseFilter, Window,
    keys::{SEARCHED_AT_ONCE, SWEPT_AT_ONCE},
};

/// What is written at once.
pub(super) struct AuditBatch {
    pub(super) uses: Vec<KeyUse>,
    pub(super) repeats: Vec<(UseId, u64)>,
    pub(super) last_used: Vec<(KeyId, Timestamp)>,
    pub(super) keep_from: Timestamp,
}

pub(super) async fn note(transaction: &Transaction, batch: &AuditBatch) -> Outcome<()> {
    let AuditBatch { uses, repeats, last_used, keep_from } = batch;
    for used in uses {
        transaction
            .run(
                "INSERT INTO key_uses (id, at, key, consumer, address, method, path, job, status, error, request, times)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                &[
                    &used.id.to_string(),
                    &used.at.as_millis(),
                    &used.key.to_string(),
                    &used.consumer.to_string(),
                    &used.address.to_string(),
                    &used.method,
                    &escaped(&used.path),
                    &used.job.map(|job| job.to_string()),
                    &i64::from(used.status),
                    &used.error.as_ref().map(ErrorCode::as_str),
                    &escaped(&used.request),
                    &stored(used.times)?,
                ],
            )
            .await?;
    }
    let mut repeats: Vec<(String, u64)> =
        repeats.iter().map(|(line, times)| (line.to_string(), *times)).collect();
    repeats.sort();
    for (line, times) in repeats {
        let repeat = "UPDATE key_uses SET times = times + $2 WHERE id = $1";
        transaction.run(repeat, &[&line, &stored(times)?]).await?;
    }
    // In one order, and never back in time: several servers write these rows.
    let mut last_used: Vec<(String, i64)> =
        last_used.iter().map(|(key, at)| (key.to_string(), at.as_millis())).collect();
    last_used.sort();
    for (key, at) in last_used {
        let touch = "UPDATE keys SET last_used_at = greatest(last_used_at, $2) WHERE id = $1";
        transaction.run(touch, &[&key, &at]).await?;
    }
    // An id made for that moment sorts behind all that are older.
    transaction
        .run(
            "DELETE FROM key_uses WHERE id IN (SELECT id FROM key_uses WHERE id < $1 ORDER BY id LIMIT $2)",
            &[&UseId::generate(*keep_from).to_string(), &i64::from(SWEPT_AT_ONCE)],
        )
        .await?;
    Ok(())
}

pub(super) async fn list(
    transaction: &Transaction,
    filter: &UseFilter,
    window: Window<UseId>,
) -> Outcome<Page<KeyUse>> {
    let (from, until) = filter.ids(window.after);
    let from = from.map_or_else(String::new, |from| from.to_string());
    // Behind all ids.
    let until = until.map_or_else(|| "~".to_owned(), |until| until.to_string());
    let searched =
        format!("key_uses WHERE id > $1 AND id < $2 ORDER BY id DESC LIMIT {SEARCHED_AT_ONCE}");
    let sql = format!(
        "SELECT id, at, key, consumer, address, method, path, job, status, error, request, times
         FROM (SELECT * FROM {searched}) AS searched
         WHERE ($3::TEXT IS NULL OR key = $3) AND ($4::TEXT IS NULL OR job = $4) AND ($5::TEXT IS NULL OR consumer = $5)
            AND ($6::BIGINT IS NULL OR at >= $6) AND ($7::BIGINT IS NULL OR at < $7) AND (NOT $8 OR status >= 400)
         ORDER BY id DESC LIMIT $9"
    );
    let rows = transaction
        .rows(
            &sql,
            &[
                &from,
                &until,
                &filter.key.map(|key| key.to_string()),
                &filter.job.map(|job| job.to_string()),
                &filter.consumer.map(|consumer| consumer.to_string()),
                &filter.after.map(Timestamp::as_millis),
                &filter.before.map(Timestamp::as_millis),
                &filter.refused,
                &i64::from(window.limit.saturating_add(1)),
            ],
        )
        .await?;
    let page = pages::page(rows, window.limit, |row| Ok(line(&row)?.into()))?;
    if page.next_cursor.is_some() {
        return Ok(page);
    }
    // Nothing more in what was searched: the next page begins behind it, if there is more.
    let last = format!(
        "SELECT id FROM (SELECT id FROM {searched}) AS searched ORDER BY id DESC OFFSET {} LIMIT 1",
        SEARCHED_AT_ONCE - 1
    );
    let next = transaction.row(&last, &[&from, &until]).await?;
    Ok(Page { next_cursor: next.map(|row| text(&row, 0)).transpose()?, ..page })
}

fn line(row: &Row) -> Outcome<KeyUse> {
    let job: Option<&str> = row.try_get(7)?;
    let error: Option<&str> = row.try_get(9)?;
    Ok(KeyUse {
        id: parsed(row, 0, "a key use's id")?,
        at: time(row, 1)?,
        key: parsed(row, 2, "a key use's key")?,
        consumer: parsed(row, 3, "a key use's consumer")?,
        address: parsed(row, 4, "a key use's address")?,
        method: text(row, 5)?,
        path: unescaped(text(row, 6)?),
        job: job.map(|job| read_as(job.parse(), "a key use's job")).transpose()?,
        status: number(row, 8)?,
        error: error.map(ErrorCode::from),
        request: unescaped(text(row, 10)?),
        times: number(row, 11)?,
    })
}
