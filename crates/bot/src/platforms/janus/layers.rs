//! Videos that are sent in several sizes: the first size that stays is recorded. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The layer that is asked for: the best, for the whole meeting. Janus goes down by itself where it stops coming.
pub(crate) const BEST: u32 = 2;
/// Janus begins with whatever layer's keyframe comes first, and climbs with each that is better; after this time without a step it has arrived.
const SETTLES: Duration = Duration::from_millis(300);

/// The tracks that are still climbing, and when each will have arrived.
#[derive(Debug, Default)]
pub(crate) struct Layers(HashMap<String, Option<Instant>>);

impl Layers {
    /// A video in several layers begins on a track.
    pub(crate) fn begin(&mut self, mid: &str) {
        self.0.insert(mid.to_owned(), None);
    }

    /// Another video takes the track.
    pub(crate) fn forget(&mut self, mid: &str) {
        self.0.remove(mid);
    }

    /// Janus sends this layer from now on.
    pub(crate) fn switched(&mut self, mid: &str, layer: u32, now: Instant) {
        if layer >= BEST {
            self.0.remove(mid);
        } else if let Some(arrives) = self.0.get_mut(mid) {
            *arrives = Some(now + SETTLES);
        }
    }

    /// Whether a picture that comes now is of the size that stays.
    pub(crate) fn settled(&mut self, mid: &str, now: Instant) -> bool {
        let Some(arrives) = self.0.get_mut(mid) else { return true };
        let settled = now >= *arrives.get_or_insert(now + SETTLES);
        if settled {
            self.0.remove(mid);
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_that_climbs_is_recorded_once_it_has_arrived() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut layers = Layers::default();
        assert!(layers.settled("1", start), "it comes in one size");
        layers.begin("1");
        layers.switched("1", 0, start);
        assert!(!layers.settled("1", at(20)));
        layers.switched("1", 2, at(30));
        assert!(layers.settled("1", at(31)), "there is nothing better");
        layers.switched("1", 1, at(5_000));
        assert!(layers.settled("1", at(5_001)), "it went down for once, and the file goes on");

        layers.begin("1");
        layers.switched("1", 0, start);
        layers.switched("1", 1, at(200));
        assert!(!layers.settled("1", at(499)));
        assert!(layers.settled("1", at(500)), "there are two layers only");

        layers.begin("1");
        assert!(!layers.settled("1", start));
        assert!(layers.settled("1", at(300)), "also where the server tells nothing");
    }
}
