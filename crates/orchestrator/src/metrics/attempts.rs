//! The bots of this process: how many, how fast they get in, what reaches them.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use meetbot_types::{
    JobId, Platform,
    bot::{BotReport, IngestRequest, MediaCounters},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Times, known, times};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PlatformLabel {
    pub(super) platform: Cow<'static, str>,
}

#[derive(Debug)]
struct Attempt {
    epoch: u32,
    platform: PlatformLabel,
    launched: Duration,
    in_call: bool,
    /// The bot's counters so far; `None` until the first report of a bot that another server launched.
    media: Option<MediaCounters>,
}

/// What a bot's report says to these metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportCounts {
    pub(crate) job: JobId,
    pub(crate) epoch: u32,
    /// It is in the call.
    pub(crate) admitted: bool,
    /// Its counters, since it was launched.
    pub(crate) media: Option<MediaCounters>,
}

impl From<&IngestRequest> for ReportCounts {
    fn from(request: &IngestRequest) -> Self {
        let mut heard =
            Self { job: request.job_id, epoch: request.epoch, admitted: false, media: None };
        for numbered in &request.reports {
            match &numbered.report {
                BotReport::Admitted => heard.admitted = true,
                BotReport::Heartbeat { media } => heard.media = Some(*media),
                _ => {}
            }
        }
        heard
    }
}

/// The bots of this process. Reports that come twice count once.
pub(crate) struct Attempts {
    known: Mutex<HashMap<JobId, Attempt>>,
    running: Gauge,
    launched: Family<PlatformLabel, Counter>,
    lost: Family<PlatformLabel, Counter>,
    join: Times<PlatformLabel>,
    received: Counter,
    lost_packets: Counter,
    dropped: Counter,
    written: Counter,
    behind: Gauge,
}

impl Attempts {
    pub(super) fn register(registry: &mut Registry, max_bots: usize) -> Self {
        let running = Gauge::default();
        registry.register("bots_running", "Bots of this process that run", running.clone());
        let max: Gauge = Gauge::default();
        max.set(i64::try_from(max_bots).unwrap_or(i64::MAX));
        registry.register("bots_max", "How many may run: `bots.max`", max);
        let behind = Gauge::default();
        registry.register(
            "bots_behind",
            "Whether bots of this process read their media too late: no more are launched until all have read in time for 10 s",
            behind.clone(),
        );
        let launched = Family::default();
        registry.register("bots_launched", "Bots that were launched", launched.clone());
        let lost = Family::default();
        registry.register(
            "bots_lost",
            "Bots that went without having ended their job, which is handed on",
            lost.clone(),
        );
        let join = times();
        registry.register_with_unit(
            "join_duration",
            "From a bot's launch to its being in the call, the lobby included; of those that got in",
            Unit::Seconds,
            join.clone(),
        );
        let received = Counter::default();
        registry.register(
            "media_packets_received",
            "Media packets that reached bots, by their heartbeats",
            received.clone(),
        );
        let lost_packets = Counter::default();
        registry.register(
            "media_packets_lost",
            "Media packets that were sent to bots and never came, by their heartbeats",
            lost_packets.clone(),
        );
        let dropped = Counter::default();
        registry.register(
            "media_datagrams_dropped",
            "Datagrams that the system dropped because a bot read its socket too late, by their heartbeats: the machine has too many bots",
            dropped.clone(),
        );
        let written = Counter::default();
        registry.register_with_unit(
            "media_written",
            "What bots have written into their recordings, by their heartbeats",
            Unit::Bytes,
            written.clone(),
        );
        Self {
            known: Mutex::default(),
            running,
            launched,
            lost,
            join,
            received,
            lost_packets,
            dropped,
            written,
            behind,
        }
    }

    /// A bot was launched, at this time of the steady clock.
    pub(crate) fn launched(&self, job: JobId, epoch: u32, platform: &Platform, now: Duration) {
        let platform = PlatformLabel { platform: known(Platform::known(platform.as_str())) };
        self.launched.get_or_create(&platform).inc();
        let media = Some(MediaCounters::default());
        self.runs(job, Attempt { epoch, platform, launched: now, in_call: false, media });
    }

    /// A bot of the previous server continues: its counts until then belong to that server.
    pub(crate) fn adopted(&self, job: JobId, epoch: u32, platform: &Platform) {
        let platform = PlatformLabel { platform: known(Platform::known(platform.as_str())) };
        let (launched, in_call, media) = (Duration::ZERO, true, None);
        self.runs(job, Attempt { epoch, platform, launched, in_call, media });
    }

    fn runs(&self, job: JobId, attempt: Attempt) {
        let before = self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(job, attempt);
        if before.is_none() {
            self.running.inc();
        }
    }

    /// Shows whether bots read their media too late.
    pub(crate) fn set_behind(&self, behind: bool) {
        self.behind.set(i64::from(behind));
    }

    /// How many bots run.
    pub(crate) fn running(&self) -> u64 {
        u64::try_from(self.running.get()).unwrap_or(0)
    }

    /// Reports of a bot were applied.
    pub(crate) fn heard(&self, heard: &ReportCounts, now: Duration) {
        if !heard.admitted && heard.media.is_none() {
            return;
        }
        let mut attempts = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.get_mut(&heard.job).filter(|attempt| attempt.epoch == heard.epoch);
        let Some(attempt) = attempt else { return };
        if heard.admitted && !std::mem::replace(&mut attempt.in_call, true) {
            let took = now.saturating_sub(attempt.launched);
            self.join.get_or_create(&attempt.platform).observe(took.as_secs_f64());
        }
        if let Some(media) = heard.media {
            let before = attempt.media.replace(media).unwrap_or(media);
            self.received.inc_by(media.packets_received.saturating_sub(before.packets_received));
            self.lost_packets.inc_by(media.packets_lost.saturating_sub(before.packets_lost));
            self.dropped.inc_by(media.datagrams_dropped.saturating_sub(before.datagrams_dropped));
            self.written.inc_by(media.bytes_written.saturating_sub(before.bytes_written));
        }
    }

    /// A bot is gone; `lost` where its job had not ended.
    pub(crate) fn ended(&self, job: JobId, epoch: u32, lost: bool) {
        let mut attempts = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(attempt) = attempts.get(&job) else { return };
        if lost {
            self.lost.get_or_create(&attempt.platform).inc();
        }
        if attempt.epoch == epoch {
            attempts.remove(&job);
            self.running.dec();
        }
    }

    /// A bot's lease ran out, and its end was not reported: its worker may have died.
    pub(crate) fn silent(&self, job: JobId) {
        let mut attempts = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = attempts.remove(&job) {
            self.lost.get_or_create(&attempt.platform).inc();
            self.running.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text;

    use super::*;

    #[test]
    fn a_repeated_report_counts_once_and_one_of_another_attempt_is_ignored() {
        let mut registry = Registry::default();
        let attempts = Attempts::register(&mut registry, 1);
        let job = JobId::generate(meetbot_types::Timestamp::UNIX_EPOCH);
        attempts.launched(job, 2, &Platform::Sandbox, Duration::from_secs(1));
        let media = |packets_received, packets_lost| MediaCounters {
            packets_received,
            packets_lost,
            datagrams_dropped: packets_lost,
            ..MediaCounters::default()
        };
        let heard = |epoch, media| ReportCounts { job, epoch, admitted: true, media: Some(media) };
        for reports in [heard(2, media(10, 1)), heard(2, media(10, 1)), heard(1, media(99, 99))] {
            attempts.heard(&reports, Duration::from_secs(3));
        }
        attempts.heard(&heard(2, media(15, 1)), Duration::from_secs(4));
        assert_eq!(attempts.running.get(), 1);
        attempts.ended(job, 2, true);
        assert!(attempts.known.lock().unwrap().is_empty());
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        for line in [
            "media_packets_received_total 15\n",
            "media_packets_lost_total 1\n",
            "media_datagrams_dropped_total 1\n",
            "join_duration_seconds_count{platform=\"sandbox\"} 1\n",
            "join_duration_seconds_sum{platform=\"sandbox\"} 2",
            "bots_lost_total{platform=\"sandbox\"} 1\n",
            "bots_running 0\n",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
