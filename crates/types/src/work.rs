//! The messages between workers and servers. Not part of the public API.

use serde::{Deserialize, Serialize};

use crate::{JobId, bot::BotOrder};

/// The version of these messages. A server refuses workers of another one.
pub const VERSION: u32 = 1;
/// The longest a claim is held, in seconds.
pub const CLAIM_SECONDS: u64 = 25;
/// The most orders of one answer.
pub const MOST_ORDERS: usize = 16;

/// A worker, and where the recordings of its bots go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerDescription {
    /// The [`VERSION`] that it speaks.
    pub version: u32,
    /// Its id, new at every start: 1 to 64 ASCII letters and digits.
    pub worker: String,
    /// The name of its data folder, which is that of the server whose folder it is.
    #[serde(default)]
    pub folder: Option<String>,
    /// Whether its bots may run browsers.
    #[serde(default)]
    pub browsers: bool,
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

/// The body of `POST /api/v1/work/beat`: a worker begins, or stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkBeat {
    /// The worker.
    #[serde(flatten)]
    pub worker: WorkerDescription,
    /// The worker claims no more jobs: a claim of it that the server holds is answered at once.
    #[serde(default)]
    pub draining: bool,
}

/// The answer to [`WorkBeat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkHeard {
    /// The [`VERSION`] that the server speaks.
    pub version: u32,
}
