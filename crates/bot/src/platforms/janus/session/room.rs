//! What happens in the room.

use super::{Act, Session};
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

    /// An answer or event of the room.
    pub(super) fn in_the_room(&mut self, event: RoomEvent, joins: bool) -> Vec<Act> {
        let tell = |event| vec![Act::Tell(event)];
        match event.videoroom.as_deref() {
            Some("joined") => {
                self.own_id = event.id.or(self.own_id.take());
                for person in event.publishers.into_iter().chain(event.attendees) {
                    if !self.is_own(&person.id) {
                        self.roster.see(person);
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
            Some("destroyed") => return tell(MeetingEvent::Ended),
            _ => {}
        }
        if let Some(code) = event.error_code {
            let why = event.error.unwrap_or_default();
            if joins {
                return tell(MeetingEvent::Refused(refusal::by_room(
                    code,
                    &why,
                    self.pin.is_some(),
                )));
            }
            tracing::debug!(code, why, "the room refuses a request");
            return Vec::new();
        }
        let mut news = Vec::new();
        if let Some(reason) = event.reason.filter(|_| event.leaving.is_some()) {
            // It is told so only to whom it happens.
            if reason == "kicked" {
                return tell(MeetingEvent::Removed);
            }
        }
        for person in event.publishers.into_iter().chain(event.joining) {
            if !self.is_own(&person.id) {
                news.extend(self.roster.see(person).map(MeetingEvent::Joined));
            }
        }
        if let (Some(id), Some(name)) = (&event.id, event.display) {
            news.extend(self.roster.rename(id, name).map(MeetingEvent::Joined));
        }
        if let Some(id) = event.unpublished {
            self.roster.fall_silent(&id);
        }
        for id in event.leaving.into_iter().chain(event.kicked) {
            self.talking.remove(&id);
            if self.roster.lose(&id) {
                news.push(MeetingEvent::Left(id.to_string()));
            }
        }
        // Before the bot is in, the roster alone keeps the news.
        if self.admitted { news.into_iter().map(Act::Tell).collect() } else { Vec::new() }
    }
}
