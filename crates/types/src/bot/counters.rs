//! What a bot has received and written, as its heartbeats report it.

use serde::{Deserialize, Serialize};

/// The packets and bytes that a bot has received and written so far in this attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MediaCounters {
    /// Packets that reached the bot.
    pub packets_received: u64,
    /// Packets that are in the files.
    pub packets_written: u64,
    /// Packets that were sent but never came.
    pub packets_lost: u64,
    /// Datagrams that reached the machine, and that the system dropped because the bot's socket was full. A part of the lost packets.
    pub datagrams_dropped: u64,
    /// Bytes that are in the files.
    pub bytes_written: u64,
}
