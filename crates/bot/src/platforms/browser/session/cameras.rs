//! Assigns pictures to participants, and decides from when on they are recorded. Pure.

use std::time::Duration;

use super::{Phase, Session};
use crate::{
    meeting::{Attribution, MeetingEvent, Source},
    platforms::browser::pictures::{Owner, PictureResult},
};

/// How long before the admission pictures are kept, as with audio.
const EARLY_WINDOW: Duration = Duration::from_secs(5);
/// How many bytes of them are kept.
const MOST_EARLY_BYTES: usize = 16 << 20;

impl Session {
    /// Handles pictures of people; pictures of the bot are dropped.
    pub(super) fn shown(&mut self, shown: Vec<(Owner, PictureResult)>) {
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
                        self.emit(MeetingEvent::Joined(who));
                        self.attribute(&id, Source::Camera, Attribution::Unnamed);
                        // Counted as a bot: the bot does not stay in a meeting because of them.
                        self.emit(MeetingEvent::Left(id.clone()));
                    }
                    (id, Source::Camera)
                }
            };
            if self.roster.is_self(&participant) {
                continue;
            }
            if let Some(who) = self.roster.introduce(&participant) {
                self.emit(MeetingEvent::Joined(who));
            }
            self.emit(match shown {
                PictureResult::Frame(frame) => MeetingEvent::Media { participant, source, frame },
                PictureResult::Unavailable { codec, reason } => MeetingEvent::Unavailable {
                    participant,
                    source,
                    codec: codec.to_owned(),
                    reason,
                },
            });
        }
    }

    /// Keeps pictures from before the admission.
    fn keep_shown(&mut self, shown: Vec<(Owner, PictureResult)>) {
        let size = |shown: &PictureResult| match shown {
            PictureResult::Frame(frame) => frame.data.len(),
            PictureResult::Unavailable { .. } => 0,
        };
        self.early_pictures.extend(shown);
        let newest = self.early_pictures.iter().rev().find_map(|(_, shown)| match shown {
            PictureResult::Frame(frame) => Some(frame.arrived),
            PictureResult::Unavailable { .. } => None,
        });
        let mut bytes: usize = self.early_pictures.iter().map(|(_, shown)| size(shown)).sum();
        self.early_pictures.retain(|(_, shown)| {
            let PictureResult::Frame(frame) = shown else { return true };
            let is_kept = bytes <= MOST_EARLY_BYTES
                && newest.is_none_or(|it| it <= frame.arrived + EARLY_WINDOW);
            if !is_kept {
                bytes -= size(shown);
            }
            is_kept
        });
    }
}
