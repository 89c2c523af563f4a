//! A job's events as they happen: server-sent events, taken up again where a connection broke.

use std::{collections::VecDeque, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use http::{
    HeaderValue, Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use meetbot_types::{EventName, JobStatus};

use crate::{
    Error, ErrorKind, Request,
    connections::Received,
    error::shown,
    models::{self, TimelineEvent},
    retry::{self, Outcome},
    settings::random,
    transport::Transport,
};

/// The server shows a sign of life every 15 s; without any for so long the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// The longest event that is read.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// The byte order mark.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Puts events together from the bytes of a stream (the HTML standard, "Server-sent events"). Lines end in LF, CRLF or CR.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    rest: Vec<u8>,
    /// The stream's first bytes have come, of which a byte order mark is no part.
    begun: bool,
    /// The last line ended in CR: a LF that follows belongs to it.
    after_return: bool,
    id: String,
    /// The lines of data of the event that is not whole yet.
    data: Vec<String>,
    /// The id that the next connection goes on from.
    pub(crate) last_id: String,
}

impl Parser {
    /// The data of all events that are whole after these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, Error> {
        let mut events = Vec::new();
        self.rest.extend_from_slice(bytes);
        if !self.begun {
            if self.rest.len() < MARK.len() && MARK.starts_with(&self.rest) {
                return Ok(events);
            }
            self.begun = true;
            if self.rest.starts_with(MARK) {
                self.rest.drain(..MARK.len());
            }
        }
        let rest = std::mem::take(&mut self.rest);
        let mut rest = &rest[..];
        loop {
            if self.after_return && !rest.is_empty() {
                self.after_return = false;
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                break;
            };
            self.after_return = rest[end] == b'\r';
            let line = String::from_utf8_lossy(&rest[..end]);
            events.extend(self.line(&line));
            rest = &rest[end + 1..];
        }
        self.rest = rest.to_vec();
        if self.rest.len() + self.data.iter().map(String::len).sum::<usize>() > MAX_EVENT_BYTES {
            return Err(Error::new(
                ErrorKind::Decode,
                "an event of the stream is larger than 1 MiB",
            ));
        }
        Ok(events)
    }

    /// For the next connection, which goes on from the last id.
    fn again(&self) -> Self {
        Self { id: self.last_id.clone(), last_id: self.last_id.clone(), ..Self::default() }
    }

    fn line(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            self.last_id.clone_from(&self.id);
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.join("\n"));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.data.push(value.to_owned()),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            _ => {}
        }
        None
    }
}

/// Decides when a watch reconnects, and when it gives up. Pure.
///
/// A stream that gives anything, a keep-alive too, has not failed: only connections since are counted against `max_retries`. The
/// pauses grow until an event comes, so that a server that cuts each connection at once is not asked without pause.
#[derive(Debug)]
pub(crate) struct ReconnectPolicy {
    max_retries: u32,
    /// Connections that have ended since the last event.
    tried: u32,
    /// How many of them may.
    most: u32,
}

impl ReconnectPolicy {
    pub(crate) fn new(max_retries: u32) -> Self {
        Self { max_retries, tried: 0, most: max_retries }
    }

    /// The stream has sent bytes.
    pub(crate) fn alive(&mut self) {
        self.most = self.tried.saturating_add(self.max_retries);
    }

    /// An event has come.
    pub(crate) fn event(&mut self) {
        *self = Self::new(self.max_retries);
    }

    /// How long to wait before the next connection; `None` when there have been enough.
    pub(crate) fn again(
        &mut self,
        outcome: Outcome,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        self.tried = self.tried.saturating_add(1);
        retry::decide(self.tried, self.most, outcome, retry_after, jitter)
    }
}

/// The state of a watch.
struct Watch {
    transport: Transport,
    request: Request,
    response: Option<Received>,
    parser: Parser,
    /// Each with the JSON that it came as.
    read: VecDeque<(String, TimelineEvent)>,
    reconnects: ReconnectPolicy,
    /// The last event that came was the job's end.
    over: bool,
    failed: bool,
}

/// The events of a job from its first, each as it happens; ends after the job's last event, or with an error.
///
/// `take` selects the result: the event's JSON, or the parsed event.
pub(crate) fn watch<T: Send + 'static>(
    transport: Transport,
    request: Request,
    take: fn(String, TimelineEvent) -> T,
) -> impl Stream<Item = Result<T, Error>> + Send + Unpin + use<T> {
    let watch = Watch {
        reconnects: ReconnectPolicy::new(transport.settings.max_retries()),
        transport,
        request,
        response: None,
        parser: Parser::default(),
        read: VecDeque::new(),
        over: false,
        failed: false,
    };
    stream::unfold(watch, move |mut watch| async move {
        let event = watch.next().await?;
        watch.failed = event.is_err();
        Some((event.map(|(json, event)| take(json, event)), watch))
    })
    .boxed()
}

impl Watch {
    async fn next(&mut self) -> Option<Result<(String, TimelineEvent), Error>> {
        while !self.failed {
            if let Some(read) = self.read.pop_front() {
                self.over = ends(&read.1);
                self.reconnects.event();
                return Some(Ok(read));
            }
            match self.receive().await {
                Ok(true) => {}
                Ok(false) if self.over => return None,
                // A stream that ends before the job does is one that broke.
                Ok(false) => {
                    if !self.again(Outcome::Broken, None).await {
                        let message = format!("{} ends before its job does", self.request.path);
                        return Some(Err(self.failed(Error::new(ErrorKind::Connection, message))));
                    }
                }
                Err(error) => {
                    let outcome = match error.status() {
                        Some(status) => Outcome::Answer(status),
                        None if error.is_transient() => Outcome::Broken,
                        None => {
                            self.reconnects.tried += 1;
                            return Some(Err(self.failed(error)));
                        }
                    };
                    if !self.again(outcome, error.retry_after()).await {
                        return Some(Err(self.failed(error)));
                    }
                }
            }
        }
        None
    }

    /// With how many connections were tried since the last event.
    fn failed(&self, error: Error) -> Error {
        error.with_call(self.reconnects.tried, None)
    }

    /// Waits before the next connection; `false` when there have been enough.
    async fn again(&mut self, outcome: Outcome, retry_after: Option<Duration>) -> bool {
        self.response = None;
        match self.reconnects.again(outcome, retry_after, random()) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
            None => false,
        }
    }

    /// Reads on; `false` at the end of the stream.
    async fn receive(&mut self) -> Result<bool, Error> {
        if self.response.is_none() {
            self.response = Some(self.open().await?);
        }
        let Some(response) = &mut self.response else { return Ok(false) };
        let url = response.url().clone();
        let Ok(chunk) = tokio::time::timeout(SILENCE, response.chunk()).await else {
            let url = self.transport.settings.shown(&url);
            let message = format!("GET {url}: no sign of life for {} s", SILENCE.as_secs());
            return Err(Error::new(ErrorKind::Timeout, message));
        };
        let Some(chunk) =
            chunk.map_err(|error| self.transport.broken(error, &Method::GET, &url))?
        else {
            return Ok(false);
        };
        self.reconnects.alive();
        for data in self.parser.feed(&chunk)? {
            let event = models::plain(data.as_bytes()).map_err(|error| {
                let message = format!("an event of the stream cannot be read: {}", shown(&data));
                Error::new(ErrorKind::Decode, message).with_source(error)
            })?;
            self.read.push_back((data, event));
        }
        Ok(true)
    }

    async fn open(&mut self) -> Result<Received, Error> {
        let mut headers = self.request.headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Ok(id) = HeaderValue::from_str(&self.parser.last_id)
            && !id.is_empty()
        {
            headers.insert("last-event-id", id);
        }
        // An incomplete event of the previous connection is discarded.
        self.parser = self.parser.again();
        let response = self.transport.open(&self.request.path, headers).await?;
        if !response.status().is_success() {
            return Err(self.transport.refuse(response).await);
        }
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
        if media_type.is_none_or(|media| !media.starts_with("text/event-stream")) {
            let message =
                format!("{} is no stream of events but {media_type:?}", self.request.path);
            return Err(Error::new(ErrorKind::Decode, message));
        }
        Ok(response)
    }
}

/// Whether it is the last event of its job, by its status or by its name.
fn ends(event: &TimelineEvent) -> bool {
    event.data.status.as_ref().is_some_and(JobStatus::is_final)
        || matches!(event.event, EventName::Finalized | EventName::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_an_id_keeps_that_of_the_connection_before() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(b"id: 3\ndata: a\n\nid: 4\ndata: torn").unwrap(), ["a"]);
        let mut next = parser.again();
        assert_eq!(next.feed(b"data: b\n\n").unwrap(), ["b"]);
        assert_eq!(next.last_id, "3");
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 600_000];
        assert!(parser.feed(&piece).is_ok());
        assert_eq!(parser.feed(&piece).unwrap_err().kind(), ErrorKind::Decode);
    }
}
