//! What a deletion removed.

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

/// What became of a consumer that was to be erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErasureReceipt {
    /// The consumer's name.
    pub consumer: String,
    /// When it was erased.
    pub erased_at: Timestamp,
    /// How many jobs were erased, with their timelines and deliveries: of both worlds, or with a test key of the test world.
    pub jobs: u64,
    /// How many keys were erased, the one that asked for it included.
    pub keys: u64,
    /// What was removed of the recordings, with its job and attempt before it: `job_…/e1/audio.Alice.webm`.
    pub removed: Vec<RemovedObject>,
}
