//! How long the server waits for reports of bots, and for late uploads. Not a setting: only tests shorten the times.

use std::{num::NonZeroU32, time::Duration};

use meetbot_types::bot::{ALONE_HOURS, HEARTBEAT_SECONDS, LEASE_SECONDS};
use serde::Deserialize;

/// The environment variable with shorter times for tests, as in `{"leaseMs":6000}`; accepted by a server that listens on loopback, and by a worker.
pub(crate) const VARIABLE: &str = "MEETBOT_TEST_TIMING";

/// The longest pause between two bots of a job.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "each has its unit")]
pub struct Timing {
    lease_ms: NonZeroU32,
    pause_ms: NonZeroU32,
    alone_ms: NonZeroU32,
    removed_again_ms: NonZeroU32,
    silent_ms: NonZeroU32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_ms: const { NonZeroU32::new(LEASE_SECONDS * 1000).unwrap() },
            pause_ms: const { NonZeroU32::new(5_000).unwrap() },
            alone_ms: const { NonZeroU32::new(ALONE_HOURS * 3_600_000).unwrap() },
            removed_again_ms: const { NonZeroU32::new(3_600_000).unwrap() },
            silent_ms: const { NonZeroU32::new(300_000).unwrap() },
        }
    }
}

impl Timing {
    /// How long a bot keeps its job without a report.
    pub(crate) fn lease(self) -> Duration {
        Duration::from_millis(self.lease_ms.get().into())
    }

    /// The interval of a bot's heartbeats: a fixed part of the lease.
    pub(crate) fn heartbeat(self) -> Duration {
        self.lease() * HEARTBEAT_SECONDS / LEASE_SECONDS
    }

    /// How long a bot in a process of its own goes on while no server answers it, in milliseconds.
    pub(crate) fn alone_ms(self) -> u64 {
        self.alone_ms.get().into()
    }

    /// How long after the removal of a recording the bucket is looked at again.
    pub(crate) fn removed_again_after(self) -> Duration {
        Duration::from_millis(self.removed_again_ms.get().into())
    }

    /// How long no server hears of a worker until another one finishes its recordings: longer than a machine takes to start again. For so long also a worker that
    /// is to end tries to upload files for which no job waits.
    pub fn silent(self) -> Duration {
        Duration::from_millis(self.silent_ms.get().into())
    }

    /// How often the store notes that a worker was heard. Until another server takes it for silent, several notes may fail.
    pub(crate) fn noted_every(self) -> Duration {
        self.silent() / 5
    }

    /// How long a job waits at most for its next bot after `lost` bots were lost: the first is replaced at once, further ones
    /// after growing pauses.
    pub(crate) fn longest_pause(self, lost: u32) -> Duration {
        lost.checked_sub(2).map_or(Duration::ZERO, |doublings| {
            let pause = Duration::from_millis(self.pause_ms.get().into());
            (pause * (1 << doublings.min(10))).min(LONGEST_PAUSE)
        })
    }
}
