//! Assigns audio frames and captions to participants, and decides from when on they are reported. Pure.

use std::time::{Duration, Instant};

use meetbot_types::bot::Participant;

use super::{Phase, Session, captions::Spoken};
use crate::{
    clock::ms_between,
    media::Frame,
    meeting::{Attribution, CaptionLine, MeetingEvent, Source},
    platforms::browser::{lanes::Speaker, products::google_meet::captions::Version},
};

/// How long before the admission audio is kept: the page shows the admission later than the media begin.
const EARLY_WINDOW: Duration = Duration::from_secs(5);
/// How many of these packets are kept: those of three lanes.
const MOST_EARLY: usize = 750;

impl Session {
    /// Handles audio of people; audio of the bot is dropped.
    pub(super) fn media(&mut self, frames: Vec<(Speaker, Frame)>) {
        if self.phase == Phase::Outside {
            return self.keep(frames);
        }
        if self.phase != Phase::Inside {
            return;
        }
        for (speaker, frame) in frames {
            let mut source = Source::Microphone;
            let speaker = match speaker {
                Speaker::Device(device) if let Some(person) = self.roster.parent(&device) => {
                    source = Source::Screen;
                    Speaker::Device(person.to_owned())
                }
                speaker => speaker,
            };
            let mut attribution = if self.uncaptured.encoded_again.contains(&frame.track) {
                Attribution::Played
            } else {
                Attribution::Source
            };
            let (participant, introduced) = match speaker {
                Speaker::Device(device) if self.roster.is_self(&device) => continue,
                Speaker::Device(device) => {
                    let introduced = self.roster.introduce(&device);
                    (device, introduced.map(|who| (who, true)))
                }
                Speaker::Source { source: number, turn } => {
                    attribution = Attribution::Unnamed;
                    let (id, name) = unknown_speaker(number, turn);
                    let introduced = self.roster.introduce_as(&id, name);
                    (id, introduced.map(|who| (who, false)))
                }
                Speaker::Several => {
                    attribution = Attribution::Mix;
                    let (id, introduced) = self.several();
                    (id, introduced.map(|who| (who, false)))
                }
            };
            let is_absent = introduced.as_ref().is_some_and(|(_, is_there)| !is_there);
            if let Some((who, _)) = introduced {
                self.emit(MeetingEvent::Joined(who));
            }
            self.attribute(&participant, source, attribution);
            if is_absent {
                // Counted as a bot: the bot does not stay in a meeting because of them.
                self.emit(MeetingEvent::Left(participant.clone()));
            }
            self.emit(MeetingEvent::Media { participant, source, frame });
        }
    }

    /// The participant for audio of several people at once, to be introduced if it was not yet.
    pub(super) fn several(&mut self) -> (String, Option<Participant>) {
        let id = "several".to_owned();
        let introduced = self.roster.introduce_as(&id, "Several speakers".to_owned());
        (id, introduced)
    }

    /// Reports how it is known whose media these are, if it is not as before.
    pub(super) fn attribute(&mut self, id: &str, source: Source, attribution: Attribution) {
        if self.attributions.get(id, source) != attribution {
            self.attributions.set(id.to_owned(), source, attribution);
            let participant = id.to_owned();
            self.emit(MeetingEvent::Attributed { participant, source, attribution });
        }
    }

    /// Handles versions of lines of captions. Lines from before the admission are reported after it.
    pub(super) fn captioned(&mut self, versions: Vec<Version>, now: Instant) {
        if matches!(self.phase, Phase::Outside | Phase::Inside) {
            for version in versions {
                let spoken = self.captions.take(version, now);
                self.spoken(spoken.into_iter().collect(), now);
            }
        }
    }

    /// Reports complete lines of captions of people.
    pub(super) fn spoken(&mut self, spoken: Vec<Spoken>, now: Instant) {
        if self.phase != Phase::Inside {
            return;
        }
        for Spoken { device, began, ended, text } in spoken {
            let device = self.roster.parent(&device).map(ToOwned::to_owned).unwrap_or(device);
            if self.roster.is_self(&device) {
                continue;
            }
            if let Some(who) = self.roster.introduce(&device) {
                self.emit(MeetingEvent::Joined(who));
            }
            self.emit(MeetingEvent::Caption(CaptionLine {
                speaker: self.roster.name(&device),
                speaker_id: device,
                began_ms_ago: ms_between(began, now),
                ended_ms_ago: ms_between(ended, now),
                text,
            }));
        }
    }

    /// Keeps frames from before the admission.
    fn keep(&mut self, frames: Vec<(Speaker, Frame)>) {
        self.early.extend(frames);
        let Some(newest) = self.early.back().map(|(_, frame)| frame.arrived) else { return };
        let is_old = |(_, oldest): &(Speaker, Frame)| newest > oldest.arrived + EARLY_WINDOW;
        while self.early.len() > MOST_EARLY || self.early.front().is_some_and(is_old) {
            self.early.pop_front();
        }
    }

    /// Reports the names of speakers that were recorded as unknown, once they are known.
    pub(super) fn name_the_unknown(&mut self) {
        if self.phase == Phase::Inside {
            for participant in self.roster.named() {
                let id = participant.id.clone();
                self.emit(MeetingEvent::Joined(participant));
                self.emit(MeetingEvent::Left(id));
            }
        }
    }
}

/// The id and the name of the unknown speaker of a source.
pub(super) fn unknown_speaker(source: u32, turn: u32) -> (String, String) {
    let number = if turn == 0 { source.to_string() } else { format!("{source}-{}", turn + 1) };
    (format!("source-{number}"), format!("Unknown speaker {number}"))
}
