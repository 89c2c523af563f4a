//! The reason of a gap in a file. Pure.

use super::NETWORK_LOSS;

/// A file's time begins with its first packet, which may have been this late on a busy machine: an event within this distance can be the reason of a gap.
const LATE_MS: u64 = 250;

/// Events that can cause a gap; times are of the recording's clock.
#[derive(Clone, Copy)]
pub(super) struct GapCauses {
    pub(super) pause_ended_ms: Option<u64>,
    pub(super) way_lost_ms: Option<u64>,
    pub(super) absent: bool,
    pub(super) lost: u64,
}

impl GapCauses {
    /// The reason, as in manifests.
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
    fn a_gap_has_the_reason_of_the_event_near_it() {
        let quiet = GapCauses { pause_ended_ms: None, way_lost_ms: None, absent: false, lost: 0 };
        assert_eq!(quiet.reason_of(2_979, 6_759), "muted");
        // The file's first packet was late by a tenth of a second, which shifts all of its times.
        let cut_off = GapCauses { way_lost_ms: Some(2_880), ..quiet };
        assert_eq!(cut_off.reason_of(2_979, 6_759), "network_loss");
        assert_eq!(cut_off.reason_of(9_000, 9_500), "muted", "that was long ago");
        let both = GapCauses { pause_ended_ms: Some(6_700), ..cut_off };
        assert_eq!(both.reason_of(2_979, 6_759), "paused");
        let gone = GapCauses { pause_ended_ms: None, way_lost_ms: None, absent: true, lost: 3 };
        assert_eq!(gone.reason_of(0, 500), "absent");
        assert_eq!(GapCauses { absent: false, ..gone }.reason_of(0, 500), "packet_loss");
    }
}
