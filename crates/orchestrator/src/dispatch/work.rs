//! The loop of a worker: claims jobs up to its capacity, runs the bots, and reports those that are gone. The worker in a server and separate worker processes share
//! it; they differ in their source of jobs.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use meetbot_types::{bot::BotOrder, work::Pool};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Attempt, BotExit, Launcher, Stop};

/// How long until the end of a bot is reported again after a failed report.
const AGAIN: Duration = Duration::from_secs(5);
/// The most reports of it at the worker's end. Leases expire in any case.
const LAST_TRIES: u32 = 3;

/// How many more bots a worker may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// All of them.
    pub bots: usize,
    /// How many of these may need a browser.
    pub browsers: usize,
}

/// Where a worker gets its jobs.
#[async_trait]
pub trait JobSource: Send + Sync + 'static {
    /// Waits for jobs, and answers orders for bots that it has `room` for. Answers soon once `drain` is cancelled, and now and then in any case, without any order. Orders of an answer that
    /// nobody waits for any more are lost until their leases run out.
    async fn claim(&self, room: Room, drain: &CancellationToken) -> Vec<BotOrder>;

    /// Whether the worker does other work that is to end before it drains by itself.
    fn is_busy(&self) -> bool {
        false
    }

    /// Reports that a bot has ended; `handed_over` if it left because the worker stops. Returns `false` if the report must be repeated.
    async fn end_attempt(&self, attempt: Attempt, handed_over: bool) -> bool;
}

/// A worker: its source of jobs, its launcher and its limits.
pub struct Work {
    /// The source of its jobs.
    pub source: Arc<dyn JobSource>,
    /// Runs its bots.
    pub launcher: Arc<dyn Launcher>,
    /// How many bots it may run.
    pub max_bots: usize,
    /// How many bots with a browser it takes jobs for. Its launcher may run fewer at once: the others wait for theirs.
    pub max_browsers: usize,
    /// It drains by itself after so long without a bot, unless its source is busy.
    pub until_idle: Option<Duration>,
    /// The signals to stop.
    pub stop: Stop,
}

/// An event of the loop.
type Bots = JoinSet<(Attempt, BotExit)>;

impl Work {
    /// Claims until it is to drain, and ends when its last bot has that cannot go on without it. `running` are bots that the worker before has launched, and that live.
    pub async fn run(self, running: HashMap<Attempt, Pool>) {
        let mut bots = Bots::new();
        let mut attempts = running;
        for attempt in attempts.keys().copied() {
            let (launcher, stop) = (Arc::clone(&self.launcher), self.stop.clone());
            let bot = async move { launcher.adopt(attempt.0, attempt.1, stop).await };
            watch(attempt, bot, &mut bots);
        }
        // Bots that have ended and are not reported yet.
        let mut unreported: Vec<Attempt> = Vec::new();
        let mut claiming: Option<Pin<Box<dyn Future<Output = Vec<BotOrder>> + Send + '_>>> = None;
        let is_idle_after = self.until_idle.unwrap_or_default();
        let mut idle = Box::pin(tokio::time::sleep(is_idle_after));
        loop {
            if claiming.is_none() && attempts.len() < self.max_bots {
                let room = self.room(&attempts);
                claiming = Some(Box::pin(self.source.claim(room, &self.stop.drain)));
            }
            let claimed = async {
                match claiming.as_mut() {
                    Some(claiming) => claiming.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.drain.cancelled() => break,
                orders = claimed => {
                    claiming = None;
                    for order in orders {
                        let attempt = (order.job_id, order.epoch);
                        if let Entry::Vacant(free) = attempts.entry(attempt) {
                            free.insert(order.pool());
                            self.launch(order, &mut bots);
                            continue;
                        }
                        // The bot that has it leaves with its next report, and its end is reported as always: attempts on one disk follow one another.
                        tracing::warn!(job = %attempt.0, attempt = attempt.1, "the servers have forgotten that this attempt has a bot; another attempt follows");
                    }
                }
                Some(Ok((attempt, exit))) = bots.join_next() => {
                    attempts.remove(&attempt);
                    idle.as_mut().set(tokio::time::sleep(is_idle_after));
                    if !self.report(attempt, exit).await {
                        unreported.push(attempt);
                    }
                }
                () = tokio::time::sleep(AGAIN), if !unreported.is_empty() => {
                    for attempt in std::mem::take(&mut unreported) {
                        if !self.report_ended(attempt).await {
                            unreported.push(attempt);
                        }
                    }
                }
                () = &mut idle, if self.until_idle.is_some() && bots.is_empty() => {
                    if self.source.is_busy() {
                        idle.as_mut().set(tokio::time::sleep(is_idle_after));
                        continue;
                    }
                    tracing::info!("no bot has run for as long as was said");
                    self.stop.drain.cancel();
                    break;
                }
            }
        }
        tracing::info!(bots = bots.len(), "no more jobs are taken");
        let returned = async {
            let mut unreported = Vec::new();
            let Some(claiming) = claiming else { return unreported };
            // They were claimed while this worker stopped.
            for order in claiming.await {
                let attempt = (order.job_id, order.epoch);
                if !self.source.end_attempt(attempt, true).await {
                    unreported.push(attempt);
                }
            }
            unreported
        };
        self.drain(bots, unreported, returned).await;
    }

    /// The room beside these bots.
    fn room(&self, attempts: &HashMap<Attempt, Pool>) -> Room {
        let browsers = attempts.values().filter(|pool| **pool == Pool::Browser).count();
        Room {
            bots: self.max_bots.saturating_sub(attempts.len()),
            browsers: self.max_browsers.saturating_sub(browsers),
        }
    }

    /// Waits for the last bots, and meanwhile for the jobs that are returned; both end with what could not be reported.
    async fn drain(
        &self,
        mut bots: Bots,
        mut unreported: Vec<Attempt>,
        returned: impl Future<Output = Vec<Attempt>>,
    ) {
        let mut outlive = 0;
        let ended = async {
            while let Some(ended) = bots.join_next().await {
                match ended {
                    Ok((_, BotExit::Detached)) => outlive += 1,
                    Ok((attempt, exit)) if !self.report(attempt, exit).await => {
                        unreported.push(attempt);
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        };
        // A server that does not answer the claim delays no bot's end.
        let (returned, ()) = tokio::join!(returned, ended);
        unreported.extend(returned);
        for _ in 0..LAST_TRIES {
            for attempt in std::mem::take(&mut unreported) {
                if !self.report_ended(attempt).await {
                    unreported.push(attempt);
                }
            }
            if unreported.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if outlive > 0 {
            tracing::info!(bots = outlive, "bots in processes of their own stay in their meetings");
        }
    }

    /// Returns `false` if the end of the attempt must be reported again.
    async fn report(&self, attempt: Attempt, exit: BotExit) -> bool {
        match exit {
            BotExit::Ended => self.report_ended(attempt).await,
            BotExit::Detached => true,
            // No bot was lost.
            BotExit::HadAnother => self.source.end_attempt(attempt, true).await,
        }
    }

    async fn report_ended(&self, attempt: Attempt) -> bool {
        self.source.end_attempt(attempt, self.stop.leave.is_cancelled()).await
    }

    fn launch(&self, order: BotOrder, bots: &mut Bots) {
        let attempt = (order.job_id, order.epoch);
        let (launcher, stop) = (Arc::clone(&self.launcher), self.stop.clone());
        watch(attempt, async move { launcher.run(order, stop).await }, bots);
    }
}

/// Waits for a bot in a separate task, which contains its panics.
fn watch(attempt: Attempt, bot: impl Future<Output = BotExit> + Send + 'static, bots: &mut Bots) {
    let span = tracing::error_span!("bot", job = %attempt.0, attempt = attempt.1);
    bots.spawn(async move {
        let ended = tokio::spawn(bot.instrument(span)).await;
        let exit = ended.unwrap_or_else(|error| {
            tracing::error!(job = %attempt.0, %error, "a bot crashed");
            BotExit::Ended
        });
        (attempt, exit)
    });
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use meetbot_types::{
        AddressPolicy, AutoLeave, Availability, JobId, Manifest, MeetingLink, Timestamp,
        bot::{MixOrder, Secret},
    };

    use super::*;

    /// Answers these orders, one in each call, and nothing after them.
    struct Orders {
        orders: Mutex<Vec<BotOrder>>,
        ended: Mutex<Vec<Attempt>>,
    }

    #[async_trait]
    impl JobSource for Orders {
        async fn claim(&self, _: Room, drain: &CancellationToken) -> Vec<BotOrder> {
            let next = self.orders.lock().unwrap().pop();
            if let Some(order) = next {
                return vec![order];
            }
            drain.cancelled().await;
            Vec::new()
        }

        async fn end_attempt(&self, attempt: Attempt, _: bool) -> bool {
            self.ended.lock().unwrap().push(attempt);
            true
        }
    }

    /// Its bots stay until they are to leave. The second one makes all leave.
    #[derive(Default)]
    struct Bots(Mutex<Vec<Attempt>>);

    #[async_trait]
    impl Launcher for Bots {
        fn available(&self) -> Vec<Availability> {
            Vec::new()
        }

        async fn run(&self, order: BotOrder, stop: Stop) -> BotExit {
            let launched = {
                let mut launched = self.0.lock().unwrap();
                launched.push((order.job_id, order.epoch));
                launched.len()
            };
            if launched == 2 {
                stop.drain.cancel();
                stop.leave.cancel();
            }
            stop.leave.cancelled().await;
            BotExit::Detached
        }

        fn is_behind(&self) -> bool {
            false
        }

        fn set_server_url(&self, _: &str) -> io::Result<()> {
            Ok(())
        }

        fn is_alive(&self, _: JobId, _: u32) -> bool {
            false
        }

        async fn adopt(&self, _: JobId, _: u32, _: Stop) -> BotExit {
            BotExit::Ended
        }

        async fn mix(&self, _: MixOrder, _: CancellationToken) -> io::Result<Option<Manifest>> {
            Ok(None)
        }
    }

    fn order(job_id: JobId, epoch: u32) -> BotOrder {
        let url = "https://sandbox.meetbot.dev/two-speakers";
        BotOrder {
            job_id,
            epoch,
            token: Secret::new("a token"),
            claim_signature: None,
            orchestrator_url: String::new(),
            other_urls: Vec::new(),
            link: MeetingLink::parse(url, None).unwrap(),
            meeting_url: url.to_owned(),
            external_id: None,
            display_name: "meetbot".to_owned(),
            auto_leave: AutoLeave::default(),
            record_video: None,
            account: None,
            joined_ms_ago: None,
            sandbox: None,
            zoom: None,
            browser: None,
            imitation: None,
            address_policy: AddressPolicy { loopback: true, networks: Vec::new() },
            stun_servers: Vec::new(),
            folder: "recordings".into(),
            spool: None,
            begun: None,
            most_bytes: None,
            heartbeat_ms: 5_000,
            alone_ms: 5_000,
            finalize: None,
        }
    }

    #[tokio::test]
    async fn an_attempt_that_has_a_bot_gets_no_second_one() {
        let job = JobId::generate(Timestamp::UNIX_EPOCH);
        // The database has forgotten the first claim, and the job is claimed as if it were new.
        let claimed = vec![order(job, 2), order(job, 1), order(job, 1)];
        let source =
            Arc::new(Orders { orders: Mutex::new(claimed), ended: Mutex::new(Vec::new()) });
        let bots = Arc::new(Bots::default());
        let stop = Stop { drain: CancellationToken::new(), leave: CancellationToken::new() };
        let work = Work {
            source: source.clone(),
            launcher: bots.clone(),
            max_bots: 10,
            max_browsers: 10,
            until_idle: None,
            stop,
        };
        work.run(HashMap::new()).await;
        assert_eq!(*bots.0.lock().unwrap(), [(job, 1), (job, 2)]);
        assert_eq!(*source.ended.lock().unwrap(), []);
    }
}
