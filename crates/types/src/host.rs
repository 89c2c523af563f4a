//! How the machine of a server is, for those who run it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The machine of a server, and what the server does on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// The server's version.
    pub version: String,
    /// For how long it has run.
    pub uptime_seconds: u64,
    /// Whether it is stopping: it takes no more jobs then.
    pub draining: bool,
    /// The processors.
    pub cpu: HostCpu,
    /// The memory: what the server's container may have, where it is in one.
    pub memory: HostMemory,
    /// The disk that holds the data folder.
    pub disk: HostDisk,
    /// The bots of this server.
    pub bots: HostBots,
    /// How many jobs there are in each status, all consumers' together; those that were erased count among the ended ones.
    pub jobs: BTreeMap<String, u64>,
    /// How many webhooks have neither arrived nor been given up.
    pub webhook_backlog: u64,
}

/// The processors of a server's machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct HostCpu {
    /// How many.
    pub cores: u32,
    /// How busy all of them are together just now, from 0 to 100.
    pub used_percent: f64,
    /// The load average of one minute.
    pub load1: f64,
    /// The load average of five minutes.
    pub load5: f64,
    /// The load average of fifteen minutes.
    pub load15: f64,
}

/// The memory of a server's machine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct HostMemory {
    /// All of it.
    pub total_bytes: u64,
    /// What all programs use.
    pub used_bytes: u64,
    /// What the server uses of it, with its bots.
    pub server_bytes: u64,
}

/// A disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct HostDisk {
    /// All of it.
    pub total_bytes: u64,
    /// What the server may still write.
    pub free_bytes: u64,
}

/// Bots of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostBots {
    /// How many run.
    pub running: u64,
    /// How many may: `bots.max`.
    pub max: u64,
}
