//! The first seconds of a video, in which Janus sends nothing again: whole pictures are asked for instead. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Janus keeps what it sends only once it has measured how far away the bot is: a second after the first packet, and the bot's next report after that.
const LASTS: Duration = Duration::from_secs(3);
/// No picture for this long, and something is taken to be lost: another keyframe is asked for.
const STILL: Duration = Duration::from_millis(200);

/// The videos that have begun just now.
#[derive(Debug, Default)]
pub(crate) struct Openings {
    tracks: HashMap<String, Opening>,
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

impl Openings {
    /// A video begins to be sent.
    pub(crate) fn begin(&mut self, mid: &str, now: Instant) {
        let opening = Opening::at(now);
        self.next = Some(self.next.map_or(opening.ask, |next| next.min(opening.ask)));
        self.tracks.insert(mid.to_owned(), opening);
    }

    /// The media path is up only now: all that begins, begins now.
    pub(crate) fn restart(&mut self, now: Instant) {
        for opening in self.tracks.values_mut() {
            *opening = Opening::at(now);
        }
        self.next = self.tracks.values().map(|opening| opening.ask).min();
    }

    /// A picture has come.
    pub(crate) fn picture(&mut self, mid: &str, now: Instant) {
        if let Some(opening) = self.tracks.get_mut(mid) {
            opening.ask = now + STILL;
        }
    }

    /// The tracks of which a keyframe is to be asked for now.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<String> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        self.tracks.retain(|_, opening| now < opening.ends);
        let due = self.tracks.iter_mut().filter(|(_, opening)| opening.ask <= now);
        let due = due.map(|(mid, opening)| {
            opening.ask = now + STILL;
            mid.clone()
        });
        let due = due.collect();
        self.next = self.tracks.values().map(|opening| opening.ask).min();
        due
    }

    /// When to ask [`Openings::due`], which may be before something is.
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
        let mut openings = Openings::default();
        assert_eq!(openings.wake(), None);
        openings.begin("1", start);
        let start = start + LASTS;
        let at = |ms| start + Duration::from_millis(ms);
        openings.restart(start);
        assert!(openings.due(at(199)).is_empty());
        assert_eq!(openings.wake(), Some(at(200)));
        assert_eq!(openings.due(at(200)), ["1"]);
        assert!(openings.due(at(399)).is_empty(), "one at a time");
        assert_eq!(openings.due(at(400)), ["1"]);
        openings.picture("1", at(450));
        openings.picture("another", at(450));
        assert!(openings.due(at(649)).is_empty());
        openings.picture("1", at(649));
        assert_eq!(openings.due(at(849)), ["1"], "it stopped");
        assert!(openings.due(at(3_000)).is_empty());
        assert_eq!(openings.wake(), None);
    }
}
