//! The places of accounts, and the queue of the jobs that wait for one.

use meetbot_types::JobId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Outcome, quotas, read_as};
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

pub(super) fn set(connection: &Connection, accounts: &[(String, u32)]) -> Outcome<()> {
    connection.execute("DELETE FROM accounts", [])?;
    let mut insert = connection.prepare("INSERT INTO accounts (name, bots) VALUES (?1, ?2)")?;
    for (name, bots) in accounts {
        insert.execute(params![name, bots])?;
    }
    Ok(())
}

pub(super) fn full(connection: &Connection) -> Outcome<Vec<String>> {
    let mut names = connection.prepare_cached("SELECT name FROM accounts ORDER BY name")?;
    let names = names.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let mut full = Vec::new();
    for name in names {
        if is_full(connection, &name)? {
            full.push(name);
        }
    }
    Ok(full)
}

pub(super) fn is_full(connection: &Connection, account: &str) -> Outcome<bool> {
    let limit: Option<u32> = connection
        .prepare_cached("SELECT bots FROM accounts WHERE name = ?1")?
        .query_row([account], |row| row.get(0))
        .optional()?;
    let bots: u32 = connection
        .prepare_cached(&format!("SELECT count(*) FROM jobs WHERE account = ?1 AND {HOLDS_SLOT}"))?
        .query_row([account], |row| row.get(0))?;
    Ok(account_is_full(bots, limit))
}

/// The first jobs that could start, if they are due: of each account with a free place and each tenant with a free slot, the longest due first.
pub(super) fn first(connection: &Connection, eligible: &Eligible) -> Outcome<Vec<First>> {
    let and_job = eligible.and_job();
    // The planner prefers `jobs_waiting`, in which each job without an account is looked at.
    let mut waiting = connection.prepare_cached(&format!(
        "SELECT account, consumer, live, min(run_at) FROM jobs INDEXED BY jobs_account_waiting WHERE {ACCOUNT_WAITING}{and_job}
         GROUP BY account, consumer, live ORDER BY 4, 1, 2, 3"
    ))?;
    let mut rows = waiting.query([])?;
    let mut first = Vec::new();
    while let Some(row) = rows.next()? {
        let consumer = read_as(row.get::<_, String>(1)?.parse(), "a job's consumer")?;
        let tenant = Tenant { consumer, live: row.get(2)? };
        let account: String = row.get(0)?;
        if !is_full(connection, &account)? && !quotas::at_bot_limit(connection, tenant)? {
            first.push(First { account, tenant, from: row.get(3)? });
        }
    }
    Ok(first)
}

/// The job that has waited longest for a place that is free now.
pub(super) fn next(
    connection: &Connection,
    due: i64,
    eligible: &Eligible,
) -> Outcome<Option<JobId>> {
    let and_job = eligible.and_job();
    let Some(First { account, tenant, .. }) =
        first(connection, eligible)?.into_iter().find(|first| first.from <= due)
    else {
        return Ok(None);
    };
    let id: Option<String> = connection
        .prepare_cached(&format!(
            "SELECT id FROM jobs WHERE account = ?1 AND consumer = ?2 AND live = ?3 AND {ACCOUNT_WAITING}{and_job}
             ORDER BY run_at, id LIMIT 1"
        ))?
        .query_row(params![account, tenant.consumer.to_string(), tenant.live], |row| row.get(0))
        .optional()?;
    id.map(|id| read_as(id.parse(), "a job's id")).transpose()
}
