//! The messages between workers and servers. Not part of the public API.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{JobId, Labels, Platform, Via, availability::via_of, bot::BotOrder};

/// The version of these messages. A server refuses workers of another one.
pub const VERSION: u32 = 3;
/// The longest a claim is held, in seconds.
pub const CLAIM_SECONDS: u64 = 25;
/// The longest a claim is held of a worker whose browsers all run, in seconds.
pub const FULL_CLAIM_SECONDS: u64 = 2;
/// The most orders of one answer.
pub const MOST_ORDERS: usize = 16;
/// The most jobs of one [`WorkSpool`].
pub const MOST_SPOOLED: usize = 100;
/// The time between two heartbeats of a worker, in seconds.
pub const BEAT_SECONDS: u64 = 5;

/// The bots that need the same of a machine. A worker runs those of one pool or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// Bots without a browser.
    Native,
    /// Bots that open a platform's page in a browser.
    Browser,
}

impl Pool {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Native, Self::Browser];

    /// Its name: `native` or `browser`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Browser => "browser",
        }
    }

    /// The pool of the bots for a platform's meetings; `live` is false for jobs of a test key, whose meetings the sandbox plays.
    pub fn of(platform: &Platform, live: bool) -> Self {
        match via_of(platform, live) {
            Some(Via::Browser) => Self::Browser,
            _ => Self::Native,
        }
    }
}

impl BotOrder {
    /// The pool of its bot. One that only finalises a recording opens no browser.
    pub fn pool(&self) -> Pool {
        if self.finalize.is_some() {
            return Pool::Native;
        }
        Pool::of(&self.link.platform, self.sandbox.is_none())
    }
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|pool| pool.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is neither native nor browser"))
    }
}

/// What a worker reports of itself with each heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// How many bots it may run.
    pub places: u64,
    /// How many bots it runs, by their pool.
    pub bots: BTreeMap<Pool, u64>,
    /// For how long recorded media has waited to be uploaded, in milliseconds; 0 where the server has the files.
    #[serde(default)]
    pub unshipped_ms: u64,
    /// How many bytes are free on the disk that it records to; `None` if that cannot be read.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// The disk has no room for another hour of its bots: it gets no jobs.
    #[serde(default)]
    pub disk_low: bool,
    /// Its bots read their media so late that they lose some, or soon will: it gets no jobs until they have caught up.
    #[serde(default)]
    pub behind: bool,
    /// Why the last upload to the bucket failed; `None` after one that did not.
    #[serde(default)]
    pub storage_problem: Option<String>,
}

/// A worker, and where the recordings of its bots go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerDescription {
    /// The [`VERSION`] that it speaks.
    pub version: u32,
    /// Its id, new at every start: 1 to 64 ASCII letters and digits.
    pub worker: String,
    /// The name of its data folder: the server's, or one of its own; `None` for a new folder that no process has used.
    #[serde(default)]
    pub folder: Option<String>,
    /// The bucket into which it uploads recordings, as in `s3://bucket/prefix`, if its data folder is not the server's.
    #[serde(default)]
    pub bucket: Option<String>,
    /// Whether its bots may run browsers.
    #[serde(default)]
    pub browsers: bool,
    /// The bots that it takes jobs for; at least one pool.
    #[serde(default = "all_pools")]
    pub pools: Vec<Pool>,
    /// Its labels. A server that does not know them gives it jobs and mixes of every consumer.
    #[serde(default)]
    pub labels: Labels,
}

fn all_pools() -> Vec<Pool> {
    Pool::ALL.to_vec()
}

/// The body of `POST /api/v1/work/claim`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkClaim {
    /// The worker that asks.
    #[serde(flatten)]
    pub worker: WorkerDescription,
    /// How many bots it has room for.
    pub room: usize,
    /// How many of these may need a browser; `None`: all of them. Without room for a browser the server answers within [`FULL_CLAIM_SECONDS`], so that the next claim can
    /// have it again.
    #[serde(default)]
    pub browser_room: Option<usize>,
}

/// The answer to [`WorkClaim`]: at most [`MOST_ORDERS`], none where no job was due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrders {
    /// Each is this worker's alone. Their folders are the server's.
    pub orders: Vec<BotOrder>,
}

/// The body of `POST /api/v1/work/gone`: a bot has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkGone {
    /// Its job.
    pub job_id: JobId,
    /// Its attempt.
    pub epoch: u32,
    /// The bot ended in order because its worker stops, and was not lost.
    #[serde(default)]
    pub handed_over: bool,
}

/// The answer to [`WorkGone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkReleased {
    /// The job had not ended, and goes to another bot.
    pub released: bool,
}

/// The body of `POST /api/v1/work/beat`: a worker begins, works or stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkBeat {
    /// The worker.
    #[serde(flatten)]
    pub worker: WorkerDescription,
    /// The worker claims no more jobs: a claim of it that the server holds is answered at once.
    #[serde(default)]
    pub draining: bool,
    /// How it is; `None` in the beat with which it begins.
    #[serde(default)]
    pub status: Option<WorkerStatus>,
}

/// The answer to [`WorkBeat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkHeard {
    /// The [`VERSION`] that the server speaks.
    pub version: u32,
    /// Whether the worker's data folder is the server's.
    pub shares_folder: bool,
    /// The id in the bucket of the server's store. A worker with a data folder of its own finds the same id there.
    pub cluster: String,
}

/// The body of `POST /api/v1/work/spool`: a worker asks what to do with the files of jobs whose bots it does not run any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkSpool {
    /// The worker.
    #[serde(flatten)]
    pub worker: WorkerDescription,
    /// Jobs that have files on its disk, at most [`MOST_SPOOLED`].
    pub jobs: Vec<JobId>,
    /// The worker makes mixes, and keeps the files of those that are still to be made.
    #[serde(default)]
    pub makes_mixes: bool,
}

/// The answer to [`WorkSpool`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkSpooled {
    /// Each of the jobs whose state is known now.
    pub jobs: Vec<SpooledJob>,
}

/// A job with files on a worker's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpooledJob {
    /// The job.
    pub job_id: JobId,
    /// What to do with its files.
    pub state: SpoolState,
}

/// What a worker does with the files of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum SpoolState {
    /// The job has not ended: another bot may continue the recording, so everything that is not in the bucket yet is uploaded as a log. Or it has ended without
    /// its recording, of which these files may be all that is left.
    Live,
    /// The recording is finished, and this worker has it: it uploads the files of the manifest.
    Upload {
        /// The attempt that finished it.
        epoch: u32,
        /// Distinguishes this upload from others.
        nonce: String,
    },
    /// The job has ended, and its mix is still to be made: the worker asks for it with [`WorkMix`]. Only a worker that makes mixes is answered so.
    Mix,
    /// The job has ended and does not need the files any more: the worker removes them.
    Over,
    /// The recording or the job was deleted: the worker uploads nothing more, and removes the files.
    Deleted,
    /// The server does not know the job, and does not know either that it was deleted, as after an older database was restored: the worker keeps the files.
    Unknown,
}

/// The body of `POST /api/v1/work/uploaded`: the end of an upload. The answer is a [`SpooledJob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkUploaded {
    /// The worker.
    #[serde(flatten)]
    pub worker: WorkerDescription,
    /// The job.
    pub job_id: JobId,
    /// The upload's nonce.
    pub nonce: String,
    /// Why the upload is impossible, since files are missing or damaged; `None` if everything is in the bucket.
    #[serde(default)]
    pub lost: Option<String>,
    /// The worker makes mixes, as in [`WorkSpool`].
    #[serde(default)]
    pub makes_mixes: bool,
}

/// The body of `POST /api/v1/work/mix`: a worker with a data folder of its own asks for mixes to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkMix {
    /// The worker.
    #[serde(flatten)]
    pub worker: WorkerDescription,
    /// How many more it can make now.
    pub room: usize,
    /// Jobs whose files are on its disk, at most [`MOST_SPOOLED`]: at first their mixes are given to this worker only.
    #[serde(default)]
    pub has: Vec<JobId>,
}

/// The answer to [`WorkMix`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkMixes {
    /// Each is this worker's alone until its lease runs out.
    pub mixes: Vec<MixLease>,
}

/// A mix that a worker is to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MixLease {
    /// The job.
    pub job_id: JobId,
    /// The folder of the recording in the job's in the bucket.
    pub attempt: String,
    /// Distinguishes this lease from others of the same mix.
    pub lease: String,
    /// How often to renew it, in milliseconds.
    pub renew_ms: u64,
}

/// The body of `POST /api/v1/work/mixing`: a worker goes on with a mix, or has no more to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkMixing {
    /// The worker.
    #[serde(flatten)]
    pub worker: WorkerDescription,
    /// The job.
    pub job_id: JobId,
    /// The lease.
    pub lease: String,
    /// What became of the mix; `None`: the worker goes on.
    #[serde(default)]
    pub end: Option<MixEnd>,
}

/// What became of a mix on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixEnd {
    /// The manifest in the bucket lists the mix, or says why there is none.
    Published,
    /// The worker stopped: another one may make the mix at once.
    Returned,
    /// Files could not be read or written: it is tried again later.
    Failed,
}

/// The answer to [`WorkMixing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkMixingHeard {
    /// Whether the worker is to go on. It is not where the mix was dropped, as with its recording, or made, or is another worker's.
    pub goes_on: bool,
}
