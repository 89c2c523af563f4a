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
    if let Some(begun) = begun_elsewhere(order)
        && state.attempts.is_empty()
    {
        state.started_at = Some(begun.started_at);
    }
    Ok(state)
}

/// Writes the first line of an attempt into the journal, and the lines after which the recording is on, paused or stopped as the server knows it. The earlier journal
/// may be missing, or lack its last seconds, while the server has acknowledged the change to a client.
pub(super) fn begin(
    order: &BotOrder,
    begins: &Line,
    journal: &mut LineFile,
    state: &mut JournalState,
) -> io::Result<()> {
    journal.push(begins)?;
    let at_ms = begins.at_ms();
    let (is_paused, is_stopped) = (state.paused_since.is_some(), state.recording_stopped);
    let lines = match begun_elsewhere(order).map(|begun| &begun.state) {
        // The command of a change that the server does not know comes again.
        Some(RecordingState::On) if is_paused && !is_stopped => vec![Line::Resumed { at_ms }],
        Some(RecordingState::Paused) if !is_paused && !is_stopped => vec![Line::Paused { at_ms }],
        Some(RecordingState::Stopped) if !is_stopped => {
            let resumed = is_paused.then_some(Line::Resumed { at_ms });
            resumed.into_iter().chain([Line::Stopped { at_ms }]).collect()
        }
        _ => Vec::new(),
    };
    for line in lines {
        journal.push(&line)?;
        state.add(line);
    }
    journal.flush().map(drop)
}

fn begun_elsewhere(order: &BotOrder) -> Option<&BegunRecording> {
    order.begun.as_ref().filter(|_| order.spool.is_some())
}
