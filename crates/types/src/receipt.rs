//! [`DeletionReceipt`]: what a deletion removed.

use serde::{Deserialize, Serialize};

use crate::{JobId, Timestamp};

/// What became of a recording that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeletionReceipt {
    /// The job.
    pub job_id: JobId,
    /// When the recording was deleted first.
    pub deleted_at: Timestamp,
    /// What this call removed.
    pub removed: Vec<RemovedObject>,
    /// What the manifest names and was no longer there.
    pub already_gone: Vec<String>,
}

/// A stored object that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemovedObject {
    /// Its name, with its attempt before it: `e1/audio.Alice.webm`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}
