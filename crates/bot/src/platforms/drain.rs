//! Drains the last media of a meeting that has ended. Signalling and media use different connections: when a delayed bot reads the end, its sockets may
//! still hold media.

use std::time::Duration;

use meetbot_rtc::{Event, Peer};

use crate::meeting::MeetingEvent;

/// The meeting is drained after this time without an event,
const QUIET: Duration = Duration::from_millis(40);
/// or after this many events: a minute of one audio track, or ten seconds of six.
const MOST: usize = 3_000;

/// The event that ended the meeting, and how many events are still read before it.
pub(super) struct Drain {
    end: MeetingEvent,
    left: usize,
}

impl Drain {
    pub(super) const fn new(end: MeetingEvent) -> Self {
        Self { end, left: MOST }
    }

    /// Whether an event ends a meeting for those who were in it.
    pub(super) const fn is_end(event: &MeetingEvent) -> bool {
        matches!(event, MeetingEvent::Ended | MeetingEvent::Removed)
    }

    /// The next of the last events; `None` after the last one. Cancel-safe.
    pub(super) async fn next(&mut self, peer: &mut Peer) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        tokio::time::timeout(QUIET, peer.next()).await.ok()?.ok()
    }

    /// The event that ended the meeting.
    pub(super) fn into_end(self) -> MeetingEvent {
        self.end
    }
}
