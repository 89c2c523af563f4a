//! Assigns audio packets to speakers, for servers that send the loudest people on a few lanes: the packet names its source (CSRC), and the meeting sends the
//! owner of each source. Pure.
//!
//! A lane's RTP time continues while other people speak on it. A person may move between lanes, so each person has a separate clock, which follows the lanes'
//! clocks: the offset of a lane's clock to ours is that of its least delayed packets.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::capture::Sound;
use crate::{
    media::{Codec, Frame, TrackId},
    recording::clock::ticks_between,
};

/// Google Meet adds this source to the loudest person's packets.
pub(crate) const LOUDEST: u32 = 42;
const RATE: u32 = 48_000;
/// How long packets of an unknown source wait for its owner before they are recorded as those of an unknown speaker.
const OWNER_TIMEOUT: Duration = Duration::from_secs(2);
/// How many packets wait at most: those of three lanes.
const MOST_WAITING: usize = 400;
/// Half of the window in which a lane's clock is measured.
const HALF_WINDOW: Duration = Duration::from_secs(5);
/// If a step of the RTP time differs by more ticks from the elapsed time, the lane has restarted.
const RESTART_TICKS: i64 = 10 * RATE as i64;
/// A larger loss at once is not plausible.
const MOST_LOST: u64 = 500;
/// The start of all clocks, so that none gets below 0.
const FIRST_TICK: i64 = 3_600 * RATE as i64;

/// The track of a lane's frames.
pub(crate) fn track(lane: u16) -> TrackId {
    TrackId::named(&format!("lane-{lane}"))
}

/// The speaker of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Speaker {
    /// A device of the roster.
    Device(String),
    /// A source without a known owner. After a known owner has left the source, a new `turn` begins: the next packets are another person's.
    Source { source: u32, turn: u32 },
    /// The packet names no source, or several: a mix of speakers.
    Several,
}

/// The lanes, and their speakers.
#[derive(Debug)]
pub(crate) struct Lanes {
    start: Instant,
    by_number: HashMap<u16, Lane>,
    devices: HashMap<u32, String>,
    /// For each source: how often its owner became known after its packets were recorded as those of an unknown speaker.
    turns: HashMap<u32, u32>,
    voices: HashMap<Speaker, Voice>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Lane {
    rtp_time: u32,
    ticks: i64,
    at: Instant,
    sequence: Option<u16>,
    /// The speaker of the last packet.
    speaker: Option<Speaker>,
    /// The minimum of (arrival − ticks) in this half of the window and in the one before.
    lead: i64,
    lead_before: i64,
    since: Instant,
}

impl Lane {
    const fn lead(&self) -> i64 {
        if self.lead < self.lead_before { self.lead } else { self.lead_before }
    }
}

/// The clock of one person.
#[derive(Debug)]
struct Voice {
    lane: u16,
    lane_ticks: i64,
    /// Its place on the clock that all lanes share.
    shared: i64,
    ticks: i64,
    sequence: u64,
}

#[derive(Debug)]
struct Waiting {
    until: Instant,
    source: u32,
    sound: Sound,
    arrived: Instant,
}

impl Lanes {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            by_number: HashMap::new(),
            devices: HashMap::new(),
            turns: HashMap::new(),
            voices: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A source belongs to this device from now on; the newest assignment counts, since sources are reused. Returns the packets that waited for it, and the unknown
    /// speaker as which earlier ones were recorded.
    pub(crate) fn bind(
        &mut self,
        source: u32,
        device: String,
    ) -> (Vec<(Speaker, Frame)>, Option<Speaker>) {
        let unknown = Some(self.unknown_speaker(source)).filter(|unknown| {
            !self.devices.contains_key(&source) && self.voices.contains_key(unknown)
        });
        if unknown.is_some() {
            *self.turns.entry(source).or_default() += 1;
        }
        self.devices.insert(source, device);
        let (named, waiting): (VecDeque<_>, _) =
            self.waiting.drain(..).partition(|waiting| waiting.source == source);
        self.waiting = waiting;
        let speaker = self.speaker(source);
        let frames = named
            .into_iter()
            .filter_map(|it| self.place(speaker.clone(), it.sound, it.arrived))
            .collect();
        (frames, unknown)
    }

    /// A device has left: its sources may be reused.
    pub(crate) fn unbind(&mut self, device: &str) {
        self.devices.retain(|_, of| of != device);
    }

    /// Handles a packet. Returns the frames to record.
    pub(crate) fn take(&mut self, sound: Sound, now: Instant) -> Vec<(Speaker, Frame)> {
        let arrived =
            now.checked_sub(Duration::from_secs_f64(sound.age_ms / 1_000.0)).unwrap_or(now);
        let mut sources = sound.sources.iter().copied().filter(|source| *source != LOUDEST);
        let speaker = match (sources.next(), sources.next()) {
            (Some(source), None) => match self.speaker(source) {
                Speaker::Source { .. }
                    if self.waiting.len() < MOST_WAITING && !self.is_written(source) =>
                {
                    let until = now + OWNER_TIMEOUT;
                    self.waiting.push_back(Waiting { until, source, sound, arrived });
                    return Vec::new();
                }
                speaker => speaker,
            },
            _ => Speaker::Several,
        };
        self.place(speaker, sound, arrived).into_iter().collect()
    }

    /// When to call [`Lanes::overdue`].
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.until)
    }

    /// The packets that have waited for an owner for too long.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(Speaker, Frame)> {
        let mut frames = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.until <= now)
            && let Some(waiting) = self.waiting.pop_front()
        {
            let unknown_speaker = self.unknown_speaker(waiting.source);
            frames.extend(self.place(unknown_speaker, waiting.sound, waiting.arrived));
        }
        frames
    }

    fn speaker(&self, source: u32) -> Speaker {
        let device = self.devices.get(&source);
        device
            .map_or_else(|| self.unknown_speaker(source), |device| Speaker::Device(device.clone()))
    }

    /// The speaker of a source without a known owner.
    fn unknown_speaker(&self, source: u32) -> Speaker {
        Speaker::Source { source, turn: self.turns.get(&source).copied().unwrap_or_default() }
    }

    /// Whether the source was recorded as an unknown speaker.
    fn is_written(&self, source: u32) -> bool {
        self.voices.contains_key(&self.unknown_speaker(source))
    }

    /// Puts a packet on its speaker's clock. `None`: it is a duplicate.
    fn place(
        &mut self,
        speaker: Speaker,
        sound: Sound,
        arrived: Instant,
    ) -> Option<(Speaker, Frame)> {
        let since_start = arrived.saturating_duration_since(self.start);
        let at = i64::try_from(since_start.as_micros()).unwrap_or(i64::MAX / 64) * 48 / 1_000;
        let (mut lost, mut restarted) = (0, true);
        if let Some(lane) = self.by_number.get(&sound.lane) {
            let step = ticks_between(lane.rtp_time.into(), sound.rtp_time.into());
            let passed = arrived.saturating_duration_since(lane.at).as_secs_f64() * f64::from(RATE);
            restarted = (step as f64 - passed).abs() > RESTART_TICKS as f64;
            let ahead = sound.sequence.zip(lane.sequence).map(|(new, old)| new.wrapping_sub(old));
            match ahead {
                // It was reordered, or is a duplicate.
                Some(ahead) if !restarted && (ahead == 0 || ahead > u16::MAX / 2) => return None,
                Some(ahead) if lane.speaker.as_ref() == Some(&speaker) => {
                    lost = u64::from(ahead) - 1;
                }
                _ => {}
            }
        }
        let lane = self.lane(&sound, arrived, at, restarted);
        let (lane_ticks, shared) = (lane.ticks, lane.ticks + lane.lead());
        lane.speaker = Some(speaker.clone());
        let voice = self.voices.entry(speaker.clone()).or_insert_with(|| Voice {
            lane: sound.lane,
            lane_ticks,
            shared,
            ticks: FIRST_TICK + shared,
            sequence: 0,
        });
        // A speaker who was on another lane meanwhile has lost nothing on this one.
        if voice.lane != sound.lane || lost > MOST_LOST {
            lost = 0;
        }
        let step = if voice.lane == sound.lane && !restarted {
            lane_ticks - voice.lane_ticks
        } else {
            // The offset between two lanes is only as exact as their least delays, so frames of one speaker must not overlap.
            (shared - voice.shared).max(1)
        };
        if voice.sequence > 0 {
            voice.ticks += step;
        }
        voice.sequence += 1 + lost;
        (voice.lane, voice.lane_ticks, voice.shared) = (sound.lane, lane_ticks, shared);
        let frame = Frame {
            track: track(sound.lane),
            codec: Codec::Opus,
            rtp_time: voice.ticks.unsigned_abs(),
            clock_rate: RATE,
            sequence: voice.sequence..=voice.sequence,
            arrived,
            level_dbov: sound.level_dbov,
            voice: None,
            contributing_sources: Vec::new(),
            rotation: None,
            keyframe: true,
            contiguous: lost == 0,
            sender_report: None,
            data: Arc::from(sound.data),
        };
        Some((speaker, frame))
    }

    /// Advances a lane's clock to a packet that arrived `at` ticks after the start.
    fn lane(&mut self, sound: &Sound, arrived: Instant, at: i64, restarted: bool) -> &mut Lane {
        let lane = self.by_number.entry(sound.lane).or_insert_with(|| Lane {
            rtp_time: sound.rtp_time,
            ticks: 0,
            at: arrived,
            sequence: None,
            speaker: None,
            lead: at,
            lead_before: at,
            since: arrived,
        });
        if restarted {
            (lane.ticks, lane.lead, lane.lead_before, lane.since) = (0, at, at, arrived);
        } else {
            lane.ticks += ticks_between(lane.rtp_time.into(), sound.rtp_time.into());
        }
        if arrived.saturating_duration_since(lane.since) >= HALF_WINDOW {
            (lane.lead_before, lane.lead, lane.since) = (lane.lead, at - lane.ticks, arrived);
        }
        lane.lead = lane.lead.min(at - lane.ticks);
        (lane.rtp_time, lane.at, lane.sequence) = (sound.rtp_time, arrived, sound.sequence);
        lane
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const ANN: u32 = 100;
    const BOB: u32 = 200;

    struct Fixture {
        start: Instant,
        lanes: Lanes,
    }

    impl Fixture {
        fn set() -> Self {
            let start = clock::now();
            let mut lanes = Lanes::new(start);
            lanes.bind(ANN, "ann".to_owned());
            lanes.bind(BOB, "bob".to_owned());
            Self { start, lanes }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// The `number`th packet of a lane, one every 20 ms; each lane's RTP time begins at another value.
        fn take(&mut self, lane: u16, number: u16, sources: &[u32]) -> Vec<(Speaker, Frame)> {
            let now = self.at(u64::from(number) * 20);
            self.take_at(lane, number, sources, now)
        }

        fn take_at(
            &mut self,
            lane: u16,
            number: u16,
            sources: &[u32],
            now: Instant,
        ) -> Vec<(Speaker, Frame)> {
            let sound = Sound {
                lane,
                rtp_time: (u32::from(number) * 960).wrapping_sub(u32::from(lane) * 77_777),
                sequence: Some(number.wrapping_add(lane * 1_000)),
                level_dbov: Some(-20),
                age_ms: 0.0,
                sources: sources.to_vec(),
                data: vec![0x48, 1],
            };
            self.lanes.take(sound, now)
        }
    }

    fn of(device: &str) -> Speaker {
        Speaker::Device(device.to_owned())
    }

    #[test]
    fn a_packet_goes_to_the_owner_of_its_source_and_the_loudest_mark_is_ignored() {
        let mut fixture = Fixture::set();
        for (number, sources, speaker) in [
            (0, &[ANN][..], of("ann")),
            (1, &[BOB, 42], of("bob")),
            (2, &[42, ANN], of("ann")),
            (3, &[ANN, BOB], Speaker::Several),
            (4, &[42], Speaker::Several),
            (5, &[], Speaker::Several),
        ] {
            let taken = fixture.take(0, number, sources);
            assert_eq!((taken.len(), &taken[0].0), (1, &speaker), "{sources:?}");
        }
    }

    #[test]
    fn a_person_who_moves_between_lanes_stays_on_one_clock() {
        let mut fixture = Fixture::set();
        // Packets of the others show the offsets of their lanes' clocks.
        for lane in 0..3 {
            fixture.take(lane, 0, &[BOB]);
        }
        let mut last: Option<(u64, u64)> = None;
        for number in 1..1_000 {
            let lane = number / 100 % 3;
            let frame = fixture.take(lane, number, &[ANN]).remove(0).1;
            if let Some((rtp_time, sequence)) = last {
                assert_eq!(
                    (frame.rtp_time - rtp_time, frame.sequence.start() - sequence),
                    (960, 1),
                    "{number}"
                );
            }
            last = Some((frame.rtp_time, *frame.sequence.end()));
        }
    }

    #[test]
    fn packets_of_others_on_a_lane_are_a_pause_and_missing_ones_of_the_same_speaker_a_loss() {
        let mut fixture = Fixture::set();
        let mut ann = Vec::new();
        for (number, source) in
            [(0, ANN), (1, ANN), (4, ANN), (5, BOB), (6, BOB), (8, ANN), (9, ANN)]
        {
            let taken = fixture.take(0, number, &[source]).remove(0);
            if taken.0 == of("ann") {
                ann.push((taken.1.rtp_time, *taken.1.sequence.start()));
            }
        }
        let steps: Vec<_> =
            ann.windows(2).map(|two| (two[1].0 - two[0].0, two[1].1 - two[0].1)).collect();
        assert_eq!(steps, [(960, 1), (2_880, 3), (3_840, 1), (960, 1)]);
        assert!(
            fixture.take(0, 9, &[ANN]).is_empty() && fixture.take(0, 7, &[ANN]).is_empty(),
            "they are late"
        );
    }

    #[test]
    fn a_source_without_a_name_waits_two_seconds_for_one() {
        let unknown_speaker = |turn| Speaker::Source { source: 400, turn };
        let mut fixture = Fixture::set();
        for number in 0..10 {
            assert!(fixture.take(0, number, &[300]).is_empty());
        }
        let (named, unknown) = fixture.lanes.bind(300, "cid".to_owned());
        assert_eq!((named.len(), unknown), (10, None));
        assert_eq!(fixture.take(0, 10, &[300])[0].0, of("cid"));
        for number in 11..20 {
            assert!(fixture.take(0, number, &[400]).is_empty());
        }
        assert_eq!(fixture.lanes.wake(), Some(fixture.at(2_220)));
        assert!(fixture.lanes.overdue(fixture.at(2_219)).is_empty());
        let overdue = fixture.lanes.overdue(fixture.at(3_000));
        assert!(
            overdue.len() == 9 && overdue.iter().all(|taken| taken.0 == unknown_speaker(0)),
            "{overdue:?}"
        );
        assert_eq!(fixture.take(0, 150, &[400]).len(), 1, "a source waits only once");
        assert_eq!(fixture.lanes.bind(400, "dan".to_owned()).1, Some(unknown_speaker(0)));
        assert_eq!(fixture.take(0, 151, &[400])[0].0, of("dan"));
        // The owner of the source after Dan is another person than before him.
        fixture.lanes.unbind("dan");
        assert!(fixture.take(0, 152, &[400]).is_empty(), "it waits for its owner");
        assert_eq!(fixture.lanes.overdue(fixture.at(9_000))[0].0, unknown_speaker(1));
        assert_eq!(fixture.lanes.bind(400, "eve".to_owned()).1, Some(unknown_speaker(1)));
    }

    #[test]
    fn a_reused_source_belongs_to_its_newest_owner() {
        let mut fixture = Fixture::set();
        assert_eq!(fixture.take(0, 0, &[ANN])[0].0, of("ann"));
        fixture.lanes.unbind("ann");
        assert!(fixture.take(0, 1, &[ANN]).is_empty(), "it waits for its owner");
        let (named, unknown) = fixture.lanes.bind(ANN, "eve".to_owned());
        assert_eq!(unknown, None);
        assert_eq!(named[0].0, of("eve"));
    }

    #[test]
    fn a_restarted_lane_continues_by_the_elapsed_time() {
        let mut fixture = Fixture::set();
        let before = fixture.take(0, 100, &[ANN]).remove(0).1;
        let now = fixture.at(2_000 + 3_000);
        let after = fixture.take_at(0, 60_000, &[ANN], now).remove(0).1;
        assert_eq!(after.rtp_time - before.rtp_time, 3 * 48_000);
        assert_eq!(after.sequence.start() - before.sequence.start(), 1);
    }
}
