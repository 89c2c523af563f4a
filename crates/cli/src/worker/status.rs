//! How a worker is: its bots, its disk, and what it has not uploaded yet. Reported to servers and shown by its metrics.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use meetbot_bot::{Lateness, needs_browser};
use meetbot_orchestrator::{
    BotExit, Launcher, Space, Stop, WorkerMachine, WorkerMetrics, clock::Clock,
};
use meetbot_types::{
    Availability, JobId, Manifest,
    bot::{BotOrder, MixOrder},
    work::{MixEnd, Pool, WorkerStatus},
};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_hours(1);
/// What a bot is taken to write in an hour at least, in bytes: three voices.
const BYTES_AN_HOUR: u64 = 60_000_000;
/// How long a bot has to have written before its bytes say how many it writes in an hour.
const MEASURED_FOR: Duration = Duration::from_mins(1);

/// The state of a worker.
pub(super) struct Status {
    clock: Clock,
    places: u64,
    /// The data folder.
    folder: PathBuf,
    state: Mutex<State>,
    /// How many mixes it makes.
    mixes: AtomicUsize,
    /// What is recorded and not uploaded yet.
    pub(super) unshipped: Unshipped,
    lateness: Arc<Lateness>,
    metrics: WorkerMetrics,
}

#[derive(Debug)]
struct State {
    bots: HashMap<JobId, RunningBot>,
    free_bytes: Option<u64>,
    disk_low: bool,
    storage_problem: Option<String>,
    /// When a server answered a heartbeat, on the steady clock.
    heard: Duration,
}

#[derive(Debug, Clone)]
struct RunningBot {
    epoch: u32,
    pool: Pool,
    /// The folder of its job.
    folder: PathBuf,
    /// When it began, on the steady clock.
    since: Duration,
    /// What was in the folder before.
    had: u64,
}

impl RunningBot {
    /// How many bytes it will write in the next hour if it goes on as before.
    fn bytes_an_hour(&self, has: u64, now: Duration) -> u64 {
        let ran = now.saturating_sub(self.since);
        if ran < MEASURED_FOR {
            return BYTES_AN_HOUR;
        }
        let a_second = has.saturating_sub(self.had) / ran.as_secs();
        a_second.saturating_mul(HOUR.as_secs()).max(BYTES_AN_HOUR)
    }
}

impl Status {
    pub(super) fn new(places: usize, folder: &Path, lateness: Arc<Lateness>) -> Self {
        let clock = Clock::start();
        let state = State {
            bots: HashMap::new(),
            free_bytes: None,
            disk_low: false,
            storage_problem: None,
            heard: clock.now().steady,
        };
        Self {
            clock,
            places: places as u64,
            folder: folder.to_owned(),
            state: Mutex::new(state),
            mixes: AtomicUsize::new(0),
            unshipped: Unshipped::default(),
            lateness,
            metrics: WorkerMetrics::new(clock.now().wall),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The steady clock.
    pub(super) fn now(&self) -> Duration {
        self.clock.now().steady
    }

    /// A server has answered a heartbeat.
    pub(super) fn heard(&self) {
        self.state().heard = self.now();
    }

    /// An upload has ended, by this error or well.
    pub(super) fn uploaded(&self, problem: Option<String>) {
        self.state().storage_problem = problem;
    }

    /// Whether the disk had no room for an hour of the bots and of one more when it was last looked at.
    pub(super) fn is_full(&self) -> bool {
        self.state().disk_low
    }

    /// The same, or the bots read their media too late.
    pub(super) fn takes_no_jobs(&self) -> bool {
        self.is_full() || self.lateness.is_behind()
    }

    /// A mix is made, until the returned value is dropped.
    pub(super) fn begin_mix(&self) -> CountedMix<'_> {
        self.mixes.fetch_add(1, Ordering::Relaxed);
        CountedMix(self)
    }

    /// Whether mixes are made.
    pub(super) fn makes_mixes(&self) -> bool {
        self.mixes.load(Ordering::Relaxed) > 0
    }

    /// What became of a mix.
    pub(super) fn mixed(&self, end: MixEnd) {
        self.metrics.mixed(end);
    }

    /// Looks how much room the disk has, and how much the bots write.
    pub(super) async fn look_at_disk(&self) {
        let bots: Vec<RunningBot> = self.state().bots.values().cloned().collect();
        let (folder, now) = (self.folder.clone(), self.now());
        let looked = tokio::task::spawn_blocking(move || {
            let hour = bots.iter().map(|bot| bot.bytes_an_hour(bytes_in(&bot.folder), now));
            Space::at(&folder).map(|space| (space.free, hour.sum::<u64>() + BYTES_AN_HOUR))
        });
        match looked.await.map_err(io::Error::other).flatten() {
            Ok((free, needed)) => {
                let mut state = self.state();
                (state.free_bytes, state.disk_low) = (Some(free), free < needed);
            }
            Err(error) => {
                tracing::warn!(%error, "the room on the disk cannot be read");
                self.state().free_bytes = None;
            }
        }
    }

    /// What servers hear of it.
    pub(super) fn report(&self) -> WorkerStatus {
        let unshipped = self.unshipped.longest(self.now());
        let state = self.state();
        let mut status = WorkerStatus {
            places: self.places,
            unshipped_ms: u64::try_from(unshipped.as_millis()).unwrap_or(u64::MAX),
            free_bytes: state.free_bytes,
            disk_low: state.disk_low,
            behind: self.lateness.is_behind(),
            storage_problem: state.storage_problem.clone(),
            ..WorkerStatus::default()
        };
        for bot in state.bots.values() {
            *status.bots.entry(bot.pool).or_default() += 1;
        }
        status
    }

    /// Its metrics, in Prometheus' text format.
    pub(super) async fn metrics(&self, draining: bool) -> String {
        let machine = WorkerMachine::look(&self.folder).await;
        let heard = self.now().saturating_sub(self.state().heard);
        self.metrics.text(&self.report(), draining, heard, &machine)
    }
}

/// A mix that is made until this is dropped.
pub(super) struct CountedMix<'a>(&'a Status);

impl Drop for CountedMix<'_> {
    fn drop(&mut self) {
        self.0.mixes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All bytes of the files in a job's folder.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_in(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Until when everything that was recorded of a job is in the bucket, on the steady clock.
#[derive(Debug, Default)]
pub(super) struct Unshipped(Mutex<HashMap<JobId, Duration>>);

impl Unshipped {
    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job has files here, from now on.
    pub(super) fn waits(&self, job: JobId, now: Duration) {
        self.jobs().entry(job).or_insert(now);
    }

    /// All that was recorded of a job before this moment is in the bucket.
    pub(super) fn shipped(&self, job: JobId, until: Duration) {
        if let Some(before) = self.jobs().get_mut(&job) {
            *before = until.max(*before);
        }
    }

    /// Only these jobs have files here.
    pub(super) fn wait_only(&self, has_files: impl Fn(JobId) -> bool) {
        self.jobs().retain(|job, _| has_files(*job));
    }

    /// How long the oldest recorded media waits.
    fn longest(&self, now: Duration) -> Duration {
        let oldest = self.jobs().values().min().copied();
        oldest.map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest))
    }
}

/// Counts the bots that it runs.
pub(super) struct CountedLauncher {
    pub(super) bots: Arc<dyn Launcher>,
    pub(super) status: Arc<Status>,
}

/// A bot that runs until this is dropped.
struct Counted<'a>(&'a Status, JobId, u32);

impl<'a> Counted<'a> {
    fn begin(status: &'a Status, order: &BotOrder) -> Self {
        let pool = if needs_browser(order) { Pool::Browser } else { Pool::Native };
        let (folder, had) = (order.folder.clone(), bytes_in(&order.folder));
        let bot = RunningBot { epoch: order.epoch, pool, folder, since: status.now(), had };
        status.state().bots.insert(order.job_id, bot);
        status.metrics.launched(&order.link.platform);
        Self(status, order.job_id, order.epoch)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let Self(status, job, epoch) = self;
        let mut state = status.state();
        // The job's next attempt may run here before the one before has ended.
        if state.bots.get(job).is_some_and(|bot| bot.epoch == *epoch) {
            state.bots.remove(job);
        }
    }
}

#[async_trait]
impl Launcher for CountedLauncher {
    fn available(&self) -> Vec<Availability> {
        self.bots.available()
    }

    async fn run(&self, order: BotOrder, stop: Stop) -> BotExit {
        let _counted = Counted::begin(&self.status, &order);
        self.bots.run(order, stop).await
    }

    fn is_behind(&self) -> bool {
        self.bots.is_behind()
    }

    fn set_server_url(&self, url: &str) -> io::Result<()> {
        self.bots.set_server_url(url)
    }

    fn is_alive(&self, job: JobId, attempt: u32) -> bool {
        self.bots.is_alive(job, attempt)
    }

    async fn adopt(&self, job: JobId, attempt: u32, stop: Stop) -> BotExit {
        self.bots.adopt(job, attempt, stop).await
    }

    async fn mix(&self, order: MixOrder, stop: CancellationToken) -> io::Result<Option<Manifest>> {
        self.bots.mix(order, stop).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_that_a_bot_needs_follows_from_what_it_writes() {
        let since = Duration::from_secs(10);
        let bot = RunningBot {
            epoch: 2,
            pool: Pool::Native,
            folder: PathBuf::new(),
            since,
            had: 1_000_000,
        };
        let at = |seconds| since + Duration::from_secs(seconds);
        // 100 kB a second.
        assert_eq!(bot.bytes_an_hour(101_000_000, at(1_000)), 360_000_000);
        assert_eq!(bot.bytes_an_hour(1_000_100, at(1_000)), BYTES_AN_HOUR);
        assert_eq!(bot.bytes_an_hour(900_000_000, at(59)), BYTES_AN_HOUR, "it is not measured yet");
        assert_eq!(bot.bytes_an_hour(0, at(1_000)), BYTES_AN_HOUR);
    }

    #[test]
    fn media_waits_since_the_last_upload_of_its_job_began() {
        let (unshipped, second) = (Unshipped::default(), Duration::from_secs(1));
        let [first, other] =
            [(); 2].map(|()| JobId::generate(meetbot_types::Timestamp::UNIX_EPOCH));
        assert_eq!(unshipped.longest(second), Duration::ZERO);
        unshipped.waits(first, 2 * second);
        unshipped.waits(other, 3 * second);
        let now = 100 * second;
        assert_eq!(unshipped.longest(now), 98 * second);
        unshipped.shipped(first, 97 * second);
        unshipped.shipped(other, 93 * second);
        unshipped.shipped(other, 50 * second);
        unshipped.waits(other, now);
        assert_eq!(unshipped.longest(now), 7 * second);
        unshipped.wait_only(|job| job == first);
        assert_eq!(unshipped.longest(now), 3 * second);
        unshipped.shipped(other, now);
        assert_eq!(unshipped.longest(now), 3 * second);
    }
}
