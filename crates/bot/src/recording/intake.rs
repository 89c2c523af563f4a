//! Assigns received frames to files: which file, at which time, and after which gap.

use std::{io, sync::Arc};

use meetbot_types::bot::MediaKind;

use super::{
    Recording,
    gap::GapCauses,
    journal::{Content, Line},
    replay::HALF_PACKET,
    sound,
    source_writer::{Key, Media, SourceWriter},
    stream_clock::Placement,
    track::{Packet, TrackFile, Written},
    video::VideoFile,
};
use crate::{
    bounds::{self, Exceeded},
    media::{Codec, Frame},
    meeting::Source,
};

/// Louder than this is speech, in dBov; noise of a quiet room is below.
const SPEECH_DBOV: i8 = -50;
/// A pause in speech that is shorter does not end it.
const SPEECH_GAP_MS: u64 = 500;
/// A longer speech gets more than one line of the journal, so that a bot that dies during it loses at most this much.
const SPEECH_LINE_MS: u64 = 10_000;
/// If a picture's time by its own clock and by its sender's clock differ by more than this, its own is used.
const MOST_APART_MS: f64 = 2_000.0;

/// The result of recording a frame.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// It is the first of this attempt, and is on disk.
    pub(crate) first: bool,
    /// There is speech in it.
    pub(crate) speech: bool,
    /// The bot must ask its sender for a keyframe.
    pub(crate) keyframe_wanted: bool,
}

impl Recording {
    /// Writes a participant's frame.
    pub(crate) fn frame(
        &mut self,
        participant: &str,
        source: Source,
        frame: &Frame,
    ) -> io::Result<Recorded> {
        let packets = frame.sequence.end() - frame.sequence.start() + 1;
        self.counters.add(|counters| counters.packets_received += packets);
        // Where the whole recording is replayed, its start is rounded twice, and may be a moment after the first frame.
        let before = self.anchor.saturating_duration_since(frame.arrived);
        if self.replay.is_some() && before > HALF_PACKET {
            return Ok(Recorded::default());
        }
        let at_ms = self.at_ms(frame.arrived);
        self.heard_ms = self.heard_ms.max(at_ms);
        let video = frame.is_picture();
        let speech = source == Source::Microphone && !video && is_speech(frame);
        let key = Key { person: self.people.key_of(participant), video, source };
        if self.tracks.len() >= bounds::STREAMS && !self.tracks.contains_key(&key) {
            return Err(Exceeded::Streams.into());
        }
        if self.replay.as_mut().is_some_and(|replay| replay.has_frame(&key, at_ms)) {
            return Ok(Recorded::default());
        }
        let attribution = self.attributions.get(participant, source);
        let source_writer =
            self.tracks.entry(key.clone()).or_insert_with(|| SourceWriter::new(frame, attribution));
        source_writer.attribution = attribution;
        let Some(placement) = source_writer.place(frame, at_ms) else {
            return Ok(Recorded { speech, ..Recorded::default() });
        };
        // A frame that arrived during the pause may be handled after its end.
        let writes = self.writes() && !self.was_paused(at_ms);
        let recorded = if video {
            self.picture(&key, participant, frame, &placement, writes)?
        } else {
            Recorded { speech, ..self.sound(&key, participant, frame, &placement, writes)? }
        };
        // Bounds the memory for the half second between two flushes.
        if let Some(source_writer) = self.tracks.get_mut(&key)
            && source_writer.buffered() > bounds::BUFFERED_BYTES
        {
            let bytes = source_writer.flush()?;
            self.count_media(bytes);
            self.bound_job()?;
        }
        Ok(recorded)
    }

    fn sound(
        &mut self,
        key: &Key,
        participant: &str,
        frame: &Frame,
        placement: &Placement,
        writes: bool,
    ) -> io::Result<Recorded> {
        let first = !self.begun;
        let not_before_ms = self.last_pause_end_ms.unwrap_or(0);
        let source_writer = self.tracks.get(key);
        // A file must not begin with packets of the pause that arrive after its end.
        let writes = writes
            && source_writer
                .is_some_and(|it| it.file.is_some() || it.ms(placement) >= not_before_ms as f64);
        let begun = writes && self.begin(key, participant, frame, placement, None)?;
        let Some(source_writer) = self.tracks.get_mut(key) else { return Ok(Recorded::default()) };
        let base = source_writer.stream.base();
        let Some(Media::Sound(file)) = &mut source_writer.file else {
            return Ok(Recorded::default());
        };
        let packet = begun.then(|| Packet {
            rtp_time: frame.rtp_time,
            speech: is_speech(frame),
            level_dbov: frame.level_dbov,
            not_before_ms,
            lost: placement.lost,
            data: Arc::clone(&frame.data),
        });
        file.take(placement, base, packet, &mut self.written);
        if !source_writer.stream.is_uncertain() {
            source_writer.lead.observe(frame.sender_report, file.anchor(), frame.clock_rate);
        }
        let first = first && !self.written.is_empty();
        self.note_written(key)?;
        if first {
            self.flush()?;
        }
        Ok(Recorded { first, ..Recorded::default() })
    }

    fn picture(
        &mut self,
        key: &Key,
        participant: &str,
        frame: &Frame,
        placement: &Placement,
        writes: bool,
    ) -> io::Result<Recorded> {
        let at_ms = self.picture_ms(key, frame, placement);
        if !writes || self.was_paused(at_ms) {
            return Ok(Recorded::default());
        }
        let first = !self.begun;
        let begun = self.begin(key, participant, frame, placement, Some(at_ms))?;
        let asks_ms = self.at_ms(frame.arrived);
        let Some(source_writer) = self.tracks.get_mut(key) else { return Ok(Recorded::default()) };
        source_writer.lost += placement.lost;
        let written = match &mut source_writer.file {
            Some(Media::Pictures(file)) if begun => file.write(frame, at_ms),
            _ => None,
        };
        let keyframe_wanted = (written.is_none()
            || (source_writer.rotation_changed() && source_writer.may_begin(at_ms)))
            && source_writer.should_request_keyframe(asks_ms);
        let Some(written) = written else {
            return Ok(Recorded { keyframe_wanted, ..Recorded::default() });
        };
        let lost = std::mem::take(&mut source_writer.lost);
        let packets = frame.sequence.end() - frame.sequence.start() + 1;
        self.note(key, &Written { packets, lost, ..written })?;
        if first {
            self.flush()?;
        }
        Ok(Recorded { first, keyframe_wanted, ..Recorded::default() })
    }

    /// A picture's time in the recording, in ms: by its sender's clock, relative to the same person's audio; if that is not known, by its own clock.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is rounded, and not below 0"
    )]
    fn picture_ms(&mut self, key: &Key, frame: &Frame, placement: &Placement) -> u64 {
        let voice = Key { person: key.person.clone(), video: false, source: Source::Microphone };
        let lead = self.tracks.get(&voice).and_then(|voice| voice.lead.ms());
        let Some(source_writer) = self.tracks.get_mut(key) else { return 0 };
        source_writer.sender.observe(frame.sender_report, frame.clock_rate);
        let own = source_writer.ms(placement);
        let moment = source_writer.sender.at(frame.rtp_time, frame.clock_rate);
        let aligned = lead.zip(moment).map(|(lead, moment)| moment - lead);
        let at = aligned.filter(|aligned| (aligned - own).abs() <= MOST_APART_MS).unwrap_or(own);
        at.round().max(0.0) as u64
    }

    /// Begins a file if there is none for this codec, attribution and rotation yet; pictures belong at `picture_ms`. Returns whether there is a file for the frame:
    /// after a change of rotation the previous file continues until a keyframe, with which the next file begins.
    fn begin(
        &mut self,
        key: &Key,
        participant: &str,
        frame: &Frame,
        placement: &Placement,
        picture_ms: Option<u64>,
    ) -> io::Result<bool> {
        let Some(source_writer) = self.tracks.get_mut(key) else { return Ok(false) };
        let has_codec = match &source_writer.file {
            Some(Media::Sound(file)) => file.codec() == frame.codec,
            Some(Media::Pictures(file)) => file.codec() == frame.codec,
            None => false,
        };
        // All frames of a file are attributed in the same way.
        let goes_on = has_codec && source_writer.attribution == source_writer.attribution_of_file;
        // A sender may change its codec with any packet, also to one that no file supports.
        if !frame.is_picture() && sound::ticks(frame.codec, &frame.data).is_none() {
            return Ok(goes_on);
        }
        if goes_on && !source_writer.rotation_changed() {
            return Ok(true);
        }
        let rotation = source_writer.rotation;
        let pictures = if let Some(at_ms) = picture_ms {
            let may_begin = source_writer.may_begin(at_ms)
                && !(goes_on && self.files.begun() >= bounds::FILES_WITH_TURNED);
            let start = VideoFile::start(frame).filter(|_| may_begin);
            let Some(start) = start else { return Ok(goes_on) };
            Some((start, at_ms.max(source_writer.after_last_picture_ms())))
        } else {
            None
        };
        let prefix = match (key.video, key.source) {
            (false, _) => "audio",
            (true, Source::Screen) => "screen",
            (true, _) => "video",
        };
        if self.files.begun() >= bounds::STREAMS {
            return Err(Exceeded::Streams.into());
        }
        let (_, name) = self.people.of(participant);
        let webm = self.files.unique(prefix, name, self.attempt);
        let file = if frame.codec == Codec::PcmS16le {
            // The WebM file of PCM audio is made after the job has ended.
            self.files.take(&webm);
            format!("{}.mka", webm.trim_end_matches(".webm"))
        } else {
            webm
        };
        let path = self.folder.join(&file);
        let (media, start_ms) = if let Some((start, start_ms)) = pictures {
            source_writer.files += 1;
            let file = VideoFile::create(&path, frame.codec, &start, rotation, start_ms)?;
            (Media::Pictures(file), start_ms)
        } else {
            let sound =
                TrackFile::create(&path, frame.codec, placement, source_writer.stream.base())?;
            let start_ms = sound.start_ms();
            (Media::Sound(sound), start_ms)
        };
        self.files.take(&file);
        let content = Content {
            kind: if key.video { MediaKind::Video } else { MediaKind::Audio },
            source: key.source.word().to_owned(),
            codec: frame.codec.name().to_owned(),
            rotation,
            attributed_by: Some(source_writer.attribution.word().to_owned()),
        };
        self.journal.push(&Line::Track {
            attempt: self.attempt,
            at_ms: start_ms,
            file: file.clone(),
            participant_id: key.person.to_string(),
            content,
        })?;
        // Before the file's first byte, so that every file has a line in the journal.
        self.journal.flush()?;
        (source_writer.name, source_writer.journaled_start_ms) = (file, start_ms);
        source_writer.number = self.levels.begin();
        source_writer.attribution_of_file = source_writer.attribution;
        // The codec, the attribution or the rotation changed: the previous file is complete.
        match source_writer.file.replace(media) {
            Some(Media::Pictures(before)) => before.close().map(|()| true),
            Some(Media::Sound(before)) => before.close().map(|()| true),
            None => Ok(true),
        }
    }

    /// Writes the held packets of all audio tracks.
    pub(super) fn settle_all(&mut self) -> io::Result<()> {
        let keys: Vec<Key> = self.tracks.keys().cloned().collect();
        keys.iter().try_for_each(|key| self.settle(key))
    }

    /// Writes the held packets of an audio track.
    pub(super) fn settle(&mut self, key: &Key) -> io::Result<()> {
        let Some(source_writer) = self.tracks.get_mut(key) else { return Ok(()) };
        source_writer.settle(&mut self.written);
        self.note_written(key)
    }

    /// Writes corrected start times of audio files into the journal, if their first packets turned out to have been late.
    pub(super) fn note_starts(&mut self) -> io::Result<()> {
        for source_writer in self.tracks.values_mut() {
            let Some(Media::Sound(file)) = &source_writer.file else { continue };
            let at_ms = file.start_ms();
            if std::mem::replace(&mut source_writer.journaled_start_ms, at_ms) != at_ms {
                self.journal.push(&Line::TrackStart { at_ms, file: source_writer.name.clone() })?;
            }
        }
        Ok(())
    }

    /// Notes the packets of sound that were written now.
    fn note_written(&mut self, key: &Key) -> io::Result<()> {
        let mut written = std::mem::take(&mut self.written);
        let noted = written.drain(..).try_for_each(|written| self.note(key, &written));
        // It keeps its memory for the next packet.
        self.written = written;
        noted
    }

    /// Writes gaps and speech of newly written packets into the journal.
    fn note(&mut self, key: &Key, written: &Written) -> io::Result<()> {
        let Some(source_writer) = self.tracks.get_mut(key) else { return Ok(()) };
        let absent = std::mem::take(&mut source_writer.absent);
        let number = source_writer.number;
        if written.filled.is_some() || written.lost > 0 {
            let file = source_writer.name.clone();
            self.note_gap(file, written, absent)?;
        }
        self.begun = true;
        self.counters.add(|counters| {
            counters.packets_written += written.packets;
            counters.packets_lost += written.lost;
        });
        if let Some(level) = written.level_dbov {
            self.levels.add(number, written.file_ms, written.duration_ms, level);
        }
        if written.speech && key.source == Source::Microphone {
            self.speech(&key.person, written.at_ms, written.at_ms + written.duration_ms)?;
        }
        Ok(())
    }

    fn note_gap(&mut self, file: String, written: &Written, absent: bool) -> io::Result<()> {
        let lost = written.lost;
        let (start_ms, end_ms) = written.filled.unwrap_or((written.at_ms, written.at_ms));
        let happened = GapCauses {
            pause_ended_ms: self.last_pause_end_ms,
            way_lost_ms: self.lost_at_ms,
            absent,
            lost,
        };
        let reason = happened.reason_of(start_ms, end_ms);
        self.journal.push(&Line::Gap { file, start_ms, end_ms, reason: reason.to_owned(), lost })
    }

    fn speech(&mut self, id: &str, start_ms: u64, end_ms: u64) -> io::Result<()> {
        match self.speech.get_mut(id) {
            Some((_, end)) if start_ms <= *end + SPEECH_GAP_MS => *end = end_ms,
            _ => {
                self.end_speech(id)?;
                self.speech.insert(id.to_owned(), (start_ms, end_ms));
            }
        }
        let &(start, end) = &self.speech[id];
        if end >= start + SPEECH_LINE_MS {
            self.end_speech(id)?;
            self.speech.insert(id.to_owned(), (end, end));
        }
        Ok(())
    }

    pub(super) fn end_all_speech(&mut self) -> io::Result<()> {
        let ids: Vec<String> = self.speech.keys().cloned().collect();
        ids.into_iter().try_for_each(|id| self.end_speech(&id))
    }

    pub(super) fn end_speech(&mut self, id: &str) -> io::Result<()> {
        if let Some((start_ms, end_ms)) = self.speech.remove(id).filter(|(start, end)| end > start)
        {
            self.journal.push(&Line::Speaking { id: id.to_owned(), start_ms, end_ms })?;
        }
        Ok(())
    }
}

/// Whether a packet is speech: by the level that its sender measured; packets of silence are sent too.
fn is_speech(frame: &Frame) -> bool {
    match (frame.level_dbov, frame.voice) {
        (Some(level), voice) => level > SPEECH_DBOV && voice != Some(false),
        (None, Some(voice)) => voice,
        // A mixer names the voices in a packet; a sender without levels sends almost no packets while it is silent.
        (None, None) => !frame.contributing_sources.is_empty() || frame.data.len() > 10,
    }
}

#[cfg(test)]
mod attributed;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod speech;

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::Arc,
        time::{Duration, Instant},
    };

    use meetbot_types::{
        Timestamp,
        bot::{BotOrder, Participant},
    };

    use super::is_speech;
    use crate::{
        media::{Codec, Frame},
        meeting::Source,
        recording::{
            Counters, Recording,
            files::folder_of,
            frames::{picture, sound},
            journal,
            journal::Line,
            orders::order,
        },
    };

    /// The recording of a meeting in which Ann is present from the start.
    pub(super) fn of_ann(folder: &Path, start: Instant) -> (BotOrder, Recording) {
        let order = order(&folder.join("job"), 1);
        let admitted = (start, Timestamp::UNIX_EPOCH);
        let mut recording = Recording::open(&order, admitted, Counters::default()).unwrap();
        let ann = Participant { id: "5".into(), name: "Ann".into(), is_host: false, is_bot: false };
        recording.joined(&ann, start).unwrap();
        (order, recording)
    }

    #[test]
    fn after_a_lost_connection_a_video_continues_with_a_keyframe() {
        let folder = tempfile::tempdir().unwrap();
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (order, mut recording) = of_ann(folder.path(), start);
        // The session after the loss restarts its numbers, on a track of the same name.
        for (ms, number, keyframe, wanted) in [
            (100, 1, true, false),
            (140, 2, false, false),
            (3_000, 1, false, true),
            (3_040, 2, false, false),
            (3_080, 3, true, false),
        ] {
            if ms == 3_000 {
                recording.connection_lost(at(1_000)).unwrap();
            }
            let picture = picture(number, keyframe, at(ms));
            let recorded = recording.frame("5", Source::Camera, &picture).unwrap();
            assert_eq!(recorded.keyframe_wanted, wanted, "{ms}");
        }
        recording.close(at(3_100), None).unwrap();
        let gaps: Vec<_> = journal::lines(&folder_of(&order, 1))
            .into_iter()
            .filter_map(|line| match line {
                Line::Gap { start_ms, end_ms, reason, lost, .. } => {
                    Some((start_ms, end_ms, reason, lost))
                }
                _ => None,
            })
            .collect();
        assert_eq!(gaps, [(140, 3_080, "network_loss".to_owned(), 0)]);
    }

    #[test]
    fn a_packet_in_another_codec_is_not_written_into_an_opus_file() {
        let folder = tempfile::tempdir().unwrap();
        let start = crate::clock::now();
        let (_, mut recording) = of_ann(folder.path(), start);
        for number in 0..100 {
            let codec = match number {
                0 | 60 => Codec::Red,
                70 => Codec::Pcm,
                _ => Codec::Opus,
            };
            let arrived = start + Duration::from_millis(number * 20);
            let packet = Frame { codec, ..sound(number, arrived) };
            recording.frame("5", Source::Microphone, &packet).unwrap();
        }
        let counters = recording.counters.clone();
        recording.close(start + Duration::from_secs(3), None).unwrap();
        let counters = counters.get();
        assert_eq!((counters.packets_received, counters.packets_written), (100, 97));
    }

    /// The journal of a recording in which Ann's packets arrive at these times, in ms, and are flushed twice a second.
    pub(super) fn recorded(arrivals: impl Iterator<Item = u64>) -> Vec<Line> {
        let folder = tempfile::tempdir().unwrap();
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (order, mut recording) = of_ann(folder.path(), start);
        let mut last_ms = 0;
        for (number, at_ms) in (0..).zip(arrivals) {
            recording.frame("5", Source::Microphone, &sound(number, at(at_ms))).unwrap();
            if at_ms >= last_ms + 500 {
                recording.flush().unwrap();
                last_ms = at_ms;
            }
        }
        recording.close(at(last_ms + 500), None).unwrap();
        journal::lines(&folder_of(&order, 1))
    }

    #[test]
    fn a_file_whose_first_packets_were_delayed_begins_when_they_were_sampled() {
        let lines = recorded((0..500).map(|number| 2_000 + (number * 20).max(1_600)));
        let starts = lines.iter().filter_map(|line| match line {
            Line::Track { at_ms, .. } | Line::TrackStart { at_ms, .. } => Some(*at_ms),
            _ => None,
        });
        let starts: Vec<u64> = starts.collect();
        assert_eq!((starts.first(), starts.last()), (Some(&3_600), Some(&2_000)), "{starts:?}");
    }

    #[test]
    fn frames_that_arrived_before_the_hosts_permission_are_not_recorded_when_handled_later() {
        let folder = tempfile::tempdir().unwrap();
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (order, mut recording) = of_ann(folder.path(), start);
        recording.hold();
        recording.permit(at(1_000));
        for number in 0..100 {
            let sound = sound(number, at(number * 20));
            let recorded = recording.frame("5", Source::Microphone, &sound).unwrap();
            assert_eq!(recorded.first, number == 50, "{number}");
        }
        recording.close(at(2_000), None).unwrap();
        let lines = journal::lines(&folder_of(&order, 1));
        let begins = |line: &Line| matches!(line, Line::Track { at_ms: 1_000, .. });
        let speaks =
            |line: &Line| matches!(line, Line::Speaking { start_ms: 1_000, end_ms: 2_000, .. });
        assert!(lines.iter().any(begins) && lines.iter().any(speaks), "{lines:#?}");
    }

    #[test]
    fn noise_is_silence_and_quiet_speech_is_not() {
        for (level, voice, speech) in [
            (Some(-60), None, false),
            (Some(-127), Some(true), false),
            (Some(-45), None, true),
            (Some(-45), Some(false), false),
            (Some(-20), Some(true), true),
            (None, Some(true), true),
        ] {
            let frame = Frame { level_dbov: level, voice, ..sound(1, crate::clock::now()) };
            assert_eq!(is_speech(&frame), speech, "{level:?} {voice:?}");
        }
        let silence = Frame { level_dbov: None, ..sound(1, crate::clock::now()) };
        assert!(!is_speech(&silence), "{} bytes", silence.data.len());
        assert!(is_speech(&Frame { data: Arc::from([0x08; 80]), ..silence.clone() }));
        assert!(is_speech(&Frame { contributing_sources: vec![7], ..silence }));
    }
}
