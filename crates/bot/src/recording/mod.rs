//! What is written to disk while a bot is in a meeting: packets as they come, nothing decoded, nothing that a crash could take back.

mod filename;
pub(crate) mod finalize;
pub(crate) mod journal;
mod mix;
mod opus;
mod scan;
mod story;
mod track;
mod webm;

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use meetbot_rtc::Frame;
use meetbot_types::{
    LeaveReason, Timestamp,
    bot::{BotOrder, Caption, ChatMessage, MediaCounters, Participant},
};

use self::{
    journal::{Line, LineFile},
    story::Story,
    track::{Packet, TrackFile},
};
use crate::meeting::{CaptionLine, ChatLine};

/// The reason of a gap while the bot was cut off from the meeting.
const NETWORK_LOSS: &str = "network_loss";
/// The chat's file.
const CHAT: &str = "chat.jsonl";
/// The captions' file.
const CAPTIONS: &str = "captions.jsonl";
/// Louder than this is speech, in dBov; noise of a quiet room is below.
const SPEECH_DBOV: i8 = -50;
/// A pause in speech that is shorter does not end it.
const SPEECH_GAP_MS: u64 = 500;
/// More lost packets at once are a sender that began to count anew.
const MAX_LOST: u64 = 3000;

/// Numbers for the heartbeat, shared with the reporter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<MediaCounters>>);

impl Counters {
    /// What they are now.
    pub(crate) fn get(&self) -> MediaCounters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, add: impl FnOnce(&mut MediaCounters)) {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What became of a frame.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// It is the first of this attempt, and on disk.
    pub(crate) first: bool,
    /// Someone speaks in it.
    pub(crate) speech: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    On,
    Paused { since_ms: u64 },
    Stopped,
}

/// The recording of one attempt, from the bot's admission on.
#[derive(Debug)]
pub(crate) struct Recording {
    folder: PathBuf,
    attempt: u32,
    /// The moment at which the recording's clock showed `base_ms`.
    anchor: Instant,
    base_ms: u64,
    journal: LineFile,
    chat: Option<LineFile>,
    captions: Option<LineFile>,
    /// Participants, and whether they are there.
    people: HashMap<String, (Participant, bool)>,
    speakers: HashMap<String, Speaker>,
    /// The names of files, in lower case.
    taken: HashSet<String>,
    mode: Mode,
    /// The host has not permitted it yet.
    held: bool,
    paused_ms: u64,
    /// When the way to the meeting was lost, until the first packet after that.
    lost_at_ms: Option<u64>,
    last_pause_end_ms: Option<u64>,
    counters: Counters,
}

#[derive(Debug)]
struct Speaker {
    file: TrackFile,
    name: String,
    last_sequence: u64,
    speaking: Option<(u64, u64)>,
    /// The end of what is written, in the recording's time.
    end_ms: u64,
}

impl Recording {
    /// Begins, or goes on with what the attempts before left on disk.
    pub(crate) fn open(
        order: &BotOrder,
        admitted: (Instant, Timestamp),
        counters: Counters,
    ) -> io::Result<Self> {
        let folder = finalize::carry_forward(order)?;
        let lines = journal::read::<Line>(&folder.join(journal::FILE))?;
        let story = Story::read(lines.into_iter().map(|(_, line)| line));
        let (anchor, wall) = admitted;
        let started_at = story.started_at.unwrap_or(wall);
        let since = u64::try_from(wall.millis_since(started_at)).unwrap_or(0);
        // A wall clock that was set back must not put this attempt before the end of the last.
        let base_ms = if story.started_at.is_some() { since.max(story.last_ms) } else { 0 };
        let mut journal = LineFile::append(&folder.join(journal::FILE))?;
        journal.push(&Line::Started { attempt: order.epoch, at_ms: base_ms, started_at })?;
        journal.flush()?;
        Ok(Self {
            folder,
            attempt: order.epoch,
            anchor,
            base_ms,
            journal,
            chat: None,
            captions: None,
            people: HashMap::new(),
            speakers: HashMap::new(),
            // Someone may be called "mixed".
            taken: story
                .tracks
                .iter()
                .map(|track| track.file.to_lowercase())
                .chain([mix::FILE.to_owned()])
                .collect(),
            // What was paused or stopped stays so, whichever bot goes on.
            mode: match story.paused_since {
                _ if story.stopped => Mode::Stopped,
                Some(since_ms) => Mode::Paused { since_ms },
                None => Mode::On,
            },
            held: false,
            paused_ms: story.pauses.iter().map(|pause| pause.end_ms - pause.start_ms).sum(),
            lost_at_ms: None,
            last_pause_end_ms: None,
            counters,
        })
    }

    /// A moment on the recording's clock.
    pub(crate) fn at_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.anchor).as_millis();
        self.base_ms + u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// Someone is there. Answers whether that is news.
    pub(crate) fn joined(&mut self, participant: &Participant, at: Instant) -> io::Result<bool> {
        let here = (participant.clone(), true);
        if self.people.insert(participant.id.clone(), here.clone()) == Some(here) {
            return Ok(false);
        }
        let at_ms = self.at_ms(at);
        let participant = participant.clone();
        self.journal.push(&Line::ParticipantJoined { at_ms, participant })?;
        Ok(true)
    }

    /// Someone is not. Answers who.
    pub(crate) fn left(&mut self, id: &str, at: Instant) -> io::Result<Option<Participant>> {
        let at_ms = self.at_ms(at);
        let Some((participant, here)) = self.people.get_mut(id) else { return Ok(None) };
        if !std::mem::take(here) {
            return Ok(None);
        }
        let participant = participant.clone();
        self.end_speech(id)?;
        self.journal.push(&Line::ParticipantLeft { at_ms, id: id.to_owned() })?;
        Ok(Some(participant))
    }

    /// Who is there.
    pub(crate) fn present(&self) -> Vec<String> {
        let here = self.people.iter().filter(|(_, (_, here))| *here);
        here.map(|(id, _)| id.clone()).collect()
    }

    /// A line of chat; answers it with its time. It is kept only while something is recorded.
    pub(crate) fn chat(&mut self, line: ChatLine, at: Instant) -> io::Result<ChatMessage> {
        let message = ChatMessage {
            id: line.id,
            sender_id: line.sender_id,
            sender: line.sender,
            text: line.text,
            private: line.private,
            at_ms: self.at_ms(at),
        };
        if !self.writes() {
            return Ok(message);
        }
        if self.chat.is_none() {
            self.chat = Some(LineFile::append(&self.folder.join(CHAT))?);
        }
        if let Some(chat) = &mut self.chat {
            chat.push(&message)?;
        }
        Ok(message)
    }

    /// A line of captions: what is said while nothing is recorded is in no file.
    pub(crate) fn caption(&mut self, line: CaptionLine, at: Instant) -> io::Result<()> {
        let end_ms = self.at_ms(at);
        let start_ms = end_ms.saturating_sub(line.began_ms_ago);
        if !self.writes() || self.was_paused(start_ms) {
            return Ok(());
        }
        let caption = Caption {
            speaker_id: line.speaker_id,
            speaker: line.speaker,
            start_ms,
            end_ms,
            text: line.text,
        };
        if self.captions.is_none() {
            self.captions = Some(LineFile::append(&self.folder.join(CAPTIONS))?);
        }
        match &mut self.captions {
            Some(captions) => captions.push(&caption),
            None => Ok(()),
        }
    }

    /// The way to the meeting is lost: the gap that follows has a reason.
    pub(crate) fn connection_lost(&mut self, at: Instant) {
        let at_ms = self.at_ms(at);
        self.lost_at_ms.get_or_insert(at_ms);
    }

    /// Writes a frame.
    pub(crate) fn frame(&mut self, participant: &str, frame: &Frame) -> io::Result<Recorded> {
        self.counters.add(|counters| counters.packets_received += 1);
        let at_ms = self.at_ms(frame.arrived);
        // Video is not recorded yet.
        if frame.codec != "opus" {
            return Ok(Recorded::default());
        }
        let speech = is_speech(frame.level_dbov, frame.voice, frame.data.len());
        // A frame of the pause may be handled only after it.
        if !self.writes() || self.was_paused(at_ms) {
            return Ok(Recorded { first: false, speech });
        }
        let first = self.speakers.is_empty();
        let mut packet = Packet { rtp_time: frame.rtp_time, at_ms, lost: 0, data: &frame.data };
        if !self.speakers.contains_key(participant) {
            if opus::ticks(packet.data).is_none() {
                return Ok(Recorded::default());
            }
            self.begin(participant, &packet, *frame.sequence.start())?;
        }
        let Some(speaker) = self.speakers.get_mut(participant) else {
            return Ok(Recorded::default());
        };
        let lost = frame.sequence.start().saturating_sub(speaker.last_sequence + 1);
        packet.lost = if lost > MAX_LOST { 0 } else { lost };
        let Some(written) = speaker.file.write(&packet) else {
            return Ok(Recorded { first: false, speech });
        };
        speaker.last_sequence = *frame.sequence.end();
        speaker.end_ms = at_ms + written.duration_ms;
        if written.filled.is_some() || packet.lost > 0 {
            let (start_ms, end_ms) = written.filled.unwrap_or((at_ms, at_ms));
            let within = |moment: Option<u64>| {
                moment.is_some_and(|at| at + 20 >= start_ms && at <= end_ms + 20)
            };
            let reason = if within(self.last_pause_end_ms) {
                "paused"
            } else if within(self.lost_at_ms) {
                NETWORK_LOSS
            } else if packet.lost > 0 {
                "packet_loss"
            } else {
                "muted"
            };
            self.journal.push(&Line::Gap {
                file: speaker.name.clone(),
                start_ms,
                end_ms,
                reason: reason.to_owned(),
                lost: packet.lost,
            })?;
        }
        self.counters.add(|counters| {
            counters.packets_written += 1;
            counters.packets_lost += packet.lost;
        });
        if speech {
            self.speech(participant, at_ms, at_ms + written.duration_ms)?;
        }
        if first {
            self.flush()?;
        }
        Ok(Recorded { first, speech })
    }

    fn begin(&mut self, id: &str, packet: &Packet<'_>, sequence: u64) -> io::Result<()> {
        let known = self.people.get(id).map_or("", |(participant, _)| participant.name.as_str());
        let name = filename::unique(known, self.attempt, |file| self.taken.contains(file));
        let file = TrackFile::create(&self.folder.join(&name), packet)?;
        self.taken.insert(name.to_lowercase());
        self.journal.push(&Line::Track {
            attempt: self.attempt,
            at_ms: file.start_ms(),
            file: name.clone(),
            participant_id: id.to_owned(),
        })?;
        // Before the file's first byte, so that no file is ever without its line.
        self.journal.flush()?;
        let last_sequence = sequence.saturating_sub(1);
        let speaker = Speaker { file, name, last_sequence, speaking: None, end_ms: packet.at_ms };
        self.speakers.insert(id.to_owned(), speaker);
        Ok(())
    }

    fn speech(&mut self, id: &str, start_ms: u64, end_ms: u64) -> io::Result<()> {
        let Some(speaker) = self.speakers.get_mut(id) else { return Ok(()) };
        match &mut speaker.speaking {
            Some((_, end)) if start_ms <= *end + SPEECH_GAP_MS => *end = end_ms,
            _ => {
                self.end_speech(id)?;
                if let Some(speaker) = self.speakers.get_mut(id) {
                    speaker.speaking = Some((start_ms, end_ms));
                }
            }
        }
        Ok(())
    }

    fn end_speech(&mut self, id: &str) -> io::Result<()> {
        let speaking = self.speakers.get_mut(id).and_then(|speaker| speaker.speaking.take());
        if let Some((start_ms, end_ms)) = speaking {
            self.journal.push(&Line::Speaking { id: id.to_owned(), start_ms, end_ms })?;
        }
        Ok(())
    }

    /// Writes nothing until the host permits it.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// The host permits it.
    pub(crate) fn permit(&mut self) {
        self.held = false;
    }

    fn writes(&self) -> bool {
        self.mode == Mode::On && !self.held
    }

    /// Whether a moment lies before the end of the last pause.
    fn was_paused(&self, at_ms: u64) -> bool {
        self.last_pause_end_ms.is_some_and(|end| at_ms < end)
    }

    /// Writes nothing from now on. Answers whether that is a change.
    pub(crate) fn pause(&mut self, at: Instant) -> io::Result<bool> {
        if self.mode != Mode::On {
            return Ok(false);
        }
        let at_ms = self.at_ms(at);
        self.mode = Mode::Paused { since_ms: at_ms };
        self.journal.push(&Line::Paused { at_ms })?;
        self.flush()?;
        Ok(true)
    }

    /// Goes on. Answers how long it was paused in all, if that is a change.
    pub(crate) fn resume(&mut self, at: Instant) -> io::Result<Option<u64>> {
        let Mode::Paused { since_ms } = self.mode else { return Ok(None) };
        let at_ms = self.at_ms(at);
        self.mode = Mode::On;
        self.paused_ms += at_ms - since_ms;
        self.last_pause_end_ms = Some(at_ms);
        self.journal.push(&Line::Resumed { at_ms })?;
        Ok(Some(self.paused_ms))
    }

    /// Stops for good. Answers whether that is a change.
    pub(crate) fn stop(&mut self, at: Instant) -> io::Result<bool> {
        if self.mode == Mode::Stopped {
            return Ok(false);
        }
        let at_ms = self.at_ms(at);
        if let Mode::Paused { .. } = self.mode {
            self.journal.push(&Line::Resumed { at_ms })?;
        }
        self.mode = Mode::Stopped;
        self.journal.push(&Line::Stopped { at_ms })?;
        self.flush()?;
        Ok(true)
    }

    /// Whether this attempt has written anything.
    pub(crate) fn has_begun(&self) -> bool {
        !self.speakers.is_empty()
    }

    /// Hands all that was taken to the system: from here on a dead process loses nothing of it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.journal.flush()?;
        for lines in [&mut self.chat, &mut self.captions].into_iter().flatten() {
            lines.flush()?;
        }
        let mut bytes = 0;
        for speaker in self.speakers.values_mut() {
            bytes += speaker.file.flush()?;
        }
        self.counters.add(|counters| counters.bytes_written += bytes);
        Ok(())
    }

    /// Ends every file. Errors leave the others whole; the first is answered.
    pub(crate) fn close(mut self, at: Instant, reason: Option<LeaveReason>) -> io::Result<()> {
        let at_ms = self.at_ms(at);
        let mut outcome = Ok(());
        let ids: Vec<String> = self.speakers.keys().cloned().collect();
        for id in ids {
            outcome = outcome.and(self.end_speech(&id));
        }
        for (_, speaker) in self.speakers.drain() {
            outcome = outcome.and(speaker.file.close().map(|_| ()));
        }
        let left = Line::Left { attempt: self.attempt, at_ms, reason };
        outcome = outcome.and(self.journal.push(&left)).and(self.journal.close());
        for lines in [self.chat, self.captions].into_iter().flatten() {
            outcome = outcome.and(lines.close());
        }
        outcome
    }

    /// Leaves the files as a crash would, but whole: the next attempt goes on.
    pub(crate) fn abandon(mut self) -> io::Result<()> {
        self.flush()
    }
}

/// Whether a packet is speech: by the level that its sender measured, not by its being there.
fn is_speech(level_dbov: Option<i8>, voice: Option<bool>, bytes: usize) -> bool {
    match (level_dbov, voice) {
        (Some(level), voice) => level > SPEECH_DBOV && voice != Some(false),
        // A sender that tells no level sends next to nothing while it is silent.
        (None, voice) => voice.unwrap_or(bytes > 10),
    }
}

/// The folder of an attempt.
fn folder_of(order: &BotOrder, epoch: u32) -> PathBuf {
    order.folder.join(format!("e{epoch}"))
}

/// Writes what is in the buffer. What was taken before an error is in it no more: a disk that is full may take the rest later, and nothing twice.
fn write_all(file: &mut impl Write, buffer: &mut Vec<u8>) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.write(buffer) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => drop(buffer.drain(..taken)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes a file that is either whole or not there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let torn = path.with_extension("part");
    fs::write(&torn, bytes)?;
    fs::File::open(&torn)?.sync_all()?;
    fs::rename(&torn, path)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{is_speech, write_all};

    /// Has room for so many bytes.
    struct Disk(Vec<u8>, usize);

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1 - self.0.len());
            self.0.extend(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_has_taken_is_not_written_again_when_there_is_room() {
        let (mut disk, mut buffer) = (Disk(Vec::new(), 3), b"hello".to_vec());
        let full = write_all(&mut disk, &mut buffer).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        disk.1 = 100;
        buffer.extend(b", world");
        write_all(&mut disk, &mut buffer).unwrap();
        assert_eq!(disk.0, b"hello, world");
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
            assert_eq!(is_speech(level, voice, 80), speech, "{level:?} {voice:?}");
        }
        assert!(is_speech(None, None, 80) && !is_speech(None, None, 3));
    }
}
