//! The clock of a track's sender, as its Sender Reports tell it: it puts several tracks of one sender on one timeline. Pure.

use std::time::UNIX_EPOCH;

use crate::media::SenderReport;

/// Reports that differ more are of a sender that began anew, or of a relay that was held up: the next one says which.
const ANEW_MS: f64 = 500.0;
/// How much a report that came later than the best one moves the clock: slowly, for drift.
const DRIFT: f64 = 0.02;

/// How a track's RTP time and its sender's clock go together.
#[derive(Debug, Default)]
pub(crate) struct SenderClock {
    last: Option<SenderReport>,
    /// An RTP time, and what the sender's clock showed then, in ms.
    pair: Option<(u64, f64)>,
    doubted: Option<(u64, f64)>,
}

impl SenderClock {
    /// The sender's last word comes with every frame; `rate` is in ticks a second.
    pub(crate) fn hear(&mut self, report: Option<SenderReport>, rate: u32) {
        let Some(report) = report.filter(|report| self.last != Some(*report)) else { return };
        self.last = Some(report);
        let Some(told) = wall_ms(&report) else { return };
        let rtp_time = report.rtp_time;
        let now = match self.at(rtp_time, rate) {
            Some(ours) => nearer(ours, told).or_else(|| {
                let doubted = shown(self.doubted.take()?, rtp_time, rate);
                nearer(doubted, told)
            }),
            None => Some(told),
        };
        match now {
            Some(now) => (self.pair, self.doubted) = (Some((rtp_time, now)), None),
            None => self.doubted = Some((rtp_time, told)),
        }
    }

    /// What the sender's clock showed at an RTP time, in ms; `None` before the first report.
    pub(crate) fn at(&self, rtp_time: u64, rate: u32) -> Option<f64> {
        Some(shown(self.pair?, rtp_time, rate))
    }
}

/// How far a sender's clock is ahead of the recording's, by the reports about its voice. It stays the same when the voice's RTP clock stands still and
/// when packets are held up, so that pictures keep their places meanwhile.
#[derive(Debug, Default)]
pub(crate) struct SenderLead {
    last: Option<SenderReport>,
    ms: Option<f64>,
    doubted: Option<f64>,
}

impl SenderLead {
    /// Hears of a report; `voice` is an RTP time and the recording's time, in ms, of the same moment.
    pub(crate) fn hear(
        &mut self,
        report: Option<SenderReport>,
        (rtp_time, recorded_ms): (u64, f64),
        rate: u32,
    ) {
        let Some(report) = report.filter(|report| self.last != Some(*report)) else { return };
        self.last = Some(report);
        let Some(wall) = wall_ms(&report) else { return };
        let told = wall - shown((rtp_time, recorded_ms), report.rtp_time, rate);
        let now = match self.ms {
            Some(ours) => nearer(ours, told).or_else(|| nearer(self.doubted.take()?, told)),
            None => Some(told),
        };
        match now {
            Some(now) => (self.ms, self.doubted) = (Some(now), None),
            None => self.doubted = Some(told),
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

/// What we hold, after a report. A relay writes down when a packet came to it: the earliest is nearest to the truth, all others were held up. `None`: they do
/// not go together.
fn nearer(ours: f64, told: f64) -> Option<f64> {
    if (told - ours).abs() >= ANEW_MS {
        None
    } else if told < ours {
        Some(told)
    } else {
        Some(ours + (told - ours) * DRIFT)
    }
}

/// What a clock shows at an RTP time that showed `ms` at another.
fn shown((rtp, ms): (u64, f64), rtp_time: u64, rate: u32) -> f64 {
    ms + ticks_between(rtp, rtp_time) as f64 * 1000.0 / f64::from(rate)
}

/// RTP times wrap at 32 bits, and who extends them may begin to count at different wraps.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "they wrap")]
pub(crate) fn ticks_between(from: u64, to: u64) -> i64 {
    i64::from((to as u32).wrapping_sub(from as u32) as i32)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hear(clock: &mut SenderClock, ntp_ms: u64, rtp_time: u64, rate: u32) {
        let ntp = UNIX_EPOCH + Duration::from_millis(ntp_ms);
        clock.hear(Some(SenderReport { ntp, rtp_time }), rate);
    }

    fn near(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 0.01), "{found:?} {expected}");
    }

    #[test]
    fn a_report_tells_the_time_of_every_frame() {
        let mut clock = SenderClock::default();
        assert_eq!(clock.at(0, 90_000), None);
        hear(&mut clock, 10_000, 90_000, 90_000);
        near(clock.at(90_000 + 45_000, 90_000), 10_500.0);
        near(clock.at(0, 90_000), 9_000.0);
    }

    #[test]
    fn reports_that_were_held_up_hardly_count_and_a_sender_that_begins_anew_does() {
        let mut clock = SenderClock::default();
        hear(&mut clock, 10_050, 48_000, 48_000);
        hear(&mut clock, 11_000, 96_000, 48_000);
        near(clock.at(96_000, 48_000), 11_000.0);
        hear(&mut clock, 12_100, 144_000, 48_000);
        near(clock.at(144_000, 48_000), 12_002.0);
        hear(&mut clock, 50_000, 0, 48_000);
        near(clock.at(144_000, 48_000), 12_002.0);
        hear(&mut clock, 51_000, 48_000, 48_000);
        near(clock.at(0, 48_000), 50_000.0);
    }

    #[test]
    fn a_report_of_a_relay_that_is_held_up_moves_nothing() {
        let mut clock = SenderClock::default();
        for second in 0..20 {
            // In the tenth second the relay has not yet what the sender sent 1.6 s before.
            let late = if second == 10 { 1_600 } else { 0 };
            hear(&mut clock, second * 1_000 + late, second * 48_000, 48_000);
            near(clock.at(0, 48_000), 0.0);
        }
    }

    #[test]
    fn the_lead_of_a_sender_stays_when_its_voice_stands_still() {
        let mut lead = SenderLead::default();
        for second in 0..20 {
            // In the tenth second the RTP clock stands still for 1.6 s, which the recording has learnt by the next report.
            let (stood, known) = (if second >= 10 { 1_600 } else { 0 }, second >= 11);
            let rtp_time = second * 48_000;
            let ntp = UNIX_EPOCH + Duration::from_millis(second * 1_000 + 500 + stood);
            let recorded_ms = (second * 1_000 + if known { stood } else { 0 }) as f64;
            lead.hear(Some(SenderReport { ntp, rtp_time }), (rtp_time, recorded_ms), 48_000);
            near(lead.ms(), 500.0);
        }
    }

    #[test]
    fn a_wrap_of_the_rtp_time_is_no_jump() {
        let mut clock = SenderClock::default();
        hear(&mut clock, 10_000, u64::from(u32::MAX) - 89, 90_000);
        near(clock.at(0, 90_000), 10_001.0);
        near(clock.at(1 << 32, 90_000), 10_001.0);
    }
}
