//! Maps the packets of one RTP stream to the recording's clock. Pure.
//!
//! It combines four sources. *Sequence numbers* show whether packets are missing. The *RTP time* is when a packet was sampled (RFC 3550, 5.1); it
//! determines a packet's place while the numbers are continuous: arrival alone never moves it. The *arrival* is at or after the sampling, so the minimal
//! lateness (arrival − place) of many packets gives the offset of the sender's clock to ours. *Sender Reports* (RFC 3550, 6.4.1) give it once more.
//!
//! - Delayed packets arrive in a burst, and the lateness falls back at once: no place moves.
//! - A sender's clock that stalled makes all later packets late by the same time. Packets after a sudden rise of the lateness are held for
//!   [`LONGEST_HOLD_MS`] at most; if the lateness stays flat meanwhile, the clock stalled, and the places move by that much. If it still falls,
//!   the packets are placed by their RTP time, and the places move once it has been flat for [`FLAT_MS`].
//! - A clock that drifts moves the minimal lateness of [`Floor`]'s window, and the places follow, without any limit.
//! - A packet cannot arrive before it was sampled. One that seems to do so shows that earlier packets were late, or that the RTP time jumped.
//! - RTP times or sequence numbers that go back mean that the sender restarted: only the arrival is left as a source, and the next packets are held
//!   for a moment, since the first one may have been delayed.

use std::{ops::RangeInclusive, time::UNIX_EPOCH};

use super::{clock::ticks_between, floor::Floor};
use crate::media::SenderReport;

/// A rise of the lateness from one packet to the next that may be a stalled clock; less is jitter.
const RISE_MS: i64 = 40;
/// A rise after which packets are held until its cause is known.
const HOLD_RISE_MS: i64 = 100;
/// Packets are held for this long at most. Half a second after its arrival a packet is in a file.
const LONGEST_HOLD_MS: i64 = 300;
/// How many packets are held at most: a burst of half a minute.
const MOST_HELD: usize = 1_500;
/// The lateness of held packets is permanent if it is constant for this long.
const FLAT_HELD_MS: i64 = 160;
/// The same for packets that are not held.
const FLAT_MS: i64 = 3_000;
/// A lateness that falls by more than this is not constant.
const FALL_MS: i64 = 8;
/// How much the minimal lateness may differ before the places follow it.
const DRIFT_MS: i64 = 5;
/// A step of the RTP time is a jump if it makes a packet arrive this much before its time.
const LEAP_MS: i64 = 200;
/// How much a step may exceed the duration of the packets before it, in a stream without a pause.
const WHOLE_MS: i64 = 20;
/// A stream's first packet may have been delayed, by [`MOST_LATE_START_MS`] at most. It shows within these first ms.
const LEARN_MS: i64 = 5_000;
const MOST_LATE_START_MS: i64 = 10_000;
/// A packet that is this far behind the last, in numbers or in time, was not reordered: the sender restarted.
const MISORDERED: i64 = 100;
const MISORDERED_MS: i64 = 10_000;
/// A larger loss of pictures at once is not plausible.
const MOST_LOST: i64 = 3_000;
/// The same for audio, where RTP times also show losses; sequence numbers have 16 bits.
const MOST_LOST_OF_VOICE: i64 = 1 << 16;

/// A packet or a picture, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Sequence numbers, extended so that they do not wrap.
    pub(crate) sequence: RangeInclusive<u64>,
    /// In ticks of the stream's rate, extended.
    pub(crate) rtp_time: u64,
    /// Its duration, in ticks; 0 if only the next one shows it.
    pub(crate) lasts: u64,
    /// When it arrived, in ms of the recording's clock.
    pub(crate) at_ms: u64,
    /// The last Sender Report that came before it.
    pub(crate) report: Option<SenderReport>,
}

/// Where a packet belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Its place, in ticks of the recording's clock, before [`Verdict::Move`].
    pub(crate) place: i64,
    /// How many packets before it were lost.
    pub(crate) lost: u64,
    /// The sender paused between the previous packet and this one.
    pub(crate) pause: bool,
    pub(crate) verdict: Verdict,
}

/// What to do with a packet, and with the held ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Hold it: its place is not certain yet.
    Hold,
    /// Move it and all held packets by these ticks, and write them.
    Move(i64),
}

/// The clock of one stream.
#[derive(Debug)]
pub(crate) struct StreamClock {
    rate: u32,
    /// Whether packets may be held: written audio cannot be moved, but pictures can be shown closer together.
    holds: bool,
    begun: i64,
    /// By how much all places must be moved, because the first packet was late: 0 or less.
    base: i64,
    /// Whether the places were moved because the clock seemed to stall. If a packet arrives early after that, it was a delay, and not
    /// a late first packet.
    moved: bool,
    last: Option<Last>,
    floor: Floor,
    uncertainty: Option<Uncertainty>,
    report: Option<SenderReport>,
    /// The sender's wall clock minus the place of its last report, in ticks.
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

/// Packets are late, and it is not known yet whether that is temporary. Times and lateness are in ticks.
#[derive(Debug)]
struct Uncertainty {
    since: i64,
    /// The lateness before; `None` if the sender restarted, and there is no earlier value.
    from: Option<i64>,
    least: i64,
    /// The lateness below which it counts as falling, and since when it has not fallen.
    flat_at: i64,
    flat_since: i64,
    flat_packets: u32,
    /// How many packets are held; `None` once they are released.
    held: Option<usize>,
    reported: Option<i64>,
    /// A Sender Report shows that the clock did not stall.
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
            uncertainty: None,
            report: None,
            reported: None,
            anew: false,
        }
    }

    /// Ticks a second.
    pub(crate) const fn rate(&self) -> u32 {
        self.rate
    }

    /// The sender restarts: the next packet begins a new numbering.
    pub(crate) const fn restart(&mut self) {
        self.anew = true;
    }

    /// No more packets come: returns the ticks by which the held ones must be moved.
    pub(crate) fn settle(&mut self) -> i64 {
        match self.uncertainty.take() {
            Some(uncertainty) if uncertainty.held.is_some() && uncertainty.from.is_none() => {
                self.shift(uncertainty.least)
            }
            _ => 0,
        }
    }

    /// Whether the places of the last packets are uncertain.
    pub(crate) const fn is_uncertain(&self) -> bool {
        self.uncertainty.is_some()
    }

    /// By how many ticks all places must be moved, because the first packet was late: 0 or less. It is final after some seconds.
    pub(crate) const fn base(&self) -> i64 {
        self.base
    }

    /// Places a packet. Packets come in the order of sequence numbers. `None`: it is a duplicate, or too late.
    pub(crate) fn observe_packet(&mut self, seen: &Seen) -> Option<Placement> {
        let at = self.ticks(i64::try_from(seen.at_ms).unwrap_or(i64::MAX / 1_000_000));
        let lasts = i64::try_from(seen.lasts).unwrap_or(0);
        let Some(last) = self.last else {
            self.begun = at;
            self.anew = false;
            self.floor.reset(self.bucket(at), 0);
            self.continue_stream(seen, lasts, at, 0);
            self.observe_report(seen);
            return Some(Placement { place: at, lost: 0, pause: false, verdict: Verdict::Move(0) });
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
            self.continue_stream(seen, lasts, place, 0);
            self.floor.reset(self.bucket(at), 0);
            (self.report, self.reported) = (seen.report, None);
            let verdict = self.doubt_restart(at);
            let place = if let Verdict::Move(ticks) = verdict { place - ticks } else { place };
            return Some(Placement { place, lost: 0, pause: true, verdict });
        }
        let begins = self
            .uncertainty
            .as_ref()
            .is_some_and(|uncertainty| uncertainty.held.is_some() && uncertainty.from.is_none());
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
        self.continue_stream(seen, lasts, place, late);
        self.observe_report(seen);
        let verdict = self.judge(at, late, rise);
        // Lost packets have a duration: if no time passed, the sender skips numbers.
        let most = if last.lasts > 0 { MOST_LOST_OF_VOICE } else { MOST_LOST };
        let are_lost = ahead <= most && step.saturating_mul(2) >= expected && !is_early;
        let missing = if are_lost { ahead.unsigned_abs() - 1 } else { 0 };
        let pause = step - last.lasts >= self.ticks(5) / 2;
        Some(Placement { place, lost: missing, pause, verdict })
    }

    fn continue_stream(&mut self, seen: &Seen, lasts: i64, place: i64, late: i64) {
        self.last = Some(Last {
            sequence: *seen.sequence.end(),
            rtp_time: seen.rtp_time,
            lasts,
            place,
            late,
        });
    }

    /// Evaluates the lateness, and decides by how much the places move.
    fn judge(&mut self, at: i64, late: i64, rise: i64) -> Verdict {
        let level = self.floor.least();
        let is_rise = rise >= self.ticks(RISE_MS) && late >= level + self.ticks(RISE_MS);
        let held = (self.holds && rise >= self.ticks(HOLD_RISE_MS)).then_some(1);
        let is_new = self.uncertainty.as_ref().is_none_or(|uncertainty| {
            held.is_some()
                && uncertainty.held.is_none()
                && at - uncertainty.since >= self.ticks(1_000)
        });
        if is_rise && is_new {
            let from =
                self.uncertainty.as_ref().and_then(|uncertainty| uncertainty.from).unwrap_or(level);
            self.uncertainty = Some(Uncertainty::new(at, Some(from), late, held, self.reported));
            return if held.is_some() { Verdict::Hold } else { Verdict::Move(0) };
        }
        let (fall, back) = (self.ticks(FALL_MS), self.ticks(RISE_MS));
        let (flat_held, flat) = (self.ticks(FLAT_HELD_MS), self.ticks(FLAT_MS));
        let longest = self.ticks(LONGEST_HOLD_MS);
        let Some(uncertainty) = &mut self.uncertainty else { return self.follow_drift(at, late) };
        uncertainty.observe(at, late, fall);
        if uncertainty.from.is_some_and(|from| late <= from + back) {
            self.uncertainty = None;
            return self.follow_drift(at, late);
        }
        let moves = uncertainty.least - uncertainty.from.unwrap_or(0);
        let long_enough = if uncertainty.held.is_some() { flat_held } else { flat };
        if !uncertainty.refuted
            && uncertainty.flat_packets >= 3
            && at - uncertainty.flat_since >= long_enough
        {
            return self.decide(at, moves);
        }
        let Some(held) = &mut uncertainty.held else { return self.follow_drift(at, late) };
        *held += 1;
        if !uncertainty.refuted && *held <= MOST_HELD && at - uncertainty.since < longest {
            return Verdict::Hold;
        }
        if uncertainty.from.is_none() {
            return self.decide(at, moves);
        }
        uncertainty.held = None;
        (uncertainty.flat_since, uncertainty.flat_packets) = (at, 0);
        Verdict::Move(0)
    }

    /// The sender restarted; packets in a burst may show that the first one was late.
    fn doubt_restart(&mut self, at: i64) -> Verdict {
        match self.uncertainty.take() {
            // A second restart while packets are held: the earlier ones are placed as well as possible.
            Some(Uncertainty { held: Some(_), from, least, .. }) => {
                Verdict::Move(if from.is_none() { least } else { 0 })
            }
            _ if self.holds => {
                self.uncertainty = Some(Uncertainty::new(at, None, 0, Some(1), None));
                Verdict::Hold
            }
            _ => Verdict::Move(0),
        }
    }

    fn decide(&mut self, at: i64, moves: i64) -> Verdict {
        let from = self.uncertainty.take().and_then(|uncertainty| uncertainty.from);
        let level = from.unwrap_or(0);
        self.moved |= from.is_some();
        self.floor.reset(self.bucket(at), level);
        Verdict::Move(self.shift(moves))
    }

    /// The minimal lateness of many seconds gives the offset of the sender's clock.
    fn follow_drift(&mut self, at: i64, late: i64) -> Verdict {
        self.floor.push(self.bucket(at), late);
        let least = self.floor.least();
        if !self.floor.is_full() || least < self.ticks(DRIFT_MS) {
            return Verdict::Move(0);
        }
        self.uncertainty = None;
        self.floor.reset(self.bucket(at), 0);
        Verdict::Move(self.shift(least))
    }

    /// Moves the places of all packets after the last one.
    fn shift(&mut self, ticks: i64) -> i64 {
        if let Some(last) = &mut self.last {
            last.place += ticks;
            last.late -= ticks;
        }
        self.reported = None;
        ticks
    }

    fn observe_report(&mut self, seen: &Seen) {
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
        if let Some(uncertainty) = &mut self.uncertainty
            && let (Some(before), Some(from)) = (uncertainty.reported, uncertainty.from)
        {
            uncertainty.refuted = reported.saturating_sub(before) < (uncertainty.least - from) / 2;
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

impl Uncertainty {
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
