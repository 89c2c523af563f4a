//! What a deletion removed.

use meetbot_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{objects, or_default};

/// What became of a recording that was to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionReceipt {
    /// The job's id.
    pub job_id: Option<String>,
    /// When the recording was deleted first.
    pub deleted_at: Option<Timestamp>,
    /// What this call removed.
    #[serde(default, deserialize_with = "objects")]
    pub removed: Vec<RemovedObject>,
    /// What the manifest names and was no longer there.
    #[serde(default, deserialize_with = "or_default")]
    pub already_gone: Vec<String>,
}

/// A stored object that was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedObject {
    /// Its name, with its attempt before it: `e1/audio.Alice.webm`.
    pub name: Option<String>,
    /// Its size.
    #[serde(default, deserialize_with = "or_default")]
    pub bytes: u64,
}

/// What became of a consumer that was to be erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErasureReceipt {
    /// The consumer's name.
    pub consumer: Option<String>,
    /// When it was erased.
    pub erased_at: Option<Timestamp>,
    /// How many jobs were erased, with their timelines and deliveries: of both worlds, or with a test key of the test world.
    #[serde(default, deserialize_with = "or_default")]
    pub jobs: u64,
    /// How many keys were erased, the one that asked for it included.
    #[serde(default, deserialize_with = "or_default")]
    pub keys: u64,
    /// What was removed of the recordings, with its job and attempt before it: `job_…/e1/audio.Alice.webm`.
    #[serde(default, deserialize_with = "objects")]
    pub removed: Vec<RemovedObject>,
}
