//! Assigns voices to the three lanes. Pure: a call of [`Lanes::tick`] is 20 ms.

use std::sync::Arc;

use crate::tones;

/// The lanes of a call, each an audio track with one SSRC.
pub(crate) const LANES: usize = 3;

/// The CSRC that marks the loudest speaker. No person has it.
pub(crate) const LOUDEST: u32 = 42;

/// A speaking person.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) person: String,
    pub(crate) csrc: u32,
    pub(crate) tone_hz: u32,
    /// The level, in dBov: from 0, the loudest, down to -127.
    pub(crate) level_dbov: i8,
    /// How many packets are left to send.
    pub(crate) left: u64,
}

#[derive(Debug)]
struct Speaking {
    voice: Voice,
    lane: Option<usize>,
    /// Packets since the voice began to speak.
    number: u64,
    /// It was on another lane or on none 20 ms ago.
    fresh: bool,
}

/// A packet for a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) lane: usize,
    pub(crate) person: String,
    pub(crate) csrcs: Vec<u32>,
    pub(crate) level_dbov: i8,
    /// The first of a talkspurt.
    pub(crate) marker: bool,
    /// The packet's time on the clock of all lanes, in samples at 48 kHz.
    pub(crate) rtp_time: u32,
    pub(crate) opus: Arc<[u8]>,
    /// The previous packet of the same voice on the same lane.
    pub(crate) before: Option<Arc<[u8]>>,
}

/// The result of 20 ms.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) packets: Vec<Packet>,
    /// Speakers without a lane.
    pub(crate) unsent: Vec<String>,
    /// People who have finished to speak.
    pub(crate) finished: Vec<String>,
}

/// The three lanes and all speakers.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    speaking: Vec<Speaking>,
    ticks: u32,
    /// Packets name all speakers.
    pub(crate) mixed: bool,
}

impl Lanes {
    /// Starts a voice; it replaces the person's present one.
    pub(crate) fn say(&mut self, voice: Voice) {
        match self.speaking.iter_mut().find(|one| one.voice.person == voice.person) {
            Some(speaking) => speaking.voice = voice,
            None => {
                self.speaking.push(Speaking { voice, lane: None, number: 0, fresh: true });
            }
        }
    }

    /// Stops a person's voice at once, as when the person leaves.
    pub(crate) fn silence(&mut self, person: &str) {
        self.speaking.retain(|one| one.voice.person != person);
    }

    /// Whether a person is speaking, on a lane or not.
    pub(crate) fn speaks(&self, person: &str) -> bool {
        self.speaking.iter().any(|one| one.voice.person == person)
    }

    /// Changes the CSRC of a voice.
    pub(crate) fn change_csrc(&mut self, person: &str, csrc: u32) {
        if let Some(one) = self.speaking.iter_mut().find(|one| one.voice.person == person) {
            one.voice.csrc = csrc;
        }
    }

    /// Moves a person to the next lane; the speaker on that lane takes the free one.
    pub(crate) fn change_lane(&mut self, person: &str) {
        let here = self.speaking.iter().find(|one| one.voice.person == person);
        let Some(from) = here.and_then(|one| one.lane) else { return };
        let to = (from + 1) % LANES;
        for one in &mut self.speaking {
            if one.lane == Some(from) || one.lane == Some(to) {
                one.lane = Some(if one.lane == Some(from) { to } else { from });
                one.fresh = true;
            }
        }
    }

    /// The next 20 ms.
    pub(crate) fn tick(&mut self) -> Tick {
        self.assign();
        self.ticks = self.ticks.wrapping_add(1);
        let rtp_time = self.ticks.wrapping_mul(960);
        // Of two equally loud speakers, the one who began first.
        let loudest = (0..self.speaking.len())
            .max_by_key(|index| (self.speaking[*index].voice.level_dbov, usize::MAX - index));
        // A packet has at most 15 CSRCs, and one of them is the mark.
        let all: Vec<u32> = self.speaking.iter().map(|one| one.voice.csrc).take(14).collect();
        let mut tick = Tick::default();
        for (index, one) in self.speaking.iter_mut().enumerate() {
            let voice = &mut one.voice;
            if let Some(lane) = one.lane {
                let mut csrcs = if self.mixed { all.clone() } else { vec![voice.csrc] };
                if loudest == Some(index) {
                    // The position of the mark in the list has no meaning.
                    csrcs.insert(usize::from(one.number.is_multiple_of(2)), LOUDEST);
                }
                tick.packets.push(Packet {
                    lane,
                    person: voice.person.clone(),
                    csrcs,
                    level_dbov: voice.level_dbov,
                    marker: one.fresh,
                    rtp_time,
                    opus: tones::packet(voice.tone_hz, one.number),
                    before: (!one.fresh).then(|| tones::packet(voice.tone_hz, one.number - 1)),
                });
                one.fresh = false;
            } else {
                tick.unsent.push(voice.person.clone());
            }
            one.number += 1;
            voice.left = voice.left.saturating_sub(1);
            if voice.left == 0 {
                tick.finished.push(voice.person.clone());
            }
        }
        self.speaking.retain(|one| one.voice.left > 0);
        tick
    }

    /// Assigns a lane to each of the three loudest. A speaker among them keeps the lane.
    fn assign(&mut self) {
        let mut order: Vec<usize> = (0..self.speaking.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(self.speaking[*index].voice.level_dbov));
        for index in order.iter().skip(LANES) {
            self.speaking[*index].lane = None;
        }
        for index in order.into_iter().take(LANES) {
            if self.speaking[index].lane.is_none() {
                let taken = |lane: &usize| self.speaking.iter().any(|one| one.lane == Some(*lane));
                let free = (0..LANES).find(|lane| !taken(lane));
                self.speaking[index].lane = free;
                self.speaking[index].fresh = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(person: &str, csrc: u32, level_dbov: i8, left: u64) -> Voice {
        Voice { person: person.to_owned(), csrc, tone_hz: 500, level_dbov, left }
    }

    fn on_lanes(tick: &Tick) -> Vec<(usize, &str)> {
        tick.packets.iter().map(|packet| (packet.lane, packet.person.as_str())).collect()
    }

    #[test]
    fn the_three_loudest_are_sent_and_a_fourth_is_not() {
        let mut lanes = Lanes::default();
        for (person, csrc, level) in
            [("ann", 1, -30), ("ben", 2, -20), ("cleo", 3, -25), ("dan", 4, -40)]
        {
            lanes.say(voice(person, csrc, level, 10));
        }
        let tick = lanes.tick();
        assert_eq!(on_lanes(&tick), [(2, "ann"), (0, "ben"), (1, "cleo")]);
        assert_eq!(tick.unsent, ["dan"]);
        let flagged: Vec<_> = tick.packets.iter().filter(|one| one.csrcs.contains(&42)).collect();
        assert_eq!((flagged.len(), flagged[0].person.as_str()), (1, "ben"));
        lanes.silence("cleo");
        let tick = lanes.tick();
        assert_eq!(on_lanes(&tick), [(2, "ann"), (0, "ben"), (1, "dan")]);
        assert!(tick.packets[2].marker && tick.packets[2].before.is_none());
        assert!(tick.packets[0].before.is_some());
    }

    #[test]
    fn a_mix_names_all_speakers_and_a_csrc_changes_in_mid_sentence() {
        let mut lanes = Lanes::default();
        lanes.say(voice("ann", 1, -20, 10));
        lanes.say(voice("ben", 2, -30, 10));
        lanes.tick();
        lanes.mixed = true;
        lanes.change_csrc("ben", 9);
        let tick = lanes.tick();
        let named: Vec<_> = tick.packets.iter().map(|one| one.csrcs.as_slice()).collect();
        assert_eq!(named, [&[42, 1, 9][..], &[1, 9][..]]);
        assert!(!tick.packets[1].marker, "a new CSRC does not begin a talkspurt");
    }

    #[test]
    fn a_louder_speaker_takes_the_lane_of_the_quietest() {
        let mut lanes = Lanes::default();
        for (person, level) in [("ann", -30), ("ben", -20), ("cleo", -25)] {
            lanes.say(voice(person, 7, level, 10));
        }
        lanes.tick();
        lanes.say(voice("dan", 8, -10, 10));
        let tick = lanes.tick();
        assert_eq!(on_lanes(&tick), [(0, "ben"), (1, "cleo"), (2, "dan")]);
        assert_eq!(tick.unsent, ["ann"]);
    }

    #[test]
    fn a_speaker_changes_lanes_and_sends_all_packets() {
        let mut lanes = Lanes::default();
        lanes.say(voice("ann", 1, -30, 3));
        assert_eq!(on_lanes(&lanes.tick()), [(0, "ann")]);
        lanes.change_lane("ann");
        let tick = lanes.tick();
        assert_eq!((on_lanes(&tick), tick.packets[0].marker), (vec![(1, "ann")], true));
        let tick = lanes.tick();
        assert_eq!(tick.finished, ["ann"]);
        assert_eq!(tick.packets[0].rtp_time, 3 * 960);
        assert_eq!(lanes.tick(), Tick::default());
    }
}
