//! What the store answers to and about bots.

use meetbot_types::{Ending, Job, MeetingLink, bot::IngestAnswer};

use super::Tenant;

/// A job that was handed to a new bot.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The job; `attempt` is the attempt and the epoch.
    pub job: Job,
    /// Whose it is.
    pub tenant: Tenant,
    /// Its meeting.
    pub link: MeetingLink,
    /// Join nothing; finalise what is on disk, and end so.
    pub finalize: Option<Ending>,
}

/// What became of a bot's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// Applied, each report once.
    Applied(IngestAnswer),
    /// A newer attempt has the job, or this one's lease ran out.
    Superseded,
    /// No bot of this token is known.
    Unknown,
}
