//! `events.jsonl`: what happened, a line each, written as it happens. The manifest is made of it, for living and for dead attempts alike.

use std::{io, path::Path};

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
}

impl Default for Content {
    fn default() -> Self {
        Self { kind: MediaKind::Audio, source: "microphone".to_owned(), codec: "opus".to_owned() }
    }
}

/// A file of lines that is being written.
#[derive(Debug)]
pub(crate) struct LineFile(Output);

impl LineFile {
    /// Opens the file behind what is in it.
    pub(crate) fn append(path: &Path) -> io::Result<Self> {
        Output::append(path).map(Self)
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.0.buffer, line)?;
        self.0.buffer.push(b'\n');
        Ok(())
    }

    /// Hands the lines to the system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map(|_| ())
    }

    /// Ends the file.
    pub(crate) fn close(self) -> io::Result<()> {
        self.0.close()
    }
}

/// The whole lines of a file, each with its text; a torn last one and what cannot be read is left out.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<Vec<(String, T)>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .filter_map(|line| Some((line.to_owned(), serde_json::from_str(line).ok()?)))
        .collect())
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
            let read: Vec<Line> = read(&path).unwrap().into_iter().map(|(_, line)| line).collect();
            assert!(lines.starts_with(&read), "cut at {cut}: {read:?}");
        }
        assert!(read::<Line>(&folder.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn a_track_of_the_first_version_is_a_voice() {
        let line =
            r#"{"type":"track","attempt":1,"atMs":5,"file":"audio.A.webm","participantId":"a"}"#;
        let Line::Track { content, .. } = serde_json::from_str(line).unwrap() else { panic!() };
        assert_eq!(content, Content::default());
    }
}
