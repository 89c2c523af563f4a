//! `events.jsonl`: one line for each event of the recording, written as it happens. The manifest is made from it, also for attempts that crashed.

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
    /// A participant joined.
    ParticipantJoined { at_ms: u64, participant: Participant },
    /// The name or the role (host, bot) of a participant in the meeting changed. Journals of the first version have a second join instead.
    ParticipantChanged { at_ms: u64, participant: Participant },
    /// A participant left.
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
    /// Corrects the start time of a file whose first packet was delayed.
    TrackStart { at_ms: u64, file: String },
    /// A participant sends media that cannot be recorded.
    TrackUnavailable {
        at_ms: u64,
        participant_id: String,
        kind: MediaKind,
        source: String,
        codec: String,
        reason: String,
    },
    /// Nothing was received for a file.
    Gap { file: String, start_ms: u64, end_ms: u64, reason: String, lost: u64 },
    /// A participant spoke.
    Speaking { id: String, start_ms: u64, end_ms: u64 },
    /// The recording is paused.
    Paused { at_ms: u64 },
    /// The recording is resumed.
    Resumed { at_ms: u64 },
    /// The recording is stopped, and cannot be resumed.
    Stopped { at_ms: u64 },
    /// The connection to the meeting is lost.
    ConnectionLost { at_ms: u64 },
    /// The bot left its files whole for the next attempt, because its server or worker stops.
    HandedOver { attempt: u32, at_ms: u64 },
    /// The bot left.
    Left { attempt: u32, at_ms: u64, reason: Option<LeaveReason> },
    /// The system dropped datagrams, because the bot's socket was full.
    DatagramsDropped { attempt: u32, at_ms: u64, lost: u64 },
}

/// The content of a media file. Journals of the first version have audio only, and omit these fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Content {
    pub(crate) kind: MediaKind,
    /// `microphone`, `camera` or `screen`.
    pub(crate) source: String,
    pub(crate) codec: String,
    /// By how many degrees clockwise pictures must be rotated for display; 0 in journals without it.
    pub(crate) rotation: u16,
    /// How it is known whose it is; `None` in journals without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attributed_by: Option<String>,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            kind: MediaKind::Audio,
            source: "microphone".to_owned(),
            codec: "opus".to_owned(),
            rotation: 0,
            attributed_by: None,
        }
    }
}

/// A JSON Lines file that is being written.
#[derive(Debug)]
pub(crate) struct LineFile {
    output: Output,
    /// Bytes that were added since [`LineFile::take_added`].
    added: u64,
}

impl LineFile {
    /// Opens the file for appending.
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

    /// Writes the lines to the file; returns how many bytes.
    pub(crate) fn flush(&mut self) -> io::Result<u64> {
        self.output.flush()
    }

    /// Closes the file.
    pub(crate) fn close(self) -> io::Result<()> {
        self.output.close()
    }
}

/// Calls `each` with the complete lines of a file, in order, and their texts. An incomplete last line and lines that cannot be parsed are skipped.
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
    use meetbot_types::bot::{Caption, ChatMessage};
    use serde_json::Value;
    use xtask::spec_file;

    use super::*;

    #[test]
    fn an_incomplete_line_is_skipped() {
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

    /// A line of each type, in the order of their types. A new type needs a new arm.
    fn one_of_each() -> Vec<Line> {
        let file = || "audio.A.webm".to_owned();
        let participant = || {
            let (id, name) = ("p".to_owned(), "Ann".to_owned());
            Participant { id, name, is_host: false, is_bot: false }
        };
        let following = |line: Option<&Line>| {
            Some(match line {
                None => Line::Started { attempt: 1, at_ms: 0, started_at: Timestamp::UNIX_EPOCH },
                Some(Line::Started { .. }) => {
                    Line::ParticipantJoined { at_ms: 1, participant: participant() }
                }
                Some(Line::ParticipantJoined { .. }) => {
                    Line::ParticipantChanged { at_ms: 2, participant: participant() }
                }
                Some(Line::ParticipantChanged { .. }) => {
                    Line::ParticipantLeft { at_ms: 3, id: "p".to_owned() }
                }
                Some(Line::ParticipantLeft { .. }) => Line::Track {
                    attempt: 1,
                    at_ms: 4,
                    file: file(),
                    participant_id: "p".to_owned(),
                    content: Content {
                        attributed_by: Some("source".to_owned()),
                        ..Content::default()
                    },
                },
                Some(Line::Track { .. }) => Line::TrackStart { at_ms: 5, file: file() },
                Some(Line::TrackStart { .. }) => Line::TrackUnavailable {
                    at_ms: 5,
                    participant_id: "p".to_owned(),
                    kind: MediaKind::Video,
                    source: "screen".to_owned(),
                    codec: "av1".to_owned(),
                    reason: "it is encoded in AV1".to_owned(),
                },
                Some(Line::TrackUnavailable { .. }) => Line::Gap {
                    file: file(),
                    start_ms: 6,
                    end_ms: 7,
                    reason: "muted".to_owned(),
                    lost: 0,
                },
                Some(Line::Gap { .. }) => {
                    Line::Speaking { id: "p".to_owned(), start_ms: 8, end_ms: 9 }
                }
                Some(Line::Speaking { .. }) => Line::Paused { at_ms: 10 },
                Some(Line::Paused { .. }) => Line::Resumed { at_ms: 11 },
                Some(Line::Resumed { .. }) => Line::Stopped { at_ms: 12 },
                Some(Line::Stopped { .. }) => Line::ConnectionLost { at_ms: 13 },
                Some(Line::ConnectionLost { .. }) => {
                    Line::Left { attempt: 1, at_ms: 14, reason: Some(LeaveReason::MeetingEnded) }
                }
                Some(Line::Left { .. }) => Line::HandedOver { attempt: 1, at_ms: 15 },
                Some(Line::HandedOver { .. }) => {
                    Line::DatagramsDropped { attempt: 1, at_ms: 16, lost: 5 }
                }
                Some(Line::DatagramsDropped { .. }) => return None,
            })
        };
        let mut lines = Vec::new();
        while let Some(line) = following(lines.last()) {
            lines.push(line);
        }
        lines
    }

    /// The names of an object's fields.
    fn names(object: &Value) -> Vec<&str> {
        let mut names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Fails unless the schema requires and describes exactly the fields of the line.
    fn is_described(line: &impl Serialize, schema: &Value) {
        let line = serde_json::to_value(line).unwrap();
        let mut required: Vec<_> = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        required.sort_unstable();
        assert_eq!(names(&schema["properties"]), names(&line), "{line}");
        assert_eq!(required, names(&line), "{line}");
    }

    #[test]
    fn the_schemas_describe_every_line_and_each_of_its_fields() {
        let schema = spec_file::read_json("spec/events.schema.json");
        let types = schema["oneOf"].as_array().unwrap();
        let lines = one_of_each();
        assert_eq!(types.len(), lines.len());
        for (line, described) in lines.iter().zip(types) {
            let tag = &serde_json::to_value(line).unwrap()["type"];
            assert_eq!(&described["properties"]["type"]["const"], tag);
            is_described(line, described);
        }
        let (id, name) = ("p".to_owned(), "Ann".to_owned());
        let participant = Participant { id, name, is_host: false, is_bot: false };
        is_described(&participant, &schema["$defs"]["Participant"]);
        let caption = Caption {
            speaker_id: "p".to_owned(),
            speaker: "Ann".to_owned(),
            start_ms: 1,
            end_ms: 2,
            text: "Hello.".to_owned(),
        };
        is_described(&caption, &spec_file::read_json("spec/captions.schema.json"));
        let message = ChatMessage {
            id: "m".to_owned(),
            sender_id: "p".to_owned(),
            sender: "Ann".to_owned(),
            text: "Hello.".to_owned(),
            private: false,
            at_ms: 1,
        };
        is_described(&message, &spec_file::read_json("spec/chat.schema.json"));
    }

    #[test]
    fn a_track_of_the_first_version_is_a_microphone() {
        let line =
            r#"{"type":"track","attempt":1,"atMs":5,"file":"audio.A.webm","participantId":"a"}"#;
        let Line::Track { content, .. } = serde_json::from_str(line).unwrap() else { panic!() };
        assert_eq!(content, Content::default());
    }
}
