//! What is written to disk while a bot is in a meeting: packets as they come, nothing decoded, nothing that a crash could take back.

pub(crate) mod clock;
pub(crate) mod failure;
mod filename;
pub(crate) mod files;
pub(crate) mod finalize;
mod floor;
mod gap;
mod intake;
pub(crate) mod journal;
pub(crate) mod mix;
pub(crate) mod opus;
#[cfg(test)]
mod orders;
mod output;
pub(crate) mod people;
pub(crate) mod picture;
mod replay;
mod scan;
pub(crate) mod sound;
mod speaking;
mod story;
mod stream_clock;
mod track;
mod unavailable;
#[cfg(any(test, fuzzing))]
pub(crate) mod untrusted;
mod video;
mod webm;
mod writing;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use meetbot_types::{
    LeaveReason, Timestamp,
    bot::{BotOrder, Caption, ChatMessage, MediaCounters, Participant},
};

use self::{
    filename::FileNames,
    files::{hash, size_of, size_of_job, write_whole},
    journal::{Line, LineFile},
    people::{News, People},
    replay::Replay,
    story::Story,
    writing::{Key, Writing},
};
use crate::{
    bounds::{self, Allowance, Exceeded},
    meeting::{CaptionLine, ChatLine},
};

/// The reason of a gap while the bot was cut off from the meeting.
const NETWORK_LOSS: &str = "network_loss";
/// The chat's file.
const CHAT: &str = "chat.jsonl";
/// The captions' file.
const CAPTIONS: &str = "captions.jsonl";
/// How much of a media file is in memory at once.
const READ_AT_ONCE: usize = 64 * 1024;

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

/// Whether what comes is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is.
    On,
    /// Not now.
    Paused {
        /// From when on.
        since_ms: u64,
    },
    /// Never again.
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
    /// What the meeting sends again is recorded so far; `None` where it sends nothing again.
    replay: Option<Replay>,
    journal: LineFile,
    chat: Option<LineFile>,
    captions: Option<LineFile>,
    people: People,
    /// How many codecs of people's sources were found that cannot be recorded.
    unavailable: usize,
    tracks: HashMap<Key, Writing>,
    speech: HashMap<String, (u64, u64)>,
    files: FileNames,
    /// How much may still be added to journal, chat and captions,
    lines: Allowance,
    /// and how many bytes they have.
    line_bytes: u64,
    /// How many bytes the job has on disk, those of the attempts before included,
    job_bytes: u64,
    /// and how many it may have.
    most_bytes: Option<u64>,
    mode: Mode,
    /// This attempt has written something.
    begun: bool,
    /// The host has not permitted it yet.
    held: bool,
    paused_ms: u64,
    /// When the way to the meeting was lost last.
    lost_at_ms: Option<u64>,
    /// When the last frame came.
    heard_ms: u64,
    last_pause_end_ms: Option<u64>,
    counters: Counters,
}

impl Recording {
    /// Begins, or goes on with what the attempts before left on disk.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn open(
        order: &BotOrder,
        admitted: (Instant, Timestamp),
        counters: Counters,
    ) -> io::Result<Self> {
        Self::open_with_replay(order, admitted, None, counters)
    }

    /// The same. `replayed` is for how long before the admission a meeting sends what was said, where it sends something again: the recording begins there, and
    /// what an attempt before has recorded of it is not written again.
    pub(crate) fn open_with_replay(
        order: &BotOrder,
        admitted: (Instant, Timestamp),
        replayed: Option<Duration>,
        counters: Counters,
    ) -> io::Result<Self> {
        let folder = finalize::carry_forward(order)?;
        let story = Story::of(&folder)?;
        let line_bytes = [journal::FILE, CHAT, CAPTIONS]
            .into_iter()
            .try_fold(0, |all, name| size_of(&folder.join(name)).map(|bytes| all + bytes))?;
        let job_bytes = size_of_job(&order.folder)?;
        let (admitted, wall) = admitted;
        // Whole milliseconds, no later than the first that is sent.
        let before = replayed.unwrap_or_default().as_micros().div_ceil(1_000);
        let replayed_ms = u64::try_from(before).unwrap_or(0);
        let began = wall - Duration::from_millis(replayed_ms);
        let started_at = story.started_at.unwrap_or(began);
        let since = u64::try_from(wall.millis_since(started_at)).unwrap_or(0);
        // A wall clock that was set back must not put this attempt before the end of the last.
        let admitted_ms = since.max(story.last_ms);
        let base_ms = admitted_ms.saturating_sub(replayed_ms);
        let anchor = admitted.checked_sub(Duration::from_millis(admitted_ms - base_ms));
        let anchor = anchor.unwrap_or(admitted);
        let replay = replayed.map(|_| Replay::after(order, &story.tracks, &folder)).transpose()?;
        let recorded_ms = replay.as_ref().map_or(0, Replay::end_ms);
        let joined_ms = base_ms.max(recorded_ms).min(admitted_ms);
        let mut journal = LineFile::append(&folder.join(journal::FILE))?;
        journal.push(&Line::Started { attempt: order.epoch, at_ms: joined_ms, started_at })?;
        journal.flush()?;
        Ok(Self {
            folder,
            attempt: order.epoch,
            anchor,
            base_ms,
            replay,
            journal,
            chat: None,
            captions: None,
            people: People::after(&story.participants),
            unavailable: 0,
            tracks: HashMap::new(),
            speech: HashMap::new(),
            // Someone may be called "mixed".
            files: FileNames::with(
                story.tracks.iter().map(|track| track.file.as_str()).chain([mix::FILE]),
            ),
            lines: Allowance::new(bounds::LINES, anchor),
            line_bytes,
            job_bytes,
            most_bytes: order.most_bytes,
            // What was paused or stopped stays so, whichever bot goes on.
            mode: match story.paused_since {
                _ if story.stopped => Mode::Stopped,
                Some(since_ms) => Mode::Paused { since_ms },
                None => Mode::On,
            },
            begun: false,
            held: false,
            paused_ms: story.pauses.iter().map(|pause| pause.end_ms - pause.start_ms).sum(),
            lost_at_ms: None,
            heard_ms: 0,
            last_pause_end_ms: story.pauses.last().map(|pause| pause.end_ms),
            counters,
        })
    }

    /// A moment on the recording's clock.
    pub(crate) fn at_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.anchor).as_millis();
        self.base_ms + u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// A roster in the order in which its people are to join.
    pub(crate) fn in_order(&self, roster: Vec<Participant>) -> Vec<Participant> {
        self.people.in_order(roster)
    }

    /// Someone is there. Answers what is news about them, as the recording knows them.
    pub(crate) fn joined(
        &mut self,
        participant: &Participant,
        at: Instant,
    ) -> io::Result<Option<News>> {
        let at_ms = self.at_ms(at);
        let news = self.people.join(participant);
        match news.clone() {
            Some(News::Came(participant)) => {
                self.journal.push(&Line::ParticipantJoined { at_ms, participant })?;
            }
            Some(News::Renamed { participant, .. } | News::OtherRole(participant)) => {
                self.journal.push(&Line::ParticipantChanged { at_ms, participant })?;
            }
            None => {}
        }
        Ok(news)
    }

    /// Someone is not. Answers who.
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

    /// How many people were ever there.
    pub(crate) fn people_seen(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody is there.
    pub(crate) const fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// The meeting's ids of all who are there.
    pub(crate) fn present(&self) -> Vec<String> {
        self.people.present()
    }

    /// Who is there of those with these ids of the meeting's.
    pub(crate) fn present_of(&self, ids: &[String]) -> Vec<Participant> {
        self.people.present_of(ids)
    }

    /// A line of chat; answers it with its time. `None` while nothing may be recorded: then it is kept nowhere.
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

    /// A line of captions: what is said while nothing is recorded is in no file. Answers whether something may be recorded now.
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

    /// The way to the meeting is lost: the gap that follows has a reason, and the recording is not whole, also when nothing follows.
    pub(crate) fn connection_lost(&mut self, at: Instant) -> io::Result<()> {
        let at_ms = self.at_ms(at);
        self.settle_all()?;
        self.tracks.values_mut().for_each(Writing::lose_way);
        // A try to join again that fails is the same loss.
        if self.lost_at_ms.is_none_or(|before| before < self.heard_ms) {
            self.lost_at_ms = Some(at_ms);
            self.journal.push(&Line::ConnectionLost { at_ms })?;
        }
        Ok(())
    }

    /// Writes nothing until the host permits it.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// The host permits it. What arrived before may be handled only after it, and is not written.
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

    /// Whether what comes is written, once the host permits it.
    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// How long the pauses that are over were in all.
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
        self.tracks.values_mut().for_each(Writing::interrupt);
        self.journal.push(&Line::Paused { at_ms })?;
        self.flush()
    }

    /// Goes on.
    pub(crate) fn resume(&mut self, at: Instant) -> io::Result<()> {
        if !matches!(self.mode, Mode::Paused { .. }) {
            return Ok(());
        }
        self.end_pause(self.at_ms(at))?;
        self.mode = Mode::On;
        self.flush()
    }

    /// Stops for good.
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

    /// The pause is over, if there is one.
    fn end_pause(&mut self, at_ms: u64) -> io::Result<()> {
        let Mode::Paused { since_ms } = self.mode else { return Ok(()) };
        self.paused_ms += at_ms - since_ms;
        self.last_pause_end_ms = Some(at_ms);
        self.journal.push(&Line::Resumed { at_ms })
    }

    /// Whether there is still room for what is added to journal, chat and captions.
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

    /// Hands all that was taken to the system: from here on a dead process loses nothing of it. An error also where the job has more on disk by now
    /// than it may have.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.hand_over()?;
        self.bound_job()
    }

    /// Whether the job has no more on disk than it may have.
    fn bound_job(&self) -> io::Result<()> {
        match self.most_bytes {
            Some(most) if self.job_bytes > most => Err(Exceeded::JobBytes(most).into()),
            _ => Ok(()),
        }
    }

    fn hand_over(&mut self) -> io::Result<()> {
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
        Ok(())
    }

    fn count_media(&mut self, bytes: u64) {
        self.job_bytes += bytes;
        self.counters.add(|counters| counters.bytes_written += bytes);
    }

    /// Ends every file and hands it to the system, which [`finalize`](finalize::finalize) lets write it to disk. Errors leave the others whole; the first is
    /// answered.
    pub(crate) fn close(mut self, at: Instant, reason: Option<LeaveReason>) -> io::Result<()> {
        let at_ms = self.at_ms(at);
        let mut outcome = self.settle_all().and(self.note_starts());
        outcome = outcome.and(self.end_all_speech());
        for (_, track) in self.tracks.drain() {
            outcome = outcome.and(track.close());
        }
        let left = Line::Left { attempt: self.attempt, at_ms, reason };
        outcome = outcome.and(self.journal.push(&left)).and(self.journal.close());
        for lines in [self.chat, self.captions].into_iter().flatten() {
            outcome = outcome.and(lines.close());
        }
        outcome
    }

    /// Leaves the files as a crash would, but whole: the next attempt goes on. `handed_over` is when the job was given to it, and `None` when it was taken away.
    pub(crate) fn abandon(mut self, handed_over: Option<Instant>) -> io::Result<()> {
        self.settle_all()?;
        self.end_all_speech()?;
        if let Some(at) = handed_over {
            let (attempt, at_ms) = (self.attempt, self.at_ms(at));
            self.journal.push(&Line::HandedOver { attempt, at_ms })?;
        }
        self.hand_over()
    }
}
