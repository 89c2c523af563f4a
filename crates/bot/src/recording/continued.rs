//! The beginning of an attempt whose earlier attempts may be on the disk of another worker. Then the order has what this attempt must know of them.

use std::{io, path::Path};

use meetbot_types::{
    RecordingState,
    bot::{BegunRecording, BotOrder},
};

use super::{
    journal::{Line, LineFile},
    journal_state::JournalState,
};

/// The state of the recording in this folder. Without the journal of earlier attempts the recording's time continues nevertheless.
pub(super) fn journal_state(order: &BotOrder, folder: &Path) -> io::Result<JournalState> {
    let mut state = JournalState::of(folder)?;
    if let Some(begun) = begun_elsewhere(order, &state) {
        state.started_at = Some(begun.started_at);
    }
    Ok(state)
}

/// Writes the first line of an attempt into the journal, and that the recording is paused or stopped if the earlier journal, which would say so, is missing.
pub(super) fn begin(
    order: &BotOrder,
    begins: &Line,
    journal: &mut LineFile,
    state: &mut JournalState,
) -> io::Result<()> {
    journal.push(begins)?;
    let at_ms = begins.at_ms();
    match begun_elsewhere(order, state).map(|begun| &begun.state) {
        Some(RecordingState::Paused) => {
            state.paused_since = Some(at_ms);
            journal.push(&Line::Paused { at_ms })?;
        }
        Some(RecordingState::Stopped) => {
            state.recording_stopped = true;
            journal.push(&Line::Stopped { at_ms })?;
        }
        _ => {}
    }
    journal.flush().map(drop)
}

fn begun_elsewhere<'a>(order: &'a BotOrder, state: &JournalState) -> Option<&'a BegunRecording> {
    order.begun.as_ref().filter(|_| order.spool.is_some() && state.attempts.is_empty())
}
