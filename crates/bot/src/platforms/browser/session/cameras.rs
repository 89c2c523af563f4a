//! Whose cameras and shared screens are recorded, and from when on. Pure.

use std::time::Duration;

use super::{Phase, Session};
use crate::{
    meeting::{MeetingEvent, Source},
    platforms::browser::pictures::{Owner, Seen},
};

/// What came so long before the bot saw that it is in is recorded, as of voices.
const EARLY: Duration = Duration::from_secs(5);
/// So many bytes of that are kept.
const MOST_EARLY_BYTES: usize = 16 << 20;

impl Session {
    /// Pictures of people, none of the bot's own.
    pub(super) fn shown(&mut self, shown: Vec<(Owner, Seen)>) {
        if self.phase == Phase::Outside {
            return self.keep_shown(shown);
        }
        if self.phase != Phase::Inside {
            return;
        }
        for (owner, shown) in shown {
            let (participant, source) = match owner {
                Owner::Device(device) => match self.roster.parent(&device) {
                    Some(person) => (person.to_owned(), Source::Screen),
                    None => (device, Source::Camera),
                },
                Owner::Nobody { lane } => {
                    let id = format!("camera-{lane}");
                    let who = self.roster.introduce_as(&id, format!("Unknown camera {lane}"));
                    if let Some(who) = who {
                        self.tell(MeetingEvent::Joined(who));
                        // Nobody stays in a meeting because of them.
                        self.tell(MeetingEvent::Left(id.clone()));
                    }
                    (id, Source::Camera)
                }
            };
            if self.roster.is_self(&participant) {
                continue;
            }
            if let Some(who) = self.roster.introduce(&participant) {
                self.tell(MeetingEvent::Joined(who));
            }
            self.tell(match shown {
                Seen::Frame(frame) => MeetingEvent::Media { participant, source, frame },
                Seen::Unavailable { codec, reason } => MeetingEvent::Unavailable {
                    participant,
                    source,
                    codec: codec.to_owned(),
                    reason,
                },
            });
        }
    }

    /// Keeps what comes before the bot has seen that it is in.
    fn keep_shown(&mut self, shown: Vec<(Owner, Seen)>) {
        let size = |shown: &Seen| match shown {
            Seen::Frame(frame) => frame.data.len(),
            Seen::Unavailable { .. } => 0,
        };
        self.early_pictures.extend(shown);
        let newest = self.early_pictures.iter().rev().find_map(|(_, shown)| match shown {
            Seen::Frame(frame) => Some(frame.arrived),
            Seen::Unavailable { .. } => None,
        });
        let mut bytes: usize = self.early_pictures.iter().map(|(_, shown)| size(shown)).sum();
        self.early_pictures.retain(|(_, shown)| {
            let Seen::Frame(frame) = shown else { return true };
            let is_kept =
                bytes <= MOST_EARLY_BYTES && newest.is_none_or(|it| it <= frame.arrived + EARLY);
            if !is_kept {
                bytes -= size(shown);
            }
            is_kept
        });
    }
}
