//! The first seconds of a video, in which a relay sends no lost packet again: keyframes are asked for instead. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::media::TrackId;

/// A relay keeps what it sends only once it has measured how far away the bot is. Janus, the slowest known, has done so a second after the first packet and
/// the bot's next report after that.
const LASTS: Duration = Duration::from_secs(3);
/// No picture for this long, and something is taken to be lost: another keyframe is asked for.
const STILL: Duration = Duration::from_millis(200);

/// The videos that have begun in the last seconds, and when keyframes of them are due.
#[derive(Debug, Default)]
pub(crate) struct Keyframes {
    tracks: HashMap<TrackId, Opening>,
    /// Nothing is due before; `None` where there is none.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Opening {
    ends: Instant,
    ask: Instant,
}

impl Opening {
    fn at(now: Instant) -> Self {
        Self { ends: now + LASTS, ask: now + STILL }
    }
}

impl Keyframes {
    /// A video begins to be sent.
    pub(crate) fn begin(&mut self, track: TrackId, now: Instant) {
        let opening = Opening::at(now);
        self.next = Some(self.next.map_or(opening.ask, |next| next.min(opening.ask)));
        self.tracks.insert(track, opening);
    }

    /// The media path is up only now: all that begins, begins now.
    pub(crate) fn restart(&mut self, now: Instant) {
        for opening in self.tracks.values_mut() {
            *opening = Opening::at(now);
        }
        self.next = self.tracks.values().map(|opening| opening.ask).min();
    }

    /// A picture has come.
    pub(crate) fn picture(&mut self, track: TrackId, now: Instant) {
        if let Some(opening) = self.tracks.get_mut(&track) {
            opening.ask = now + STILL;
        }
    }

    /// The tracks of which a keyframe is to be asked for now.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<TrackId> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        self.tracks.retain(|_, opening| now < opening.ends);
        let due = self.tracks.iter_mut().filter(|(_, opening)| opening.ask <= now);
        let due = due.map(|(track, opening)| {
            opening.ask = now + STILL;
            *track
        });
        let due = due.collect();
        self.next = self.tracks.values().map(|opening| opening.ask).min();
        due
    }

    /// When to ask [`Keyframes::due`], which may be before something is.
    pub(crate) const fn wake(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_that_does_not_begin_or_stops_is_asked_for_again_for_three_seconds() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
        let start = Instant::now();
        let mut keyframes = Keyframes::default();
        let (one, another) = (TrackId::named("1"), TrackId::named("2"));
        assert_eq!(keyframes.wake(), None);
        keyframes.begin(one, start);
        let start = start + LASTS;
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
        assert_eq!(keyframes.due(at(849)), [one], "it stopped");
        assert!(keyframes.due(at(3_000)).is_empty());
        assert_eq!(keyframes.wake(), None);
    }
}
