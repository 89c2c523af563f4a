//! Chat and captions that arrive while recording is not allowed: they are counted, not reported, until recording resumes.

use meetbot_types::{Permission, Recording, RecordingState};

/// Counts of withheld lines that the timeline has not reported yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Withheld {
    /// Messages of the chat.
    pub(crate) messages: u64,
    /// Captions.
    pub(crate) captions: u64,
}

impl Withheld {
    /// Takes the count, if there is anything in it.
    pub(super) fn take(&mut self) -> Option<Self> {
        let taken = std::mem::take(self);
        (taken != Self::default()).then_some(taken)
    }

    /// More has come.
    pub(super) fn add(&mut self, messages: u64, captions: u64) {
        self.messages = self.messages.saturating_add(messages);
        self.captions = self.captions.saturating_add(captions);
    }
}

/// Whether nothing may be recorded now.
pub(super) fn withholds(recording: &Recording) -> bool {
    use RecordingState::{AwaitingPermission, Paused, Stopped};
    matches!(recording.state, AwaitingPermission | Paused | Stopped)
        || matches!(recording.permission, Permission::Pending | Permission::Denied)
}
