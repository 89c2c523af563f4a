//! Recording: writes packets to disk while a bot is in a meeting. Nothing is decoded, and a crash loses at most half a second.

pub(crate) mod attribution;
pub(crate) mod clock;
mod continued;
mod counters;
pub(crate) mod failure;
mod filename;
pub(crate) mod files;
pub(crate) mod finalize;
mod floor;
#[cfg(test)]
mod frames;
mod gap;
mod intake;
pub(crate) mod journal;
mod journal_state;
mod late;
mod levels;
pub(crate) mod mix;
pub(crate) mod opus;
#[cfg(test)]
pub(crate) mod orders;
mod output;
pub(crate) mod people;
pub(crate) mod picture;
mod replay;
mod scan;
pub(crate) mod sound;
mod source_writer;
mod speaking;
mod stream_clock;
mod track;
mod unavailable;
#[cfg(any(test, fuzzing))]
pub(crate) mod untrusted;
mod video;
mod webm;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use meetbot_types::{
    LeaveReason, Timestamp,
    bot::{BotOrder, Caption, ChatMessage, Participant},
};

pub(crate) use self::counters::Counters;
use self::{
    attribution::Attributions,
    filename::FileNames,
    files::{hash, size_of, size_of_job, write_whole},
    journal::{Line, LineFile},
    levels::Levels,
    people::{People, RosterChange},
    replay::Replay,
    source_writer::{Key, SourceWriter},
    track::Written,
};
use crate::{
    bounds::{self, Allowance, Exceeded},
    meeting::{CaptionLine, ChatLine},
};

/// The reason of a gap while the connection was lost.
const NETWORK_LOSS: &str = "network_loss";
/// The chat's file.
const CHAT: &str = "chat.jsonl";
/// The captions' file.
const CAPTIONS: &str = "captions.jsonl";
/// How much of a media file is read at once.
const READ_AT_ONCE: usize = 64 * 1024;

/// Whether media are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Media are written.
    On,
    /// Media are not written until the recording is resumed.
    Paused {
        /// The start of the pause.
        since_ms: u64,
    },
    /// Media are not written any more.
    Stopped,
}

/// The recording of one attempt, from the bot's admission on.
#[derive(Debug)]
pub(crate) struct Recording {
    folder: PathBuf,
    attempt: u32,
    /// The moment when the recording's clock showed `base_ms`.
    anchor: Instant,
    base_ms: u64,
    /// How much of the media that the meeting replays is recorded; `None` if it replays nothing.
    replay: Option<Replay>,
    journal: LineFile,
    chat: Option<LineFile>,
    captions: Option<LineFile>,
    people: People,
    attributions: Attributions,
    /// How many sources were found with a codec that cannot be recorded.
    unavailable: usize,
    tracks: HashMap<Key, SourceWriter>,
    /// The packets of sound that were written now, until they are noted.
    written: Vec<Written>,
    levels: Levels,
    speech: HashMap<String, (u64, u64)>,
    files: FileNames,
    /// The rate limit of journal, chat and captions,
    lines: Allowance,
    /// and their size in bytes.
    line_bytes: u64,
    /// The size of the job on disk, earlier attempts included,
    job_bytes: u64,
    /// and its limit.
    most_bytes: Option<u64>,
    mode: Mode,
    /// This attempt has written something.
    begun: bool,
    /// The host's permission is pending.
    held: bool,
    paused_ms: u64,
    /// When the connection to the meeting was lost last.
    lost_at_ms: Option<u64>,
    /// When the last frame arrived.
    heard_ms: u64,
    last_pause_end_ms: Option<u64>,
    counters: Counters,
}

impl Recording {
    /// Begins a recording, or continues that of earlier attempts.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn open(
        order: &BotOrder,
        admitted: (Instant, Timestamp),
        counters: Counters,
    ) -> io::Result<Self> {
        Self::open_with_replay(order, admitted, None, counters)
    }

    /// The same for a meeting that replays media. `replayed` is for how long before the admission: the recording begins there, and
    /// media that an earlier attempt has recorded are not written again.
    pub(crate) fn open_with_replay(
        order: &BotOrder,
        admitted: (Instant, Timestamp),
        replayed: Option<Duration>,
        counters: Counters,
    ) -> io::Result<Self> {
        let folder = finalize::carry_forward(order)?;
        let mut journal_state = continued::journal_state(order, &folder)?;
        let line_bytes = [journal::FILE, CHAT, CAPTIONS]
            .into_iter()
            .try_fold(0, |all, name| size_of(&folder.join(name)).map(|bytes| all + bytes))?;
        let job_bytes = size_of_job(&order.folder)?;
        let (admitted, wall) = admitted;
        // Whole milliseconds, not after the first replayed frame.
        let before = replayed.unwrap_or_default().as_micros().div_ceil(1_000);
        let replayed_ms = u64::try_from(before).unwrap_or(0);
        let began = wall - Duration::from_millis(replayed_ms);
        let started_at = journal_state.started_at.unwrap_or(began);
        let since = u64::try_from(wall.millis_since(started_at)).unwrap_or(0);
        // If the wall clock was set back, this attempt must not begin before the end of the last.
        let admitted_ms = since.max(journal_state.last_ms);
        let base_ms = admitted_ms.saturating_sub(replayed_ms);
        let anchor = admitted.checked_sub(Duration::from_millis(admitted_ms - base_ms));
        let anchor = anchor.unwrap_or(admitted);
        let replay =
            replayed.map(|_| Replay::after(order, &journal_state.tracks, &folder)).transpose()?;
        let recorded_ms = replay.as_ref().map_or(0, Replay::end_ms);
        let joined_ms = base_ms.max(recorded_ms).min(admitted_ms);
        let levels = Levels::of(&folder);
        let mut journal = LineFile::append(&folder.join(journal::FILE))?;
        let begins = Line::Started { attempt: order.epoch, at_ms: joined_ms, started_at };
        continued::begin(order, &begins, &mut journal, &mut journal_state)?;
        Ok(Self {
            folder,
            attempt: order.epoch,
            anchor,
            base_ms,
            replay,
            journal,
            chat: None,
            captions: None,
            people: People::after(&journal_state.participants),
            attributions: Attributions::of(&order.link.platform),
            unavailable: 0,
            tracks: HashMap::new(),
            written: Vec::new(),
            levels,
            speech: HashMap::new(),
            // A participant may have the name "mixed".
            files: FileNames::with(
                journal_state.tracks.iter().map(|track| track.file.as_str()).chain([mix::FILE]),
            ),
            lines: Allowance::new(bounds::LINES, anchor),
            line_bytes,
            job_bytes,
            most_bytes: order.most_bytes,
            // A pause or stop also holds for the next bot.
            mode: match journal_state.paused_since {
                _ if journal_state.recording_stopped => Mode::Stopped,
                Some(since_ms) => Mode::Paused { since_ms },
                None => Mode::On,
            },
            begun: false,
            held: false,
            paused_ms: journal_state.pauses.iter().map(|pause| pause.end_ms - pause.start_ms).sum(),
            lost_at_ms: None,
            heard_ms: 0,
            last_pause_end_ms: journal_state.pauses.last().map(|pause| pause.end_ms),
            counters,
        })
    }

    /// A moment on the recording's clock.
    pub(crate) fn at_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.anchor).as_millis();
        self.base_ms + u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// A roster in the order in which [`Self::joined`] must be called.
    pub(crate) fn in_order(&self, roster: Vec<Participant>) -> Vec<Participant> {
        self.people.in_order(roster)
    }

    /// A participant is in the meeting. Returns the change, if any, under the first id.
    pub(crate) fn joined(
        &mut self,
        participant: &Participant,
        at: Instant,
    ) -> io::Result<Option<RosterChange>> {
        let at_ms = self.at_ms(at);
        let change = self.people.join(participant);
        match change.clone() {
            Some(RosterChange::Joined(participant)) => {
                self.journal.push(&Line::ParticipantJoined { at_ms, participant })?;
            }
            Some(
                RosterChange::Renamed { participant, .. } | RosterChange::RoleChanged(participant),
            ) => {
                self.journal.push(&Line::ParticipantChanged { at_ms, participant })?;
            }
            None => {}
        }
        Ok(change)
    }

    /// A participant left. Returns it under the first id.
    pub(crate) fn left(&mut self, id: &str, at: Instant) -> io::Result<Option<Participant>> {
        let at_ms = self.at_ms(at);
        let Some(participant) = self.people.leave(id) else { return Ok(None) };
        for key in Key::all_of(&participant.id) {
            self.settle(&key)?;
            if let Some(track) = self.tracks.get_mut(&key) {
                track.absent = true;
            }
        }
        self.end_speech(&participant.id)?;
        self.journal.push(&Line::ParticipantLeft { at_ms, id: participant.id.clone() })?;
        Ok(Some(participant))
    }

    /// How many people were ever in the meeting.
    pub(crate) fn people_seen(&self) -> usize {
        self.people.len()
    }

    /// Whether the meeting has no participants.
    pub(crate) const fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// The meeting's ids of all present participants.
    pub(crate) fn present(&self) -> Vec<String> {
        self.people.present()
    }

    /// The present participants among these ids of the meeting.
    pub(crate) fn present_of(&self, ids: &[String]) -> Vec<Participant> {
        self.people.present_of(ids)
    }

    /// Writes a line of chat; returns it with its time. `None` while nothing may be recorded: the line is dropped.
    pub(crate) fn chat(&mut self, line: ChatLine, at: Instant) -> io::Result<Option<ChatMessage>> {
        let at_ms = self.at_ms(at).saturating_sub(line.ms_ago);
        if !self.writes() || (line.ms_ago > 0 && self.was_paused(at_ms)) {
            return Ok(None);
        }
        let message = ChatMessage {
            id: line.id,
            sender_id: line.sender_id,
            sender: line.sender,
            text: line.text,
            private: line.private,
            at_ms,
        };
        if self.chat.is_none() {
            self.chat = Some(LineFile::append(&self.folder.join(CHAT))?);
        }
        if let Some(chat) = &mut self.chat {
            chat.push(&message)?;
        }
        Ok(Some(message))
    }

    /// Writes a line of captions, unless nothing may be recorded. Returns whether something may be recorded now.
    pub(crate) fn caption(&mut self, line: CaptionLine, at: Instant) -> io::Result<bool> {
        if !self.writes() {
            return Ok(false);
        }
        let now_ms = self.at_ms(at);
        let start_ms = now_ms.saturating_sub(line.began_ms_ago);
        let end_ms = now_ms.saturating_sub(line.ended_ms_ago);
        let replay = self.replay.as_ref();
        let has = replay.is_some_and(|it| it.has_caption(&line.speaker_id, &line.text, start_ms));
        if has || self.was_paused(start_ms) {
            return Ok(true);
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
        if let Some(captions) = &mut self.captions {
            captions.push(&caption)?;
        }
        Ok(true)
    }

    /// Writes nothing until the host gives permission.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// The host gives permission. Frames that arrived before are not written, also if they are handled later.
    pub(crate) fn permit(&mut self, at: Instant) {
        if std::mem::take(&mut self.held) {
            self.last_pause_end_ms = self.last_pause_end_ms.max(Some(self.at_ms(at)));
        }
    }

    fn writes(&self) -> bool {
        self.mode == Mode::On && !self.held
    }

    /// Whether a moment lies before the end of the last pause.
    fn was_paused(&self, at_ms: u64) -> bool {
        self.last_pause_end_ms.is_some_and(|end| at_ms < end)
    }

    /// Whether media are written, apart from the host's permission.
    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// The total length of finished pauses.
    pub(crate) const fn paused_ms(&self) -> u64 {
        self.paused_ms
    }

    /// Writes nothing from now on.
    pub(crate) fn pause(&mut self, at: Instant) -> io::Result<()> {
        if self.mode != Mode::On {
            return Ok(());
        }
        let at_ms = self.at_ms(at);
        self.mode = Mode::Paused { since_ms: at_ms };
        self.tracks.values_mut().for_each(SourceWriter::interrupt);
        self.journal.push(&Line::Paused { at_ms })?;
        self.flush()
    }

    /// Resumes writing.
    pub(crate) fn resume(&mut self, at: Instant) -> io::Result<()> {
        if !matches!(self.mode, Mode::Paused { .. }) {
            return Ok(());
        }
        self.end_pause(self.at_ms(at))?;
        self.mode = Mode::On;
        self.flush()
    }

    /// Stops the recording; it cannot be resumed.
    pub(crate) fn stop(&mut self, at: Instant) -> io::Result<()> {
        if self.mode == Mode::Stopped {
            return Ok(());
        }
        let at_ms = self.at_ms(at);
        self.end_pause(at_ms)?;
        self.mode = Mode::Stopped;
        self.journal.push(&Line::Stopped { at_ms })?;
        self.flush()
    }

    /// Ends the pause, if there is one.
    fn end_pause(&mut self, at_ms: u64) -> io::Result<()> {
        let Mode::Paused { since_ms } = self.mode else { return Ok(()) };
        self.paused_ms += at_ms - since_ms;
        self.last_pause_end_ms = Some(at_ms);
        self.journal.push(&Line::Resumed { at_ms })
    }

    /// Checks the bounds of journal, chat and captions.
    pub(crate) fn bound_lines(&mut self, now: Instant) -> io::Result<()> {
        let others = [&mut self.chat, &mut self.captions].into_iter().flatten();
        let added = others.map(LineFile::take_added).sum::<u64>() + self.journal.take_added();
        self.line_bytes += added;
        if self.line_bytes > bounds::LINE_BYTES {
            return Err(Exceeded::Lines.into());
        }
        if !self.lines.take(added, now) {
            return Err(Exceeded::LineRate.into());
        }
        Ok(())
    }

    /// Writes all buffers to the files, so that a crash of the process loses nothing of them. It also fails if the job exceeds its bytes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.flush_files()?;
        self.bound_job()
    }

    /// Checks the job's size on disk.
    fn bound_job(&self) -> io::Result<()> {
        match self.most_bytes {
            Some(most) if self.job_bytes > most => Err(Exceeded::JobBytes(most).into()),
            _ => Ok(()),
        }
    }

    fn flush_files(&mut self) -> io::Result<()> {
        self.note_starts()?;
        self.job_bytes += self.journal.flush()?;
        for lines in [&mut self.chat, &mut self.captions].into_iter().flatten() {
            self.job_bytes += lines.flush()?;
        }
        let mut bytes = 0;
        for track in self.tracks.values_mut() {
            bytes += track.flush()?;
        }
        self.count_media(bytes);
        self.job_bytes += self.levels.flush()?;
        Ok(())
    }

    fn count_media(&mut self, bytes: u64) {
        self.job_bytes += bytes;
        self.counters.add(|counters| counters.bytes_written += bytes);
    }

    /// Closes every file; [`finalize`](finalize::finalize) syncs them. Returns the first error, after all files are closed.
    pub(crate) fn close(mut self, at: Instant, reason: Option<LeaveReason>) -> io::Result<()> {
        let at_ms = self.at_ms(at);
        let mut outcome = self.settle_all().and(self.note_starts());
        outcome = outcome.and(self.end_all_speech());
        for (_, track) in self.tracks.drain() {
            outcome = outcome.and(track.close());
        }
        outcome = outcome.and(self.levels.close());
        let left = Line::Left { attempt: self.attempt, at_ms, reason };
        outcome = outcome.and(self.journal.push(&left)).and(self.journal.close());
        for lines in [self.chat, self.captions].into_iter().flatten() {
            outcome = outcome.and(lines.close());
        }
        outcome
    }

    /// Closes the files for the next attempt, without an end of the recording. `handed_over` is when this bot stopped for it; `None` if another attempt took the job.
    pub(crate) fn abandon(mut self, handed_over: Option<Instant>) -> io::Result<()> {
        self.settle_all()?;
        self.end_all_speech()?;
        self.levels.settle();
        if let Some(at) = handed_over {
            let (attempt, at_ms) = (self.attempt, self.at_ms(at));
            self.journal.push(&Line::HandedOver { attempt, at_ms })?;
        }
        self.flush_files()
    }
}
