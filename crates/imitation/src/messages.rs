//! The messages of Meet's web client, written field by field in the encoding of protocol buffers. The bot's decoder shares
//! nothing with it.
//!
//! Field numbers as published by projects that read the real messages (attendee, kuali, Vexa); Google documents none.

/// A message under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// Adds a number.
    pub(crate) fn number(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        self.varint(value);
        self
    }

    /// Adds bytes or text.
    pub(crate) fn bytes(mut self, field: u32, value: impl AsRef<[u8]>) -> Self {
        self.key(field, 2);
        self.varint(value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    /// Adds an embedded message.
    pub(crate) fn message(self, field: u32, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// Wraps this message into nested ones; the first field of the path is that of the outermost.
    pub(crate) fn under(self, path: &[u32]) -> Self {
        path.iter().rev().fold(self, |inner, field| Self::default().message(*field, &inner))
    }

    /// The message's bytes.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The status of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// In the call.
    In = 1,
    /// Not in the call: has left, or waits.
    Out = 6,
    /// Removed by a host.
    Removed = 7,
}

/// An entry of the roster: a device in the call.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) device: &'a str,
    pub(crate) name: &'a str,
    pub(crate) status: Status,
    pub(crate) is_self: bool,
    pub(crate) is_host: bool,
    /// The device whose shared screen this entry is.
    pub(crate) screen_of: Option<&'a str>,
}

fn entry(entry: &Entry<'_>) -> Message {
    let mut message = Message::default()
        .bytes(1, entry.device)
        .bytes(2, entry.name)
        .bytes(3, "https://lh3.googleusercontent.com/a/default-user")
        .number(4, entry.status as u64);
    if entry.is_self {
        message = message.bytes(7, "self");
    }
    // The real messages contain fields of unknown meaning.
    message = message.number(11, 3).message(17, &Message::default().number(1, 1));
    if let Some(device) = entry.screen_of {
        message = message.bytes(21, device);
    }
    let first = entry.name.split(' ').next().unwrap_or_default();
    message = message.bytes(29, first);
    if entry.is_host { message.number(34, 1) } else { message }
}

fn entries(roster: &[Entry<'_>]) -> Message {
    roster.iter().fold(Message::default(), |list, one| list.message(2, &entry(one)))
}

/// A roster or its changes, as sent in the data channel `collections`.
pub(crate) fn roster_in_channel(roster: &[Entry<'_>]) -> Vec<u8> {
    entries(roster).under(&[1, 2, 13, 1]).into_bytes()
}

/// The complete roster, as in the answer of `SyncMeetingSpaceCollections`.
pub(crate) fn roster_in_rpc(roster: &[Entry<'_>]) -> Vec<u8> {
    let list = roster.iter().fold(Message::default(), |list, one| list.message(2, &entry(one)));
    Message::default().number(1, 1).message(2, &Message::default().message(2, &list)).into_bytes()
}

/// A stream that a device sends.
#[derive(Debug, Clone)]
pub(crate) struct Output<'a> {
    pub(crate) device: &'a str,
    /// The CSRC of its voice in decimal, or the id of the stream of its camera.
    pub(crate) stream: String,
    pub(crate) is_video: bool,
    pub(crate) disabled: bool,
}

/// Device outputs, as sent in the data channel `collections`.
pub(crate) fn outputs(outputs: &[Output<'_>]) -> Vec<u8> {
    let list = outputs.iter().fold(Message::default(), |list, output| {
        let one = Message::default()
            .number(2, if output.is_video { 2 } else { 1 })
            .bytes(4, &output.stream)
            .bytes(6, output.device)
            .message(10, &Message::default().number(1, u64::from(output.disabled)));
        list.message(2, &one)
    });
    list.under(&[1, 2, 3]).into_bytes()
}

/// A chat message, as sent in the data channel `collections`.
pub(crate) fn chat(id: &str, device: &str, ms: u64, text: &str) -> Vec<u8> {
    let line = Message::default()
        .bytes(1, id)
        .bytes(2, device)
        .number(3, ms)
        .message(5, &Message::default().bytes(1, text));
    line.under(&[1, 2, 13, 4, 2]).into_bytes()
}

/// A version of a line of captions.
#[derive(Debug, Clone)]
pub(crate) struct Caption<'a> {
    pub(crate) device: &'a str,
    pub(crate) line: u32,
    pub(crate) version: u32,
    pub(crate) text: &'a str,
    pub(crate) last: bool,
}

/// The language of captions. Google Meet assumes English if no language was chosen.
const CAPTION_LANGUAGE: &str = "en-US";

/// As sent in the data channel `captions`.
pub(crate) fn caption(caption: &Caption<'_>) -> Vec<u8> {
    let line = Message::default()
        .bytes(1, caption.device)
        .number(2, caption.line.into())
        .number(3, caption.version.into())
        .number(4, caption.last.into())
        .bytes(6, caption.text)
        .bytes(8, CAPTION_LANGUAGE);
    line.under(&[1]).into_bytes()
}

/// As sent in the data channel `captions_v2`.
pub(crate) fn caption_v2(caption: &Caption<'_>) -> Vec<u8> {
    let said = Message::default()
        .bytes(3, caption.text)
        .bytes(4, CAPTION_LANGUAGE)
        .bytes(5, CAPTION_LANGUAGE)
        .bytes(6, caption.device)
        .number(9, caption.last.into());
    let line = Message::default()
        .number(1, caption.line.into())
        .number(2, caption.version.into())
        .message(3, &said);
    line.under(&[1, 1]).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_encoded_as_protocol_buffers() {
        // The two examples of the encoding's documentation: 150 in field 1, "testing" in field 2.
        assert_eq!(Message::default().number(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        let text = Message::default().bytes(2, "testing").into_bytes();
        assert_eq!(text, *b"\x12\x07testing");
        assert_eq!(
            Message::default().number(1, 1).under(&[1, 2]).into_bytes(),
            [0x0A, 0x04, 0x12, 0x02, 0x08, 0x01]
        );
        assert_eq!(Message::default().number(34, 1).into_bytes(), [0x90, 0x02, 0x01]);
    }

    #[test]
    fn captions_have_the_fields_of_their_channel() {
        let said = Caption { device: "d", line: 7, version: 2, text: "yes", last: true };
        let first = b"\x0A\x15\x0A\x01d\x10\x07\x18\x02\x20\x01\x32\x03yes\x42\x05en-US";
        assert_eq!(caption(&said), first);
        let second = b"\x0A\x20\x0A\x1E\x08\x07\x10\x02\x1A\x18\x1A\x03yes\x22\x05en-US\x2A\x05en-US\x32\x01d\x48\x01";
        assert_eq!(caption_v2(&said), second);
    }
}
