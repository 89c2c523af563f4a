//! Pauses between readings of a peer's sockets. `docs/decisions/0086-media-are-read-in-pauses.md` has the reasons.

use std::{
    collections::VecDeque,
    sync::LazyLock,
    time::{Duration, Instant},
};

use super::{Peer, now, read::DATAGRAMS_AT_ONCE};
use crate::{Error, Event};

/// How long the sockets are left alone after a reading that brought something. Each voice sends a packet in 20 ms.
const PAUSE: Duration = Duration::from_millis(40);
/// Pauses of all peers end at multiples of this, so that one wake-up of a thread serves many.
const STEP: Duration = Duration::from_millis(10);
/// After a reading of this many datagrams the pause is a step: the smallest receive buffer that Linux grants by default (208 KiB) holds some 180 datagrams
/// of a video.
const MANY: usize = 32;
/// What woke the task may be something else than the end of a pause: the sockets are read then too, unless they were read this recently.
const FRESH: Duration = Duration::from_millis(1);

/// A datagram that has waited in its socket for this long is read too late. The smallest receive buffer that Linux grants by default holds half a second of a
/// video.
const LATE: Duration = Duration::from_millis(200);

/// When a peer reads its sockets.
pub(super) struct Pauses {
    on: bool,
    late_readings: u64,
    /// The end of the pause, if there is one. Without one, the next datagram wakes the task.
    pub(super) until: Option<Instant>,
    read_at: Instant,
}

impl Pauses {
    pub(super) const fn off(now: Instant) -> Self {
        Self { on: false, late_readings: 0, until: None, read_at: now }
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
        self.read_at = now;
        self.until = (self.on && datagrams > 0).then(|| end(datagrams, now, *FIRST));
    }
}

/// When the pause after a reading ends; `first` is the end of some pause.
fn end(datagrams: usize, now: Instant, first: Instant) -> Instant {
    if datagrams == DATAGRAMS_AT_ONCE {
        return now;
    }
    let pause = if datagrams >= MANY { STEP } else { PAUSE };
    let steps = (now + pause).saturating_duration_since(first).as_nanos() / STEP.as_nanos();
    u32::try_from(steps).map_or(now + pause, |steps| (first + STEP * steps).max(now))
}

impl Peer {
    /// From now on the sockets are left alone for up to 40 ms after each reading that brought something, and then read until they are empty. For an owner
    /// that does not play what it receives: a wake-up for each datagram costs more than its datagram.
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
        Ok(std::mem::take(&mut self.events))
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
    fn a_pause_ends_with_those_of_other_peers_and_is_shorter_if_the_sockets_held_much() {
        let first = now();
        let at = |ms| first + Duration::from_millis(ms);
        assert_eq!(end(2, at(0), first), at(40));
        assert_eq!(end(2, at(3), first), at(40));
        assert_eq!(end(2, at(39), first), at(70));
        assert_eq!(end(MANY, at(39), first), at(40));
        assert_eq!(end(DATAGRAMS_AT_ONCE, at(39), first), at(39));
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
