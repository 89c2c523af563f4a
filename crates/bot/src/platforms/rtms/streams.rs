//! Media of a stream as frames of the recorder: one clock for all people, by the timestamps of Zoom. Pure.
//!
//! Zoom's timestamps are milliseconds of Unix time, and its messages come over TCP: packets are never lost one by one, but they come in bursts, and those of up
//! to a minute before the bot are replayed when it comes. So where a frame belongs follows from its timestamp, and its arrival only puts Zoom's clock beside
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

/// How far back the server replays: 60 s, and some for the way.
const REPLAYED_MS: i64 = 70_000;
/// A frame that is later than this tells that Zoom's clock was set.
const LATEST: Duration = Duration::from_mins(2);
/// Timestamps of a voice may be off by this, in ticks: they are of whole milliseconds, and of when a server took the packet.
const JITTER_TICKS: i64 = 60 * TICKS_PER_MS;
/// A voice may be ahead of its timestamps by this, in ticks: a server that was held up gives many packets the same one.
const AHEAD_TICKS: i64 = 2_000 * TICKS_PER_MS;
/// A voice follows the timestamps by this part of the difference a packet, so that a clock that drifts moves nothing by leaps.
const CREEP: i64 = 64;
/// Who stopped being the active speaker may still finish a word.
const LAST_WORD: Duration = Duration::from_millis(1_500);
/// A packet of Opus that is not longer than this is silence.
const SILENT_BYTES: usize = 10;
/// Lines of text that are known, so that those that are replayed come once.
const KNOWN_TEXTS: usize = 1_000;

const TICKS_PER_MS: i64 = 48;

/// The participant whose voice a mix is.
const MIX: &str = "mix";

/// The media of one stream, and of the streams after it of the same meeting.
#[derive(Debug, Default)]
pub(super) struct Streams {
    clock: Option<Clock>,
    /// The timestamp of the last packet that a join before received from each source, in ms.
    before_ms: HashMap<(String, Source), u64>,
    voices: HashMap<String, Timeline>,
    pictures: HashMap<(String, Source), Pictures>,
    /// Whose camera came last.
    shown: Option<String>,
    sharer: Option<String>,
    speaker: Option<String>,
    /// Until when those who spoke before are still taken for speakers.
    spoke: HashMap<String, Instant>,
    texts: HashSet<(MediaType, String, u64, String)>,
}

/// How Zoom's clock and the bot's go together.
#[derive(Debug, Clone, Copy)]
struct Clock {
    zoom_ms: u64,
    ours: Instant,
}

impl Clock {
    /// When something of this timestamp was captured, by the bot's clock.
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

/// The packets of one voice.
#[derive(Debug)]
struct Timeline {
    sequence: u64,
    /// Where the next packet belongs if it follows the last, in ticks of Zoom's time.
    next: i64,
    last_ms: u64,
    /// What is not after this was there before the connection broke.
    known_ms: Option<u64>,
}

/// The pictures of one camera or screen.
#[derive(Debug, Default)]
struct Pictures {
    sequence: u64,
    last_ms: u64,
    known_ms: Option<u64>,
    /// Pictures are missing before the next.
    broken: bool,
    /// The parameter sets that came last, where they came without a picture.
    sets: Vec<u8>,
}

impl Streams {
    /// Of a stream whose media were received before: what is sent again is doubled.
    pub(super) fn after(before: &ZoomMedia) -> Self {
        let clock = before.clock.map(|(zoom_ms, ours)| Clock { zoom_ms, ours });
        Self { clock, before_ms: before.last_ms.clone(), ..Self::default() }
    }

    /// What was received, by the joins before too.
    pub(super) fn received(&self) -> ZoomMedia {
        let voices = self.voices.iter();
        let voices = voices.map(|(id, it)| ((id.clone(), Source::Microphone), it.newest_ms()));
        let pictures = self.pictures.iter().map(|(of, it)| (of.clone(), it.newest_ms()));
        let mut last_ms = self.before_ms.clone();
        last_ms.extend(voices.chain(pictures));
        ZoomMedia { clock: self.clock.map(|clock| (clock.zoom_ms, clock.ours)), last_ms }
    }

    /// The first piece of media was captured at `first_ms`, and came now. Answers when the stream began for this bot: before now where the server replays what
    /// was said before the bot came.
    pub(super) fn begin(&mut self, first_ms: u64, wall_ms: i64, now: Instant) -> Instant {
        let age_ms = wall_ms.saturating_sub_unsigned(first_ms);
        let replayed = u64::try_from(age_ms).ok().filter(|_| age_ms <= REPLAYED_MS);
        let ours = now.checked_sub(Duration::from_millis(replayed.unwrap_or(0))).unwrap_or(now);
        let clock = self.clock.get_or_insert(Clock { zoom_ms: first_ms, ours });
        clock.at(first_ms).min(now)
    }

    /// When something was captured, by the bot's clock: never after now.
    pub(super) fn at(&mut self, at_ms: u64, now: Instant) -> Instant {
        let clock = self.clock.get_or_insert(Clock { zoom_ms: at_ms, ours: now });
        let at = clock.at(at_ms);
        if at > now || now.saturating_duration_since(at) > LATEST {
            // Those before were late on their way, or Zoom's clock was set.
            *clock = Clock { zoom_ms: at_ms, ours: now };
            return now;
        }
        at
    }

    /// How long ago something was said or written; 0 where its timestamp tells nothing.
    pub(super) fn ms_ago(&self, at_ms: u64, now: Instant) -> u64 {
        let Some(clock) = self.clock else { return 0 };
        let ago = now.saturating_duration_since(clock.at(at_ms));
        if ago > LATEST { 0 } else { u64::try_from(ago.as_millis()).unwrap_or(0) }
    }

    /// Somebody is the active speaker from now on.
    pub(super) fn speaks(&mut self, person: Person, now: Instant) {
        if let Some(before) = self.speaker.replace(person.id) {
            self.spoke.retain(|_, until| *until > now);
            self.spoke.insert(before, now + LAST_WORD);
        }
    }

    /// Somebody shares a screen from now on, or nobody does.
    pub(super) fn shares(&mut self, person: Option<Person>) {
        self.sharer = person.map(|person| person.id);
    }

    /// Whether a line of text is new; one that is replayed is not.
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

    /// The connection of these media was down: what follows may be replayed, or incomplete.
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

    /// A packet of somebody's voice, or of all voices where it is nobody's. `None` where it is doubled, or cannot be what it is said to be.
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
        // Samples of silence are as long as others, and their level says what they are.
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

    /// Whether somebody speaks in a packet: by the meeting's active speaker once it names one, and never where there is silence.
    fn voice(&self, participant: &str, is_silent: bool, now: Instant) -> Option<bool> {
        let speaker = self.speaker.as_deref()?;
        let named = speaker == participant
            || participant == MIX
            || self.spoke.get(participant).is_some_and(|until| now < *until);
        Some(named && !is_silent)
    }

    /// A picture of somebody's camera or screen. `None` where it is doubled, or nobody's, or has no picture in it.
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
    /// Up to which timestamp packets were received, in ms.
    fn newest_ms(&self) -> u64 {
        self.known_ms.map_or(self.last_ms, |known| known.max(self.last_ms))
    }

    /// Where a packet belongs, in ticks of Zoom's time; `None` when it was there already.
    fn take(&mut self, at_ms: u64, lasts: i64) -> Option<i64> {
        if self.known_ms.is_some_and(|known| at_ms <= known && known - at_ms < 60_000) {
            return None;
        }
        self.known_ms = None;
        self.last_ms = at_ms;
        let off = ticks(at_ms) - self.next;
        let place = if (-AHEAD_TICKS..=JITTER_TICKS).contains(&off) {
            self.next + (off / CREEP).clamp(-TICKS_PER_MS, TICKS_PER_MS)
        } else {
            ticks(at_ms)
        };
        self.next = place + lasts;
        self.sequence += 1;
        Some(place)
    }
}

impl Pictures {
    /// Up to which timestamp pictures were received, in ms.
    fn newest_ms(&self) -> u64 {
        self.known_ms.map_or(self.last_ms, |known| known.max(self.last_ms))
    }

    /// A picture with the parameter sets that came before it alone; `None` for those themselves.
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

/// The participant of a mix, where Zoom gives no voice alone.
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
    fn packets_follow_each_other_whatever_milliseconds_their_timestamps_are_off() {
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
        // A pause stays one.
        let later = now + Duration::from_secs(20);
        let after =
            streams.sound(piece("1", 1_015_000, &OPUS), Sound::Opus, later).unwrap().1.rtp_time;
        assert_eq!(after, 1_015_000 * 48);
    }

    #[test]
    fn what_is_replayed_after_a_reconnection_comes_once() {
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
    fn a_join_knows_what_the_joins_before_it_received() {
        let now = clock::now();
        let key = [0, 0, 0, 1, 0x65, 1];
        let mut before = Streams::default();
        assert!(before.sound(piece("1", 1_000, &OPUS), Sound::Opus, now).is_some());
        assert!(before.sound(piece("1", 1_400, &OPUS), Sound::Opus, now).is_some());
        assert!(before.picture(MediaType::Share, piece("1", 1_100, &key), now).is_some());
        let mut next = Streams::after(&before.received());
        assert!(next.sound(piece("1", 1_000, &OPUS), Sound::Opus, now).is_none());
        // Its connection breaks before all was sent again, and then the meeting is lost once more.
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
    fn what_was_said_before_the_bot_came_is_placed_before_it() {
        let (mut streams, now) = (Streams::default(), clock::now());
        let began = streams.begin(1_000_000, 1_030_000, now);
        assert_eq!(now - began, Duration::from_secs(30));
        assert_eq!(streams.at(1_010_000, now), began + Duration::from_secs(10));
        // A clock that is not set tells nothing.
        for wall_ms in [0, 999_000, 1_000_000 + 3_600_000, i64::MAX, i64::MIN] {
            assert_eq!(Streams::default().begin(1_000_000, wall_ms, now), now, "{wall_ms}");
        }
    }

    #[test]
    fn no_frame_arrives_before_it_was_captured_whatever_its_timestamp_is() {
        let (mut streams, now) = (Streams::default(), clock::now());
        for at_ms in [5_000, 0, u64::MAX, 1, u64::MAX - 1, 9_000_000, 8_999_000] {
            assert!(streams.at(at_ms, now) <= now, "{at_ms}");
            let _ = streams.sound(piece("1", at_ms, &OPUS), Sound::Opus, now);
            let _ = streams.picture(MediaType::Video, piece("1", at_ms, &[0, 0, 1, 0x65]), now);
        }
    }

    #[test]
    fn a_camera_that_comes_back_goes_on_with_a_keyframe() {
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
    fn who_speaks_is_who_the_meeting_names_for_a_word_longer() {
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
