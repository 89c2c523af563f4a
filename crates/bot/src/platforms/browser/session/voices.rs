//! Whose sound is told under whose name, and from when on. Pure.

use std::time::Duration;

use super::{Phase, Session};
use crate::{
    media::Frame,
    meeting::{MeetingEvent, Source},
    platforms::browser::lanes::Speaker,
};

/// What came so long before the bot saw that it is in is recorded: its page shows it later than the meeting sends.
const EARLY: Duration = Duration::from_secs(5);
/// So many packets of that are kept: those of three lanes.
const MOST_EARLY: usize = 750;

impl Session {
    /// Sound of people, none of the bot's own.
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
            let (participant, introduced) = match speaker {
                Speaker::Device(device) if self.roster.is_self(&device) => continue,
                Speaker::Device(device) => {
                    let introduced = self.roster.introduce(&device);
                    (device, introduced.map(|who| (who, true)))
                }
                Speaker::Source { source: number, turn } => {
                    let (id, name) = nobody(number, turn);
                    let introduced = self.roster.introduce_as(&id, name);
                    (id, introduced.map(|who| (who, false)))
                }
                Speaker::Several => {
                    let id = "several".to_owned();
                    let introduced = self.roster.introduce_as(&id, "Several speakers".to_owned());
                    (id, introduced.map(|who| (who, false)))
                }
            };
            if let Some((who, is_there)) = introduced {
                self.tell(MeetingEvent::Joined(who));
                if !is_there {
                    // Nobody stays in a meeting because of them.
                    self.tell(MeetingEvent::Left(participant.clone()));
                }
            }
            self.tell(MeetingEvent::Media { participant, source, frame });
        }
    }

    /// Keeps what comes before the bot has seen that it is in.
    fn keep(&mut self, frames: Vec<(Speaker, Frame)>) {
        self.early.extend(frames);
        let Some(newest) = self.early.back().map(|(_, frame)| frame.arrived) else { return };
        let is_old = |(_, oldest): &(Speaker, Frame)| newest > oldest.arrived + EARLY;
        while self.early.len() > MOST_EARLY || self.early.front().is_some_and(is_old) {
            self.early.pop_front();
        }
    }

    /// Says who those were that were written as somebody unknown, as far as it is known by now.
    pub(super) fn name_the_unknown(&mut self) {
        if self.phase == Phase::Inside {
            for participant in self.roster.named() {
                let id = participant.id.clone();
                self.tell(MeetingEvent::Joined(participant));
                self.tell(MeetingEvent::Left(id));
            }
        }
    }
}

/// The id and the name of who speaks by a source that is nobody's yet.
pub(super) fn nobody(source: u32, turn: u32) -> (String, String) {
    let number = if turn == 0 { source.to_string() } else { format!("{source}-{}", turn + 1) };
    (format!("source-{number}"), format!("Unknown speaker {number}"))
}
