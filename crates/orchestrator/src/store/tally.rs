//! What is counted for those who run the server.

use meetbot_types::{FailureCode, JobStatus, Timestamp};

/// The counts behind the server's gauges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that have not ended, by their status; a status that no job has is left out.
    pub open: Vec<(JobStatus, u64)>,
    /// Jobs that have ended since there is this store, also those that were erased since.
    pub ended: Vec<Ended>,
    /// Deliveries that are to be tried.
    pub backlog: u64,
    /// Since when the oldest of them waits.
    pub oldest: Option<Timestamp>,
    /// Mixes that are still to be made.
    pub mixes: u64,
    /// How many bytes the recordings have of jobs that have ended.
    pub recording_bytes: u64,
}

/// How many jobs have ended so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Their status.
    pub status: JobStatus,
    /// Why they failed, where they did.
    pub failure_code: Option<FailureCode>,
    /// So many.
    pub jobs: u64,
}
