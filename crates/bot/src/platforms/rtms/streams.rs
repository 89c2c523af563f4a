//! Converts media of a stream into frames of the recorder: one clock for all people, by Zoom's timestamps. Pure.
//!
//! Zoom's timestamps are milliseconds of Unix time, and its messages use TCP: single packets are never lost, but they come in bursts, and up
//! to a minute from before the join is replayed. So a frame's place follows from its timestamp, and the arrival only maps Zoom's clock to
//! the bot's.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::joins::ZoomMedia,
    protocol::{Media, MediaType, Person, Sound},
};
use crate::{
    media::{Codec, Frame, TrackId},
    meeting::Source,
    recording::{picture, sound},
};

/// How far back the server replays: 60 s, and some network delay.
const REPLAYED_MS: i64 = 70_000;
/// If a frame is later than this, Zoom's clock was set.
const LATEST: Duration = Duration::from_mins(2);
/// How much timestamps of audio may be off, in ticks: they have whole milliseconds, and are the time at which a server received the packet.
const JITTER_TICKS: i64 = 60 * TICKS_PER_MS;
/// How much audio may be ahead of its timestamps, in ticks: a delayed server gives many packets the same timestamp.
const AHEAD_TICKS: i64 = 2_000 * TICKS_PER_MS;
/// Each packet corrects one part in this many of the difference to its timestamp, so that clock drift causes no jumps.
const DRIFT_DIVISOR: i64 = 64;
/// How long a previous active speaker still counts as speaking.
const SPEAKER_GRACE: Duration = Duration::from_millis(1_500);
/// An Opus packet of at most this size is silence.
const SILENT_BYTES: usize = 10;
/// How many lines of text are kept, to skip replayed ones.
const KNOWN_TEXTS: usize = 1_000;

const TICKS_PER_MS: i64 = 48;

/// The id of the participant of a mix.
const MIX: &str = "mix";

/// The media of one stream, and of later streams of the same meeting.
#[derive(Debug, Default)]
pub(super) struct Streams {
    clock: Option<Clock>,
    /// The timestamp of the last packet that an earlier join received from each source, in ms.
    before_ms: HashMap<(String, Source), u64>,
    voices: HashMap<String, Timeline>,
    pictures: HashMap<(String, Source), Pictures>,
    /// The person of the last camera picture.
    shown: Option<String>,
    sharer: Option<String>,
    speaker: Option<String>,
    /// Until when previous active speakers still count as speaking.
    spoke: HashMap<String, Instant>,
    texts: HashSet<(MediaType, String, u64, String)>,
}

/// Maps Zoom's clock to the bot's.
#[derive(Debug, Clone, Copy)]
struct Clock {
    zoom_ms: u64,
    ours: Instant,
}

impl Clock {
    /// The bot's time of a timestamp.
    fn at(self, at_ms: u64) -> Instant {
        if at_ms >= self.zoom_ms {
            let after = Duration::from_millis((at_ms - self.zoom_ms).min(u64::from(u32::MAX)));
            self.ours + after
        } else {
            let before = Duration::from_millis(self.zoom_ms - at_ms);
            self.ours.checked_sub(before).unwrap_or(self.ours)
        }
    }
}

/// The timeline of one audio stream.
#[derive(Debug)]
struct Timeline {
    sequence: u64,
    /// The place of the next packet if it follows the last, in ticks of Zoom's time.
    next: i64,
    last_ms: u64,
    /// Packets up to this were received before the connection failed.
    known_ms: Option<u64>,
}

/// The video of one camera or screen.
#[derive(Debug, Default)]
struct Pictures {
    sequence: u64,
    last_ms: u64,
    known_ms: Option<u64>,
    /// Pictures before the next one are missing.
    broken: bool,
    /// The last parameter sets that came without a picture.
    sets: Vec<u8>,
}

impl Streams {
    /// The state after earlier joins: media that they received are duplicates.
    pub(super) fn after(before: &ZoomMedia) -> Self {
        let clock = before.clock.map(|(zoom_ms, ours)| Clock { zoom_ms, ours });
        Self { clock, before_ms: before.last_ms.clone(), ..Self::default() }
    }

    /// The received media, including those of earlier joins.
    pub(super) fn received(&self) -> ZoomMedia {
        let voices = self.voices.iter();
        let voices = voices.map(|(id, it)| ((id.clone(), Source::Microphone), it.newest_ms()));
        let pictures = self.pictures.iter().map(|(of, it)| (of.clone(), it.newest_ms()));
        let mut last_ms = self.before_ms.clone();
        last_ms.extend(voices.chain(pictures));
        ZoomMedia { clock: self.clock.map(|clock| (clock.zoom_ms, clock.ours)), last_ms }
    }

    /// The first media were captured at `first_ms`, and arrive now. Returns when the stream began for this bot: before now if the server replays
    /// earlier media.
    pub(super) fn begin(&mut self, first_ms: u64, wall_ms: i64, now: Instant) -> Instant {
        let age_ms = wall_ms.saturating_sub_unsigned(first_ms);
        let replayed = u64::try_from(age_ms).ok().filter(|_| age_ms <= REPLAYED_MS);
        let ours = now.checked_sub(Duration::from_millis(replayed.unwrap_or(0))).unwrap_or(now);
        let clock = self.clock.get_or_insert(Clock { zoom_ms: first_ms, ours });
        clock.at(first_ms).min(now)
    }

    /// The bot's time of a timestamp, at most now.
    pub(super) fn at(&mut self, at_ms: u64, now: Instant) -> Instant {
        let clock = self.clock.get_or_insert(Clock { zoom_ms: at_ms, ours: now });
        let at = clock.at(at_ms);
        if at > now || now.saturating_duration_since(at) > LATEST {
            // Earlier frames were delayed, or Zoom's clock was set.
            *clock = Clock { zoom_ms: at_ms, ours: now };
            return now;
        }
        at
    }

    /// The age of a timestamp in ms; 0 if it is unusable.
    pub(super) fn ms_ago(&self, at_ms: u64, now: Instant) -> u64 {
        let Some(clock) = self.clock else { return 0 };
        let ago = now.saturating_duration_since(clock.at(at_ms));
        if ago > LATEST { 0 } else { u64::try_from(ago.as_millis()).unwrap_or(0) }
    }

    /// Sets the active speaker.
    pub(super) fn speaks(&mut self, person: Person, now: Instant) {
        if let Some(before) = self.speaker.replace(person.id) {
            self.spoke.retain(|_, until| *until > now);
            self.spoke.insert(before, now + SPEAKER_GRACE);
        }
    }

    /// Sets the person who shares a screen.
    pub(super) fn shares(&mut self, person: Option<Person>) {
        self.sharer = person.map(|person| person.id);
    }

    /// Whether a line of text is new, and not replayed.
    pub(super) fn is_new(
        &mut self,
        media: MediaType,
        person: &str,
        at_ms: u64,
        text: &str,
    ) -> bool {
        if self.texts.len() >= KNOWN_TEXTS {
            self.texts.clear();
        }
        self.texts.insert((media, person.to_owned(), at_ms, text.to_owned()))
    }

    /// The connection of these media was down: the next media may be replayed or incomplete.
    pub(super) fn resumed(&mut self, media: MediaType) {
        match media {
            MediaType::Audio => {
                self.voices.values_mut().for_each(|voice| voice.known_ms = Some(voice.newest_ms()));
            }
            MediaType::Video | MediaType::Share => {
                let source = source_of(media);
                let of_source = self.pictures.iter_mut().filter(|((_, its), _)| *its == source);
                for (_, pictures) in of_source {
                    pictures.known_ms = Some(pictures.newest_ms());
                    pictures.broken = true;
                }
            }
            MediaType::Transcript | MediaType::Chat => {}
        }
    }

    /// Converts a packet of a person's audio, or of a mix. `None` if it is a duplicate, or invalid.
    pub(super) fn sound(
        &mut self,
        piece: Media,
        sound: Sound,
        now: Instant,
    ) -> Option<(String, Frame)> {
        let Media { person, at_ms, data } = piece;
        let codec = match sound {
            Sound::Opus => Codec::Opus,
            Sound::L16 => Codec::PcmS16le,
        };
        let lasts = i64::try_from(sound::ticks(codec, &data)?).ok()?;
        let participant = person.map_or_else(|| MIX.to_owned(), |person| person.id);
        let arrived = self.at(at_ms, now);
        let level_dbov = (sound == Sound::L16).then(|| sound::level_dbov(&data));
        // PCM packets of silence have the usual size; their level shows it.
        let is_silent = sound == Sound::Opus && data.len() <= SILENT_BYTES;
        let voice = self.voice(&participant, is_silent, now);
        let zoom_ticks = ticks(at_ms);
        let known_ms = self.before_ms.get(&(participant.clone(), Source::Microphone)).copied();
        let timeline = self.voices.entry(participant.clone()).or_insert_with(|| Timeline {
            sequence: 0,
            next: zoom_ticks,
            last_ms: at_ms,
            known_ms,
        });
        let rtp_time = timeline.take(at_ms, lasts)?;
        let frame = Frame {
            track: TrackId::named("audio"),
            codec,
            rtp_time: rtp_time.unsigned_abs(),
            clock_rate: 48_000,
            sequence: timeline.sequence..=timeline.sequence,
            arrived,
            level_dbov,
            voice,
            contributing_sources: Vec::new(),
            rotation: None,
            keyframe: true,
            contiguous: true,
            sender_report: None,
            data: Arc::from(data),
        };
        Some((participant, frame))
    }

    /// Whether a packet has speech: by the meeting's active speaker once it names one, and never in silence.
    fn voice(&self, participant: &str, is_silent: bool, now: Instant) -> Option<bool> {
        let speaker = self.speaker.as_deref()?;
        let named = speaker == participant
            || participant == MIX
            || self.spoke.get(participant).is_some_and(|until| now < *until);
        Some(named && !is_silent)
    }

    /// Converts a picture of a camera or screen. `None` if it is a duplicate, has no sender, or contains no picture.
    pub(super) fn picture(
        &mut self,
        media: MediaType,
        piece: Media,
        now: Instant,
    ) -> Option<(String, Source, Frame)> {
        let Media { person, at_ms, data } = piece;
        let source = source_of(media);
        let id = person.map(|person| person.id);
        let participant = match source {
            Source::Screen => id.or_else(|| self.sharer.clone()),
            _ => id.or_else(|| self.speaker.clone()),
        }?;
        let arrived = self.at(at_ms, now);
        let switched = source == Source::Camera && self.shown.as_ref() != Some(&participant);
        if switched {
            self.shown = Some(participant.clone());
        }
        let of = (participant.clone(), source);
        let known_ms = self.before_ms.get(&of).copied();
        let pictures =
            self.pictures.entry(of).or_insert_with(|| Pictures { known_ms, ..Pictures::default() });
        if pictures.known_ms.is_some_and(|known| at_ms <= known && known - at_ms < 60_000) {
            return None;
        }
        pictures.known_ms = None;
        pictures.last_ms = at_ms;
        pictures.broken |= switched && pictures.sequence > 0;
        let data = pictures.whole(data)?;
        let keyframe = picture::is_h264_keyframe(&data);
        pictures.sequence += 1;
        let broken = std::mem::take(&mut pictures.broken);
        let frame = Frame {
            track: TrackId::named(source.word()),
            codec: Codec::H264,
            rtp_time: at_ms.saturating_mul(90),
            clock_rate: 90_000,
            sequence: pictures.sequence..=pictures.sequence,
            arrived,
            level_dbov: None,
            voice: None,
            contributing_sources: Vec::new(),
            rotation: None,
            keyframe,
            contiguous: !broken,
            sender_report: None,
            data: Arc::from(data),
        };
        Some((participant, source, frame))
    }
}

impl Timeline {
    /// The timestamp of the newest received packet, in ms.
    fn newest_ms(&self) -> u64 {
        self.known_ms.map_or(self.last_ms, |known| known.max(self.last_ms))
    }

    /// The place of a packet, in ticks of Zoom's time; `None` if it is a duplicate.
    fn take(&mut self, at_ms: u64, lasts: i64) -> Option<i64> {
        if self.known_ms.is_some_and(|known| at_ms <= known && known - at_ms < 60_000) {
            return None;
        }
        self.known_ms = None;
        self.last_ms = at_ms;
        let off = ticks(at_ms) - self.next;
        let place = if (-AHEAD_TICKS..=JITTER_TICKS).contains(&off) {
            self.next + (off / DRIFT_DIVISOR).clamp(-TICKS_PER_MS, TICKS_PER_MS)
        } else {
            ticks(at_ms)
        };
        self.next = place + lasts;
        self.sequence += 1;
        Some(place)
    }
}

impl Pictures {
    /// The timestamp of the newest received picture, in ms.
    fn newest_ms(&self) -> u64 {
        self.known_ms.map_or(self.last_ms, |known| known.max(self.last_ms))
    }

    /// A picture with the parameter sets that came separately before it; `None` for parameter sets alone.
    fn whole(&mut self, data: Vec<u8>) -> Option<Vec<u8>> {
        if picture::is_h264_sets(&data) {
            self.sets = data;
            return None;
        }
        if self.sets.is_empty() {
            return Some(data);
        }
        let mut whole = std::mem::take(&mut self.sets);
        whole.extend(data);
        Some(whole)
    }
}

const fn source_of(media: MediaType) -> Source {
    match media {
        MediaType::Share => Source::Screen,
        _ => Source::Camera,
    }
}

fn ticks(at_ms: u64) -> i64 {
    i64::try_from(at_ms).unwrap_or(0).saturating_mul(TICKS_PER_MS)
}

/// The participant of a mix, if Zoom sends no separate streams.
pub(super) fn everybody() -> Person {
    Person { id: MIX.to_owned(), name: "Everybody".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn piece(person: &str, at_ms: u64, data: &[u8]) -> Media {
        let person = Person { id: person.to_owned(), name: String::new() };
        Media { person: Some(person), at_ms, data: data.to_vec() }
    }

    /// Twenty ms of Opus.
    const OPUS: [u8; 40] = [0x78; 40];

    #[test]
    fn packets_are_contiguous_despite_jitter_of_their_timestamps() {
        let (mut streams, now) = (Streams::default(), clock::now());
        let mut places = Vec::new();
        for number in 0..500_u64 {
            let at_ms = 1_000_000
                + number * 20
                + [0, 7, 3, 15, 1][usize::from(number % 5 > 0) + usize::from(number % 3 > 0)];
            let later = now + Duration::from_millis(number * 20);
            places.push(
                streams.sound(piece("1", at_ms, &OPUS), Sound::Opus, later).unwrap().1.rtp_time,
            );
        }
        for pair in places.windows(2) {
            assert!((912..=1_008).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
        let (ends, at_ms) = (places[499], 1_000_000 + 499 * 20);
        assert!(ends.abs_diff(at_ms * 48) < 20 * 48, "{ends}");
        // A pause is kept.
        let later = now + Duration::from_secs(20);
        let after =
            streams.sound(piece("1", 1_015_000, &OPUS), Sound::Opus, later).unwrap().1.rtp_time;
        assert_eq!(after, 1_015_000 * 48);
    }

    #[test]
    fn media_replayed_after_a_reconnection_are_dropped() {
        let (mut streams, now) = (Streams::default(), clock::now());
        assert!(streams.sound(piece("1", 1_000, &OPUS), Sound::Opus, now).is_some());
        assert!(streams.sound(piece("1", 1_020, &OPUS), Sound::Opus, now).is_some());
        assert!(streams.sound(piece("2", 1_010, &OPUS), Sound::Opus, now).is_some());
        streams.resumed(MediaType::Audio);
        assert!(streams.sound(piece("1", 1_000, &OPUS), Sound::Opus, now).is_none());
        assert!(streams.sound(piece("1", 1_020, &OPUS), Sound::Opus, now).is_none());
        assert!(streams.sound(piece("2", 1_030, &OPUS), Sound::Opus, now).is_some());
        assert!(streams.sound(piece("1", 1_040, &OPUS), Sound::Opus, now).is_some());
        assert!(streams.is_new(MediaType::Chat, "1", 5, "hello"));
        assert!(!streams.is_new(MediaType::Chat, "1", 5, "hello"));
    }

    #[test]
    fn a_join_drops_media_that_earlier_joins_received() {
        let now = clock::now();
        let key = [0, 0, 0, 1, 0x65, 1];
        let mut before = Streams::default();
        assert!(before.sound(piece("1", 1_000, &OPUS), Sound::Opus, now).is_some());
        assert!(before.sound(piece("1", 1_400, &OPUS), Sound::Opus, now).is_some());
        assert!(before.picture(MediaType::Share, piece("1", 1_100, &key), now).is_some());
        let mut next = Streams::after(&before.received());
        assert!(next.sound(piece("1", 1_000, &OPUS), Sound::Opus, now).is_none());
        // Its connection fails during the replay, and then the meeting is lost once more.
        next.resumed(MediaType::Audio);
        assert!(next.sound(piece("1", 1_400, &OPUS), Sound::Opus, now).is_none());
        let mut last = Streams::after(&next.received());
        assert!(last.sound(piece("1", 1_400, &OPUS), Sound::Opus, now).is_none());
        assert!(last.sound(piece("1", 1_420, &OPUS), Sound::Opus, now).is_some());
        assert!(last.sound(piece("2", 1_000, &OPUS), Sound::Opus, now).is_some());
        assert!(last.picture(MediaType::Share, piece("1", 1_100, &key), now).is_none());
        assert!(last.picture(MediaType::Share, piece("1", 1_200, &key), now).is_some());
    }

    #[test]
    fn media_from_before_the_join_are_placed_before_it() {
        let (mut streams, now) = (Streams::default(), clock::now());
        let began = streams.begin(1_000_000, 1_030_000, now);
        assert_eq!(now - began, Duration::from_secs(30));
        assert_eq!(streams.at(1_010_000, now), began + Duration::from_secs(10));
        // A clock that is not set is ignored.
        for wall_ms in [0, 999_000, 1_000_000 + 3_600_000, i64::MAX, i64::MIN] {
            assert_eq!(Streams::default().begin(1_000_000, wall_ms, now), now, "{wall_ms}");
        }
    }

    #[test]
    fn no_timestamp_places_a_frame_after_its_arrival() {
        let (mut streams, now) = (Streams::default(), clock::now());
        for at_ms in [5_000, 0, u64::MAX, 1, u64::MAX - 1, 9_000_000, 8_999_000] {
            assert!(streams.at(at_ms, now) <= now, "{at_ms}");
            let _ = streams.sound(piece("1", at_ms, &OPUS), Sound::Opus, now);
            let _ = streams.picture(MediaType::Video, piece("1", at_ms, &[0, 0, 1, 0x65]), now);
        }
    }

    #[test]
    fn a_returning_camera_continues_with_a_keyframe() {
        let (mut streams, now) = (Streams::default(), clock::now());
        let mut show = |person: &str, at_ms, data: &[u8]| {
            let shown = streams.picture(MediaType::Video, piece(person, at_ms, data), now);
            shown.map(|(_, _, frame)| (frame.keyframe, frame.contiguous))
        };
        let (key, delta) = ([0, 0, 0, 1, 0x65, 1], [0, 0, 0, 1, 0x41, 1]);
        assert_eq!(show("1", 10, &key), Some((true, true)));
        assert_eq!(show("1", 20, &delta), Some((false, true)));
        assert_eq!(show("2", 30, &key), Some((true, true)));
        assert_eq!(show("1", 40, &delta), Some((false, false)));
        assert_eq!(show("1", 50, &[0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 1]), None);
        assert_eq!(show("1", 60, &key), Some((true, true)));
    }

    #[test]
    fn the_active_speaker_counts_as_speaking_for_a_moment_longer() {
        let (mut streams, now) = (Streams::default(), clock::now());
        let mut voice = |person: &str, at_ms: u64, data: &[u8], speaks: Option<&str>| {
            let now = now + Duration::from_millis(at_ms);
            if let Some(id) = speaks {
                streams.speaks(Person { id: id.to_owned(), name: String::new() }, now);
            }
            streams.sound(piece(person, at_ms, data), Sound::Opus, now).unwrap().1.voice
        };
        let silence = [0xF8, 0xFF, 0xFE];
        assert_eq!(voice("1", 0, &OPUS, None), None);
        assert_eq!(voice("1", 20, &OPUS, Some("1")), Some(true));
        assert_eq!(voice("1", 40, &silence, None), Some(false));
        assert_eq!(voice("2", 40, &OPUS, None), Some(false));
        assert_eq!(voice("1", 60, &OPUS, Some("2")), Some(true));
        assert_eq!(voice("1", 2_000, &OPUS, None), Some(false));
        assert_eq!(voice("2", 2_000, &OPUS, None), Some(true));
    }
}
