//! The clock of a track's sender, as its Sender Reports tell it: it puts several tracks of one sender on one timeline. Pure.

use std::time::UNIX_EPOCH;

use meetbot_rtc::SenderReport;

/// Reports that differ more are of a sender that began anew.
const ANEW_MS: f64 = 500.0;
/// How much a report that came later than the best one moves the clock: slowly, for drift.
const DRIFT: f64 = 0.02;

/// How a track's RTP time and its sender's clock go together.
#[derive(Debug, Default)]
pub(crate) struct SenderClock {
    last: Option<SenderReport>,
    /// An RTP time, and what the sender's clock showed then, in ms.
    pair: Option<(u64, f64)>,
}

impl SenderClock {
    /// The sender's last word comes with every frame; `rate` is in ticks a second.
    pub(crate) fn hear(&mut self, report: Option<SenderReport>, rate: u32) {
        let Some(report) = report.filter(|report| self.last != Some(*report)) else { return };
        self.last = Some(report);
        let Ok(ntp) = report.ntp.duration_since(UNIX_EPOCH) else { return };
        let told = ntp.as_secs_f64() * 1000.0;
        let ours = self.at(report.rtp_time, rate).filter(|ours| (told - ours).abs() < ANEW_MS);
        // A relay writes down when a packet came to it: the earliest is nearest to the truth, all others were held up.
        let now =
            ours.map_or(told, |ours| if told < ours { told } else { ours + (told - ours) * DRIFT });
        self.pair = Some((report.rtp_time, now));
    }

    /// What the sender's clock showed at an RTP time, in ms; `None` before the first report.
    pub(crate) fn at(&self, rtp_time: u64, rate: u32) -> Option<f64> {
        let (rtp, ms) = self.pair?;
        Some(ms + ticks_between(rtp, rtp_time) * 1000.0 / f64::from(rate))
    }

    /// By how many ms a moment of the sender's clock, in ms, lies after an RTP time.
    pub(crate) fn since(&self, rtp_time: u64, moment: f64, rate: u32) -> Option<f64> {
        Some(moment - self.at(rtp_time, rate)?)
    }
}

/// RTP times wrap at 32 bits, and who extends them may begin to count at different wraps.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "they wrap")]
fn ticks_between(from: u64, to: u64) -> f64 {
    f64::from((to as u32).wrapping_sub(from as u32) as i32)
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
        near(clock.since(90_000, 10_020.0, 90_000), 20.0);
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
        near(clock.at(0, 48_000), 50_000.0);
    }

    #[test]
    fn a_wrap_of_the_rtp_time_is_no_jump() {
        let mut clock = SenderClock::default();
        hear(&mut clock, 10_000, u64::from(u32::MAX) - 89, 90_000);
        near(clock.at(0, 90_000), 10_001.0);
        near(clock.at(1 << 32, 90_000), 10_001.0);
    }
}
