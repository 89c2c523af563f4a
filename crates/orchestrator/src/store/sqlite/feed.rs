//! Consumers' feeds. The one writer numbers the events of a feed, so that they are read in the order in which they were committed.

use meetbot_types::{EventName, FeedEvent, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Outcome, Problem, read_as};
use crate::{
    letters::letters,
    store::{
        Feed, FeedCursor, ORIGIN_LETTERS, Tenant,
        feed::{FeedScan, SCANNED_AT_ONCE},
    },
};

/// A feed's id, and the number of the first of so many new events in it.
pub(super) fn take_numbers(
    connection: &Connection,
    tenant: Tenant,
    count: usize,
) -> Outcome<(i64, i64)> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut take = connection.prepare_cached(
        "INSERT INTO feeds (consumer, live, origin, last) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (consumer, live) DO UPDATE SET last = last + ?4 RETURNING id, last",
    )?;
    let (consumer, origin) = (tenant.consumer.to_string(), letters(ORIGIN_LETTERS));
    let (id, last): (i64, i64) = take
        .query_row(params![consumer, tenant.live, origin, count], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok((id, last - count + 1))
}

/// A row of the table `feeds`.
struct FeedRow {
    id: i64,
    origin: [u8; ORIGIN_LETTERS],
    last: u64,
    gone: u64,
}

impl FeedRow {
    fn of(connection: &Connection, tenant: Tenant) -> Outcome<Option<Self>> {
        let mut find = connection.prepare_cached(
            "SELECT id, origin, last, gone FROM feeds WHERE consumer = ?1 AND live = ?2",
        )?;
        let found = find
            .query_row(params![tenant.consumer.to_string(), tenant.live], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((id, origin, last, gone)) = found else { return Ok(None) };
        let origin = origin.as_bytes().try_into();
        let origin = origin.map_err(|_| Problem::Corrupt("a feed's origin is too long".into()))?;
        Ok(Some(Self { id, origin, last, gone }))
    }

    const fn at(&self, number: u64) -> FeedCursor {
        FeedCursor { origin: self.origin, transaction: 0, number }
    }
}

pub(super) fn end(connection: &Connection, tenant: Tenant) -> Outcome<FeedCursor> {
    let feed = FeedRow::of(connection, tenant)?;
    Ok(feed.map_or(FeedCursor::BEGINNING, |feed| feed.at(feed.last)))
}

pub(super) fn read(
    connection: &Connection,
    tenant: Tenant,
    names: &[EventName],
    after: Option<FeedCursor>,
    limit: u32,
) -> Outcome<Feed> {
    let Some(feed) = FeedRow::of(connection, tenant)? else {
        return Ok(Feed::of_nothing(after));
    };
    let mut last = match after {
        // Behind the newest event that was deleted nothing is missing.
        None => feed.gone,
        Some(after) if after != FeedCursor::BEGINNING && feed.at(after.number) != after => {
            return Ok(Feed::Foreign);
        }
        Some(after) if after.number > feed.last => return Ok(Feed::Foreign),
        Some(after) if after.number < feed.gone => return Ok(Feed::Expired),
        Some(after) => after.number,
    };
    let mut find = connection.prepare_cached(
        "SELECT number, id, name, at, data FROM events
         WHERE feed = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
    )?;
    let mut rows = find.query(params![feed.id, last, SCANNED_AT_ONCE + 1])?;
    let mut scan = FeedScan::new(names, limit);
    while let Some(row) = rows.next()? {
        if scan.is_full() {
            return Ok(scan.end(feed.at(last), true));
        }
        last = row.get(0)?;
        let name: String = row.get(2)?;
        if scan.wants(&name) {
            let text: String = row.get(4)?;
            let event = FeedEvent {
                cursor: feed.at(last).to_string(),
                id: read_as(row.get::<_, String>(1)?.parse(), "an event's id")?,
                event: name.as_str().into(),
                emitted_at: Timestamp::from_millis(row.get(3)?),
                data: read_as(serde_json::from_str(&text), "an event")?,
            };
            scan.push(event, text.len());
        }
    }
    Ok(scan.end(feed.at(last), false))
}

/// A job's events are about to be deleted.
pub(super) fn forget(connection: &Connection, job: &str) -> Outcome<()> {
    connection
        .prepare_cached(
            "UPDATE feeds SET gone = max(gone, newest.number)
             FROM (SELECT feed, max(number) AS number FROM events WHERE job = ?1 AND feed IS NOT NULL GROUP BY feed) AS newest
             WHERE feeds.id = newest.feed",
        )?
        .execute([job])?;
    Ok(())
}

/// Invalidates the cursors of the database of which this one is a copy.
pub(super) fn rename(connection: &Connection) -> Outcome<()> {
    connection.execute("UPDATE feeds SET origin = ?1", [letters(ORIGIN_LETTERS)])?;
    Ok(())
}
