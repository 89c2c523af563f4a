//! Recordings on the disk of a worker that shares none with its server.

use serde::{Deserialize, Serialize};

use crate::{JobId, RecordingState, Timestamp};

/// A recording that earlier attempts began, as far as the server knows it. A bot needs it only if their files are on the disk of another worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BegunRecording {
    /// When the first packet came.
    pub started_at: Timestamp,
    /// Whether it is paused or stopped.
    pub state: RecordingState,
}

/// The scheme of [`spool_uri`].
const SPOOL: &str = "worker://";

/// The URI of a job's manifest on the disk of a worker, by the name of the worker's data folder.
pub fn spool_uri(spool: &str, job: JobId, epoch: u32) -> String {
    format!("{SPOOL}{spool}/{job}/e{epoch}/manifest.json")
}

/// The name of the worker's data folder in a [`spool_uri`]; `None` for other URIs.
pub fn spool_of(uri: &str) -> Option<&str> {
    uri.strip_prefix(SPOOL)?.split('/').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_on_a_workers_disk_is_named_by_the_workers_data_folder() {
        let job = JobId::generate(Timestamp::UNIX_EPOCH);
        let uri = spool_uri("k3v9", job, 2);
        assert_eq!(uri, format!("worker://k3v9/{job}/e2/manifest.json"));
        assert_eq!(spool_of(&uri), Some("k3v9"));
        for other in
            ["file:///data/e1/manifest.json", "s3://acme/jobs/x/manifest.json", "worker://"]
        {
            assert_eq!(spool_of(other), None, "{other}");
        }
    }
}
