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
    transport::{Transport, random},
};

/// The server shows a sign of life every 15 s; without any for so long the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// The longest line that is read.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Puts events together from the bytes of a stream (the HTML standard, "Server-sent events").
#[derive(Debug, Default)]
pub(crate) struct Parser {
    rest: Vec<u8>,
    id: String,
    data: String,
    /// The id that the next connection goes on from.
    pub(crate) last_id: String,
}

impl Parser {
    /// The data of all events that are whole after these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, Error> {
        let mut events = Vec::new();
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches(['\n', '\r'])));
        }
        if self.rest.len() + self.data.len() > MAX_LINE_BYTES {
            return Err(Error::new(
                ErrorKind::Decode,
                "an event of the stream is larger than 1 MiB",
            ));
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            self.last_id.clone_from(&self.id);
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then_some(data);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "id" => value.clone_into(&mut self.id),
            _ => {}
        }
        None
    }
}

/// When a watch connects again, and when it gives up: pure.
///
/// A stream that gives anything, a keep-alive too, was no connection in vain: only those since are counted against `max_retries`. The
/// pauses grow until an event comes, so that a server that answers and cuts at once for ever is not asked all the time.
#[derive(Debug)]
struct Patience {
    max_retries: u32,
    /// Connections that have ended since the last event.
    tried: u32,
    /// How many of them may.
    most: u32,
}

impl Patience {
    fn new(max_retries: u32) -> Self {
        Self { max_retries, tried: 0, most: max_retries }
    }

    /// The stream has given something.
    fn alive(&mut self) {
        self.most = self.tried.saturating_add(self.max_retries);
    }

    /// An event has come.
    fn event(&mut self) {
        *self = Self::new(self.max_retries);
    }

    /// How long to wait before the next connection; `None` when there have been enough.
    fn again(
        &mut self,
        outcome: Outcome,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        self.tried = self.tried.saturating_add(1);
        retry::decide(self.tried, self.most, outcome, retry_after, jitter)
    }
}

/// Where a watch stands.
struct Watch {
    transport: Transport,
    request: Request,
    response: Option<Received>,
    parser: Parser,
    /// Each with the JSON that it came as.
    read: VecDeque<(String, TimelineEvent)>,
    patience: Patience,
    /// The last event that came was the job's end.
    over: bool,
    failed: bool,
}

/// The events of a job from its first, each as it happens; ends after the job's last event, or with an error.
///
/// `take` says what of an event is wanted, the JSON that it came as or what was read of it.
pub(crate) fn watch<T: Send + 'static>(
    transport: Transport,
    request: Request,
    take: fn(String, TimelineEvent) -> T,
) -> impl Stream<Item = Result<T, Error>> + Send + Unpin + use<T> {
    let watch = Watch {
        patience: Patience::new(transport.max_retries()),
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
                self.patience.event();
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
                            self.patience.tried += 1;
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
        error.with_call(self.patience.tried, None)
    }

    /// Waits before the next connection; `false` when there have been enough.
    async fn again(&mut self, outcome: Outcome, retry_after: Option<Duration>) -> bool {
        self.response = None;
        match self.patience.again(outcome, retry_after, random()) {
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
            let url = self.transport.shown(&url);
            let message = format!("GET {url}: no sign of life for {} s", SILENCE.as_secs());
            return Err(Error::new(ErrorKind::Timeout, message));
        };
        let Some(chunk) =
            chunk.map_err(|error| self.transport.broken(error, &Method::GET, &url))?
        else {
            return Ok(false);
        };
        self.patience.alive();
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
        // Half an event of the connection before is none.
        self.parser =
            Parser { last_id: std::mem::take(&mut self.parser.last_id), ..Parser::default() };
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

/// Whether it is the last event of its job: those of the end say so in their name too.
fn ends(event: &TimelineEvent) -> bool {
    event.data.status.as_ref().is_some_and(JobStatus::is_final)
        || matches!(event.event, EventName::Finalized | EventName::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_any_pieces() {
        let stream = "retry: 5\nid: 1\nevent: a\ndata: {\"x\":\ndata: 1}\n\n: a comment\n\nid: 2\r\ndata:two\r\n\r\ndata: torn";
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let events: Vec<String> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| parser.feed(piece).unwrap())
                .collect();
            assert_eq!(events, ["{\"x\":\n1}", "two"], "in pieces of {size}");
            assert_eq!(parser.last_id, "2");
        }
    }

    #[test]
    fn a_stream_that_lives_is_taken_up_for_ever_and_never_in_a_hurry() {
        let mut patience = Patience::new(1);
        let mut cut = |alive: bool| {
            if alive {
                patience.alive();
            }
            patience.again(Outcome::Broken, None, 1.0).map(|wait| wait.as_millis())
        };
        let waits: Vec<_> = (0..6).map(|_| cut(true).unwrap()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert_eq!(cut(false), None, "a connection in vain");
        patience.event();
        assert_eq!(patience.again(Outcome::Broken, None, 1.0), Some(Duration::from_millis(500)));
    }

    #[test]
    fn an_endless_line_is_an_error() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 600_000];
        assert!(parser.feed(&piece).is_ok());
        assert_eq!(parser.feed(&piece).unwrap_err().kind(), ErrorKind::Decode);
    }
}
