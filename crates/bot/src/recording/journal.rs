//! `events.jsonl`: what happened, a line each, written as it happens. The manifest is made of it, for living and for dead attempts alike.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::Path,
};

use meetbot_types::{
    LeaveReason, Timestamp,
    bot::{MediaKind, Participant},
};
use serde::{Deserialize, Serialize};

use super::output::Output;

/// The file's name.
pub(crate) const FILE: &str = "events.jsonl";

/// One line. Times are in ms from the recording's `startedAt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(crate) enum Line {
    /// A bot is in the call.
    Started { attempt: u32, at_ms: u64, started_at: Timestamp },
    /// Someone is there.
    ParticipantJoined { at_ms: u64, participant: Participant },
    /// Someone is not.
    ParticipantLeft { at_ms: u64, id: String },
    /// A file begins.
    Track {
        attempt: u32,
        at_ms: u64,
        file: String,
        participant_id: String,
        #[serde(flatten, default)]
        content: Content,
    },
    /// A file begins at another time than its line says: its first packet had been held up.
    TrackStart { at_ms: u64, file: String },
    /// Nothing was received for a file.
    Gap { file: String, start_ms: u64, end_ms: u64, reason: String, lost: u64 },
    /// Someone spoke.
    Speaking { id: String, start_ms: u64, end_ms: u64 },
    /// The recording is paused.
    Paused { at_ms: u64 },
    /// And goes on.
    Resumed { at_ms: u64 },
    /// Stopped for good.
    Stopped { at_ms: u64 },
    /// The way to the meeting is lost.
    ConnectionLost { at_ms: u64 },
    /// The bot gave its job to the next server's, and left its files whole.
    HandedOver { attempt: u32, at_ms: u64 },
    /// The bot left.
    Left { attempt: u32, at_ms: u64, reason: Option<LeaveReason> },
}

/// What is in a media file. Journals of the first version held voices only, and did not say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Content {
    pub(crate) kind: MediaKind,
    /// `microphone`, `camera` or `screen`.
    pub(crate) source: String,
    pub(crate) codec: String,
    /// By how many degrees clockwise pictures are to be turned for showing; 0 in journals that say nothing of it.
    pub(crate) rotation: u16,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            kind: MediaKind::Audio,
            source: "microphone".to_owned(),
            codec: "opus".to_owned(),
            rotation: 0,
        }
    }
}

/// A file of lines that is being written.
#[derive(Debug)]
pub(crate) struct LineFile {
    output: Output,
    /// Bytes that were added since [`LineFile::take_added`].
    added: u64,
}

impl LineFile {
    /// Opens the file behind what is in it.
    pub(crate) fn append(path: &Path) -> io::Result<Self> {
        Ok(Self { output: Output::append(path)?, added: 0 })
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, line: &impl Serialize) -> io::Result<()> {
        let before = self.output.buffer.len();
        serde_json::to_writer(&mut self.output.buffer, line)?;
        self.output.buffer.push(b'\n');
        self.added += (self.output.buffer.len() - before) as u64;
        Ok(())
    }

    /// How many bytes were added since the last call.
    pub(crate) const fn take_added(&mut self) -> u64 {
        std::mem::replace(&mut self.added, 0)
    }

    /// Hands the lines to the system; answers how many bytes.
    pub(crate) fn flush(&mut self) -> io::Result<u64> {
        self.output.flush()
    }

    /// Ends the file.
    pub(crate) fn close(self) -> io::Result<()> {
        self.output.close()
    }
}

/// Calls `each` with the whole lines of a file, one after the other, and their texts; a torn last one and what cannot be read is left out.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(
    path: &Path,
    mut each: impl FnMut(&str, T) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if file.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches(['\n', '\r']);
        if let Ok(read) = serde_json::from_str(line) {
            each(line, read)?;
        }
    }
}

/// The journal of a recording.
#[cfg(test)]
pub(crate) fn lines(folder: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    let all = read(&folder.join(FILE), |_, line| {
        lines.push(line);
        Ok(())
    });
    all.unwrap();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let lines = [Line::Paused { at_ms: 1 }, Line::Resumed { at_ms: 2 }];
        let mut file = LineFile::append(&path).unwrap();
        for line in &lines {
            file.push(line).unwrap();
        }
        file.close().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let read = super::lines(folder.path());
            assert!(lines.starts_with(&read), "cut at {cut}: {read:?}");
        }
        assert!(super::lines(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn a_track_of_the_first_version_is_a_voice() {
        let line =
            r#"{"type":"track","attempt":1,"atMs":5,"file":"audio.A.webm","participantId":"a"}"#;
        let Line::Track { content, .. } = serde_json::from_str(line).unwrap() else { panic!() };
        assert_eq!(content, Content::default());
    }
}
