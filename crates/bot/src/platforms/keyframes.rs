//! Requests keyframes in the first seconds of a video, in which a relay does not retransmit lost packets. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::media::TrackId;

/// How long after its start a video is watched. A relay keeps packets for retransmission only after it has measured the round-trip time: Janus, the slowest
/// known, needs a second after the first packet, and the bot's next report.
const WINDOW: Duration = Duration::from_secs(3);
/// If no picture arrives for this long, a packet counts as lost, and a keyframe is requested.
const FRAME_TIMEOUT: Duration = Duration::from_millis(200);

/// The videos that began within [`WINDOW`], and when their keyframe requests are due.
#[derive(Debug, Default)]
pub(crate) struct Keyframes {
    tracks: HashMap<TrackId, Opening>,
    /// No request is due before; `None` if there are no such videos.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Opening {
    ends: Instant,
    ask: Instant,
}

impl Opening {
    fn at(now: Instant) -> Self {
        Self { ends: now + WINDOW, ask: now + FRAME_TIMEOUT }
    }
}

impl Keyframes {
    /// A video begins.
    pub(crate) fn begin(&mut self, track: TrackId, now: Instant) {
        let opening = Opening::at(now);
        self.next = Some(self.next.map_or(opening.ask, |next| next.min(opening.ask)));
        self.tracks.insert(track, opening);
    }

    /// The media path comes up now: the windows of all videos begin now.
    pub(crate) fn restart(&mut self, now: Instant) {
        for opening in self.tracks.values_mut() {
            *opening = Opening::at(now);
        }
        self.next = self.tracks.values().map(|opening| opening.ask).min();
    }

    /// A picture arrived.
    pub(crate) fn picture(&mut self, track: TrackId, now: Instant) {
        if let Some(opening) = self.tracks.get_mut(&track) {
            opening.ask = now + FRAME_TIMEOUT;
        }
    }

    /// The tracks for which a keyframe must be requested now.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<TrackId> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        self.tracks.retain(|_, opening| now < opening.ends);
        let due = self.tracks.iter_mut().filter(|(_, opening)| opening.ask <= now);
        let due = due.map(|(track, opening)| {
            opening.ask = now + FRAME_TIMEOUT;
            *track
        });
        let due = due.collect();
        self.next = self.tracks.values().map(|opening| opening.ask).min();
        due
    }

    /// When to call [`Keyframes::due`]; it may be earlier than necessary.
    pub(crate) const fn wake(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_of_a_video_that_does_not_begin_or_stalls_are_requested_for_three_seconds() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
        let start = Instant::now();
        let mut keyframes = Keyframes::default();
        let (one, another) = (TrackId::named("1"), TrackId::named("2"));
        assert_eq!(keyframes.wake(), None);
        keyframes.begin(one, start);
        let start = start + WINDOW;
        let at = |ms| start + Duration::from_millis(ms);
        keyframes.restart(start);
        assert!(keyframes.due(at(199)).is_empty());
        assert_eq!(keyframes.wake(), Some(at(200)));
        assert_eq!(keyframes.due(at(200)), [one]);
        assert!(keyframes.due(at(399)).is_empty(), "one at a time");
        assert_eq!(keyframes.due(at(400)), [one]);
        keyframes.picture(one, at(450));
        keyframes.picture(another, at(450));
        assert!(keyframes.due(at(649)).is_empty());
        keyframes.picture(one, at(649));
        assert_eq!(keyframes.due(at(849)), [one], "it stalled");
        assert!(keyframes.due(at(3_000)).is_empty());
        assert_eq!(keyframes.wake(), None);
    }
}
