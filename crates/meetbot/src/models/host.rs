//! How the machine of a server is, and what a key's consumer has used of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{counts, object, or_default};

/// The machine of a server, and what the server does on it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// The server's version.
    pub version: Option<String>,
    /// For how long it has run.
    #[serde(default, deserialize_with = "or_default")]
    pub uptime_seconds: u64,
    /// Whether it is stopping: it takes no more jobs then.
    #[serde(default, deserialize_with = "or_default")]
    pub draining: bool,
    /// The processors.
    #[serde(default, deserialize_with = "object")]
    pub cpu: HostCpu,
    /// The memory: what the server's container may have, where it is in one.
    #[serde(default, deserialize_with = "object")]
    pub memory: HostMemory,
    /// The disk that holds the data folder.
    #[serde(default, deserialize_with = "object")]
    pub disk: HostDisk,
    /// The bots of this server.
    #[serde(default, deserialize_with = "object")]
    pub bots: HostBots,
    /// How many jobs there are in each status, all consumers' together; those that were erased count among the ended ones.
    #[serde(default, deserialize_with = "counts")]
    pub jobs: BTreeMap<String, u64>,
    /// How many webhooks have neither arrived nor been given up.
    #[serde(default, deserialize_with = "or_default")]
    pub webhook_backlog: u64,
}

/// The processors of a server's machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostCpu {
    /// How many.
    #[serde(default, deserialize_with = "or_default")]
    pub cores: u32,
    /// How busy all of them are together just now, from 0 to 100.
    #[serde(default, deserialize_with = "or_default")]
    pub used_percent: f64,
    /// The load average of one minute.
    #[serde(default, deserialize_with = "or_default")]
    pub load1: f64,
    /// The load average of five minutes.
    #[serde(default, deserialize_with = "or_default")]
    pub load5: f64,
    /// The load average of fifteen minutes.
    #[serde(default, deserialize_with = "or_default")]
    pub load15: f64,
}

/// The memory of a server's machine, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostMemory {
    /// All of it.
    #[serde(default, deserialize_with = "or_default")]
    pub total_bytes: u64,
    /// What all programs use.
    #[serde(default, deserialize_with = "or_default")]
    pub used_bytes: u64,
    /// What the server uses of it, with its bots.
    #[serde(default, deserialize_with = "or_default")]
    pub server_bytes: u64,
}

/// A disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostDisk {
    /// All of it.
    #[serde(default, deserialize_with = "or_default")]
    pub total_bytes: u64,
    /// What the server may still write.
    #[serde(default, deserialize_with = "or_default")]
    pub free_bytes: u64,
}

/// Bots of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostBots {
    /// How many run.
    #[serde(default, deserialize_with = "or_default")]
    pub running: u64,
    /// How many may: `bots.max`.
    #[serde(default, deserialize_with = "or_default")]
    pub max: u64,
}

/// What a key's consumer has used, in the key's world (live or test).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The month in UTC, as in `2026-11`.
    pub month: Option<String>,
    /// Started minutes in meetings: of jobs that ended in this month, but for failures that are not billed, and of bots that are in a meeting now.
    #[serde(default, deserialize_with = "or_default")]
    pub minutes: u64,
    /// How many there may be before new jobs are refused with `quota_exceeded`. `None`: no limit; so it is in the test world.
    pub max_minutes: Option<u64>,
    /// Jobs with a bot, or with one to come for one that was lost.
    #[serde(default, deserialize_with = "or_default")]
    pub bots: u64,
    /// How many there may be before further jobs wait in the queue. `None`: no limit of this consumer's.
    pub max_bots: Option<u64>,
    /// Jobs that have had no bot yet, whenever their time is.
    #[serde(default, deserialize_with = "or_default")]
    pub queued_jobs: u64,
    /// How many there may be before new jobs are refused with `quota_exceeded`. `None`: no limit.
    pub max_queued_jobs: Option<u64>,
}
