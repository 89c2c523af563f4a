//! The recordings of a worker with a data folder of its own: uploaded while bots record and when they have ended, and removed from the disk once nobody needs them there.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use meetbot_orchestrator::{BotExit, Launcher, Spool, SpoolError, Stop};
use meetbot_types::{
    Availability, JobId, Manifest,
    bot::{BotOrder, MixOrder},
    work::{SpoolState, SpooledJob},
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    leftover::{Left, Stuck},
    servers::Servers,
    status::Status,
};
use crate::launcher::BotLauncher;

/// How often what bots have recorded is uploaded, and how often servers are asked about the files of bots that have ended.
const EVERY: Duration = Duration::from_secs(5);
/// How long a bot waits to know whether its attempt has begun on another machine.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// How long a bot waits for the files of earlier attempts before it joins without them.
const FETCH_LIMIT: Duration = Duration::from_secs(10);
/// How long the end of a bot waits until what it has written last is uploaded.
const SHIP_LIMIT: Duration = Duration::from_secs(10);
/// How many recordings are uploaded at once.
const AT_ONCE: usize = 3;

/// Uploads recordings, and removes them.
#[derive(Clone)]
pub(super) struct Spooler {
    spool: Arc<Spool>,
    servers: Arc<Servers>,
    /// The attempts whose bots run here. An attempt that the servers have given up may still run beside the next one.
    running: Arc<Mutex<HashSet<(JobId, u32)>>>,
    /// The jobs with files here that no server knows.
    unknown: Arc<Mutex<HashSet<JobId>>>,
    /// The jobs whose files stay here until their mixes are made.
    kept: Arc<Mutex<HashSet<JobId>>>,
    /// The jobs whose mixes are made here.
    mixing: Arc<Mutex<HashSet<JobId>>>,
    /// The worker makes mixes.
    makes_mixes: bool,
    /// Notified when a bot has ended, or a mix.
    wake: Arc<Notify>,
    /// Notified when files are kept for a mix.
    wake_mixes: Arc<Notify>,
    status: Arc<Status>,
    /// How long a worker that is to end tries without progress to upload files for which no job waits.
    patience: Duration,
}

/// Runs bots that continue the recordings of other workers, and whose own recordings are uploaded.
pub(super) struct SpoolLauncher {
    pub(super) bots: BotLauncher,
    pub(super) spooler: Spooler,
}

impl Spooler {
    pub(super) fn new(
        spool: Arc<Spool>,
        servers: Arc<Servers>,
        status: Arc<Status>,
        patience: Duration,
        makes_mixes: bool,
    ) -> Self {
        Self {
            spool,
            servers,
            patience,
            running: Arc::default(),
            unknown: Arc::default(),
            kept: Arc::default(),
            mixing: Arc::default(),
            makes_mixes,
            wake: Arc::default(),
            wake_mixes: Arc::default(),
            status,
        }
    }

    /// Runs until `ended`, and then until no finished recording waits for its upload, and other files are uploaded or stuck for long.
    pub(super) async fn run(self, ended: CancellationToken) {
        let (mut tries, mut stuck) = (0, Stuck::default());
        loop {
            let is_last = ended.is_cancelled();
            // Files are kept for mixes only while this worker may still make them.
            let left = self.look(self.makes_mixes && !is_last && !self.status.is_full()).await;
            let all_done = left.is_nothing();
            tries = if all_done { 0 } else { tries + 1 };
            if is_last && all_done {
                return;
            }
            let uploaded = self.spool.shipped_bytes();
            if is_last && stuck.ends(&left, uploaded, self.status.now(), self.patience) {
                self.give_up(&left);
                return;
            }
            let pause = if all_done { EVERY } else { Spool::pause(tries) };
            tokio::select! {
                () = ended.cancelled(), if !is_last => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reports what stays on this machine's disk.
    fn give_up(&self, left: &Left) {
        let recordings = self.spool.recordings();
        if left.is_unreadable {
            tracing::error!(folder = %recordings.display(), "the worker ends: the recordings on this machine's disk cannot be listed, and stay");
        }
        for job in &left.stuck {
            let folder = recordings.join(job.to_string());
            tracing::error!(
                %job,
                folder = %folder.display(),
                "the worker ends, and files that it could not upload stay: the next worker on this data folder tries again"
            );
        }
    }

    /// Does once what is to be done with the files of bots that have ended. Returns what is left.
    async fn look(&self, keeps: bool) -> Left {
        let mut left = Left::default();
        let jobs = match self.spool.jobs() {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::error!(%error, "the recordings on this machine's disk cannot be listed");
                left.is_unreadable = true;
                return left;
            }
        };
        let jobs: Vec<JobId> = jobs.into_iter().filter(|job| !self.uses(*job)).collect();
        set(&self.kept).retain(|job| jobs.contains(job));
        let kept = set(&self.kept).clone();
        let waits = |job| jobs.contains(&job) && !kept.contains(&job);
        self.status.unshipped.wait_only(|job| self.runs(job) || waits(job));
        for job in jobs.iter().filter(|job| waits(**job)) {
            self.status.unshipped.waits(*job, self.status.now());
        }
        if jobs.is_empty() {
            return left;
        }
        let Some(states) = self.servers.spooled(&jobs, keeps).await else {
            left.others = true;
            return left;
        };
        left.others = states.len() != jobs.len();
        let mut uploads = JoinSet::new();
        for SpooledJob { job_id, state } in states {
            if state != SpoolState::Mix {
                set(&self.kept).remove(&job_id);
            }
            match state {
                SpoolState::Mix => self.keep_for_mix(job_id),
                SpoolState::Live if self.runs(job_id) => {}
                SpoolState::Live if self.ship(job_id).await => {}
                SpoolState::Over if self.end(job_id).await => {}
                SpoolState::Live | SpoolState::Over => {
                    left.stuck.insert(job_id);
                }
                SpoolState::Deleted => self.forget(job_id).await,
                SpoolState::Unknown => self.keep(job_id),
                SpoolState::Upload { epoch, nonce } => {
                    if uploads.len() >= AT_ONCE {
                        left.others |= !matches!(uploads.join_next().await, Some(Ok(true)));
                    }
                    let spooler = self.clone();
                    uploads.spawn(async move { spooler.upload(job_id, epoch, nonce).await });
                }
            }
        }
        while let Some(uploaded) = uploads.join_next().await {
            left.others |= !matches!(uploaded, Ok(true));
        }
        left
    }

    fn runs(&self, job: JobId) -> bool {
        set(&self.running).iter().any(|(running, _)| *running == job)
    }

    /// Whether a bot or a mix uses the files of a job.
    fn uses(&self, job: JobId) -> bool {
        self.runs(job) || set(&self.mixing).contains(&job)
    }

    /// Uploads what another bot needs to continue. Returns whether all of it is there.
    async fn ship(&self, job: JobId) -> bool {
        let began = self.status.now();
        let shipped = self.spool.ship(job).await;
        match shipped {
            Ok(bytes) => {
                self.status.unshipped.shipped(job, began);
                if bytes > 0 {
                    self.status.uploaded(None);
                    tracing::debug!(%job, bytes, "what was recorded is in the bucket");
                }
                true
            }
            Err(error) => {
                self.status.uploaded(Some(error.to_string()));
                tracing::warn!(%job, %error, "what was recorded is not in the bucket yet");
                false
            }
        }
    }

    /// Uploads a finished recording, reports it, and removes it here. Returns whether its job has ended.
    async fn upload(&self, job: JobId, epoch: u32, nonce: String) -> bool {
        // What is missing of the log is much less, and enough for another worker if this machine is lost meanwhile.
        self.ship(job).await;
        let lost = match self.spool.upload(job, epoch, &nonce, &CancellationToken::new()).await {
            Ok(()) => {
                self.status.uploaded(None);
                None
            }
            Err(SpoolError::Lost(problem)) => {
                tracing::error!(%job, problem, "a recording cannot be uploaded");
                Some(problem)
            }
            Err(error) => {
                self.status.uploaded(Some(error.to_string()));
                tracing::error!(%job, %error, "a recording is not in the bucket yet");
                return false;
            }
        };
        let keeps = self.makes_mixes && !self.status.is_full();
        match self.servers.uploaded(job, nonce, lost, keeps).await {
            Some(SpoolState::Mix) => {
                tracing::info!(%job, "a recording is in the bucket");
                self.keep_for_mix(job);
                true
            }
            Some(SpoolState::Over) => {
                tracing::info!(%job, "a recording is in the bucket");
                self.end(job).await
            }
            Some(SpoolState::Deleted) => {
                self.forget(job).await;
                true
            }
            _ => false,
        }
    }

    /// Uploads the evidence of failed joins of a job that has ended, and removes all its files here. Returns whether the evidence is uploaded.
    async fn end(&self, job: JobId) -> bool {
        if self.uses(job) {
            return true;
        }
        if let Err(error) = self.spool.upload_evidence(job).await {
            tracing::warn!(%job, %error, "the evidence of failed joins is not in the bucket yet");
            return false;
        }
        self.forget(job).await;
        true
    }

    /// Leaves the files of a job where they are until its mix is made.
    fn keep_for_mix(&self, job: JobId) {
        if set(&self.kept).insert(job) {
            self.wake_mixes.notify_one();
        }
    }

    /// The jobs whose files are kept for their mixes.
    pub(super) fn kept(&self) -> Vec<JobId> {
        set(&self.kept).iter().copied().collect()
    }

    /// Waits until files are kept for a mix.
    pub(super) async fn next_kept(&self) {
        self.wake_mixes.notified().await;
    }

    pub(super) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The mix of a job is made here, until the returned value is dropped: its files stay.
    pub(super) fn mixes(&self, job: JobId) -> MixedHere {
        set(&self.mixing).insert(job);
        MixedHere(self.clone(), job)
    }

    /// Leaves the files of a job where they are, and reports them once.
    fn keep(&self, job: JobId) {
        if set(&self.unknown).insert(job) {
            let folder = self.spool.recordings().join(job.to_string());
            tracing::error!(
                %job,
                folder = %folder.display(),
                "the server's database knows neither this job nor its deletion, as after an older database was restored: its files are kept until you move or remove them"
            );
        }
    }

    async fn forget(&self, job: JobId) {
        if self.uses(job) {
            return;
        }
        if let Err(error) = self.spool.forget(job).await {
            tracing::error!(%job, %error, "files of a job that has ended stay on this machine's disk");
        }
    }

    /// Whether a bot on another machine has begun to record with this attempt. A bucket that does not answer soon keeps no bot from its meeting.
    async fn has_begun_elsewhere(&self, order: &BotOrder) -> bool {
        let look = self.spool.has_begun_elsewhere(order.job_id, order.epoch);
        matches!(tokio::time::timeout(LOOK_LIMIT, look).await, Ok(Ok(true)))
    }

    /// Fetches what other workers have uploaded of earlier attempts, while the bot's lease is renewed. Returns whether all of it is here.
    async fn fetch(&self, order: &BotOrder) -> bool {
        let fetch = self.spool.fetch(order.job_id, order.epoch);
        let heartbeat = Duration::from_millis(order.heartbeat_ms);
        let renew = async {
            loop {
                tokio::time::sleep(heartbeat).await;
                self.servers.renew(order).await;
            }
        };
        let limit = async {
            match order.finalize {
                None => tokio::time::sleep(FETCH_LIMIT).await,
                Some(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            fetched = fetch => match fetched {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(job = %order.job_id, %error, "the files of earlier attempts cannot be fetched");
                    false
                }
            },
            () = limit => {
                tracing::warn!(job = %order.job_id, "the files of earlier attempts are not here yet");
                false
            }
            () = renew => false,
        }
    }

    /// Uploads what a bot writes, until the returned future is dropped. Fetches what the workers of earlier attempts upload meanwhile: one that was killed
    /// or cut off uploads the rest when it is back.
    async fn follow(&self, order: &BotOrder) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.ship(order.job_id).await;
            if order.epoch > 1
                && let Err(error) = self.spool.fetch(order.job_id, order.epoch).await
            {
                tracing::warn!(job = %order.job_id, %error, "the files of earlier attempts cannot be fetched");
            }
        }
    }
}

/// An attempt whose bot runs here, until it is dropped.
struct RunsHere<'a>(&'a Spooler, (JobId, u32));

impl<'a> RunsHere<'a> {
    fn enter(spooler: &'a Spooler, order: &BotOrder) -> Self {
        let attempt = (order.job_id, order.epoch);
        set(&spooler.running).insert(attempt);
        spooler.status.unshipped.waits(order.job_id, spooler.status.now());
        Self(spooler, attempt)
    }
}

impl Drop for RunsHere<'_> {
    fn drop(&mut self) {
        let Self(spooler, attempt) = self;
        set(&spooler.running).remove(attempt);
        spooler.wake.notify_one();
    }
}

/// A job whose mix is made here, until it is dropped.
pub(super) struct MixedHere(Spooler, JobId);

impl Drop for MixedHere {
    fn drop(&mut self) {
        set(&self.0.mixing).remove(&self.1);
        self.0.wake.notify_one();
    }
}

fn set<T>(of: &Mutex<HashSet<T>>) -> MutexGuard<'_, HashSet<T>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Launcher for SpoolLauncher {
    fn available(&self) -> Vec<Availability> {
        self.bots.available()
    }

    async fn run(&self, order: BotOrder, stop: Stop) -> BotExit {
        let Self { bots, spooler } = self;
        let _here = RunsHere::enter(spooler, &order);
        if spooler.has_begun_elsewhere(&order).await {
            tracing::warn!(job = %order.job_id, "the servers have forgotten that this attempt had a bot on another machine; another attempt continues its recording");
            return BotExit::HadAnother;
        }
        let fetched = order.epoch == 1 || spooler.fetch(&order).await;
        // Without the files of earlier attempts a bot may join, but not finish a recording.
        if !fetched && order.finalize.is_some() {
            return BotExit::Ended;
        }
        let followed = order.clone();
        let exit = {
            let bot = bots.run(order, stop);
            tokio::select! {
                exit = bot => exit,
                () = spooler.follow(&followed) => BotExit::Ended,
            }
        };
        // The next bot may run on another machine: of an unfinished recording it is claimed as soon as this one's end is reported, of a finished one if this machine is
        // lost before the upload of the files.
        let ships = tokio::time::timeout(SHIP_LIMIT, spooler.ship(followed.job_id));
        if ships.await.is_err() {
            tracing::warn!(job = %followed.job_id, "what was recorded last is not in the bucket yet");
        }
        exit
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
