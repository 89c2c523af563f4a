//! The upload of a finished recording from the server's or a worker's disk to the bucket: when it is tried again, and when it is lost. Pure.

use std::time::Duration;

use meetbot_types::{Ending, Timestamp};
use serde::{Deserialize, Serialize};

use super::record::JobRecord;
use crate::clock::StoreNow;

/// The waits between tries double from this one,
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// to this one.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Files that are gone from the disk for so long do not come back.
const LOST_AFTER: Duration = Duration::from_hours(24);

/// A recording that is queued for upload to the bucket, and the ending of its job after that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// The name of the data folder of the worker that has the files and uploads them; `None`: the server does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<String>,
    /// The attempt that finished it: its folder on disk is `e<epoch>`.
    pub epoch: u32,
    /// Distinguishes this upload from another one of the same epoch, as after an older database was restored.
    pub nonce: String,
    /// How the job ends.
    pub ending: Ending,
    /// How long the recording is, in milliseconds.
    pub duration_ms: u64,
    /// Since when it waits.
    pub since: Timestamp,
}

impl Upload {
    /// The name of its folder in the job's.
    pub(crate) fn folder(&self) -> String {
        folder(self.epoch, &self.nonce)
    }

    /// Whether another worker is to finish it from its log, where its worker was heard last at this time.
    pub(crate) fn is_silent(&self, heard: Timestamp, now: StoreNow) -> bool {
        heard.max(self.since) + now.timing.silent() <= now.wall
    }

    /// Whether to give it up, where its files are not on disk, or its worker was heard last at this time.
    pub(crate) fn is_lost(&self, heard: Option<Timestamp>, now: Timestamp) -> bool {
        heard.map_or(self.since, |heard| heard.max(self.since)) + LOST_AFTER <= now
    }
}

/// What a worker does with the files of a job on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spooled {
    /// It keeps them, and uploads what another bot would need: the job has not ended, or it has ended without its recording, of which they may be all that is
    /// left.
    Live,
    /// It uploads them: the recording is finished.
    Waits(Upload),
    /// It removes them: the job has ended, and its recording is elsewhere, or there is none. With the URI of its manifest.
    Over(Option<String>),
    /// It removes them, and nothing of them may stay in the bucket: the recording was deleted, or the job.
    Deleted,
    /// It keeps them: the store does not know the job, and does not know either that it was deleted, as after an older database was restored.
    Unknown,
}

/// The state of the files that the worker with this data folder has of a job. `record`: the job, if the store knows it. `was_deleted`: the store knows that a job was deleted. `upload`: the job's recording is to be uploaded.
pub(crate) fn spooled(
    record: Option<&JobRecord>,
    was_deleted: bool,
    upload: Option<Upload>,
    spool: &str,
) -> Spooled {
    let Some(record) = record else {
        return if was_deleted { Spooled::Deleted } else { Spooled::Unknown };
    };
    match upload {
        Some(upload) if upload.spool.as_deref() == Some(spool) => Spooled::Waits(upload),
        _ if record.job.recording.deleted_at.is_some() => Spooled::Deleted,
        _ if record.has_lost_recording() => Spooled::Live,
        _ if record.job.status.is_final() => Spooled::Over(record.job.manifest_uri.clone()),
        _ => Spooled::Live,
    }
}

/// The name of the folder in a job's with this upload of an attempt.
pub(crate) fn folder(epoch: u32, nonce: &str) -> String {
    format!("{epoch}.{nonce}")
}

/// The attempt of the upload with this folder; 0 where the name is none.
pub(crate) fn epoch_of(folder: &str) -> u32 {
    folder.split('.').next().and_then(|epoch| epoch.parse().ok()).unwrap_or(0)
}

/// Whether a folder in a job's has this name because it is that of an upload.
pub(crate) fn is_folder(name: &str) -> bool {
    let parts = name.split_once('.');
    parts.is_some_and(|(epoch, nonce)| epoch.parse::<u32>().is_ok() && !nonce.is_empty())
}

/// How long to wait after so many tries that failed.
pub(crate) fn wait(tries: u32) -> Duration {
    (FIRST_WAIT * (1 << tries.saturating_sub(1).min(6))).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use meetbot_types::Cause;

    use super::*;
    use crate::store::contract;

    #[test]
    fn a_worker_is_silent_five_minutes_after_it_was_heard_or_its_bot_ended() {
        let at = contract::at;
        let upload = Upload {
            spool: Some("w1".to_owned()),
            epoch: 1,
            nonce: "n".to_owned(),
            ending: Cause::Requested.ending(true, false),
            duration_ms: 0,
            since: at(1_000).wall,
        };
        for (heard, now, is_silent) in
            [(0, 1_299, false), (0, 1_300, true), (1_100, 1_399, false), (1_100, 1_400, true)]
        {
            assert_eq!(upload.is_silent(at(heard).wall, at(now)), is_silent, "{heard} {now}");
        }
    }

    #[test]
    fn an_upload_is_retried_with_waits_that_grow_to_a_minute() {
        let seconds: Vec<u64> = (1..10).map(|tries| wait(tries).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }
}
