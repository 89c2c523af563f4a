//! The script of a server, in Rust and in JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::Request;

/// The answers of one server, each given once and in turn.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// To every request, or to those that ask for no event stream where `events` is there.
    pub replies: Vec<Reply>,
    /// To requests with `Accept: text/event-stream`.
    pub events: Option<Vec<Reply>>,
}

impl<R: IntoIterator<Item = Reply>> From<R> for Script {
    fn from(replies: R) -> Self {
        Self { replies: replies.into_iter().collect(), events: None }
    }
}

/// The reaction to a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Reply {
    /// What it sends first.
    pub answer: Answer,
    /// What it does then.
    pub then: Then,
    /// What it sends again and again where it floods.
    pub flood: Vec<u8>,
    /// Whether every further request is answered in this way too.
    pub always: bool,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These bytes, from the status line on.
    Raw(Vec<u8>),
    /// The part of this file that the request's `Range` names, with status 206, or 416 where it names none; the whole file where there is no
    /// `Range`.
    File(Vec<u8>),
}

/// What happens to the connection after the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// Closes it.
    #[default]
    Closes,
    /// Keeps it open, and answers the next request on it.
    Stays,
    /// Keeps it open, and sends nothing more until the client hangs up.
    Hangs,
    /// Resets it.
    Resets,
    /// Sends more without an end, as fast as the client takes it.
    Floods,
    /// Sends what the test gives to [`send`](super::Server::send).
    Relays,
}

impl Reply {
    /// Sends these bytes and closes the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            answer: Answer::Raw(bytes.into()),
            then: Then::Closes,
            flood: Vec::new(),
            always: false,
        }
    }

    /// Never answers.
    pub fn hangs() -> Self {
        Self { then: Then::Hangs, ..Self::raw("") }
    }

    /// A whole answer, after which the connection is closed.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        Self::raw(answer(status, &[&[("Connection", "close")], headers].concat(), body.as_bytes()))
    }
}

impl Answer {
    /// The bytes that answer this request.
    pub(super) fn to(&self, request: &Request) -> Vec<u8> {
        let file = match self {
            Self::Raw(bytes) => return bytes.clone(),
            Self::File(file) => file,
        };
        let Some((from, last)) = request.range() else { return answer(200, &[], file) };
        let end = last.map_or(file.len(), |last| file.len().min(last.saturating_add(1)));
        match file.get(from..end) {
            Some(piece) if !piece.is_empty() => {
                let range = format!("bytes {from}-{}/{}", end - 1, file.len());
                answer(206, &[("Content-Range", &range)], piece)
            }
            _ => answer(416, &[("Content-Range", &format!("bytes */{}", file.len()))], b""),
        }
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} As Scripted\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// A reply in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    answer: Option<Bytes>,
    file: Option<Bytes>,
    #[serde(default)]
    then: Then,
    flood: Option<Bytes>,
    #[serde(default)]
    always: bool,
}

impl TryFrom<Written> for Reply {
    type Error = &'static str;

    fn try_from(
        Written { answer, file, then, flood, always }: Written,
    ) -> Result<Self, Self::Error> {
        let flood = flood.map(|Bytes(flood)| flood).unwrap_or_default();
        if (then == Then::Floods) == flood.is_empty() {
            return Err(
                "`flood` is what a reply that `floods` sends again and again, and belongs to no other",
            );
        }
        let answer = match (answer, file) {
            (Some(Bytes(answer)), None) => Answer::Raw(answer),
            (None, Some(Bytes(file))) => Answer::File(file),
            _ => return Err("a reply has either an `answer` or a `file`"),
        };
        Ok(Self { answer, then, flood, always })
    }
}

/// Bytes in JSON: a text, or `{"base64": TEXT}` for what is no UTF-8.
#[derive(Debug)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Base64 { base64: String },
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Base64 { base64 } => {
                BASE64_STANDARD.decode(base64).map(Self).map_err(D::Error::custom)
            }
        }
    }
}
