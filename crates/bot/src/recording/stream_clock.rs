//! Where on the recording's clock each packet of one RTP stream belongs. Pure.
//!
//! Four witnesses are heard. *Sequence numbers* say whether packets are missing. The *RTP time* says when a packet was sampled (RFC 3550, 5.1), and a
//! packet's place follows from it as long as the numbers go on: arrival alone never moves it. The *arrival* is at or after the sampling, so the least
//! lateness (arrival − place) of many packets shows how the sender's clock and ours go together. *Sender Reports* (RFC 3550, 6.4.1) say it once more.
//!
//! - Packets that were held up come in a burst, and the lateness falls back at once: nothing moves.
//! - A clock that stood still makes all later packets late by the same time. What comes after a sudden rise of the lateness is held back for
//!   [`LONGEST_HOLD_MS`] at most; when the lateness stays flat meanwhile, the clock stood still, and the places move by that much. When it still falls,
//!   the packets are placed by their RTP time, and the places move once it has been flat for [`FLAT_MS`].
//! - A clock that drifts moves the least lateness of [`Floor`]'s window, and the places follow, without any limit.
//! - A packet cannot arrive before it was sampled. One that does shows that those before it were late, or that the RTP time leapt.
//! - RTP times or sequence numbers that go back are of a sender that began anew: the arrival is the only witness left, and what follows is held
//!   back for a moment, since the first packet may have been held up.

use std::{ops::RangeInclusive, time::UNIX_EPOCH};

use super::{clock::ticks_between, floor::Floor};
use crate::media::SenderReport;

/// A rise of the lateness from one packet to the next that may be a clock that stood still; less is jitter.
const RISE_MS: i64 = 40;
/// A rise after which packets are held back, until it is known what it was.
const HOLD_RISE_MS: i64 = 100;
/// Packets are held back for this long at most. Half a second after its arrival a packet is in a file.
const LONGEST_HOLD_MS: i64 = 300;
/// As many are held back at most: a burst of half a minute.
const MOST_HELD: usize = 1_500;
/// Packets that are held back are late for good when they are equally late for this long.
const FLAT_HELD_MS: i64 = 160;
/// The same for packets that are not held back.
const FLAT_MS: i64 = 3_000;
/// Lateness that falls by more than this is not flat.
const FALL_MS: i64 = 8;
/// The least lateness may be off by this before the places follow it.
const DRIFT_MS: i64 = 5;
/// A step of the RTP time that makes a packet come this much before its time is a leap.
const LEAP_MS: i64 = 200;
/// How much a step may exceed what the packets before it last, in a stream without a pause.
const WHOLE_MS: i64 = 20;
/// A stream's first packet may have been held up, by this much at most. It shows within the first seconds.
const LEARN_MS: i64 = 5_000;
const MOST_LATE_START_MS: i64 = 10_000;
/// A packet that is this far behind the last, in numbers or in seconds, was not overtaken but belongs to another count.
const MISORDERED: i64 = 100;
const MISORDERED_MS: i64 = 10_000;
/// More pictures than this are not lost at once.
const MOST_LOST: i64 = 3_000;
/// Of a voice, RTP times say whether packets are lost; sequence numbers have 16 bits.
const MOST_LOST_OF_VOICE: i64 = 1 << 16;

/// A packet, or a picture, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Sequence numbers, extended so that they do not wrap.
    pub(crate) sequence: RangeInclusive<u64>,
    /// In ticks of the stream's rate, extended.
    pub(crate) rtp_time: u64,
    /// How long it plays, in ticks; 0 where only the next one tells.
    pub(crate) lasts: u64,
    /// When it arrived, in ms of the recording's clock.
    pub(crate) at_ms: u64,
    /// The last Sender Report that came before it.
    pub(crate) report: Option<SenderReport>,
}

/// What a packet's arrival says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Where it belongs, in ticks of the recording's clock, before [`Verdict::Move`].
    pub(crate) place: i64,
    /// How many packets before it never came.
    pub(crate) lost: u64,
    /// Time has passed between the packet before and this one.
    pub(crate) pause: bool,
    pub(crate) verdict: Verdict,
}

/// What to do with a packet, and with those that are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Hold it back: its place is not certain yet.
    Hold,
    /// Move it and all that are held back by so many ticks, and write them.
    Move(i64),
}

/// The clock of one stream.
#[derive(Debug)]
pub(crate) struct StreamClock {
    rate: u32,
    /// Whether packets are held back: what is written of a voice cannot be moved, pictures can be shown closer together.
    holds: bool,
    begun: i64,
    /// By how much all places are to be moved, since the first packet was late: 0 or less.
    base: i64,
    /// Whether the places were moved since the clock seemed to stand still. A packet that comes early from then on shows that this was a delay, not
    /// that the first packet was late.
    moved: bool,
    last: Option<Last>,
    floor: Floor,
    doubt: Option<Doubt>,
    report: Option<SenderReport>,
    /// The sender's wall clock minus the place that its last report names, in ticks.
    reported: Option<i64>,
    anew: bool,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    sequence: u64,
    rtp_time: u64,
    lasts: i64,
    place: i64,
    late: i64,
}

/// Packets are late, and it is not known yet whether that passes. Times and lateness are in ticks.
#[derive(Debug)]
struct Doubt {
    since: i64,
    /// The lateness before; `None` where the sender began anew and there is nothing to go back to.
    from: Option<i64>,
    least: i64,
    /// The lateness from which it counts as falling, and since when it has not.
    flat_at: i64,
    flat_since: i64,
    flat_packets: u32,
    /// How many are held back; `None` when no more are.
    held: Option<usize>,
    reported: Option<i64>,
    /// A Sender Report says that the clock did not stand still.
    refuted: bool,
}

impl StreamClock {
    /// The clock of a stream of `rate` ticks a second.
    pub(crate) fn new(rate: u32, holds: bool) -> Self {
        Self {
            rate: rate.max(1),
            holds,
            begun: 0,
            base: 0,
            moved: false,
            last: None,
            floor: Floor::default(),
            doubt: None,
            report: None,
            reported: None,
            anew: false,
        }
    }

    /// Ticks a second.
    pub(crate) const fn rate(&self) -> u32 {
        self.rate
    }

    /// What comes from now on counts anew.
    pub(crate) const fn begin_anew(&mut self) {
        self.anew = true;
    }

    /// No more packets come: those that are held back are to be moved by so many ticks.
    pub(crate) fn settle(&mut self) -> i64 {
        match self.doubt.take() {
            Some(doubt) if doubt.held.is_some() && doubt.from.is_none() => self.shift(doubt.least),
            _ => 0,
        }
    }

    /// Whether it is uncertain where the last packets belong.
    pub(crate) const fn doubts(&self) -> bool {
        self.doubt.is_some()
    }

    /// By how many ticks all places are to be moved, since the first packet was late: 0 or less. It is final after some seconds.
    pub(crate) const fn base(&self) -> i64 {
        self.base
    }

    /// Hears of a packet, in the order of sequence numbers. `None`: it is doubled, or too late to be in order.
    pub(crate) fn hear(&mut self, seen: &Seen) -> Option<Heard> {
        let at = self.ticks(i64::try_from(seen.at_ms).unwrap_or(i64::MAX / 1_000_000));
        let lasts = i64::try_from(seen.lasts).unwrap_or(0);
        let Some(last) = self.last else {
            self.begun = at;
            self.anew = false;
            self.floor.reset(self.bucket(at), 0);
            self.go_on(seen, lasts, at, 0);
            self.hear_report(seen);
            return Some(Heard { place: at, lost: 0, pause: false, verdict: Verdict::Move(0) });
        };
        let step = seen.rtp_time.wrapping_sub(last.rtp_time).cast_signed();
        let ahead = seen.sequence.start().wrapping_sub(last.sequence).cast_signed();
        if !self.anew
            && (1 - MISORDERED..=0).contains(&ahead)
            && (-self.ticks(MISORDERED_MS)..=0).contains(&step)
        {
            return None;
        }
        let expected = last.lasts.saturating_mul(ahead);
        let excess = step.saturating_sub(expected);
        let mut place = last.place.saturating_add(step);
        let mut late = at.saturating_sub(place).saturating_sub(self.base);
        let is_whole =
            excess <= self.ticks(WHOLE_MS) || (last.lasts == 0 && step <= self.ticks(LEAP_MS));
        let is_early = late < -self.ticks(LEAP_MS);
        let leaps = is_early && (!is_whole || late < -self.ticks(MOST_LATE_START_MS));
        if self.anew || ahead <= 0 || step <= 0 || leaps {
            self.anew = false;
            let place = at - self.base;
            self.go_on(seen, lasts, place, 0);
            self.floor.reset(self.bucket(at), 0);
            (self.report, self.reported) = (seen.report, None);
            let verdict = self.doubt_anew(at);
            let place = if let Verdict::Move(ticks) = verdict { place - ticks } else { place };
            return Some(Heard { place, lost: 0, pause: true, verdict });
        }
        let begins =
            self.doubt.as_ref().is_some_and(|doubt| doubt.held.is_some() && doubt.from.is_none());
        if late < 0 && !begins {
            let base = self.base.saturating_add(late);
            if is_whole
                && !self.moved
                && !self.learnt_at(at)
                && base >= -self.ticks(MOST_LATE_START_MS)
            {
                self.base = base;
                late = 0;
                self.floor.reset(self.bucket(at), 0);
            } else if late < -self.ticks(DRIFT_MS) {
                place += late;
                late = 0;
                self.floor.reset(self.bucket(at), 0);
            }
        }
        let rise = late.saturating_sub(last.late);
        self.go_on(seen, lasts, place, late);
        self.hear_report(seen);
        let verdict = self.judge(at, late, rise);
        // Packets that are lost lasted: where no time passes, it is the sender that counts in leaps.
        let most = if last.lasts > 0 { MOST_LOST_OF_VOICE } else { MOST_LOST };
        let are_lost = ahead <= most && step.saturating_mul(2) >= expected && !is_early;
        let missing = if are_lost { ahead.unsigned_abs() - 1 } else { 0 };
        let pause = step - last.lasts >= self.ticks(5) / 2;
        Some(Heard { place, lost: missing, pause, verdict })
    }

    fn go_on(&mut self, seen: &Seen, lasts: i64, place: i64, late: i64) {
        self.last = Some(Last {
            sequence: *seen.sequence.end(),
            rtp_time: seen.rtp_time,
            lasts,
            place,
            late,
        });
    }

    /// What is late now, and by how much the places move.
    fn judge(&mut self, at: i64, late: i64, rise: i64) -> Verdict {
        let level = self.floor.least();
        let is_rise = rise >= self.ticks(RISE_MS) && late >= level + self.ticks(RISE_MS);
        let held = (self.holds && rise >= self.ticks(HOLD_RISE_MS)).then_some(1);
        let is_new = self.doubt.as_ref().is_none_or(|doubt| {
            held.is_some() && doubt.held.is_none() && at - doubt.since >= self.ticks(1_000)
        });
        if is_rise && is_new {
            let from = self.doubt.as_ref().and_then(|doubt| doubt.from).unwrap_or(level);
            self.doubt = Some(Doubt::new(at, Some(from), late, held, self.reported));
            return if held.is_some() { Verdict::Hold } else { Verdict::Move(0) };
        }
        let (fall, back) = (self.ticks(FALL_MS), self.ticks(RISE_MS));
        let (flat_held, flat) = (self.ticks(FLAT_HELD_MS), self.ticks(FLAT_MS));
        let longest = self.ticks(LONGEST_HOLD_MS);
        let Some(doubt) = &mut self.doubt else { return self.follow_drift(at, late) };
        doubt.observe(at, late, fall);
        if doubt.from.is_some_and(|from| late <= from + back) {
            self.doubt = None;
            return self.follow_drift(at, late);
        }
        let moves = doubt.least - doubt.from.unwrap_or(0);
        let long_enough = if doubt.held.is_some() { flat_held } else { flat };
        if !doubt.refuted && doubt.flat_packets >= 3 && at - doubt.flat_since >= long_enough {
            return self.decide(at, moves);
        }
        let Some(held) = &mut doubt.held else { return self.follow_drift(at, late) };
        *held += 1;
        if !doubt.refuted && *held <= MOST_HELD && at - doubt.since < longest {
            return Verdict::Hold;
        }
        if doubt.from.is_none() {
            return self.decide(at, moves);
        }
        doubt.held = None;
        (doubt.flat_since, doubt.flat_packets) = (at, 0);
        Verdict::Move(0)
    }

    /// A sender began anew; packets that come in a burst may show that the first one was late.
    fn doubt_anew(&mut self, at: i64) -> Verdict {
        match self.doubt.take() {
            // Once more, while packets are held back: those before it are placed as well as they can be.
            Some(Doubt { held: Some(_), from, least, .. }) => {
                Verdict::Move(if from.is_none() { least } else { 0 })
            }
            _ if self.holds => {
                self.doubt = Some(Doubt::new(at, None, 0, Some(1), None));
                Verdict::Hold
            }
            _ => Verdict::Move(0),
        }
    }

    fn decide(&mut self, at: i64, moves: i64) -> Verdict {
        let from = self.doubt.take().and_then(|doubt| doubt.from);
        let level = from.unwrap_or(0);
        self.moved |= from.is_some();
        self.floor.reset(self.bucket(at), level);
        Verdict::Move(self.shift(moves))
    }

    /// The least lateness of many seconds is where the sender's clock is.
    fn follow_drift(&mut self, at: i64, late: i64) -> Verdict {
        self.floor.push(self.bucket(at), late);
        let least = self.floor.least();
        if !self.floor.is_full() || least < self.ticks(DRIFT_MS) {
            return Verdict::Move(0);
        }
        self.doubt = None;
        self.floor.reset(self.bucket(at), 0);
        Verdict::Move(self.shift(least))
    }

    /// Moves the places from the last packet on.
    fn shift(&mut self, ticks: i64) -> i64 {
        if let Some(last) = &mut self.last {
            last.place += ticks;
            last.late -= ticks;
        }
        self.reported = None;
        ticks
    }

    fn hear_report(&mut self, seen: &Seen) {
        let (Some(report), Some(last)) = (seen.report, self.last) else { return };
        if self.report == Some(report) {
            return;
        }
        self.report = Some(report);
        let Ok(wall) = report.ntp.duration_since(UNIX_EPOCH) else { return };
        let Ok(wall_us) = i64::try_from(wall.as_micros()) else { return };
        let wall = i128::from(wall_us) * i128::from(self.rate) / 1_000_000;
        let Ok(wall) = i64::try_from(wall) else { return };
        let place = last.place.saturating_add(ticks_between(last.rtp_time, report.rtp_time));
        let reported = wall.saturating_sub(place);
        self.reported = Some(reported);
        if let Some(doubt) = &mut self.doubt
            && let (Some(before), Some(from)) = (doubt.reported, doubt.from)
        {
            doubt.refuted = reported.saturating_sub(before) < (doubt.least - from) / 2;
        }
    }

    fn ticks(&self, ms: i64) -> i64 {
        ms.saturating_mul(i64::from(self.rate)) / 1_000
    }

    fn bucket(&self, at: i64) -> i64 {
        at / self.ticks(Floor::BUCKET_MS).max(1)
    }

    fn learnt_at(&self, at: i64) -> bool {
        at - self.begun >= self.ticks(LEARN_MS)
    }
}

impl Doubt {
    const fn new(
        at: i64,
        from: Option<i64>,
        late: i64,
        held: Option<usize>,
        reported: Option<i64>,
    ) -> Self {
        Self {
            since: at,
            from,
            least: late,
            flat_at: late,
            flat_since: at,
            flat_packets: 1,
            held,
            reported,
            refuted: false,
        }
    }

    fn observe(&mut self, at: i64, late: i64, fall: i64) {
        self.least = self.least.min(late);
        if late < self.flat_at - fall {
            (self.flat_at, self.flat_since, self.flat_packets) = (late, at, 0);
        }
        self.flat_packets = self.flat_packets.saturating_add(1);
    }
}

#[cfg(test)]
mod timelines;
