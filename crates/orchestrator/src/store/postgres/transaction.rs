//! Transactions: each call of the store is one, in a separate task, so that a cancelled caller leaves none open.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::{Object, Pool};
use futures_util::future::{BoxFuture, ready};
use tokio::sync::Semaphore;
use tokio_postgres::{Row, Statement, error::SqlState, types::ToSql};

use super::{Outcome, Problem, together::both};
use crate::{
    clock::{Clock, LeaseTime, StoreNow},
    jobs::JobEnd,
    store::{Observer, StoreError},
};

/// How often a transaction is tried that others got in the way of.
const TRIES: u32 = 3;
/// Limits of each transaction. They are not startup parameters, which connection poolers refuse.
const LIMITS: &str = "SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// Lease time when a transaction begins, since when bots can be heard, and whether a server has its row in `nodes`.
const STATE: &str = "SELECT meetbot_now(), up_since, $1::TEXT IS NULL OR EXISTS (SELECT FROM nodes WHERE boot = $1) FROM cluster";

/// The lock of claims: those of all servers go one after the other, so that each sees what all before it took.
pub(super) const CLAIM_LOCK: i64 = 0x6d65_6574_626f_7401;

/// The error of a server that was silent for so long that another one replaced it.
pub(super) const DISPLACED: &str = "another server works on the database now";

pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// Work on the database: a function, since it may be done again from the start.
pub(super) type Work<A, T> = for<'t> fn(&'t Transaction, &'t A) -> BoxFuture<'t, Outcome<T>>;

/// Work in two steps: its first statements, which are sent with those that begin the transaction and so do not know lease time, and the rest, with what they gave.
pub(super) type Steps<A, F, T> =
    (Work<A, F>, for<'t> fn(&'t Transaction, &'t A, F) -> BoxFuture<'t, Outcome<T>>);

/// Work that begins when the transaction has.
fn one_step<A, T>() -> Steps<(A, Work<A, T>), (), T> {
    (|_, _| Box::pin(ready(Ok(()))), |it, (asked, work), ()| work(it, asked))
}

/// Why a transaction failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    pub(super) reason: Reason,
}

/// What was the reason, as far as another transaction may do a part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A value or a stored row. All of it was undone.
    Values,
    /// A lock that another transaction had for too long. All of it was undone.
    Lock,
    /// The database, or the way to it. It may have been done.
    Other,
}

#[derive(Debug, Clone, Copy)]
enum Access {
    Read,
    Write,
}

impl Access {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    const fn begin(self) -> &'static str {
        match self {
            Self::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Self::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }
}

/// Who asks; none of them gets all connections.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller {
    /// The dispatch, whose transactions begin with the lock of claims.
    Claimer,
    /// A sender of webhooks.
    Sender,
    /// Anybody else.
    Other,
}

/// The ways to the database.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool,
    /// How many creations of jobs run at once.
    pub(super) creators: Arc<Semaphore>,
    senders: Arc<Semaphore>,
    clock: Clock,
    pub(super) observer: Option<Observer>,
    /// The name of this process, where it is a server: without its row in `nodes` nothing is read or written.
    pub(super) boot: Option<Arc<str>>,
    /// Whether lease time is what callers say, as in tests, whose clocks jump.
    pub(super) callers_clock: bool,
}

/// A transaction.
pub(super) struct Transaction {
    client: Option<Object>,
    /// Lease time when it began. In its first statements, what the caller said.
    lease: LeaseTime,
    /// Since when bots can be heard.
    pub(super) up_since: LeaseTime,
    /// The jobs that end in it: what is undone is not logged.
    ended: Mutex<Vec<JobEnd>>,
}

impl Transaction {
    fn client(&self) -> Outcome<&Object> {
        self.client.as_ref().ok_or_else(|| Problem::Unavailable("a transaction has ended".into()))
    }

    /// All rows of a query.
    pub(super) async fn rows(&self, sql: &str, values: &[Value<'_>]) -> Outcome<Vec<Row>> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, values).await?)
    }

    /// Prepares a statement, so that it is sent as soon as it is run.
    pub(super) async fn prepare(&self, sql: &str) -> Outcome<()> {
        self.client()?.prepare_cached(sql).await?;
        Ok(())
    }

    /// All rows of a query that is sent right after another statement, whose locks and changes it sees; and how many rows that had.
    pub(super) async fn rows_after(
        &self,
        (first, of_first): (&str, &[Value<'_>]),
        (sql, values): (&str, &[Value<'_>]),
    ) -> Outcome<(u64, Vec<Row>)> {
        let client = self.client()?;
        // Both are prepared before: else the second could be sent first.
        let first = client.prepare_cached(first).await?;
        let statement = client.prepare_cached(sql).await?;
        let first = async { Ok(client.execute(&first, of_first).await?) };
        let rows = async { Ok(client.query(&statement, values).await?) };
        both(first, rows).await
    }

    /// The first row of a query.
    pub(super) async fn row(&self, sql: &str, values: &[Value<'_>]) -> Outcome<Option<Row>> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// The one row that a query has in any case.
    pub(super) async fn one(&self, sql: &str, values: &[Value<'_>]) -> Outcome<Row> {
        let row = self.row(sql, values).await?;
        row.ok_or_else(|| Problem::Corrupt(format!("no row: {sql}")))
    }

    /// Does something, and answers how many rows it was done to.
    pub(super) async fn run(&self, sql: &str, values: &[Value<'_>]) -> Outcome<u64> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, values).await?)
    }

    /// PostgreSQL may keep the plans of the statements that follow. Those of searches in a queue may not be kept.
    pub(super) async fn keep_plans(&self) -> Outcome<()> {
        Ok(self.client()?.batch_execute("SET LOCAL plan_cache_mode = auto").await?)
    }

    /// The plans of the statements that follow are made for their values.
    pub(super) async fn plan_anew(&self) -> Outcome<()> {
        Ok(self.client()?.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan").await?)
    }

    /// The moment of a verb, with lease time by the database's clock. It was read when the transaction began: a verb that then waits for a lock, two seconds at
    /// most, gives a lease that is so much shorter.
    pub(super) const fn at(&self, now: StoreNow) -> StoreNow {
        StoreNow { lease: self.lease, ..now }
    }

    /// Lease time when it began.
    pub(super) const fn lease_time(&self) -> LeaseTime {
        self.lease
    }

    /// A job ends in it.
    pub(super) fn ends(&self, end: JobEnd) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(end);
    }

    /// Commits. Without a response of the database it is unknown whether the commit was done, and it is never repeated.
    async fn commit(mut self) -> Result<(), Failure> {
        if let Some(client) = self.client.take() {
            let committed = client.batch_execute("COMMIT").await;
            if let Err(error) = committed {
                drop(Object::take(client));
                return Err(Failure { error: Problem::from(error).into(), reason: Reason::Other });
            }
        }
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        ended.iter().for_each(JobEnd::log);
        Ok(())
    }

    async fn roll_back(mut self) {
        if let Some(client) = self.client.take()
            && client.batch_execute("ROLLBACK").await.is_err()
        {
            drop(Object::take(client));
        }
    }
}

/// A connection inside of a transaction is never used again.
impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

impl Connections {
    pub(super) fn new(
        pool: Pool,
        clock: Clock,
        observer: Option<Observer>,
        callers_clock: bool,
    ) -> Self {
        let permits = |most| Arc::new(Semaphore::new(most));
        Self {
            pool,
            creators: permits(12),
            senders: permits(4),
            clock,
            observer,
            boot: None,
            callers_clock,
        }
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// A connection for a statement that is a complete transaction.
    pub(super) async fn any(&self) -> Result<Object, String> {
        self.pool.get().await.map_err(|error| error.to_string())
    }

    /// A connection for a transaction that is not begun yet, on which the query for the state is prepared.
    async fn connection(&self, lease: LeaseTime) -> Outcome<(Transaction, Statement)> {
        let client = self.pool.get().await.map_err(Problem::pool)?;
        let state = client.prepare_cached(STATE).await?;
        let ended = Mutex::new(Vec::new());
        Ok((Transaction { client: Some(client), lease, up_since: lease, ended }, state))
    }

    /// Begins a transaction, and answers lease time, and since when bots can be heard. All statements are sent when this is polled first.
    async fn begin(
        &self,
        transaction: &Transaction,
        access: Access,
        caller: Caller,
        state: &Statement,
    ) -> Outcome<(LeaseTime, LeaseTime)> {
        let reported = if self.callers_clock {
            format!(
                "SELECT set_config('meetbot.clock', '{}', true);",
                transaction.lease.as_millis()
            )
        } else {
            String::new()
        };
        let lock = match caller {
            Caller::Claimer => format!("SELECT pg_advisory_xact_lock({CLAIM_LOCK});"),
            Caller::Sender | Caller::Other => String::new(),
        };
        let begin = format!("{}; {LIMITS}; {lock} {reported}", access.begin());
        let client = transaction.client()?;
        let executed = async { Ok(client.batch_execute(&begin).await?) };
        let boot = self.boot.as_deref();
        let state = async { Ok(client.query_opt(state, &[&boot]).await?) };
        // Plans for any value may turn bad after five runs. That of the state does not.
        let plans = async {
            match caller {
                Caller::Sender => transaction.plan_anew().await,
                Caller::Claimer | Caller::Other => Ok(()),
            }
        };
        let ((), (state, ())) = both(executed, both(state, plans)).await?;
        let Some(state) = state else {
            return Err(Problem::Corrupt("the table cluster has no row".to_owned()));
        };
        if !state.try_get::<_, bool>(2)? {
            return Err(Problem::Unavailable(DISPLACED.to_owned()));
        }
        let (now, up_since) = (state.try_get(0)?, state.try_get(1)?);
        Ok((LeaseTime::from_millis(now), LeaseTime::from_millis(up_since)))
    }

    /// Does `work` in a transaction and answers once that is committed. An error undoes all of it.
    pub(super) async fn write<A, T>(
        &self,
        caller: Caller,
        lease: Option<StoreNow>,
        asked: A,
        work: Work<A, T>,
    ) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.attempt(caller, lease, asked, work).await.map_err(|failure| failure.error)
    }

    /// [`Connections::write`] with the reason of a failure.
    pub(super) async fn attempt<A, T>(
        &self,
        caller: Caller,
        lease: Option<StoreNow>,
        asked: A,
        work: Work<A, T>,
    ) -> Result<T, Failure>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.attempt_steps(caller, lease, (asked, work), one_step()).await
    }

    /// [`Connections::attempt`] of work in two steps.
    pub(super) async fn attempt_steps<A, F, T>(
        &self,
        caller: Caller,
        lease: Option<StoreNow>,
        asked: A,
        work: Steps<A, F, T>,
    ) -> Result<T, Failure>
    where
        A: Send + Sync + 'static,
        F: Send + 'static,
        T: Send + 'static,
    {
        self.spawned(Access::Write, caller, lease, asked, work).await
    }

    /// Reads what was true at one moment.
    pub(super) async fn read<A, T>(&self, asked: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let asked = (asked, work);
        let read = self.spawned(Access::Read, Caller::Other, None, asked, one_step());
        read.await.map_err(|failure| failure.error)
    }

    async fn spawned<A, F, T>(
        &self,
        access: Access,
        caller: Caller,
        lease: Option<StoreNow>,
        asked: A,
        work: Steps<A, F, T>,
    ) -> Result<T, Failure>
    where
        A: Send + Sync + 'static,
        F: Send + 'static,
        T: Send + 'static,
    {
        let connections = self.clone();
        let lease = lease.map_or(LeaseTime::from_millis(0), |now| now.lease);
        let task = tokio::spawn(async move {
            let line = match caller {
                Caller::Sender => Some(&connections.senders),
                Caller::Claimer | Caller::Other => None,
            };
            // They are never closed.
            let _permit = match line {
                Some(line) => line.acquire().await.ok(),
                None => None,
            };
            let started = connections.clock.now();
            let done = connections.tried(access, caller, lease, &asked, work).await;
            if let Some(observer) = &connections.observer {
                let took = connections.clock.now().steady.saturating_sub(started.steady);
                observer(access.name(), done.is_ok(), took);
            }
            done
        });
        task.await.unwrap_or_else(|_| {
            let error = StoreError::Unavailable("a verb panicked".into());
            Err(Failure { error, reason: Reason::Other })
        })
    }

    async fn tried<A: Sync, F, T>(
        &self,
        access: Access,
        caller: Caller,
        lease: LeaseTime,
        asked: &A,
        (first, rest): Steps<A, F, T>,
    ) -> Result<T, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let problem = match self.connection(lease).await {
                Ok((mut transaction, state)) => {
                    let begun = self.begin(&transaction, access, caller, &state);
                    let begun = both(begun, first(&transaction, asked)).await;
                    let done = match begun {
                        Ok(((lease, up_since), given)) => {
                            (transaction.lease, transaction.up_since) = (lease, up_since);
                            rest(&transaction, asked, given).await
                        }
                        Err(problem) => Err(problem),
                    };
                    match done {
                        Ok(done) => return transaction.commit().await.map(|()| done),
                        Err(problem) => {
                            transaction.roll_back().await;
                            problem
                        }
                    }
                }
                Err(problem) => problem,
            };
            if tries == TRIES || !problem.passes() {
                let reason = problem.reason();
                return Err(Failure { error: problem.into(), reason });
            }
            tracing::debug!(?problem, "a transaction is tried again");
            let jitter = getrandom::u32().unwrap_or(0) % 20;
            tokio::time::sleep(Duration::from_millis(u64::from(5 * tries + jitter))).await;
        }
    }
}

impl Problem {
    /// Of an error before COMMIT.
    fn reason(&self) -> Reason {
        match self {
            Self::Corrupt(_) => Reason::Values,
            Self::Sql(error) => match error.code() {
                Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => Reason::Lock,
                // Data exceptions, violated constraints, and what exceeds a limit of PostgreSQL.
                Some(code) if ["22", "23", "54"].contains(&&code.code()[..2]) => Reason::Values,
                _ => Reason::Other,
            },
            Self::Again | Self::Unavailable(_) => Reason::Other,
        }
    }

    /// Whether the same transaction may be done when it is tried again.
    fn passes(&self) -> bool {
        match self {
            Self::Again => true,
            Self::Sql(error) => match error.code() {
                Some(code) => {
                    *code == SqlState::T_R_DEADLOCK_DETECTED
                        || *code == SqlState::T_R_SERIALIZATION_FAILURE
                        || *code == SqlState::UNIQUE_VIOLATION
                        || code.code().starts_with("57P0")
                }
                None => error.is_closed(),
            },
            Self::Corrupt(_) | Self::Unavailable(_) => false,
        }
    }
}
