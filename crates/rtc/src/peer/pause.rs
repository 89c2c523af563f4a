//! Pauses between readings of a peer's sockets. `docs/decisions/0086-media-are-read-in-pauses.md` has the reasons.

use std::{
    collections::VecDeque,
    mem,
    sync::LazyLock,
    time::{Duration, Instant},
};

use super::{Peer, now, read::DATAGRAMS_AT_ONCE};
use crate::{Error, Event};

/// How long the sockets are left alone at most after a reading that brought something. Each voice sends a packet in 20 ms.
const PAUSE: Duration = Duration::from_millis(80);
/// The same where the session receives video: its lost packets are requested again, and a server keeps them for 200 ms at least.
const VIDEO_PAUSE: Duration = Duration::from_millis(40);
/// Pauses of all peers end at multiples of this, so that one wake-up of a thread serves many.
const STEP: Duration = Duration::from_millis(10);
/// No pause is so long that, at the rate of the last reading, more datagrams would arrive: the smallest receive buffer that Linux grants by default (208 KiB)
/// holds some 180 datagrams of a video.
const MOST: u32 = 32;
/// What woke the task may be something else than the end of a pause: the sockets are read then too, unless they were read this recently.
const FRESH: Duration = Duration::from_millis(1);

/// A datagram that has waited in its socket for this long is read too late. The smallest receive buffer that Linux grants by default holds half a second of a
/// video.
const LATE: Duration = Duration::from_millis(200);

/// When a peer reads its sockets.
pub(super) struct Pauses {
    on: bool,
    longest: Duration,
    late_readings: u64,
    /// The end of the pause, if there is one. Without one, the next datagram wakes the task.
    pub(super) until: Option<Instant>,
    read_at: Instant,
}

impl Pauses {
    pub(super) const fn off(now: Instant) -> Self {
        Self { on: false, longest: PAUSE, late_readings: 0, until: None, read_at: now }
    }

    /// The session receives video from now on.
    pub(super) const fn shorten_for_video(&mut self) {
        self.longest = VIDEO_PAUSE;
    }

    /// Whether the sockets may hold something that was there a while ago.
    fn is_stale(&self, now: Instant) -> bool {
        self.on && self.read_at + FRESH <= now
    }

    /// A reading begins with a datagram that came into its socket at this time.
    pub(super) fn begin_reading(&mut self, arrived: Instant, now: Instant) {
        self.late_readings += u64::from(arrived + LATE < now);
    }

    /// A reading has brought this many datagrams.
    fn begin(&mut self, datagrams: usize, now: Instant) {
        static FIRST: LazyLock<Instant> = LazyLock::new(super::now);
        let since = now.saturating_duration_since(mem::replace(&mut self.read_at, now));
        let pause = self.length(datagrams, since);
        self.until = (self.on && datagrams > 0).then(|| end(pause, now, *FIRST));
    }

    /// How long the pause lasts after a reading of this many datagrams, in the time `since` the reading before.
    fn length(&self, datagrams: usize, since: Duration) -> Duration {
        if datagrams == DATAGRAMS_AT_ONCE {
            return Duration::ZERO;
        }
        let datagrams = u32::try_from(datagrams).unwrap_or(u32::MAX).max(1);
        (since * MOST / datagrams).clamp(STEP, self.longest)
    }
}

/// When a pause of this length ends; `first` is the end of some pause.
fn end(pause: Duration, now: Instant, first: Instant) -> Instant {
    let steps = (now + pause).saturating_duration_since(first).as_nanos() / STEP.as_nanos();
    u32::try_from(steps).map_or(now + pause, |steps| (first + STEP * steps).max(now))
}

impl Peer {
    /// From now on the sockets are left alone for up to 80 ms (40 ms with video) after each reading that brought something, and then read until they are
    /// empty. For an owner that does not play what it receives: a wake-up for each datagram costs more than its datagram.
    pub const fn pause_between_readings(&mut self) {
        self.pauses.on = true;
    }

    /// There are no pauses any more, and the one of now is over.
    pub const fn read_at_once(&mut self) {
        self.pauses.on = false;
        self.pauses.until = None;
    }

    /// How many readings of the sockets began with a datagram that had waited for more than 200 ms.
    pub const fn late_readings(&self) -> u64 {
        self.pauses.late_readings
    }

    /// The events of what the sockets hold: for an owner that has a message from elsewhere, and handles first what arrived before it.
    pub fn arrived(&mut self) -> Result<VecDeque<Event>, Error> {
        if self.pauses.is_stale(now()) {
            self.read()?;
        }
        Ok(mem::take(&mut self.events))
    }

    /// In a pause, reads the sockets unless they were just read: the task is awake for another reason.
    pub(super) fn interrupt_pause(&mut self) -> Result<(), Error> {
        if self.pauses.until.is_some() && self.pauses.is_stale(now()) {
            self.read()?;
        }
        Ok(())
    }

    /// Reads the sockets, and lets the session act on what is due. Returns whether more datagrams may be waiting.
    pub(super) fn read(&mut self) -> Result<bool, Error> {
        let datagrams = self.receive()?;
        let now = now();
        if self.wake <= now {
            self.advance(now)?;
        }
        // Datagrams of other sessions may arrive without a pause, and must not keep this one alive.
        self.check_for_silence(now);
        self.pauses.begin(datagrams, now);
        if self.pauses.until.is_some() {
            self.sockets.unwatch()?;
        }
        Ok(datagrams == DATAGRAMS_AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_with_those_of_other_peers() {
        let first = now();
        let at = |ms| first + Duration::from_millis(ms);
        assert_eq!(end(PAUSE, at(0), first), at(80));
        assert_eq!(end(PAUSE, at(3), first), at(80));
        assert_eq!(end(PAUSE, at(79), first), at(150));
        assert_eq!(end(STEP, at(39), first), at(40));
    }

    #[test]
    fn a_pause_is_shorter_where_many_datagrams_arrive_or_video() {
        let start = now();
        let lasts = |datagrams, since_ms, video| {
            let mut pauses = Pauses::off(start);
            pauses.on = true;
            if video {
                pauses.shorten_for_video();
            }
            pauses.length(datagrams, Duration::from_millis(since_ms)).as_millis()
        };
        // One voice, four, ten, fifty.
        for (datagrams, expected) in [(4, 80), (16, 80), (40, 64), (99, 25)] {
            assert_eq!(lasts(datagrams, 80, false), expected, "{datagrams}");
        }
        assert_eq!(lasts(16, 40, true), 40);
        assert_eq!(lasts(64, 40, true), 20);
        assert_eq!(lasts(99, 1, true), 10, "one step");
        assert_eq!(lasts(1, 5_000, false), 80);
        assert_eq!(lasts(DATAGRAMS_AT_ONCE, 80, false), 0, "more may be waiting");
    }

    #[test]
    fn a_reading_is_late_if_its_first_datagram_has_waited_for_more_than_200_ms() {
        let start = now();
        let mut pauses = Pauses::off(start);
        for (waited_ms, late_readings) in [(0, 0), (40, 0), (200, 0), (201, 1), (900, 2), (1, 2)] {
            pauses.begin_reading(start, start + Duration::from_millis(waited_ms));
            assert_eq!(pauses.late_readings, late_readings, "{waited_ms} ms");
        }
    }

    #[test]
    fn there_is_no_pause_after_a_reading_that_brought_nothing_and_none_before_they_are_on() {
        let start = now();
        let mut pauses = Pauses::off(start);
        pauses.begin(2, start);
        assert_eq!(pauses.until, None);
        pauses.on = true;
        pauses.begin(2, start);
        assert!(pauses.until.is_some_and(|until| until > start));
        assert!(!pauses.is_stale(start) && pauses.is_stale(start + FRESH));
        pauses.begin(0, start);
        assert_eq!(pauses.until, None);
    }
}
