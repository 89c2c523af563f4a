//! The clock of a track's sender, from its Sender Reports: it puts several tracks of one sender on one timeline. Pure.

use std::time::UNIX_EPOCH;

use crate::media::SenderReport;

/// If a report differs by more, its sender restarted, or a relay was delayed: the next report decides.
const RESTART_MS: f64 = 500.0;
/// The weight with which later reports than the best one move the clock: small, for drift only.
const DRIFT: f64 = 0.02;

/// Maps a track's RTP time to its sender's clock.
#[derive(Debug, Default)]
pub(crate) struct SenderClock {
    last: Option<SenderReport>,
    /// An RTP time, and what the sender's clock showed then, in ms.
    pair: Option<(u64, f64)>,
    unconfirmed: Option<(u64, f64)>,
}

impl SenderClock {
    /// Takes the sender's last report, which comes with every frame; `rate` is in ticks a second.
    pub(crate) fn observe(&mut self, report: Option<SenderReport>, rate: u32) {
        let Some(report) = report.filter(|report| self.last != Some(*report)) else { return };
        self.last = Some(report);
        let Some(reported) = wall_ms(&report) else { return };
        let rtp_time = report.rtp_time;
        let now = match self.at(rtp_time, rate) {
            Some(ours) => nearer(ours, reported).or_else(|| {
                let unconfirmed = shown(self.unconfirmed.take()?, rtp_time, rate);
                nearer(unconfirmed, reported)
            }),
            None => Some(reported),
        };
        match now {
            Some(now) => (self.pair, self.unconfirmed) = (Some((rtp_time, now)), None),
            None => self.unconfirmed = Some((rtp_time, reported)),
        }
    }

    /// The sender's clock at an RTP time, in ms; `None` before the first report.
    pub(crate) fn at(&self, rtp_time: u64, rate: u32) -> Option<f64> {
        Some(shown(self.pair?, rtp_time, rate))
    }
}

/// How far a sender's clock is ahead of the recording's, by the reports on its audio track. It does not change when the audio's RTP clock stalls or
/// packets are delayed, so that pictures keep their places meanwhile.
#[derive(Debug, Default)]
pub(crate) struct SenderLead {
    last: Option<SenderReport>,
    ms: Option<f64>,
    unconfirmed: Option<f64>,
}

impl SenderLead {
    /// Takes a report; `voice` is an RTP time and the recording's time, in ms, of the same moment.
    pub(crate) fn observe(
        &mut self,
        report: Option<SenderReport>,
        (rtp_time, recorded_ms): (u64, f64),
        rate: u32,
    ) {
        let Some(report) = report.filter(|report| self.last != Some(*report)) else { return };
        self.last = Some(report);
        let Some(wall) = wall_ms(&report) else { return };
        let reported = wall - shown((rtp_time, recorded_ms), report.rtp_time, rate);
        let now = match self.ms {
            Some(ours) => {
                nearer(ours, reported).or_else(|| nearer(self.unconfirmed.take()?, reported))
            }
            None => Some(reported),
        };
        match now {
            Some(now) => (self.ms, self.unconfirmed) = (Some(now), None),
            None => self.unconfirmed = Some(reported),
        }
    }

    /// In ms; `None` before the first report.
    pub(crate) const fn ms(&self) -> Option<f64> {
        self.ms
    }
}

fn wall_ms(report: &SenderReport) -> Option<f64> {
    Some(report.ntp.duration_since(UNIX_EPOCH).ok()?.as_secs_f64() * 1000.0)
}

/// The estimate after a report. A relay reports when a packet reached it: the earliest report is the most accurate, later ones were delayed. `None`: the
/// report contradicts the estimate.
fn nearer(ours: f64, reported: f64) -> Option<f64> {
    if (reported - ours).abs() >= RESTART_MS {
        None
    } else if reported < ours {
        Some(reported)
    } else {
        Some(ours + (reported - ours) * DRIFT)
    }
}

/// A clock at RTP time `rtp_time`, if it showed `ms` at RTP time `rtp`.
fn shown((rtp, ms): (u64, f64), rtp_time: u64, rate: u32) -> f64 {
    ms + ticks_between(rtp, rtp_time) as f64 * 1000.0 / f64::from(rate)
}

/// The difference of two RTP times. They wrap at 32 bits, and their extensions may begin at different wraps.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "they wrap")]
pub(crate) fn ticks_between(from: u64, to: u64) -> i64 {
    i64::from((to as u32).wrapping_sub(from as u32) as i32)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn observe(clock: &mut SenderClock, ntp_ms: u64, rtp_time: u64, rate: u32) {
        let ntp = UNIX_EPOCH + Duration::from_millis(ntp_ms);
        clock.observe(Some(SenderReport { ntp, rtp_time }), rate);
    }

    fn near(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 0.01), "{found:?} {expected}");
    }

    #[test]
    fn a_report_gives_the_time_of_every_frame() {
        let mut clock = SenderClock::default();
        assert_eq!(clock.at(0, 90_000), None);
        observe(&mut clock, 10_000, 90_000, 90_000);
        near(clock.at(90_000 + 45_000, 90_000), 10_500.0);
        near(clock.at(0, 90_000), 9_000.0);
    }

    #[test]
    fn delayed_reports_have_little_weight_and_a_restarted_sender_is_followed() {
        let mut clock = SenderClock::default();
        observe(&mut clock, 10_050, 48_000, 48_000);
        observe(&mut clock, 11_000, 96_000, 48_000);
        near(clock.at(96_000, 48_000), 11_000.0);
        observe(&mut clock, 12_100, 144_000, 48_000);
        near(clock.at(144_000, 48_000), 12_002.0);
        observe(&mut clock, 50_000, 0, 48_000);
        near(clock.at(144_000, 48_000), 12_002.0);
        observe(&mut clock, 51_000, 48_000, 48_000);
        near(clock.at(0, 48_000), 50_000.0);
    }

    #[test]
    fn a_report_of_a_delayed_relay_moves_nothing() {
        let mut clock = SenderClock::default();
        for second in 0..20 {
            // In the tenth second the relay does not yet have the packets that the sender sent 1.6 s before.
            let late = if second == 10 { 1_600 } else { 0 };
            observe(&mut clock, second * 1_000 + late, second * 48_000, 48_000);
            near(clock.at(0, 48_000), 0.0);
        }
    }

    #[test]
    fn the_lead_of_a_sender_stays_when_its_audio_clock_stalls() {
        let mut lead = SenderLead::default();
        for second in 0..20 {
            // In the tenth second the RTP clock stalls for 1.6 s, which the recording has detected by the next report.
            let (stood, known) = (if second >= 10 { 1_600 } else { 0 }, second >= 11);
            let rtp_time = second * 48_000;
            let ntp = UNIX_EPOCH + Duration::from_millis(second * 1_000 + 500 + stood);
            let recorded_ms = (second * 1_000 + if known { stood } else { 0 }) as f64;
            lead.observe(Some(SenderReport { ntp, rtp_time }), (rtp_time, recorded_ms), 48_000);
            near(lead.ms(), 500.0);
        }
    }

    #[test]
    fn a_wrap_of_the_rtp_time_is_not_a_jump() {
        let mut clock = SenderClock::default();
        observe(&mut clock, 10_000, u64::from(u32::MAX) - 89, 90_000);
        near(clock.at(0, 90_000), 10_001.0);
        near(clock.at(1 << 32, 90_000), 10_001.0);
    }
}
