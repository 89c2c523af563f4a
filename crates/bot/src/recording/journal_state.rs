//! The state of a recording, from its journal. Pure: the bot that wrote the journal and the next one read it in the same way.

use std::{collections::HashMap, io, path::Path};

use meetbot_types::{
    Timestamp,
    manifest::{Gap, ManifestParticipant, Span, UnavailableTrack},
};

use super::{
    journal::{self, Content, Line},
    speaking::Speaking,
};
use crate::bounds;

/// What a journal says about its recording so far.
#[derive(Debug, Default)]
pub(crate) struct JournalState {
    /// When the first bot was admitted: time 0.
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) attempts: Vec<AttemptSpan>,
    pub(crate) participants: Vec<ManifestParticipant>,
    pub(crate) tracks: Vec<BegunTrack>,
    pub(crate) unavailable: Vec<UnavailableTrack>,
    pub(crate) pauses: Vec<Span>,
    /// The recording was stopped for good.
    pub(crate) recording_stopped: bool,
    /// The connection to the meeting was lost before the recording was stopped.
    pub(crate) cut_off: bool,
    /// The time of the last line.
    pub(crate) last_ms: u64,
    /// The start of an unfinished pause.
    pub(crate) paused_since: Option<u64>,
    /// The index in `participants` by id.
    participant_indices: HashMap<String, usize>,
    /// The index in `tracks` by file name.
    track_indices: HashMap<String, usize>,
    /// Spans of speech.
    pub(crate) speaking: Speaking,
}

/// The time of one bot in the call.
#[derive(Debug)]
pub(crate) struct AttemptSpan {
    pub(crate) attempt: u32,
    pub(crate) joined_ms: u64,
    /// `None` if its journal has no `left` line: it crashed, or handed its job over.
    pub(crate) left_ms: Option<u64>,
    /// When it handed its job over to the next bot.
    pub(crate) handed_over_ms: Option<u64>,
    /// How many datagrams the system dropped because the bot's socket was full.
    pub(crate) dropped_datagrams: u64,
}

/// A file that was begun.
#[derive(Debug)]
pub(crate) struct BegunTrack {
    pub(crate) attempt: u32,
    /// The number of the file within its attempt, from 0.
    pub(crate) number: u16,
    pub(crate) start_ms: u64,
    pub(crate) file: String,
    pub(crate) participant_id: String,
    pub(crate) content: Content,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) lost_packets: u64,
}

impl JournalState {
    /// When the attempt after this one was in the call, in ms.
    pub(crate) fn joined_after(&self, attempt: u32) -> Option<u64> {
        let after = self.attempts.iter().filter(|span| span.attempt > attempt);
        after.map(|span| span.joined_ms).min()
    }

    /// Reads the journal of a recording.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let mut state = Self::default();
        journal::read(&folder.join(journal::FILE), |_, line| {
            state.add(line);
            Ok(())
        })?;
        Ok(state)
    }

    /// Reads the lines in their order.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn read(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut state = Self::default();
        lines.into_iter().for_each(|line| state.add(line));
        state
    }

    fn participant(&mut self, id: &str) -> Option<&mut ManifestParticipant> {
        self.participants.get_mut(*self.participant_indices.get(id)?)
    }

    fn span(&mut self, attempt: u32) -> Option<&mut AttemptSpan> {
        self.attempts.iter_mut().find(|span| span.attempt == attempt)
    }

    fn track(&mut self, file: &str) -> Option<&mut BegunTrack> {
        self.tracks.get_mut(*self.track_indices.get(file)?)
    }

    /// Adds the next line.
    pub(super) fn add(&mut self, line: Line) {
        let at = line.at_ms();
        self.last_ms = self.last_ms.max(at);
        match line {
            Line::Started { attempt, started_at, .. } => {
                self.started_at.get_or_insert(started_at);
                // A participant at the time of a crash is still present only if the new roster lists it.
                if let Some(before) =
                    self.attempts.last().and_then(|span| span.left_ms).or(Some(at))
                {
                    for person in &mut self.participants {
                        person.left_at.get_or_insert(before.min(at));
                    }
                }
                self.attempts.push(AttemptSpan {
                    attempt,
                    joined_ms: at,
                    left_ms: None,
                    handed_over_ms: None,
                    dropped_datagrams: 0,
                });
            }
            Line::ParticipantJoined { participant, .. }
            | Line::ParticipantChanged { participant, .. } => {
                if let Some(known) = self.participant(&participant.id) {
                    known.left_at = None;
                    let names = &known.names;
                    if names.len() < bounds::NAMES_OF_ONE && !names.contains(&participant.name) {
                        known.names.push(participant.name.clone());
                    }
                    known.name = participant.name;
                    // A participant may be recognised as a bot only after the join.
                    known.is_bot = participant.is_bot;
                    known.is_host = participant.is_host;
                } else {
                    self.participant_indices
                        .insert(participant.id.clone(), self.participants.len());
                    self.participants.push(ManifestParticipant {
                        id: participant.id,
                        names: vec![participant.name.clone()],
                        name: participant.name,
                        is_bot: participant.is_bot,
                        is_host: participant.is_host,
                        joined_at: at,
                        left_at: None,
                        speaking_ms: 0,
                    });
                }
            }
            Line::ParticipantLeft { id, .. } => {
                if let Some(person) = self.participant(&id) {
                    person.left_at.get_or_insert(at);
                }
            }
            Line::Track { attempt, file, participant_id, content, .. } => {
                self.track_indices.entry(file.clone()).or_insert(self.tracks.len());
                let (gaps, lost_packets) = (Vec::new(), 0);
                let start_ms = at;
                let before = self.tracks.last().filter(|track| track.attempt == attempt);
                let number = before.map_or(0, |before| before.number.saturating_add(1));
                self.tracks.push(BegunTrack {
                    attempt,
                    number,
                    start_ms,
                    file,
                    participant_id,
                    content,
                    gaps,
                    lost_packets,
                });
            }
            Line::TrackStart { file, .. } => {
                if let Some(track) = self.track(&file) {
                    track.start_ms = at;
                }
            }
            Line::TrackUnavailable { participant_id, kind, source, codec, reason, .. } => {
                // Each bot of a job reports it again.
                let is_known = |it: &UnavailableTrack| {
                    (&it.participant_id, &it.source, &it.codec)
                        == (&participant_id, &source, &codec)
                };
                if !self.unavailable.iter().any(is_known) {
                    let (start_ms, missing_because) = (at, reason);
                    self.unavailable.push(UnavailableTrack {
                        participant_id,
                        kind,
                        source,
                        codec,
                        start_ms,
                        missing_because,
                    });
                }
            }
            Line::Gap { file, start_ms, end_ms, reason, lost } => {
                if let Some(track) = self.track(&file) {
                    track.lost_packets = track.lost_packets.saturating_add(lost);
                    match track.gaps.last_mut() {
                        _ if start_ms == end_ms => {}
                        Some(last) if last.end_ms == start_ms && last.reason == reason => {
                            last.end_ms = end_ms;
                        }
                        _ => track.gaps.push(Gap { start_ms, end_ms, reason }),
                    }
                }
            }
            Line::Speaking { id, start_ms, end_ms } => {
                self.speaking.add(&id, start_ms, end_ms);
            }
            Line::Paused { .. } if self.paused_since.is_none() => {
                // A pause that lasts over two attempts is one, also if each has written its part.
                let before = self.pauses.pop_if(|pause| pause.end_ms == at);
                self.paused_since = Some(before.map_or(at, |pause| pause.start_ms));
            }
            Line::Paused { .. } => {}
            Line::Resumed { .. } => self.end_pause(at),
            Line::Stopped { .. } => self.recording_stopped = true,
            Line::ConnectionLost { .. } => self.cut_off |= !self.recording_stopped,
            Line::DatagramsDropped { attempt, lost, .. } => {
                if let Some(span) = self.span(attempt) {
                    span.dropped_datagrams = span.dropped_datagrams.saturating_add(lost);
                }
            }
            Line::HandedOver { attempt, .. } => {
                if let Some(span) = self.span(attempt) {
                    span.handed_over_ms = Some(at);
                }
            }
            Line::Left { attempt, .. } => {
                if let Some(span) = self.span(attempt) {
                    span.left_ms = Some(at);
                }
            }
        }
    }

    fn end_pause(&mut self, at: u64) {
        if let Some(since) = self.paused_since.take().filter(|since| *since < at) {
            self.pauses.push(Span { start_ms: since, end_ms: at });
        }
    }

    /// Sets the total speech of all participants. An unfinished pause ends at `end_ms`.
    pub(crate) fn finish(&mut self, end_ms: u64) {
        self.end_pause(end_ms);
        for person in &mut self.participants {
            person.speaking_ms = self.speaking.total_ms(&person.id);
        }
    }
}

impl Line {
    pub(super) fn at_ms(&self) -> u64 {
        match self {
            Self::Started { at_ms, .. }
            | Self::ParticipantJoined { at_ms, .. }
            | Self::ParticipantChanged { at_ms, .. }
            | Self::ParticipantLeft { at_ms, .. }
            | Self::Track { at_ms, .. }
            | Self::TrackStart { at_ms, .. }
            | Self::TrackUnavailable { at_ms, .. }
            | Self::Paused { at_ms }
            | Self::Resumed { at_ms }
            | Self::Stopped { at_ms }
            | Self::ConnectionLost { at_ms }
            | Self::DatagramsDropped { at_ms, .. }
            | Self::HandedOver { at_ms, .. }
            | Self::Left { at_ms, .. } => *at_ms,
            Self::Gap { end_ms, .. } | Self::Speaking { end_ms, .. } => *end_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::bot::Participant;

    use super::*;

    fn joined(at_ms: u64, id: &str, name: &str) -> Line {
        let participant =
            Participant { id: id.into(), name: name.into(), is_host: false, is_bot: false };
        Line::ParticipantJoined { at_ms, participant }
    }

    fn started(attempt: u32, at_ms: u64) -> Line {
        Line::Started { attempt, at_ms, started_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_same_person_over_two_attempts_is_one_participant() {
        let state = JournalState::read([
            started(1, 0),
            joined(0, "a", "Ann"),
            joined(0, "b", "Bob"),
            started(2, 9000),
            joined(9000, "a", "Ann Lee"),
        ]);
        assert_eq!(state.participants.len(), 2);
        assert_eq!((state.participants[0].left_at, state.participants[0].names.len()), (None, 2));
        assert_eq!(state.participants[1].left_at, Some(9000));
        assert_eq!((state.attempts.len(), state.attempts[0].left_ms), (2, None));
    }

    #[test]
    fn a_participant_who_turns_out_to_be_a_bot_is_one_in_the_manifest() {
        let bot = |at_ms| {
            let Line::ParticipantJoined { participant, .. } = joined(at_ms, "a", "Recorder") else {
                unreachable!("`joined` says so")
            };
            let participant = Participant { is_bot: true, ..participant };
            Line::ParticipantJoined { at_ms, participant }
        };
        let state = JournalState::read([started(1, 0), joined(0, "a", "Recorder"), bot(700)]);
        let [recorder] = state.participants.as_slice() else { panic!("{state:?}") };
        assert_eq!((recorder.is_bot, recorder.joined_at, recorder.names.len()), (true, 0, 1));
    }

    #[test]
    fn speech_and_pauses_add_up() {
        let speaking = |start_ms, end_ms| Line::Speaking { id: "a".into(), start_ms, end_ms };
        let mut state = JournalState::read([
            started(1, 0),
            joined(0, "a", "Ann"),
            speaking(100, 400),
            Line::Paused { at_ms: 500 },
            Line::Resumed { at_ms: 700 },
            speaking(800, 1000),
            Line::Paused { at_ms: 1100 },
        ]);
        state.finish(2000);
        assert_eq!(state.participants[0].speaking_ms, 500);
        assert_eq!(std::mem::take(&mut state.speaking).spans(9).len(), 2);
        let expected = [Span { start_ms: 500, end_ms: 700 }, Span { start_ms: 1100, end_ms: 2000 }];
        assert_eq!(state.pauses, expected);
    }

    #[test]
    fn a_pause_lasts_until_a_resume_also_over_several_bots() {
        let left = |attempt, at_ms| Line::Left { attempt, at_ms, reason: None };
        let lines = [started(1, 0), Line::Paused { at_ms: 500 }, left(1, 900)];
        let mut state = JournalState::read(lines.clone());
        assert_eq!(state.paused_since, Some(500), "the next bot continues the pause");
        state.finish(900);
        assert_eq!(state.pauses, [Span { start_ms: 500, end_ms: 900 }]);

        let next = [started(2, 4000), Line::Resumed { at_ms: 5000 }, left(2, 6000)];
        let mut state = JournalState::read(lines.into_iter().chain(next));
        state.finish(6000);
        assert_eq!(state.pauses, [Span { start_ms: 500, end_ms: 5000 }]);
    }

    #[test]
    fn a_pause_of_which_each_of_two_bots_wrote_its_part_is_one() {
        let (paused, resumed) = (|at_ms| Line::Paused { at_ms }, |at_ms| Line::Resumed { at_ms });
        let mut state = JournalState::read([
            started(1, 0),
            paused(500),
            resumed(900),
            started(2, 900),
            paused(900),
            resumed(1_200),
            paused(1_500),
            resumed(1_500),
        ]);
        state.finish(2_000);
        assert_eq!(state.pauses, [Span { start_ms: 500, end_ms: 1_200 }]);
    }

    #[test]
    fn adjacent_gaps_are_merged() {
        let gap = |start_ms, end_ms| Line::Gap {
            file: "f".into(),
            start_ms,
            end_ms,
            reason: "packet_loss".into(),
            lost: 1,
        };
        let track = Line::Track {
            attempt: 1,
            at_ms: 0,
            file: "f".into(),
            participant_id: "a".into(),
            content: Content::default(),
        };
        let state =
            JournalState::read([started(1, 0), track, gap(20, 40), gap(40, 60), gap(100, 120)]);
        assert_eq!((state.tracks[0].gaps.len(), state.tracks[0].lost_packets), (2, 3));
    }

    #[test]
    fn a_file_begins_at_the_time_of_its_last_line() {
        let track = |at_ms| Line::Track {
            attempt: 1,
            at_ms,
            file: "f".into(),
            participant_id: "a".into(),
            content: Content::default(),
        };
        let moved = |file: &str| Line::TrackStart { at_ms: 500, file: file.into() };
        let state = JournalState::read([started(1, 0), track(900), moved("f"), moved("g")]);
        assert_eq!((state.tracks.len(), state.tracks[0].start_ms), (1, 500));
    }
}
