//! Quotas: the bots, minutes and queued jobs of each tenant, and which tenant gets the next bot.

use std::num::NonZeroU32;

use meetbot_types::{ConsumerId, ConsumerQuota, Page, Platform, Timestamp, work::Pool};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter, types::Value};

use super::{Outcome, Problem, labels, pages, read_as, recordings};
use crate::{
    jobs::{
        Eligible,
        quota::{self, Counts, GUEST_WAITING, HOLDS_SLOT, OpenJobs, Quota, SlotChange, WAITING},
    },
    store::{ConsumerFilter, ConsumerUse, QuotaChange, QuotaOverride, Tenant, Used, Window},
};

const QUOTA: &str = "coalesce(c.max_bots, d.max_bots), coalesce(c.max_minutes, d.max_minutes),
    coalesce(c.max_queued, d.max_queued) FROM consumers c, default_quota d";

fn quota_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Quota> {
    let limit = |index| row.get(index).map(NonZeroU32::new);
    Ok(Quota { bots: limit(first)?, minutes: limit(first + 1)?, queued: limit(first + 2)? })
}

fn quota(connection: &Connection, consumer: &str) -> Outcome<Quota> {
    let mut statement = connection.prepare_cached(&format!("SELECT {QUOTA} WHERE c.id = ?1"))?;
    let quota = statement.query_row([consumer], |row| quota_at(row, 0)).optional()?;
    Ok(quota.unwrap_or_default())
}

/// A new job of this tenant waits, from this moment on. Behind one that is due before it, it does not change when the next is due.
pub(super) fn joined(connection: &Connection, tenant: Tenant, from: Timestamp) -> Outcome<()> {
    let consumer = tenant.consumer.to_string();
    let due: Option<i64> = connection
        .prepare_cached(
            "INSERT INTO tenants (consumer, live, bots, waiting) VALUES (?1, ?2, 0, 1)
             ON CONFLICT (consumer, live) DO UPDATE SET waiting = waiting + 1 RETURNING due_at",
        )?
        .query_row(params![consumer, tenant.live], |row| row.get(0))?;
    if due.is_some_and(|due| due <= from.as_millis()) {
        return Ok(());
    }
    settle(connection, &consumer, tenant.live, SlotChange::default())
}

/// A job of this tenant may have another place than before.
pub(super) fn moved(connection: &Connection, tenant: Tenant, change: SlotChange) -> Outcome<()> {
    if change == SlotChange::default() {
        return Ok(());
    }
    settle(connection, &tenant.consumer.to_string(), tenant.live, change)
}

/// Changes a tenant's counts, and says when the first job that waits without an account may start.
fn settle(connection: &Connection, consumer: &str, live: bool, change: SlotChange) -> Outcome<()> {
    let before = counts(connection, consumer, live)?;
    let Some(counts) = before.after(change) else {
        return Err(Problem::Corrupt(format!("the counts of {consumer}: {before:?}, {change:?}")));
    };
    set(connection, consumer, live, counts)
}

fn set(connection: &Connection, consumer: &str, live: bool, counts: Counts) -> Outcome<()> {
    let first: Option<i64> = connection
        .prepare_cached(&format!(
            "SELECT min(run_at) FROM jobs WHERE consumer = ?1 AND live = ?2 AND {GUEST_WAITING}"
        ))?
        .query_row(params![consumer, live], |row| row.get(0))?;
    let due = quota::due(counts.bots, quota(connection, consumer)?.bots, first);
    connection
        .prepare_cached(
            "INSERT INTO tenants (consumer, live, bots, waiting, due_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (consumer, live) DO UPDATE SET bots = ?3, waiting = ?4, due_at = ?5",
        )?
        .execute(params![consumer, live, counts.bots, counts.waiting, due])?;
    Ok(())
}

fn counts(connection: &Connection, consumer: &str, live: bool) -> Outcome<Counts> {
    let mut statement = connection
        .prepare_cached("SELECT bots, waiting FROM tenants WHERE consumer = ?1 AND live = ?2")?;
    let counts = statement
        .query_row(params![consumer, live], |row| {
            Ok(Counts { bots: row.get(0)?, waiting: row.get(1)? })
        })
        .optional()?;
    Ok(counts.unwrap_or_default())
}

/// How many jobs a tenant may have in the queue, where it has so many.
pub(super) fn queue_is_full(
    connection: &Connection,
    tenant: Tenant,
) -> Outcome<Option<NonZeroU32>> {
    let consumer = tenant.consumer.to_string();
    let waiting = counts(connection, &consumer, tenant.live)?.waiting;
    Ok(quota::full_queue(quota(connection, &consumer)?, waiting))
}

/// Whose job gets the next bot: of those that have a job that is due and a place for it, who has the fewest bots, and of these whose job has been due for longest.
/// One lookup for each distinct number of bots, however many consumers and jobs wait.
/// Only eligible jobs count. The tenants' rows do not know pools, so the waiting jobs of a tenant are searched where only those of one are eligible.
pub(super) fn next_tenant(
    connection: &Connection,
    due: i64,
    eligible: &Eligible,
) -> Outcome<Option<(String, bool)>> {
    let mut numbers = connection
        .prepare_cached("SELECT min(bots) FROM tenants WHERE due_at IS NOT NULL AND bots > ?1")?;
    let and_eligible = eligible.and_consumer()
        + &eligible.and_tenant_has(&format!("{GUEST_WAITING} AND run_at <= ?2"));
    let mut with_so_many = connection.prepare_cached(&format!(
        "SELECT consumer, live FROM tenants t WHERE bots = ?1 AND due_at <= ?2{and_eligible} ORDER BY due_at, consumer, live LIMIT 1",
    ))?;
    let mut number = -1_i64;
    while let Some(next) = numbers.query_row([number], |row| row.get::<_, Option<i64>>(0))? {
        number = next;
        let found = with_so_many
            .query_row([number, due], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// How many bots each pool would run at this moment if no job had to wait for a worker.
pub(super) fn places_wanted(connection: &Connection, by: Timestamp) -> Outcome<Vec<(Pool, u64)>> {
    let mut open = connection.prepare_cached(&quota::open_jobs("?1"))?;
    let open = open.query_map([by.as_millis()], |row| {
        let pool = if row.get(2)? { Pool::Browser } else { Pool::Native };
        Ok(OpenJobs {
            tenant: (row.get(0)?, row.get(1)?),
            pool,
            held: row.get(3)?,
            due: row.get(4)?,
            slots: row.get(5).map(NonZeroU32::new)?,
        })
    })?;
    Ok(quota::places_wanted(&open.collect::<Result<Vec<_>, _>>()?))
}

/// Whether jobs of this tenant wait for a place.
pub(super) fn at_bot_limit(connection: &Connection, tenant: Tenant) -> Outcome<bool> {
    let consumer = tenant.consumer.to_string();
    let bots = counts(connection, &consumer, tenant.live)?.bots;
    Ok(quota::at_bot_limit(quota(connection, &consumer)?, bots))
}

/// A job has ended, in the month of this moment, and costs so many minutes.
pub(super) fn count_minutes(
    connection: &Connection,
    tenant: Tenant,
    cost: u64,
    now: Timestamp,
) -> Outcome<()> {
    if cost > 0 {
        connection
            .prepare_cached(
                "INSERT INTO minutes (consumer, live, month, minutes) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (consumer, live, month) DO UPDATE SET minutes = minutes + ?4",
            )?
            .execute(params![tenant.consumer.to_string(), tenant.live, quota::month(now), cost])?;
    }
    Ok(())
}

/// The minutes that a tenant had, where there are none left for this meeting in the month of `at`. Of months to come nothing is used yet.
pub(super) fn used_up(
    connection: &Connection,
    tenant: Tenant,
    platform: &Platform,
    at: Timestamp,
    now: Timestamp,
) -> Outcome<Option<NonZeroU32>> {
    let consumer = tenant.consumer.to_string();
    let quota = quota(connection, &consumer)?;
    if !quota::minutes_decide(quota, tenant.live, platform, at, now) {
        return Ok(None);
    }
    let used = minutes(connection, &consumer, tenant.live, now)?;
    Ok(quota::used_up(quota, tenant.live, used))
}

/// The counted minutes of the month and those of running meetings.
fn minutes(connection: &Connection, consumer: &str, live: bool, now: Timestamp) -> Outcome<u64> {
    let ended: Option<u64> = connection
        .prepare_cached(
            "SELECT minutes FROM minutes WHERE consumer = ?1 AND live = ?2 AND month = ?3",
        )?
        .query_row(params![consumer, live, quota::month(now)], |row| row.get(0))
        .optional()?;
    let mut statement = connection.prepare_cached(
        "SELECT stay_ms, platform FROM jobs WHERE consumer = ?1 AND live = ?2
            AND epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled')",
    )?;
    let mut rows = statement.query(params![consumer, live])?;
    let mut stays: Vec<(Platform, Option<i64>)> = Vec::new();
    while let Some(row) = rows.next()? {
        stays.push((row.get::<_, String>(1)?.as_str().into(), row.get(0)?));
    }
    let going_on = stays.iter().map(|(platform, ms)| (platform, *ms));
    Ok(quota::minutes(ended.unwrap_or(0), live, going_on))
}

pub(super) fn used(connection: &Connection, tenant: Tenant, now: Timestamp) -> Outcome<Used> {
    let consumer = tenant.consumer.to_string();
    let Counts { bots, waiting } = counts(connection, &consumer, tenant.live)?;
    Ok(Used {
        quota: quota(connection, &consumer)?,
        bots,
        minutes: minutes(connection, &consumer, tenant.live, now)?,
        queued: waiting,
    })
}

/// What of a consumer does not depend on what it uses.
const CONSUMER: &str = "SELECT id, name, created_at, max_bots, max_minutes, max_queued, previous_until, worker_labels FROM consumers";
pub(super) fn list(connection: &Connection, now: Timestamp) -> Outcome<Vec<ConsumerUse>> {
    let mut statement = connection.prepare_cached(&format!("{CONSUMER} ORDER BY name"))?;
    let mut rows = statement.query([])?;
    let mut consumers = Vec::new();
    while let Some(row) = rows.next()? {
        consumers.push(consumer(connection, row, now)?);
    }
    Ok(consumers)
}

pub(super) fn page(
    connection: &Connection,
    filter: ConsumerFilter,
    window: Window<ConsumerId>,
    now: Timestamp,
) -> Outcome<Page<ConsumerUse>> {
    let mut sql = format!("{CONSUMER} WHERE true");
    let mut values: Vec<Value> = Vec::new();
    let mut and = |condition: &str, value: String| {
        sql.push_str(condition);
        values.push(value.into());
    };
    if let Some(after) = window.after {
        and(" AND id < ?", after.to_string());
    }
    if let Some(id) = filter.id {
        and(" AND id = ?", id.to_string());
    }
    if let Some(name) = filter.name {
        and(" AND name = ?", name);
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(i64::from(window.limit.saturating_add(1)).into());
    let mut statement = connection.prepare_cached(&sql)?;
    pages::page(statement.query(params_from_iter(values))?, window.limit, |row| {
        Ok(consumer(connection, row, now)?.into())
    })
}

fn consumer(connection: &Connection, row: &Row<'_>, now: Timestamp) -> Outcome<ConsumerUse> {
    let id: ConsumerId = read_as(row.get::<_, String>(0)?.parse(), "a consumer's id")?;
    let [live, test] = [true, false].map(|live| Tenant { consumer: id, live });
    let own = |column| -> rusqlite::Result<QuotaOverride> {
        Ok(match row.get::<_, Option<u32>>(column)? {
            None => QuotaOverride::Default,
            Some(number) => {
                NonZeroU32::new(number).map_or(QuotaOverride::Unlimited, QuotaOverride::Limit)
            }
        })
    };
    let (bots, minutes, queued_jobs) = (own(3)?, own(4)?, own(5)?);
    Ok(ConsumerUse {
        id,
        consumer: row.get(1)?,
        created_at: Timestamp::from_millis(row.get(2)?),
        overrides: ConsumerQuota { bots, minutes, queued_jobs },
        worker_labels: labels::read(row.get(7)?)?,
        previous_until: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
        live: used(connection, live, now)?,
        live_recording_bytes: recordings::bytes_of(connection, live)?,
        test: used(connection, test, now)?,
        test_recording_bytes: recordings::bytes_of(connection, test)?,
    })
}

/// As a column: no limit is 0.
fn number(limit: Option<NonZeroU32>) -> u32 {
    limit.map_or(0, NonZeroU32::get)
}

pub(super) fn set_default(connection: &Connection, quota: Quota) -> Outcome<()> {
    connection.execute(
        "UPDATE default_quota SET max_bots = ?1, max_minutes = ?2, max_queued = ?3",
        [number(quota.bots), number(quota.minutes), number(quota.queued)],
    )?;
    // All is counted anew: a program that does not know of these counts may have been here.
    let mut tenants = connection.prepare(&format!(
        "SELECT consumer, live FROM tenants
         UNION SELECT consumer, live FROM jobs WHERE {HOLDS_SLOT}
         UNION SELECT consumer, live FROM jobs WHERE {WAITING}"
    ))?;
    let count = |which: &str| {
        let count = "SELECT count(*) FROM jobs WHERE consumer = ?1 AND live = ?2 AND";
        connection.prepare(&format!("{count} {which}"))
    };
    let (mut placed, mut waiting) = (count(HOLDS_SLOT)?, count(WAITING)?);
    let tenants = tenants.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (consumer, live) in tenants.collect::<Result<Vec<(String, bool)>, _>>()? {
        let counts = Counts {
            bots: placed.query_row(params![consumer, live], |row| row.get(0))?,
            waiting: waiting.query_row(params![consumer, live], |row| row.get(0))?,
        };
        set(connection, &consumer, live, counts)?;
    }
    Ok(())
}

pub(super) fn change(connection: &Connection, name: &str, change: &QuotaChange) -> Outcome<bool> {
    let id: Option<String> = connection
        .query_row("SELECT id FROM consumers WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(false) };
    for (own, column) in
        [(change.bots, "max_bots"), (change.minutes, "max_minutes"), (change.queued, "max_queued")]
    {
        let number = match own {
            None => continue,
            Some(QuotaOverride::Default) => None,
            Some(QuotaOverride::Unlimited) => Some(0),
            Some(QuotaOverride::Limit(limit)) => Some(limit.get()),
        };
        let set = format!("UPDATE consumers SET {column} = ?2 WHERE id = ?1");
        connection.execute(&set, params![id, number])?;
    }
    if let Some(labels) = &change.worker_labels {
        let set = "UPDATE consumers SET worker_labels = ?2 WHERE id = ?1";
        connection.execute(set, params![id, labels::column(labels)])?;
    }
    for live in [true, false] {
        settle(connection, &id, live, SlotChange::default())?;
    }
    Ok(true)
}
