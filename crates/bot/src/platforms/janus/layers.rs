//! Simulcast videos: recording begins once the layer is stable. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The layer that is requested: the best, for the whole meeting. Janus switches down by itself if it is not sent.
pub(crate) const BEST: u32 = 2;
/// Janus begins with the layer whose keyframe arrives first, and switches up with each better one; after this time without a switch the layer is stable.
const SETTLES: Duration = Duration::from_millis(300);

/// The tracks whose layer is not stable yet, and when each will be.
#[derive(Debug, Default)]
pub(crate) struct Layers(HashMap<String, Option<Instant>>);

impl Layers {
    /// A simulcast video begins on a track.
    pub(crate) fn begin(&mut self, mid: &str) {
        self.0.insert(mid.to_owned(), None);
    }

    /// Another video replaces that on the track.
    pub(crate) fn remove(&mut self, mid: &str) {
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

    /// Whether the layer of a picture that arrives now is stable.
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
    fn a_simulcast_video_is_recorded_once_its_layer_is_stable() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut layers = Layers::default();
        assert!(layers.settled("1", start), "it has one layer");
        layers.begin("1");
        layers.switched("1", 0, start);
        assert!(!layers.settled("1", at(20)));
        layers.switched("1", 2, at(30));
        assert!(layers.settled("1", at(31)), "there is no better layer");
        layers.switched("1", 1, at(5_000));
        assert!(layers.settled("1", at(5_001)), "a later switch down does not stop the recording");

        layers.begin("1");
        layers.switched("1", 0, start);
        layers.switched("1", 1, at(200));
        assert!(!layers.settled("1", at(499)));
        assert!(layers.settled("1", at(500)), "it has only two layers");

        layers.begin("1");
        assert!(!layers.settled("1", start));
        assert!(layers.settled("1", at(300)), "also if the server sends no switches");
    }
}
