//! The messages of Zoom's Realtime Media Streams, version 1: one JSON object in each text frame, on both `WebSockets`, distinguished by `msg_type`.
//!
//! Numbers and fields are those of Zoom's public documents (developers.zoom.us, `docs/rtms`: event reference, data types; read in November 2026). Unknown fields and
//! numbers are ignored: Zoom adds some every few months.

mod read;

use std::{borrow::Cow, fmt};

use meetbot_types::{bot::ZoomApp, signature::hmac_sha256};
use serde::Deserialize;
use serde_json::{Value, json};

use self::read::Raw;

/// The values of `RTMS_MESSAGE_TYPE` that are sent or read.
mod kind {
    pub(super) const SIGNALLING_HANDSHAKE: u64 = 1;
    pub(super) const SIGNALLING_ANSWER: u64 = 2;
    pub(super) const MEDIA_HANDSHAKE: u64 = 3;
    pub(super) const MEDIA_ANSWER: u64 = 4;
    pub(super) const SUBSCRIPTION: u64 = 5;
    pub(super) const EVENT: u64 = 6;
    pub(super) const CLIENT_READY: u64 = 7;
    pub(super) const STREAM_STATE: u64 = 8;
    pub(super) const SESSION_STATE: u64 = 9;
    pub(super) const SESSION_STATE_ANSWER: u64 = 11;
    pub(super) const KEEP_ALIVE: u64 = 12;
    pub(super) const KEEP_ALIVE_ANSWER: u64 = 13;
    pub(super) const AUDIO: u64 = 14;
    pub(super) const VIDEO: u64 = 15;
    pub(super) const SHARE: u64 = 16;
    pub(super) const TRANSCRIPT: u64 = 17;
    pub(super) const CHAT: u64 = 18;
    pub(super) const STREAM_STATE_ANSWER: u64 = 20;
    pub(super) const CLOSE: u64 = 21;
}

/// `RTMS_EVENT_TYPE`.
mod event_kind {
    pub(super) const ACTIVE_SPEAKER: u64 = 2;
    pub(super) const JOINED: u64 = 3;
    pub(super) const LEFT: u64 = 4;
    pub(super) const SHARING_STARTED: u64 = 5;
    pub(super) const SHARING_STOPPED: u64 = 6;
    pub(super) const MEDIA_INTERRUPTED: u64 = 7;
    /// The events to which the bot subscribes.
    pub(super) const WANTED: [u64; 6] =
        [ACTIVE_SPEAKER, JOINED, LEFT, SHARING_STARTED, SHARING_STOPPED, MEDIA_INTERRUPTED];
}

/// `MEDIA_DATA_TYPE`: bits of what a media connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum MediaType {
    Audio = 1,
    Video = 2,
    Share = 4,
    Transcript = 8,
    Chat = 16,
}

/// `MEDIA_PAYLOAD_TYPE`: the audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    /// Samples of 16 bits, little-endian.
    L16 = 1,
    Opus = 4,
}

/// The identification of a stream. The UUID is base64 and may contain `/` and `+`: it is sent unchanged.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StreamId {
    pub(super) meeting_uuid: String,
    pub(super) stream: String,
    /// Hex HMAC-SHA256 with the app's client secret over `client id,meeting uuid,stream id`. With it a client can join this stream only.
    pub(super) signature: String,
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamId").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl StreamId {
    /// The stream of this id of a meeting, for an app.
    pub(super) fn new(app: &ZoomApp, meeting_uuid: &str, stream_id: &str) -> Self {
        let signed = format!("{},{meeting_uuid},{stream_id}", app.client_id);
        Self {
            meeting_uuid: meeting_uuid.to_owned(),
            stream: stream_id.to_owned(),
            signature: hmac_sha256(app.client_secret.expose().as_bytes(), signed.as_bytes()),
        }
    }

    /// The first message on the signalling connection. The server replays up to 60 s since its webhook.
    pub(super) fn signalling_handshake(&self, sequence: u64) -> Value {
        json!({
            "msg_type": kind::SIGNALLING_HANDSHAKE,
            "protocol_version": 1,
            "sequence": sequence,
            "meeting_uuid": self.meeting_uuid,
            "rtms_stream_id": self.stream,
            "signature": self.signature,
            "buffer_data": true,
        })
    }

    /// The first message on a media connection, which carries one type of media.
    pub(super) fn media_handshake(&self, media: MediaType, sound: Sound, sequence: u64) -> Value {
        let parameters = match media {
            // Raw audio, 48 kHz, mono, a stream for each person, 20 ms a message.
            MediaType::Audio => json!({ "audio": {
                "content_type": 2, "sample_rate": 3, "channel": 1, "codec": sound as u8,
                "data_opt": 2, "send_rate": 20,
            } }),
            // Raw video, H.264, 1280×720, of the active speaker.
            MediaType::Video => json!({ "video": {
                "content_type": 3, "codec": 7, "resolution": 2, "data_opt": 3, "fps": 25,
            } }),
            // H.264 needs more than 5 frames a second; text stays legible at 1920×1080.
            MediaType::Share => json!({ "deskshare": {
                "content_type": 3, "codec": 7, "resolution": 3, "fps": 10,
            } }),
            // Text; the server detects the language.
            MediaType::Transcript => json!({ "transcript": { "content_type": 5 } }),
            MediaType::Chat => json!({ "chat": { "content_type": 5 } }),
        };
        json!({
            "msg_type": kind::MEDIA_HANDSHAKE,
            "protocol_version": 1,
            "sequence": sequence,
            "meeting_uuid": self.meeting_uuid,
            "rtms_stream_id": self.stream,
            "signature": self.signature,
            "media_type": media as u8,
            "payload_encryption": false,
            "media_params": parameters,
        })
    }

    /// Announces that media may be sent: the handshake of a media connection is complete. It is sent on the signalling connection.
    pub(super) fn client_ready(&self) -> Value {
        json!({ "msg_type": kind::CLIENT_READY, "rtms_stream_id": self.stream })
    }

    /// Ends the stream.
    pub(super) fn close(&self) -> Value {
        json!({ "msg_type": kind::CLOSE, "rtms_stream_id": self.stream })
    }
}

/// Subscribes to events of the meeting.
pub(super) fn subscription() -> Value {
    let events = event_kind::WANTED.map(|kind| json!({ "event_type": kind, "subscribe": true }));
    json!({ "msg_type": kind::SUBSCRIPTION, "events": events })
}

/// Answers a keep-alive with its timestamp, on the same connection.
pub(super) fn keep_alive(timestamp: u64) -> Value {
    json!({ "msg_type": kind::KEEP_ALIVE_ANSWER, "timestamp": timestamp })
}

/// A message of Zoom.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// The answer to the signalling handshake, with the media servers by type.
    SignallingAnswer { status: u64, reason: String, servers: Servers },
    /// The answer to a media handshake.
    MediaAnswer { status: u64, reason: String },
    /// An event of the meeting.
    Event(Event),
    /// The state of the stream.
    Stream { state: StreamState, reason: Option<u64> },
    /// The state of the session: a stream may have several consecutive sessions.
    Session { state: SessionState, reason: Option<u64> },
    /// A keep-alive, which must be answered with its timestamp.
    KeepAlive { timestamp: u64 },
    /// Audio.
    Audio(Media),
    /// A frame of a camera.
    Video(Media),
    /// A frame of a shared screen.
    Share(Media),
    /// A line of the transcript.
    Transcript(Text<'a>),
    /// A chat message.
    Chat(Text<'a>),
    /// A message of an unknown type, or one without effect.
    Other(u64),
}

/// Media servers by type; `all` serves every type.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Servers {
    all: Option<String>,
    audio: Option<String>,
    video: Option<String>,
    deskshare: Option<String>,
    transcript: Option<String>,
    chat: Option<String>,
}

impl Servers {
    /// The server of a type of media. `None` if the app or the host does not allow it.
    pub(super) fn of(&self, media: MediaType) -> Option<&str> {
        let own = match media {
            MediaType::Audio => &self.audio,
            MediaType::Video => &self.video,
            MediaType::Share => &self.deskshare,
            MediaType::Transcript => &self.transcript,
            MediaType::Chat => &self.chat,
        };
        own.as_deref().or(self.all.as_deref()).filter(|url| !url.is_empty())
    }
}

/// A person in the meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    /// The id of this participation in the meeting, as text.
    pub(super) id: String,
    pub(super) name: String,
}

/// `EVENT_UPDATE`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The new active speaker.
    Speaker(Person),
    Joined(Vec<Person>),
    Left(Vec<Person>),
    SharingStarted(Option<Person>),
    SharingStopped(Option<Person>),
    /// The media connections of these types (bits of [`MediaType`]) are down; `None` if Zoom does not name the types.
    MediaInterrupted(Option<u64>),
    Other(u64),
}

/// `RTMS_STREAM_STATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamState {
    Inactive,
    Active,
    Interrupted,
    Terminating,
    Terminated,
    Paused,
    Resumed,
    Other(u64),
}

/// `RTMS_SESSION_STATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionState {
    Inactive,
    Initialising,
    Started,
    Paused,
    Resumed,
    Stopped,
    Other(u64),
}

/// A packet or picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Media {
    /// The sender. `None` for a mix, whose id is −1 or missing.
    pub(super) person: Option<Person>,
    /// When it was captured, in ms of Unix time.
    pub(super) at_ms: u64,
    pub(super) data: Vec<u8>,
}

/// A line of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) person: Option<Person>,
    /// When it was spoken or written, in ms of Unix time.
    pub(super) at_ms: u64,
    /// Its start and end, if Zoom sends them.
    pub(super) span_ms: Option<(u64, u64)>,
    pub(super) content: Cow<'a, str>,
}

impl<'a> Message<'a> {
    /// Reads a text frame.
    ///
    /// # Errors
    /// Not a JSON object with a `msg_type`, or a message without a required field. The error names it, and does not contain people's texts.
    pub(super) fn read(frame: &'a str) -> Result<Self, ReadError> {
        let raw: Raw<'a> =
            serde_json::from_str(frame).map_err(|error| ReadError::Json(error.to_string()))?;
        Ok(match raw.msg_type {
            kind::SIGNALLING_ANSWER => Self::SignallingAnswer {
                status: raw.status_code.ok_or(ReadError::lacks("status_code"))?,
                reason: raw.reason_text(),
                servers: raw.media_server.map(|server| server.server_urls).unwrap_or_default(),
            },
            kind::MEDIA_ANSWER => Self::MediaAnswer {
                status: raw.status_code.ok_or(ReadError::lacks("status_code"))?,
                reason: raw.reason_text(),
            },
            kind::EVENT => Self::Event(raw.event.ok_or(ReadError::lacks("event"))?.read()),
            kind::STREAM_STATE | kind::STREAM_STATE_ANSWER => Self::Stream {
                state: StreamState::of(raw.state.ok_or(ReadError::lacks("state"))?),
                reason: raw.reason_number(),
            },
            kind::SESSION_STATE | kind::SESSION_STATE_ANSWER => Self::Session {
                state: SessionState::of(raw.state.ok_or(ReadError::lacks("state"))?),
                reason: raw.reason_number(),
            },
            kind::KEEP_ALIVE => {
                Self::KeepAlive { timestamp: raw.timestamp.ok_or(ReadError::lacks("timestamp"))? }
            }
            kind::AUDIO => Self::Audio(raw.media()?),
            kind::VIDEO => Self::Video(raw.media()?),
            kind::SHARE => Self::Share(raw.media()?),
            kind::TRANSCRIPT => Self::Transcript(raw.text()?),
            kind::CHAT => Self::Chat(raw.text()?),
            other => Self::Other(other),
        })
    }
}

/// Why a text frame cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    #[error("it is no JSON object with a `msg_type`: {0}")]
    Json(String),
    #[error("it has no `{0}`")]
    Lacks(&'static str),
    #[error("its `data` is no base64")]
    Data,
}

impl ReadError {
    const fn lacks(field: &'static str) -> Self {
        Self::Lacks(field)
    }
}

impl StreamState {
    const fn of(number: u64) -> Self {
        match number {
            0 => Self::Inactive,
            1 => Self::Active,
            2 => Self::Interrupted,
            3 => Self::Terminating,
            4 => Self::Terminated,
            5 => Self::Paused,
            6 => Self::Resumed,
            other => Self::Other(other),
        }
    }
}

impl SessionState {
    const fn of(number: u64) -> Self {
        match number {
            0 => Self::Inactive,
            1 => Self::Initialising,
            2 => Self::Started,
            3 => Self::Paused,
            4 => Self::Resumed,
            5 => Self::Stopped,
            other => Self::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str, name: &str) -> Person {
        Person { id: id.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn the_messages_in_zooms_documents_are_read() {
        let answer = r#"{"msg_type":2,"protocol_version":1,"sequence":0,"status_code":0,"reason":"",
            "media_server":{"server_urls":{"audio":"wss://a","all":"wss://b"}}}"#;
        let Ok(Message::SignallingAnswer { status: 0, reason, servers }) = Message::read(answer)
        else {
            panic!("no answer");
        };
        assert_eq!((reason.as_str(), servers.of(MediaType::Audio)), ("", Some("wss://a")));
        assert_eq!(servers.of(MediaType::Chat), Some("wss://b"));
        let audio = r#"{"msg_type":14,"content":{"user_id":16778240,"user_name":"Ada","data":"AQI=","timestamp":1738394033000}}"#;
        let media = Media {
            person: Some(person("16778240", "Ada")),
            at_ms: 1_738_394_033_000,
            data: vec![1, 2],
        };
        assert_eq!(Message::read(audio), Ok(Message::Audio(media)));
        let joined = r#"{"msg_type":6,"event":{"event_type":3,"timestamp":1,"participants":[{"user_id":1,"user_name":"Ada"},{"user_id":"2"}]}}"#;
        let people = vec![person("1", "Ada"), person("2", "")];
        assert_eq!(Message::read(joined), Ok(Message::Event(Event::Joined(people))));
        let speaks = r#"{"msg_type":6,"event":{"event_type":2,"user_id":1,"user_name":"Ada"}}"#;
        assert_eq!(Message::read(speaks), Ok(Message::Event(Event::Speaker(person("1", "Ada")))));
        let stopped =
            r#"{"msg_type":9,"state":5,"stop_reason":6,"timestamp":1,"rtms_session_id":"x"}"#;
        let session = Message::Session { state: SessionState::Stopped, reason: Some(6) };
        assert_eq!(Message::read(stopped), Ok(session));
        let stream = r#"{"msg_type":8,"state":4,"reason":"8","timestamp":1}"#;
        let terminated = Message::Stream { state: StreamState::Terminated, reason: Some(8) };
        assert_eq!(Message::read(stream), Ok(terminated));
    }

    #[test]
    fn a_mix_has_no_person() {
        for id in ["-1", "0", "null", "\"-1\"", "\"\""] {
            let audio = format!(
                r#"{{"msg_type":14,"content":{{"user_id":{id},"data":"","timestamp":1}}}}"#
            );
            let Ok(Message::Audio(media)) = Message::read(&audio) else { panic!("{id}") };
            assert_eq!(media.person, None, "{id}");
        }
    }

    #[test]
    fn unknown_fields_and_numbers_are_ignored() {
        for frame in [
            r#"{"msg_type":23,"content":{"data":{"x":1}}}"#,
            r#"{"msg_type":"99"}"#,
            r#"{"msg_type":5,"events":[]}"#,
        ] {
            assert!(
                matches!(Message::read(frame), Ok(Message::Other(_)) | Err(ReadError::Json(_))),
                "{frame}"
            );
        }
        let state = r#"{"msg_type":8,"state":77,"reason":{"code":1},"new":[1,{}]}"#;
        let other = Message::Stream { state: StreamState::Other(77), reason: None };
        assert_eq!(Message::read(state), Ok(other));
    }

    #[test]
    fn the_error_of_an_incomplete_message_names_the_missing_field() {
        for (frame, lacks) in [
            (r#"{"msg_type":2}"#, "status_code"),
            (r#"{"msg_type":6}"#, "event"),
            (r#"{"msg_type":8}"#, "state"),
            (r#"{"msg_type":12}"#, "timestamp"),
            (r#"{"msg_type":14}"#, "content"),
            (r#"{"msg_type":14,"content":{"timestamp":1}}"#, "content.data"),
            (r#"{"msg_type":14,"content":{"data":""}}"#, "content.timestamp"),
        ] {
            assert_eq!(Message::read(frame), Err(ReadError::Lacks(lacks)), "{frame}");
        }
        for frame in ["", "[]", "7", "{}", r#"{"msg_type":null}"#, r#"{"msg_type":-1}"#] {
            assert!(matches!(Message::read(frame), Err(ReadError::Json(_))), "{frame}");
        }
        let data = r#"{"msg_type":14,"content":{"data":"***","timestamp":1}}"#;
        assert_eq!(Message::read(data), Err(ReadError::Data));
    }
}
