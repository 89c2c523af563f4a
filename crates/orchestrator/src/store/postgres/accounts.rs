//! The places of accounts, and the queue of the jobs that wait for one. Claims are locked out of each other, so that no place is given twice.

use meetbot_types::JobId;

use super::{
    Outcome, quotas,
    transaction::Transaction,
    values::{number, optional, parsed, text},
};
use crate::{
    jobs::{
        Eligible,
        quota::{ACCOUNT_WAITING, HOLDS_SLOT, account_is_full},
    },
    store::Tenant,
};

/// The first job of a tenant that waits for a free place.
pub(super) struct First {
    account: String,
    tenant: Tenant,
    /// When it may start.
    pub(super) from: i64,
}

pub(super) async fn set(transaction: &Transaction, accounts: &[(String, u32)]) -> Outcome<()> {
    quotas::lock_claims(transaction).await?;
    transaction.run("DELETE FROM accounts", &[]).await?;
    for (name, bots) in accounts {
        let insert = "INSERT INTO accounts (name, bots) VALUES ($1, $2)";
        transaction.run(insert, &[name, &i64::from(*bots)]).await?;
    }
    Ok(())
}

pub(super) async fn full(transaction: &Transaction) -> Outcome<Vec<String>> {
    let rows = transaction.rows("SELECT name FROM accounts ORDER BY name", &[]).await?;
    let mut full = Vec::new();
    for row in rows {
        let name = text(&row, 0)?;
        if is_full(transaction, &name).await? {
            full.push(name);
        }
    }
    Ok(full)
}

pub(super) async fn is_full(transaction: &Transaction, account: &str) -> Outcome<bool> {
    let row = transaction
        .one(
            &format!(
                "SELECT (SELECT count(*) FROM jobs WHERE account = $1 AND {HOLDS_SLOT}), (SELECT bots FROM accounts WHERE name = $1)"
            ),
            &[&account],
        )
        .await?;
    Ok(account_is_full(number(&row, 0)?, optional(&row, 1)?))
}

/// The first jobs that could start, if they are due: of each account with a free place and each tenant with a free slot, the longest due first.
pub(super) async fn first(transaction: &Transaction, eligible: &Eligible) -> Outcome<Vec<First>> {
    let and_job = eligible.and_job();
    let rows = transaction
        .rows(
            &format!(
                "SELECT account, consumer, live, min(run_at) FROM jobs WHERE {ACCOUNT_WAITING}{and_job}
                 GROUP BY account, consumer, live ORDER BY 4, 1, 2, 3"
            ),
            &[],
        )
        .await?;
    let mut first = Vec::new();
    for row in rows {
        let consumer = parsed(&row, 1, "a job's consumer")?;
        let tenant = Tenant { consumer, live: row.try_get(2)? };
        let account = text(&row, 0)?;
        if !is_full(transaction, &account).await?
            && !quotas::at_bot_limit(transaction, tenant).await?
        {
            first.push(First { account, tenant, from: row.try_get(3)? });
        }
    }
    Ok(first)
}

/// The job that has waited longest for a place that is free now.
pub(super) async fn next(
    transaction: &Transaction,
    due: i64,
    eligible: &Eligible,
) -> Outcome<Option<JobId>> {
    let and_job = eligible.and_job();
    let first = first(transaction, eligible).await?.into_iter().find(|first| first.from <= due);
    let Some(First { account, tenant, .. }) = first else { return Ok(None) };
    let found = transaction
        .row(
            &format!(
                "SELECT id FROM jobs WHERE account = $1 AND consumer = $2 AND live = $3 AND {ACCOUNT_WAITING}{and_job}
                 ORDER BY run_at, id LIMIT 1"
            ),
            &[&account, &tenant.consumer.to_string(), &tenant.live],
        )
        .await?;
    found.as_ref().map(|row| parsed(row, 0, "a job's id")).transpose()
}
