//! A meeting that has ended: the bot hears of it on one way and has the last media on another. One that was held up has them in its sockets, and
//! takes them first.

use std::time::Duration;

use meetbot_rtc::{Event, Peer};

use crate::meeting::MeetingEvent;

/// Nothing more comes once nothing has come for this long,
const QUIET: Duration = Duration::from_millis(40);
/// or so much has: a minute of one voice, or ten seconds of six.
const MOST: usize = 3_000;

/// How the meeting has ended, and how much of it is still taken.
pub(super) struct Over {
    end: MeetingEvent,
    left: usize,
}

impl Over {
    pub(super) const fn new(end: MeetingEvent) -> Self {
        Self { end, left: MOST }
    }

    /// Whether an event ends a meeting for those who were in it.
    pub(super) const fn is(event: &MeetingEvent) -> bool {
        matches!(event, MeetingEvent::Ended | MeetingEvent::Removed)
    }

    /// What came last; `None` when that was all. Dropping the call loses nothing.
    pub(super) async fn last(&mut self, peer: &mut Peer) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        tokio::time::timeout(QUIET, peer.next()).await.ok()?.ok()
    }

    /// The end.
    pub(super) fn end(self) -> MeetingEvent {
        self.end
    }
}
