//! Events of the room.

use super::{Action, Session};
use crate::{
    meeting::MeetingEvent,
    platforms::janus::{
        message::{Id, RoomEvent},
        refusal,
    },
};

impl Session {
    fn is_own(&self, id: &Id) -> bool {
        self.own_id.as_ref() == Some(id) || self.former_ids.contains(&id.to_string())
    }

    /// Handles an answer or event of the room.
    pub(super) fn on_room_event(&mut self, event: RoomEvent, joins: bool) -> Vec<Action> {
        let emit = |event| vec![Action::Emit(event)];
        match event.videoroom.as_deref() {
            Some("joined") => {
                self.own_id = event.id.or(self.own_id.take());
                for person in event.publishers.into_iter().chain(event.attendees) {
                    if !self.is_own(&person.id) {
                        self.roster.update(person);
                    }
                }
                return Vec::new();
            }
            Some(word @ ("talking" | "stopped-talking")) => {
                if let Some(id) = event.id.filter(|id| self.roster.has(id)) {
                    self.talking.insert(id, word == "talking");
                }
                return Vec::new();
            }
            Some("destroyed") => return emit(MeetingEvent::Ended),
            _ => {}
        }
        if let Some(code) = event.error_code {
            let why = event.error.unwrap_or_default();
            if joins {
                return emit(MeetingEvent::Refused(refusal::by_room(
                    code,
                    &why,
                    self.pin.is_some(),
                )));
            }
            tracing::debug!(code, why, "the room refuses a request");
            return Vec::new();
        }
        let mut changes = Vec::new();
        if let Some(reason) = event.reason.filter(|_| event.leaving.is_some()) {
            // Janus sends this only to the person who is removed.
            if reason == "kicked" {
                return emit(MeetingEvent::Removed);
            }
        }
        for person in event.publishers.into_iter().chain(event.joining) {
            if !self.is_own(&person.id) {
                changes.extend(self.roster.update(person).map(MeetingEvent::Joined));
            }
        }
        if let (Some(id), Some(name)) = (&event.id, event.display) {
            changes.extend(self.roster.rename(id, name).map(MeetingEvent::Joined));
        }
        if let Some(id) = event.unpublished {
            self.roster.unpublish(&id);
        }
        for id in event.leaving.into_iter().chain(event.kicked) {
            self.talking.remove(&id);
            if self.roster.remove(&id) {
                changes.push(MeetingEvent::Left(id.to_string()));
            }
        }
        // Before the bot is admitted, changes only update the roster.
        if self.admitted { changes.into_iter().map(Action::Emit).collect() } else { Vec::new() }
    }
}
