//! The audit log: what keys were used for.

use meetbot_types::{ErrorCode, KeyId, Page, Timestamp, UseId};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter, types::Value};

use super::{Outcome, pages, read_as};
use crate::store::{
    KeyUse, UseFilter, Window,
    keys::{SEARCHED_AT_ONCE, SWEPT_AT_ONCE},
};

pub(super) fn note(
    connection: &Connection,
    uses: &[KeyUse],
    repeats: &[(UseId, u64)],
    last_used: &[(KeyId, Timestamp)],
    keep_from: Timestamp,
) -> Outcome<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO key_uses (id, at, key, consumer, address, method, path, job, status, error, request, times)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for used in uses {
        insert.execute(params![
            used.id.to_string(),
            used.at.as_millis(),
            used.key.to_string(),
            used.consumer.to_string(),
            used.address.to_string(),
            used.method,
            used.path,
            used.job.map(|job| job.to_string()),
            used.status,
            used.error.as_ref().map(ErrorCode::as_str),
            used.request,
            used.times
        ])?;
    }
    let mut repeat =
        connection.prepare_cached("UPDATE key_uses SET times = times + ?2 WHERE id = ?1")?;
    for (line, times) in repeats {
        repeat.execute(params![line.to_string(), times])?;
    }
    let mut touch = connection.prepare_cached("UPDATE keys SET last_used_at = ?2 WHERE id = ?1")?;
    for (key, at) in last_used {
        touch.execute(params![key.to_string(), at.as_millis()])?;
    }
    // An id made for that moment sorts behind all that are older.
    connection
        .prepare_cached(
            "DELETE FROM key_uses WHERE id IN (SELECT id FROM key_uses WHERE id < ?1 ORDER BY id LIMIT ?2)",
        )?
        .execute(params![UseId::generate(keep_from).to_string(), SWEPT_AT_ONCE])?;
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    filter: &UseFilter,
    window: Window<UseId>,
) -> Outcome<Page<KeyUse>> {
    let (bounds, mut values) = bounds(filter, window.after);
    let mut sql = format!(
        "SELECT id, at, key, consumer, address, method, path, job, status, error, request, times
         FROM (SELECT * FROM key_uses WHERE {bounds} ORDER BY id DESC LIMIT {SEARCHED_AT_ONCE}) WHERE true"
    );
    let searched = values.clone();
    let mut and = |condition: &str, value: Value| {
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(key) = filter.key {
        and(" AND key = ?", key.to_string().into());
    }
    if let Some(job) = filter.job {
        and(" AND job = ?", job.to_string().into());
    }
    if let Some(consumer) = filter.consumer {
        and(" AND consumer = ?", consumer.to_string().into());
    }
    // Ids bound the search to the millisecond, and within one they are in no order.
    if let Some(after) = filter.after {
        and(" AND at >= ?", after.as_millis().into());
    }
    if let Some(before) = filter.before {
        and(" AND at < ?", before.as_millis().into());
    }
    if filter.refused {
        sql.push_str(" AND status >= 400");
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(i64::from(window.limit.saturating_add(1)).into());
    let mut statement = connection.prepare_cached(&sql)?;
    let page = pages::page(statement.query(params_from_iter(values))?, window.limit, |row| {
        Ok(line(row)?.into())
    })?;
    if page.next_cursor.is_some() {
        return Ok(page);
    }
    // Nothing more in what was searched: the next page begins behind it, if there is more.
    let last = format!(
        "SELECT id FROM key_uses WHERE {bounds} ORDER BY id DESC LIMIT 1 OFFSET {}",
        SEARCHED_AT_ONCE - 1
    );
    let mut statement = connection.prepare_cached(&last)?;
    let next_cursor =
        statement.query_row(params_from_iter(searched), |row| row.get(0)).optional()?;
    Ok(Page { next_cursor, ..page })
}

/// Between which ids the lines stand that are asked for, as a condition with its values.
fn bounds(filter: &UseFilter, cursor: Option<UseId>) -> (String, Vec<Value>) {
    let (from, until) = filter.ids(cursor);
    let mut bounds = "true".to_owned();
    let mut values = Vec::new();
    for (condition, id) in [(" AND id > ?", from), (" AND id < ?", until)] {
        if let Some(id) = id {
            bounds.push_str(condition);
            values.push(id.to_string().into());
        }
    }
    (bounds, values)
}

fn line(row: &Row<'_>) -> Outcome<KeyUse> {
    let text = |index| row.get::<_, String>(index);
    let job: Option<String> = row.get(7)?;
    let error: Option<String> = row.get(9)?;
    Ok(KeyUse {
        id: read_as(text(0)?.parse(), "a key use's id")?,
        at: Timestamp::from_millis(row.get(1)?),
        key: read_as(text(2)?.parse(), "a key use's key")?,
        consumer: read_as(text(3)?.parse(), "a key use's consumer")?,
        address: read_as(text(4)?.parse(), "a key use's address")?,
        method: text(5)?,
        path: text(6)?,
        job: job.map(|job| read_as(job.parse(), "a key use's job")).transpose()?,
        status: row.get(8)?,
        error: error.as_deref().map(ErrorCode::from),
        request: text(10)?,
        times: row.get(11)?,
    })
}
