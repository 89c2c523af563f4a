//! Heartbeats of bots. Those that come within [`PAUSE`] are written in one transaction: with one each, those of 1,000 bots took 20 % of a core of the database instead
//! of 2 (`cargo xtask bench cluster`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use meetbot_types::{
    JobId,
    bot::{BotReport, IngestRequest},
};
use tokio::sync::oneshot;

use super::{
    Outcome, PostgresStore,
    bots::{self, Report},
    leases,
    line::Line,
    records,
    transaction::{Caller, Failure, Reason, Transaction},
};
use crate::{
    clock::StoreNow,
    store::{Reported, StoreError},
};

/// How long a heartbeat waits for others at most. Bots send one every 5 s.
const PAUSE: Duration = Duration::from_millis(100);
/// How many are written in one transaction at most.
const MOST: usize = 256;

/// A heartbeat, when it came, and who waits for the result.
pub(super) struct Waiting {
    report: Report,
    now: StoreNow,
    answer: oneshot::Sender<Result<Reported, StoreError>>,
}

/// The heartbeats that are not written yet.
pub(super) type Heartbeats = Line<Waiting>;

/// Whether a bot only reports that it is there.
pub(super) fn is_heartbeat(request: &IngestRequest) -> bool {
    let is_heartbeat = |report: &BotReport| matches!(report, BotReport::Heartbeat { .. });
    request.reports.iter().all(|numbered| is_heartbeat(&numbered.report))
}

impl PostgresStore {
    pub(super) async fn heartbeat(
        &self,
        report: Report,
        now: StoreNow,
    ) -> Result<Reported, StoreError> {
        let (answer, applied) = oneshot::channel();
        if self.heartbeats.push(Waiting { report, now, answer }) {
            let store = self.clone();
            tokio::spawn(async move {
                loop {
                    let waiting = store.heartbeats.take(MOST, |_, _| true);
                    if waiting.is_empty() {
                        return;
                    }
                    store.apply_all(waiting).await;
                    // Tests whose clock jumps send one after the other.
                    if !store.connections.callers_clock {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            });
        }
        applied.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a verb panicked".into())))
    }

    /// A report in a transaction of its own.
    pub(super) async fn report_alone(
        &self,
        report: Arc<Report>,
        now: StoreNow,
    ) -> Result<Reported, StoreError> {
        let asked = (Arc::clone(&self.member), report, now);
        let written =
            self.connections.write(Caller::Other, Some(now), asked, |it, (member, report, now)| {
                Box::pin(bots::report(it, &member.node, report, it.at(*now)))
            });
        written.await
    }

    async fn apply_all(&self, waiting: Vec<Waiting>) {
        let Some(first) = waiting.first().map(|waiting| waiting.now) else { return };
        let (reports, answers): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|Waiting { report, now, answer }| ((Arc::new(report), now), answer))
            .unzip();
        let attempt =
            self.connections.attempt(Caller::Other, Some(first), reports.clone(), |it, reports| {
                Box::pin(apply(it, reports))
            });
        let applied = match attempt.await {
            Ok(applied) => applied.into_iter().map(|reported| reported.map(Ok)).collect(),
            Err(Failure { reason: Reason::Values, .. }) => answers.iter().map(|_| None).collect(),
            Err(Failure { error, .. }) => vec![Some(Err(error)); answers.len()],
        };
        for (((report, now), answer), applied) in reports.into_iter().zip(answers).zip(applied) {
            if let Some(applied) = applied {
                // The caller may be gone.
                let _ = answer.send(applied);
                continue;
            }
            let store = self.clone();
            tokio::spawn(async move {
                let _ = answer.send(store.report_alone(report, now).await);
            });
        }
    }
}

/// Renews the leases of bots. `None` where more follows from a heartbeat than that, or where another transaction has the job's lock.
async fn apply(
    transaction: &Transaction,
    reports: &[(Arc<Report>, StoreNow)],
) -> Outcome<Vec<Option<Reported>>> {
    let ids: Vec<_> = reports.iter().map(|(report, _)| report.request.job_id).collect();
    let found = records::locked_of_all(transaction, &ids).await?;
    let mut records: HashMap<JobId, _> =
        found.into_iter().map(|record| (record.job.id, record)).collect();
    let (mut applied, mut renewed) = (Vec::new(), Vec::new());
    for (report, now) in reports {
        // Of two of one job, the second has no record.
        let Some(mut record) = records.remove(&report.request.job_id) else {
            applied.push(None);
            continue;
        };
        // Its claim may be forgotten.
        if record.epoch < report.request.epoch {
            applied.push(None);
            continue;
        }
        let before = record.clone();
        let (reported, changes) =
            report.apply(&mut record, transaction.up_since, transaction.at(*now));
        let is_more =
            changes.as_ref().is_some_and(|changes| !leases::is_all(&before, &record, changes));
        applied.push((!is_more).then_some(reported));
        if changes.is_some() && !is_more {
            renewed.push(record);
        }
    }
    leases::renew(transaction, &renewed).await?;
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future;
    use meetbot_types::{
        JobStatus,
        bot::{MediaCounters, NumberedReport},
    };

    use super::*;
    use crate::store::{
        Claim, Claimed, JobStore as _, KeyStore as _, Recorded, Store as _, contract,
        postgres::{backend::Database, open::connection, races},
    };

    const TOKEN: [u8; 32] = [1; 32];

    fn report(
        bot: &Claimed,
        reports: Vec<BotReport>,
        token_hash: [u8; 32],
        now: StoreNow,
    ) -> Report {
        let number = |(seq, report)| NumberedReport { seq, at: now.wall, report };
        let reports = (1..).zip(reports).map(number).collect();
        let request = IngestRequest { job_id: bot.job.id, epoch: bot.job.attempt, reports };
        let credentials = token_hash.into();
        Report { request, credentials, recorded: Recorded::default(), away: None }
    }

    #[tokio::test]
    async fn heartbeats_are_written_together_and_what_is_more_alone() {
        let server = races::server();
        let database = Database::new(&server.socket());
        let mut store = PostgresStore::open(&races::url(&database)).await.unwrap();
        let key = contract::key("one", true);
        let tenant = store.create_key(key, store.now()).await.unwrap().0.tenant;
        let mut bots = Vec::new();
        for _ in 0..5 {
            races::create(&store, tenant).await;
            match store.claim(TOKEN, contract::all_available(), store.now()).await.unwrap() {
                Claim::Bot(claimed) => bots.push(claimed),
                other => panic!("{other:?}"),
            }
        }
        let other = connection(&races::url(&database)).await.unwrap();
        let locked = bots[4].job.id.to_string();
        other.batch_execute("BEGIN").await.unwrap();
        let lock = "SELECT 1 FROM jobs WHERE id = $1 FOR NO KEY UPDATE";
        other.query(lock, &[&locked]).await.unwrap();

        let transactions = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&transactions);
        store.connections.observer = Some(Arc::new(move |_, _, _| {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        let heartbeat = || vec![BotReport::Heartbeat { media: MediaCounters::default() }];
        let admitted = vec![BotReport::Admitted];
        let sent = [
            (&bots[0], Vec::new(), TOKEN),
            (&bots[1], heartbeat(), TOKEN),
            (&bots[1], Vec::new(), TOKEN),
            (&bots[2], Vec::new(), [9; 32]),
            (&bots[3], admitted, TOKEN),
            (&bots[4], Vec::new(), TOKEN),
        ];
        let (mut together, mut answers) = (Vec::new(), Vec::new());
        for (bot, reports, token_hash) in sent {
            let (answer, applied) = oneshot::channel();
            let now = store.now();
            together.push(Waiting { report: report(bot, reports, token_hash, now), now, answer });
            answers.push(applied);
        }
        store.apply_all(together).await;
        // The other ones did not wait for the lock.
        other.batch_execute("COMMIT").await.unwrap();
        let of_locked = answers.pop().unwrap();
        let mut applied = Vec::new();
        for answer in answers {
            applied.push(match answer.await.unwrap().unwrap() {
                Reported::Applied(answer) => Some((answer.acknowledged, answer.status)),
                Reported::Unknown => None,
                Reported::Superseded => panic!("no bot had a successor"),
            });
        }
        let joining = |acknowledged| Some((acknowledged, JobStatus::Joining));
        let in_call = Some((1, JobStatus::InCall));
        assert_eq!(applied, [joining(0), joining(1), joining(1), None, in_call]);
        assert!(matches!(of_locked.await.unwrap(), Ok(Reported::Applied(_))));
        // One for all, and one each for the second of a job, for what changes the job, and for the locked one.
        assert_eq!(transactions.load(Ordering::SeqCst), 4);
        let leases = "SELECT count(*), sum(applied)::BIGINT FROM leases";
        let row = other.query_one(leases, &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (5, 2));
    }

    #[tokio::test]
    async fn a_failure_is_the_result_of_all_of_its_heartbeats() {
        let server = races::server();
        let database = Database::new(&server.socket());
        let store = PostgresStore::open(&races::url(&database)).await.unwrap();
        store.close().await;
        let id = JobId::generate(contract::at(1).wall);
        let request = || IngestRequest { job_id: id, epoch: 1, reports: Vec::new() };
        let sent = (0..3)
            .map(|_| store.report(request(), TOKEN.into(), Recorded::default(), None, store.now()));
        for failed in future::join_all(sent).await {
            assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        }
    }
}
