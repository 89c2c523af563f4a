//! Quotas: the bots, minutes and queued jobs of each tenant, and which tenant gets the next bot.

use std::num::NonZeroU32;

use meetbot_types::{ConsumerId, ConsumerQuota, JobId, Page, Platform, Timestamp, work::Pool};
use tokio_postgres::Row;

use super::{
    Outcome, Problem, labels, recordings,
    together::both,
    transaction::{CLAIM_LOCK, Transaction, Value},
    values::{escaped, number, optional, optional_time, parsed, stored, text, time, unescaped},
};
use crate::{
    jobs::{
        Eligible, JobRecord,
        quota::{self, Counts, GUEST_WAITING, HOLDS_SLOT, OpenJobs, Quota, SlotChange, WAITING},
    },
    store::{
        ConsumerFilter, ConsumerUse, QuotaChange, QuotaOverride, Tenant, Used, Window,
        pages::PageBuilder,
    },
};

/// Into how many rows counters are split that jobs of all kinds change when they end.
const SHARDS: u128 = 16;

/// Waits for the lock of claims.
pub(super) async fn lock_claims(transaction: &Transaction) -> Outcome<()> {
    transaction.rows("SELECT pg_advisory_xact_lock($1)", &[&CLAIM_LOCK]).await?;
    Ok(())
}

/// In which of the rows a job is counted.
pub(super) fn shard(id: JobId) -> i64 {
    let bytes = id.to_string().into_bytes();
    let sum =
        bytes.iter().fold(0_u128, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    (sum % SHARDS) as i64
}

fn quota_of(row: &Row) -> Outcome<Quota> {
    let limit = |column| number(row, column).map(NonZeroU32::new);
    Ok(Quota { bots: limit(0)?, minutes: limit(1)?, queued: limit(2)? })
}

pub(super) async fn quota(transaction: &Transaction, consumer: &str) -> Outcome<Quota> {
    let found = transaction
        .row(
            "SELECT coalesce(c.max_bots, d.max_bots), coalesce(c.max_minutes, d.max_minutes),
                coalesce(c.max_queued, d.max_queued) FROM consumers c, default_quota d WHERE c.id = $1",
            &[&consumer],
        )
        .await?;
    Ok(found.as_ref().map(quota_of).transpose()?.unwrap_or_default())
}

fn counts_of(row: &Row) -> Outcome<Counts> {
    Ok(Counts { bots: number(row, 0)?, waiting: number(row, 1)? })
}

async fn counts(transaction: &Transaction, tenant: Tenant) -> Outcome<Counts> {
    let found = transaction
        .row(
            "SELECT bots, waiting FROM tenants WHERE consumer = $1 AND live = $2",
            &[&tenant.consumer.to_string(), &tenant.live],
        )
        .await?;
    Ok(found.as_ref().map(counts_of).transpose()?.unwrap_or_default())
}

const LOCK: &str =
    "SELECT bots, waiting FROM tenants WHERE consumer = $1 AND live = $2 FOR NO KEY UPDATE";

/// Locks a tenant's row, which is made where there is none. Nobody else changes these counts until the transaction ends.
pub(super) async fn lock(transaction: &Transaction, tenant: Tenant) -> Outcome<Counts> {
    let consumer = tenant.consumer.to_string();
    if let Some(row) = transaction.row(LOCK, &[&consumer, &tenant.live]).await? {
        return counts_of(&row);
    }
    // Its consumer may just have been erased, with its row.
    let insert = "INSERT INTO tenants (consumer, live) SELECT id, $2 FROM consumers WHERE id = $1 ON CONFLICT DO NOTHING";
    transaction.run(insert, &[&consumer, &tenant.live]).await?;
    match transaction.row(LOCK, &[&consumer, &tenant.live]).await? {
        Some(row) => counts_of(&row),
        None => Err(Problem::Unavailable(format!("there is no consumer {consumer}"))),
    }
}

/// [`lock`], and what is read behind the lock. The reads are sent right after it, and see what its last holder has changed.
pub(super) async fn lock_and<T, R>(
    transaction: &Transaction,
    tenant: Tenant,
    reads: impl Fn() -> R,
) -> Outcome<(Counts, T)>
where
    R: Future<Output = Outcome<T>>,
{
    // Else the reads could be sent first.
    transaction.prepare(LOCK).await?;
    let consumer = tenant.consumer.to_string();
    let values: [Value<'_>; 2] = [&consumer, &tenant.live];
    match both(transaction.row(LOCK, &values), reads()).await? {
        (Some(row), read) => Ok((counts_of(&row)?, read)),
        (None, _) => Ok((lock(transaction, tenant).await?, reads().await?)),
    }
}

/// Locks a tenant's row, if no other transaction has its lock.
pub(super) async fn try_lock(transaction: &Transaction, tenant: Tenant) -> Outcome<bool> {
    let lock =
        "SELECT 1 FROM tenants WHERE consumer = $1 AND live = $2 FOR NO KEY UPDATE SKIP LOCKED";
    let row = transaction.row(lock, &[&tenant.consumer.to_string(), &tenant.live]).await?;
    Ok(row.is_some())
}

/// New jobs of this tenant, whose row is locked, wait. `due` is when the first of those without an account may start, `None` where there are none or all slots are taken.
pub(super) async fn joined(
    transaction: &Transaction,
    tenant: Tenant,
    count: u32,
    due: Option<i64>,
) -> Outcome<()> {
    transaction
        .run(
            "UPDATE tenants SET waiting = waiting + $3, due_at = least(due_at, $4) WHERE consumer = $1 AND live = $2",
            &[&tenant.consumer.to_string(), &tenant.live, &i64::from(count), &due],
        )
        .await?;
    Ok(())
}

/// A job of this tenant may have another place than before.
pub(super) async fn moved(
    transaction: &Transaction,
    tenant: Tenant,
    change: SlotChange,
) -> Outcome<()> {
    if change == SlotChange::default() {
        return Ok(());
    }
    change_counts(transaction, tenant, change).await
}

/// Says when the first job of a tenant that waits without an account may start.
pub(super) async fn settle(transaction: &Transaction, tenant: Tenant) -> Outcome<()> {
    change_counts(transaction, tenant, SlotChange::default()).await
}

async fn change_counts(
    transaction: &Transaction,
    tenant: Tenant,
    change: SlotChange,
) -> Outcome<()> {
    let before = lock(transaction, tenant).await?;
    let Some(counts) = before.after(change) else {
        let consumer = tenant.consumer;
        return Err(Problem::Corrupt(format!("the counts of {consumer}: {before:?}, {change:?}")));
    };
    set(transaction, tenant, counts).await
}

/// Writes the row of a tenant, which is locked.
async fn set(transaction: &Transaction, tenant: Tenant, counts: Counts) -> Outcome<()> {
    let consumer = tenant.consumer.to_string();
    // `min(run_at)` would look at all of them.
    let first = format!(
        "SELECT run_at FROM jobs WHERE consumer = $1 AND live = $2 AND {GUEST_WAITING} ORDER BY run_at, id LIMIT 1"
    );
    let values: [Value<'_>; 2] = [&consumer, &tenant.live];
    let (first, limit) =
        both(transaction.row(&first, &values), quota(transaction, &consumer)).await?;
    let first = first.map(|row| row.try_get(0)).transpose()?;
    let due = quota::due(counts.bots, limit.bots, first);
    transaction
        .run(
            "UPDATE tenants SET bots = $3, waiting = $4, due_at = $5 WHERE consumer = $1 AND live = $2",
            &[
                &consumer,
                &tenant.live,
                &i64::from(counts.bots),
                &i64::from(counts.waiting),
                &due,
            ],
        )
        .await?;
    Ok(())
}

/// Whose job gets the next bot: of those that have a job that is due and a place for it, who has the fewest bots, and of these whose job has been due for longest.
/// One lookup for each distinct number of bots, however many consumers and jobs wait.
/// Only eligible jobs count. The tenants' rows do not know pools, so the waiting jobs of a tenant are searched where only those of one are eligible.
pub(super) async fn next_tenant(
    transaction: &Transaction,
    due: i64,
    eligible: &Eligible,
) -> Outcome<Option<Tenant>> {
    let and_eligible = eligible.and_consumer()
        + &eligible.and_tenant_has(&format!("{GUEST_WAITING} AND run_at <= $2"));
    let with_so_many = format!(
        "SELECT consumer, live FROM tenants t WHERE bots = $1 AND due_at <= $2{and_eligible}
         ORDER BY due_at, consumer, live LIMIT 1"
    );
    let mut number = -1_i64;
    loop {
        let next = transaction
            .one("SELECT min(bots) FROM tenants WHERE due_at IS NOT NULL AND bots > $1", &[&number])
            .await?;
        let Some(next) = next.try_get(0)? else { return Ok(None) };
        number = next;
        let found = transaction.row(&with_so_many, &[&number, &due]).await?;
        if let Some(row) = found {
            let consumer = parsed(&row, 0, "a tenant's consumer")?;
            return Ok(Some(Tenant { consumer, live: row.try_get(1)? }));
        }
    }
}

/// How many bots each pool would run at this moment if no job had to wait for a worker.
pub(super) async fn places_wanted(
    transaction: &Transaction,
    by: Timestamp,
) -> Outcome<Vec<(Pool, u64)>> {
    let rows = transaction.rows(&quota::open_jobs("$1"), &[&by.as_millis()]).await?;
    let open = rows.iter().map(|row| {
        let slots: Option<u32> = optional(row, 5)?;
        Ok(OpenJobs {
            tenant: (text(row, 0)?, row.try_get(1)?),
            pool: if row.try_get(2)? { Pool::Browser } else { Pool::Native },
            held: number(row, 3)?,
            due: number(row, 4)?,
            slots: slots.and_then(NonZeroU32::new),
        })
    });
    Ok(quota::places_wanted(&open.collect::<Outcome<Vec<_>>>()?))
}

/// Whether jobs of this tenant wait for a place.
pub(super) async fn at_bot_limit(transaction: &Transaction, tenant: Tenant) -> Outcome<bool> {
    let quota = quota(transaction, &tenant.consumer.to_string()).await?;
    Ok(quota::at_bot_limit(quota, counts(transaction, tenant).await?.bots))
}

/// A job has ended, in the month of this moment, and costs so many minutes.
pub(super) async fn count_minutes(
    transaction: &Transaction,
    record: &JobRecord,
    cost: u64,
    now: Timestamp,
) -> Outcome<()> {
    if cost > 0 {
        transaction
            .run(
                "INSERT INTO minutes (consumer, live, month, shard, minutes) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (consumer, live, month, shard) DO UPDATE SET minutes = minutes.minutes + $5",
                &[
                    &record.tenant.consumer.to_string(),
                    &record.tenant.live,
                    &quota::month(now),
                    &shard(record.job.id),
                    &stored(cost)?,
                ],
            )
            .await?;
    }
    Ok(())
}

/// The minutes that a tenant had, where there are none left for this meeting in the month of `at`. Of months to come nothing is used yet.
pub(super) async fn used_up(
    transaction: &Transaction,
    tenant: Tenant,
    platform: &Platform,
    at: Timestamp,
    now: Timestamp,
) -> Outcome<Option<NonZeroU32>> {
    let quota = quota(transaction, &tenant.consumer.to_string()).await?;
    used_up_of(transaction, tenant, quota, platform, at, now).await
}

/// [`used_up`] with a quota that was read before.
pub(super) async fn used_up_of(
    transaction: &Transaction,
    tenant: Tenant,
    quota: Quota,
    platform: &Platform,
    at: Timestamp,
    now: Timestamp,
) -> Outcome<Option<NonZeroU32>> {
    if !quota::minutes_decide(quota, tenant.live, platform, at, now) {
        return Ok(None);
    }
    let used = minutes(transaction, tenant, now).await?;
    Ok(quota::used_up(quota, tenant.live, used))
}

/// The counted minutes of the month and those of running meetings.
async fn minutes(transaction: &Transaction, tenant: Tenant, now: Timestamp) -> Outcome<u64> {
    let Tenant { consumer, live } = tenant;
    let consumer = consumer.to_string();
    let ended = transaction
        .one(
            "SELECT coalesce(sum(minutes), 0)::BIGINT FROM minutes WHERE consumer = $1 AND live = $2 AND month = $3",
            &[&consumer, &live, &quota::month(now)],
        )
        .await?;
    let stays = transaction
        .rows(
            "SELECT CASE WHEN l.job IS NULL THEN j.stay_ms ELSE l.stay_ms END, j.platform
             FROM jobs j LEFT JOIN leases l ON l.job = j.id WHERE consumer = $1 AND live = $2
                AND epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled')",
            &[&consumer, &live],
        )
        .await?;
    let stay = |row: &Row| -> Outcome<(Platform, Option<i64>)> {
        Ok((row.try_get::<_, &str>(1)?.into(), row.try_get(0)?))
    };
    let stays = stays.iter().map(stay).collect::<Outcome<Vec<_>>>()?;
    let going_on = stays.iter().map(|(platform, ms)| (platform, *ms));
    Ok(quota::minutes(number(&ended, 0)?, live, going_on))
}

pub(super) async fn used(
    transaction: &Transaction,
    tenant: Tenant,
    now: Timestamp,
) -> Outcome<Used> {
    let Counts { bots, waiting } = counts(transaction, tenant).await?;
    Ok(Used {
        quota: quota(transaction, &tenant.consumer.to_string()).await?,
        bots,
        minutes: minutes(transaction, tenant, now).await?,
        queued: waiting,
    })
}

/// What of a consumer does not depend on what it uses.
const CONSUMER: &str = "SELECT id, name, created_at, max_bots, max_minutes, max_queued, previous_until, worker_labels FROM consumers";
pub(super) async fn list(transaction: &Transaction, now: Timestamp) -> Outcome<Vec<ConsumerUse>> {
    let rows = transaction.rows(&format!("{CONSUMER} ORDER BY name"), &[]).await?;
    let mut consumers = Vec::new();
    for row in rows {
        consumers.push(consumer(transaction, &row, now).await?);
    }
    Ok(consumers)
}

pub(super) async fn page(
    transaction: &Transaction,
    filter: &ConsumerFilter,
    window: Window<ConsumerId>,
    now: Timestamp,
) -> Outcome<Page<ConsumerUse>> {
    // Behind all ids.
    let after = window.after.map_or_else(|| "~".to_owned(), |after| after.to_string());
    let (id, name) = (filter.id.map(|id| id.to_string()), filter.name.as_deref().map(escaped));
    let sql = format!(
        "{CONSUMER} WHERE id < $1 AND ($2::TEXT IS NULL OR id = $2) AND ($3::TEXT IS NULL OR name = $3)
         ORDER BY id DESC LIMIT $4"
    );
    let limit = i64::from(window.limit.saturating_add(1));
    let rows = transaction.rows(&sql, &[&after, &id, &name, &limit]).await?;
    let mut page = PageBuilder::new(window.limit);
    for row in rows {
        if page.is_full() {
            return Ok(page.end(true));
        }
        page.push(consumer(transaction, &row, now).await?.into());
    }
    Ok(page.end(false))
}

async fn consumer(transaction: &Transaction, row: &Row, now: Timestamp) -> Outcome<ConsumerUse> {
    let id: ConsumerId = parsed(row, 0, "a consumer's id")?;
    let [live, test] = [true, false].map(|live| Tenant { consumer: id, live });
    let own = |column| -> Outcome<QuotaOverride> {
        Ok(match optional::<u32>(row, column)? {
            None => QuotaOverride::Default,
            Some(number) => {
                NonZeroU32::new(number).map_or(QuotaOverride::Unlimited, QuotaOverride::Limit)
            }
        })
    };
    let (bots, minutes, queued_jobs) = (own(3)?, own(4)?, own(5)?);
    Ok(ConsumerUse {
        id,
        consumer: unescaped(text(row, 1)?),
        created_at: time(row, 2)?,
        overrides: ConsumerQuota { bots, minutes, queued_jobs },
        worker_labels: labels::read(row, 7)?,
        previous_until: optional_time(row, 6)?,
        live: used(transaction, live, now).await?,
        live_recording_bytes: recordings::bytes_of(transaction, live).await?,
        test: used(transaction, test, now).await?,
        test_recording_bytes: recordings::bytes_of(transaction, test).await?,
    })
}

/// As a column: no limit is 0.
fn column(limit: Option<NonZeroU32>) -> i64 {
    limit.map_or(0, |limit| limit.get().into())
}

/// Sets the default quota, and counts all slots again, while claims are locked out.
pub(super) async fn set_default(transaction: &Transaction, quota: Quota) -> Outcome<()> {
    lock_claims(transaction).await?;
    transaction
        .run(
            "UPDATE default_quota SET max_bots = $1, max_minutes = $2, max_queued = $3",
            &[&column(quota.bots), &column(quota.minutes), &column(quota.queued)],
        )
        .await?;
    let tenants = transaction
        .rows(
            &format!(
                "SELECT consumer, live FROM tenants UNION SELECT consumer, live FROM jobs WHERE {HOLDS_SLOT}
                 UNION SELECT consumer, live FROM jobs WHERE {WAITING} ORDER BY 1, 2"
            ),
            &[],
        )
        .await?;
    for row in tenants {
        let tenant =
            Tenant { consumer: parsed(&row, 0, "a tenant's consumer")?, live: row.try_get(1)? };
        lock(transaction, tenant).await?;
        let counted = transaction
            .one(
                &format!(
                    "SELECT count(*) FILTER (WHERE {HOLDS_SLOT}), count(*) FILTER (WHERE {WAITING}) FROM jobs
                     WHERE consumer = $1 AND live = $2 AND status NOT IN ('completed', 'failed', 'cancelled')"
                ),
                &[&tenant.consumer.to_string(), &tenant.live],
            )
            .await?;
        set(transaction, tenant, counts_of(&counted)?).await?;
    }
    Ok(())
}

pub(super) async fn change(
    transaction: &Transaction,
    name: &str,
    change: &QuotaChange,
) -> Outcome<bool> {
    let found =
        transaction.row("SELECT id FROM consumers WHERE name = $1", &[&escaped(name)]).await?;
    let Some(row) = found else { return Ok(false) };
    let consumer: ConsumerId = parsed(&row, 0, "a consumer's id")?;
    // Claims lock the rows of several tenants in any order.
    lock_claims(transaction).await?;
    // Before the consumer's own row, as everywhere.
    for live in [false, true] {
        lock(transaction, Tenant { consumer, live }).await?;
    }
    for (own, column) in
        [(change.bots, "max_bots"), (change.minutes, "max_minutes"), (change.queued, "max_queued")]
    {
        let number = match own {
            None => continue,
            Some(QuotaOverride::Default) => None,
            Some(QuotaOverride::Unlimited) => Some(0),
            Some(QuotaOverride::Limit(limit)) => Some(i64::from(limit.get())),
        };
        let set = format!("UPDATE consumers SET {column} = $2 WHERE id = $1");
        transaction.run(&set, &[&consumer.to_string(), &number]).await?;
    }
    if let Some(labels) = &change.worker_labels {
        let set = "UPDATE consumers SET worker_labels = $2 WHERE id = $1";
        transaction.run(set, &[&consumer.to_string(), &labels::column(labels)]).await?;
    }
    for live in [false, true] {
        settle(transaction, Tenant { consumer, live }).await?;
    }
    Ok(true)
}
