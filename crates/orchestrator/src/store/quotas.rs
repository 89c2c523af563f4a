//! Limits and usage of consumers, as stored.

use meetbot_types::{
    Consumer, ConsumerId, ConsumerQuota, ConsumerUsage, Labels, QuotaLimit, Timestamp,
    admin::{self, ConsumerSecret},
};

pub use crate::jobs::quota::Quota;

/// A limit of one consumer that replaces the default in the settings.
pub type QuotaOverride = QuotaLimit;

/// A change of a consumer's limits. `None` leaves a limit as it is.
#[derive(Debug, Clone, Default)]
pub struct QuotaChange {
    /// Bots at the same time.
    pub bots: Option<QuotaOverride>,
    /// Minutes in a month.
    pub minutes: Option<QuotaOverride>,
    /// Jobs in the queue.
    pub queued: Option<QuotaOverride>,
    /// The labels that a worker must have to run its bots and make its mixes.
    pub worker_labels: Option<Labels>,
}

/// What a consumer has used of its quota in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// What it may use.
    pub quota: Quota,
    /// Jobs that hold a slot: those with a bot, or with a replacement of a lost bot to come.
    pub bots: u32,
    /// Minutes of the month: of jobs that ended in it, and of those that are in a meeting.
    pub minutes: u64,
    /// Jobs that wait for their first bot.
    pub queued: u32,
}

/// What a consumer has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerUse {
    /// Its id.
    pub id: ConsumerId,
    /// Its name.
    pub consumer: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The limits that are set for it; the others are the settings'.
    pub overrides: ConsumerQuota,
    /// The labels that a worker must have to run its bots and make its mixes.
    pub worker_labels: Labels,
    /// Until when the webhook secret before its current one is good; it may be over.
    pub previous_until: Option<Timestamp>,
    /// With live keys.
    pub live: Used,
    /// How many bytes its recordings of these have; a recording counts from the end of its job until it is deleted.
    pub live_recording_bytes: u64,
    /// With test keys.
    pub test: Used,
    /// How many bytes its recordings of these have.
    pub test_recording_bytes: u64,
}

/// Which consumers. An empty field asks for all.
#[derive(Debug, Clone, Default)]
pub struct ConsumerFilter {
    /// The one with this id.
    pub id: Option<ConsumerId>,
    /// The one with this name.
    pub name: Option<String>,
}

impl From<admin::QuotaChange> for QuotaChange {
    fn from(change: admin::QuotaChange) -> Self {
        Self {
            bots: change.bots,
            minutes: change.minutes,
            queued: change.queued_jobs,
            worker_labels: change.worker_labels,
        }
    }
}

impl Used {
    fn shown(self, recording_bytes: u64) -> ConsumerUsage {
        ConsumerUsage {
            bots: self.bots.into(),
            minutes: self.minutes,
            queued_jobs: self.queued.into(),
            recording_bytes,
        }
    }
}

impl ConsumerUse {
    /// The consumer as the API shows it.
    pub fn shown(self) -> Consumer {
        let Quota { bots, minutes, queued } = self.live.quota;
        let number = |limit: Option<std::num::NonZeroU32>| limit.map(|limit| limit.get().into());
        Consumer {
            id: self.id,
            name: self.consumer,
            created_at: self.created_at,
            live: self.live.shown(self.live_recording_bytes),
            test: self.test.shown(self.test_recording_bytes),
            max_bots: number(bots),
            max_minutes: number(minutes),
            max_queued_jobs: number(queued),
            quota: self.overrides,
            worker_labels: self.worker_labels,
        }
    }

    /// Which of its webhook secrets are good at this moment.
    pub fn secret_at(self, now: Timestamp) -> ConsumerSecret {
        ConsumerSecret {
            consumer_id: self.id,
            consumer: self.consumer,
            previous_until: self.previous_until.filter(|until| *until > now),
        }
    }
}
