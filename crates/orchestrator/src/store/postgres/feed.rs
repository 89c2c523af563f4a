//! Consumers' feeds. Transactions commit in another order than they began in, so a feed is read up to the oldest one that has not ended: nothing is written behind
//! a cursor. A long transaction anywhere on the PostgreSQL server delays feeds for as long.

use meetbot_types::{EventName, FeedEvent};
use tokio_postgres::Client;

use super::{
    Outcome, Problem,
    transaction::Transaction,
    values::{number, parsed, read_as, stored, text, time},
};
use crate::{
    letters::letters,
    store::{
        Feed, FeedCursor, ORIGIN_LETTERS, Tenant,
        feed::{FeedScan, SCANNED_AT_ONCE},
    },
};

/// The oldest transaction that has not ended.
const HORIZON: &str = "pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT";

/// The id of a tenant's feed, which is made where it is new.
pub(super) async fn id_of(transaction: &Transaction, tenant: Tenant) -> Outcome<i64> {
    let find = "SELECT id FROM feeds WHERE consumer = $1 AND live = $2";
    let consumer = tenant.consumer.to_string();
    if let Some(row) = transaction.row(find, &[&consumer, &tenant.live]).await? {
        return Ok(row.try_get(0)?);
    }
    // Another transaction may have made it meanwhile.
    let make =
        "INSERT INTO feeds (consumer, live, origin) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    transaction.run(make, &[&consumer, &tenant.live, &letters(ORIGIN_LETTERS)]).await?;
    Ok(transaction.one(find, &[&consumer, &tenant.live]).await?.try_get(0)?)
}

/// A feed as its row holds it.
struct FeedRow {
    id: i64,
    origin: [u8; ORIGIN_LETTERS],
    gone: (u64, u64),
    horizon: u64,
}

impl FeedRow {
    async fn of(transaction: &Transaction, tenant: Tenant) -> Outcome<Option<Self>> {
        let find = format!(
            "SELECT id, origin, gone_transaction, gone_number, {HORIZON} FROM feeds WHERE consumer = $1 AND live = $2"
        );
        let found = transaction.row(&find, &[&tenant.consumer.to_string(), &tenant.live]).await?;
        let Some(row) = found else { return Ok(None) };
        let origin = text(&row, 1)?.as_bytes().try_into();
        let origin = origin.map_err(|_| Problem::Corrupt("a feed's origin is too long".into()))?;
        let gone = (number(&row, 2)?, number(&row, 3)?);
        Ok(Some(Self { id: row.try_get(0)?, origin, gone, horizon: number(&row, 4)? }))
    }

    const fn at(&self, (transaction, number): (u64, u64)) -> FeedCursor {
        FeedCursor { origin: self.origin, transaction, number }
    }
}

/// Before all of the transactions that have not ended.
pub(super) async fn end(transaction: &Transaction, tenant: Tenant) -> Outcome<FeedCursor> {
    let feed = FeedRow::of(transaction, tenant).await?;
    Ok(feed.map_or(FeedCursor::BEGINNING, |feed| feed.at((feed.horizon, 0))))
}

pub(super) async fn read(
    transaction: &Transaction,
    tenant: Tenant,
    names: &[EventName],
    after: Option<FeedCursor>,
    limit: u32,
) -> Outcome<Feed> {
    let Some(feed) = FeedRow::of(transaction, tenant).await? else {
        return Ok(Feed::of_nothing(after));
    };
    let mut last = match after {
        // Behind the newest event that was deleted nothing is missing.
        None => feed.gone,
        Some(after) => {
            let at = (after.transaction, after.number);
            if after != FeedCursor::BEGINNING && feed.at(at) != after || at.0 > feed.horizon {
                return Ok(Feed::Foreign);
            }
            if at < feed.gone {
                return Ok(Feed::Expired);
            }
            at
        }
    };
    let find = format!(
        "SELECT transaction, number, id, name, at, data FROM events
         WHERE feed = $1 AND (transaction, number) > ($2, $3) AND transaction < {HORIZON}
         ORDER BY transaction, number LIMIT $4"
    );
    let (from, behind) = (stored(last.0)?, stored(last.1)?);
    let rows = transaction
        .rows(&find, &[&feed.id, &from, &behind, &i64::from(SCANNED_AT_ONCE + 1)])
        .await?;
    let mut scan = FeedScan::new(names, limit);
    for row in &rows {
        if scan.is_full() {
            return Ok(scan.end(feed.at(last), true));
        }
        last = (number(row, 0)?, number(row, 1)?);
        let name: &str = row.try_get(3)?;
        if scan.wants(name) {
            let data: &str = row.try_get(5)?;
            let event = FeedEvent {
                cursor: feed.at(last).to_string(),
                id: parsed(row, 2, "an event's id")?,
                event: name.into(),
                emitted_at: time(row, 4)?,
                data: read_as(serde_json::from_str(data), "an event")?,
            };
            scan.push(event, data.len());
        }
    }
    Ok(scan.end(feed.at(last), false))
}

/// A job's events are about to be deleted.
pub(super) async fn forget(transaction: &Transaction, job: &str) -> Outcome<()> {
    transaction
        .run(
            "UPDATE feeds SET gone_transaction = newest.transaction, gone_number = newest.number
             FROM (SELECT feed, transaction, number FROM events WHERE job = $1 AND feed IS NOT NULL
                ORDER BY transaction DESC, number DESC LIMIT 1) AS newest
             WHERE feeds.id = newest.feed
                AND (feeds.gone_transaction, feeds.gone_number) < (newest.transaction, newest.number)",
            &[&job],
        )
        .await?;
    Ok(())
}

/// Invalidates the cursors of the database of which this one is a copy.
pub(super) async fn rename(transaction: &Transaction) -> Outcome<()> {
    transaction.run("UPDATE feeds SET origin = $1", &[&letters(ORIGIN_LETTERS)]).await?;
    Ok(())
}

/// Begins the feeds of a database anew that was copied from another PostgreSQL server, whose transactions had higher numbers than this one's have yet.
pub(super) async fn settle(client: &Client) -> Result<(), tokio_postgres::Error> {
    let copied = client
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM feeds WHERE EXISTS (SELECT 1 FROM events
                WHERE feed = feeds.id AND transaction >= pg_snapshot_xmax(pg_current_snapshot())::TEXT::BIGINT))",
            &[],
        )
        .await?;
    if copied.try_get::<_, bool>(0)? {
        tracing::warn!("the database was copied from another PostgreSQL: feeds begin anew");
        client.batch_execute("BEGIN").await?;
        client.batch_execute("UPDATE events SET transaction = 0 WHERE feed IS NOT NULL").await?;
        let anew = "UPDATE feeds SET origin = $1, gone_transaction = 0";
        client.execute(anew, &[&letters(ORIGIN_LETTERS)]).await?;
        client.batch_execute("COMMIT").await?;
    }
    Ok(())
}
