//! Files of a recording that have a JSON object in each line: captions, chat, events.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::{
    Error, ErrorKind, download, endpoint,
    models::{self, Caption, ChatMessage, Manifest, RecordingEvent, manifest},
    transport::{MAX_ANSWER_BYTES, Transport},
};

/// One of these files: which of the manifest's it is, and how a line of it is read.
pub(crate) struct LineFile<T> {
    name: fn(&Manifest) -> Option<&str>,
    read: fn(&[u8]) -> serde_json::Result<T>,
}

pub(crate) const CAPTIONS: LineFile<Caption> =
    LineFile { name: |manifest| manifest.captions.as_deref(), read: models::plain };
pub(crate) const CHAT: LineFile<ChatMessage> =
    LineFile { name: |manifest| manifest.chat.as_deref(), read: models::plain };
pub(crate) const EVENTS: LineFile<RecordingEvent> = LineFile {
    name: |manifest| {
        let mut names = manifest.files.iter().filter_map(|file| file.name.as_deref());
        names.find(|name| *name == "events.jsonl")
    },
    read: models::recording_event,
};

/// All lines of the file; none where the recording has no such file.
pub(crate) async fn fetch<T>(
    transport: &Transport,
    job_id: &str,
    of: LineFile<T>,
) -> Result<Vec<T>, Error> {
    let manifest = transport.call(endpoint::manifest(job_id)?).await?;
    let Some(name) = (of.name)(&manifest) else { return Ok(Vec::new()) };
    let path = endpoint::artifact_path(job_id, name)?;
    let unknown = manifest::File { name: Some(name.to_owned()), ..manifest::File::default() };
    let listed = manifest.files.iter().find(|file| file.name.as_deref() == Some(name));
    let file = listed.unwrap_or(&unknown);
    if file.bytes.is_some_and(|bytes| bytes > MAX_ANSWER_BYTES as u64) {
        let message = format!(
            "{name} is larger than {} MiB: download it to a file, and read that line by line",
            MAX_ANSWER_BYTES >> 20
        );
        return Err(Error::new(ErrorKind::Decode, message).with_call(1, None));
    }
    lines(&download::checked(transport, &path, file).await?, of.read).map_err(|(line, error)| {
        let message = format!("{name}: line {line} is not what it should be: {error}");
        Error::new(ErrorKind::Decode, message).with_call(1, None)
    })
}

/// Each line that is an object. What is none was cut off: a full disk may have torn a line.
fn lines<T>(
    bytes: &[u8],
    read: fn(&[u8]) -> serde_json::Result<T>,
) -> Result<Vec<T>, (usize, serde_json::Error)> {
    let is_object =
        |line: &[u8]| serde_json::from_slice::<HashMap<String, &RawValue>>(line).is_ok();
    let lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
    lines
        .filter(|(_, line)| is_object(line))
        .map(|(number, line)| read(line).map_err(|error| (number, error)))
        .collect()
}
