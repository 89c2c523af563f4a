//! How long the server waits for bots that are not heard. No setting: only tests shorten it, so that they need not wait as long as a meeting does.

use std::{num::NonZeroU32, time::Duration};

use meetbot_types::bot::{HEARTBEAT_SECONDS, LEASE_SECONDS};
use serde::Deserialize;

/// The variable of the environment that shortens it, as in `{"leaseMs":6000}`: taken by a server that listens on loopback.
pub(crate) const VARIABLE: &str = "MEETBOT_TEST_TIMING";

/// The longest pause between two bots of a job.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Timing {
    lease_ms: NonZeroU32,
    pause_ms: NonZeroU32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_ms: const { NonZeroU32::new(LEASE_SECONDS * 1000).unwrap() },
            pause_ms: const { NonZeroU32::new(5_000).unwrap() },
        }
    }
}

impl Timing {
    /// How long a bot that is not heard keeps its job.
    pub(crate) fn lease(self) -> Duration {
        Duration::from_millis(self.lease_ms.get().into())
    }

    /// How often a bot reports even when nothing happens: as often in each lease, however long that is.
    pub(crate) fn heartbeat(self) -> Duration {
        self.lease() * HEARTBEAT_SECONDS / LEASE_SECONDS
    }

    /// How long a job waits at most for its next bot, after so many were lost: the first is replaced at once, and those that are lost again and again come
    /// ever more slowly.
    pub(crate) fn longest_pause(self, lost: u32) -> Duration {
        lost.checked_sub(2).map_or(Duration::ZERO, |doublings| {
            let pause = Duration::from_millis(self.pause_ms.get().into());
            (pause * (1 << doublings.min(10))).min(LONGEST_PAUSE)
        })
    }
}
