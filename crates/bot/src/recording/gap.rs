//! Why something is missing in a file. Pure.

use super::NETWORK_LOSS;

/// A file's time begins with its first packet, which may have come this late on a busy machine: so far beside a gap its reason is looked for.
const LATE_MS: u64 = 250;

/// What may explain a gap; times are of the recording's clock.
#[derive(Clone, Copy)]
pub(super) struct Happened {
    pub(super) pause_ended_ms: Option<u64>,
    pub(super) way_lost_ms: Option<u64>,
    pub(super) absent: bool,
    pub(super) lost: u64,
}

impl Happened {
    /// The word in manifests.
    pub(super) fn reason_of(&self, start_ms: u64, end_ms: u64) -> &'static str {
        let within = |moment: Option<u64>| {
            moment.is_some_and(|at| at + LATE_MS >= start_ms && at <= end_ms + LATE_MS)
        };
        if within(self.pause_ended_ms) {
            "paused"
        } else if within(self.way_lost_ms) {
            NETWORK_LOSS
        } else if self.absent {
            "absent"
        } else if self.lost > 0 {
            "packet_loss"
        } else {
            "muted"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_has_the_reason_of_what_happened_beside_it() {
        let quiet = Happened { pause_ended_ms: None, way_lost_ms: None, absent: false, lost: 0 };
        assert_eq!(quiet.reason_of(2_979, 6_759), "muted");
        // The file's first packet came a tenth of a second late, and so does all of its time.
        let cut_off = Happened { way_lost_ms: Some(2_880), ..quiet };
        assert_eq!(cut_off.reason_of(2_979, 6_759), "network_loss");
        assert_eq!(cut_off.reason_of(9_000, 9_500), "muted", "that was long ago");
        let both = Happened { pause_ended_ms: Some(6_700), ..cut_off };
        assert_eq!(both.reason_of(2_979, 6_759), "paused");
        let gone = Happened { pause_ended_ms: None, way_lost_ms: None, absent: true, lost: 3 };
        assert_eq!(gone.reason_of(0, 500), "absent");
        assert_eq!(Happened { absent: false, ..gone }.reason_of(0, 500), "packet_loss");
    }
}
