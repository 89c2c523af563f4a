//! Results of the store's calls for bots.

use meetbot_types::{Ending, Job, JobId, Labels, MeetingLink, bot::Secret, work::Pool};

use super::{Awaited, Tenant};

/// Who asks for a job, and which it may take.
#[derive(Debug, Clone, Default)]
pub struct Claimer {
    /// The worker's id; `None`: this server, for its own bots. A server that starts keeps the attempts of workers, since these do not end with the previous server.
    pub worker: Option<String>,
    /// Only jobs for bots of this pool are considered.
    pub pool: Option<Pool>,
    /// The worker's labels: jobs of consumers that require others are not considered.
    pub labels: Labels,
}

/// What a claim does with the next job.
#[derive(Debug, Clone, Default)]
pub enum Claim {
    /// It goes to a bot.
    Bot(Box<Claimed>),
    /// It has failed: its consumer's minutes are used up. Another one may be due.
    NoMinutes(JobId),
    /// No job is due.
    #[default]
    Nothing,
}

/// Which leases are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leases {
    /// Those that are over.
    RanOut,
    /// All that were given before this server opened the store.
    OfEarlierBoots,
}

/// Whether the bot of an attempt (its epoch), launched by an earlier server, still runs.
pub type IsAlive = dyn Fn(JobId, u32) -> bool + Send + Sync;

/// The bots that held a job when the previous server ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TakenOver {
    /// Jobs whose bots run on; `attempt` is the attempt and the epoch.
    pub running: Vec<Job>,
    /// Jobs whose bots are gone: they are back in the queue.
    pub lost: Vec<JobId>,
}

/// A job that was not started in time, and has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Which.
    pub job: JobId,
    /// What it waited for, if not only for a worker.
    pub awaited: Option<Awaited>,
}

/// A job that was claimed for a new bot.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The job; `attempt` is the attempt and the epoch.
    pub job: Job,
    /// Its tenant.
    pub tenant: Tenant,
    /// Its consumer's name, where a Zoom app of this consumer brings the meeting, or the bot joins as an account.
    pub consumer: Option<String>,
    /// Its meeting.
    pub link: MeetingLink,
    /// Join nothing; finalise what is on disk, and end so.
    pub finalize: Option<Ending>,
    /// Proves the claim, also to a database that has forgotten it.
    pub signature: Secret,
}
