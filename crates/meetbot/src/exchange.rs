//! [`Exchange`]: a call from its first try to its end, independent of the transport.

use std::{error::Error as StdError, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, USER_AGENT},
};

use crate::{
    Error, ErrorKind, Request, Response, clock, redirect,
    retry::Outcome,
    settings::{Answer, IDEMPOTENCY_KEY, Settings, random, random_key},
    tries::{Redirect, Tries},
};

/// The header with the names of the fields that the server ignored, percent-encoded, with commas between them.
const IGNORED: &str = "x-meetbot-ignored";

/// A call that you send yourself: with the client of another library, or in a test that plays the server.
///
/// It has the request to send, and after each try the next step, by the same rules as every other call: idempotency key, retries,
/// time limits, errors.
///
/// ```
/// use bytes::Bytes;
/// use meetbot::{MeetBot, Request, Verdict};
///
/// # fn main() -> Result<(), meetbot::Error> {
/// let mb = MeetBot::builder().api_key("mb_test_0123456789").build()?;
/// let mut exchange = mb.exchange(Request::new("GET", "/api/v1/jobs")?)?;
/// assert_eq!(exchange.url(), "https://api.meetbot.dev/api/v1/jobs");
/// assert!(matches!(exchange.answered(503, [("Retry-After", "1")], Bytes::new())?, Verdict::Again(_)));
/// let Verdict::Done(answer) = exchange.answered(200, [], Bytes::from_static(b"{}"))? else { panic!() };
/// assert_eq!(answer.attempts(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Exchange {
    settings: Settings,
    pub(crate) request: Request,
    tries: Tries,
}

/// The next step after a try.
#[derive(Debug)]
pub enum Verdict {
    /// The call has succeeded.
    Done(Response),
    /// Send again after this long: another try, or to where an artifact's redirect leads. The URL and the headers may be others than before.
    Again(Duration),
}

impl Exchange {
    pub(crate) fn new(settings: Settings, mut request: Request) -> Result<Self, Error> {
        if request.method == Method::POST && !request.headers.contains_key(IDEMPOTENCY_KEY) {
            let key = settings.options.idempotency_key.clone().unwrap_or_else(random_key);
            let usable = !key.is_empty()
                && key.len() <= 255
                && key.bytes().all(|byte| byte.is_ascii_graphic());
            let value = usable.then(|| HeaderValue::from_str(&key).ok()).flatten();
            let value = value.ok_or_else(|| {
                Error::configuration("an idempotency key is 1 to 255 visible ASCII characters")
            })?;
            request.headers.insert(IDEMPOTENCY_KEY, value);
        }
        let tries = Tries::new(settings.limits(), clock::now());
        Ok(Self { settings, request, tries })
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.request.method.as_str()
    }

    /// Where to send it.
    pub fn url(&self) -> String {
        match self.tries.redirected_to() {
            Some(url) => url.to_string(),
            None => format!("{}{}", self.settings.base_url(), self.request.path),
        }
    }

    /// The headers to send: with the API key to the server, without it to where a redirect leads.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = if self.tries.redirected_to().is_some() {
            redirect::headers_for_target(&self.request.headers)
        } else {
            let mut headers = self.request.headers.clone();
            headers.insert(AUTHORIZATION, self.settings.key.header());
            headers
        };
        let agent = self.settings.network.user_agent();
        headers.extend(HeaderValue::from_str(agent).ok().map(|agent| (USER_AGENT, agent)));
        let texts = headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        texts.collect()
    }

    /// The body to send.
    pub fn body(&self) -> Option<&Bytes> {
        self.request.body.as_ref()
    }

    /// How long the next try may take.
    pub fn limit(&self) -> Duration {
        self.tries.limit(clock::now())
    }

    /// The next step after a response.
    pub fn answered<'a>(
        &mut self,
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: Bytes,
    ) -> Result<Verdict, Error> {
        let headers = headers.into_iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        });
        let headers: HeaderMap = headers.collect();
        let (url, call) = (self.url(), (&self.request.method, &*self.request.path));
        match self.tries.redirect(call, &url, status, &headers) {
            Redirect::None => self.ended(Ok(Answer { status, headers, body })),
            Redirect::Followed => Ok(Verdict::Again(Duration::ZERO)),
            Redirect::TooMany(next) => {
                self.ended(Err(self.settings.redirected_too_often(&next, status, &headers)))
            }
        }
    }

    /// The next step after a connection that could not be made or broke, or a try that took too long.
    pub fn broken(
        &mut self,
        why: impl Into<Box<dyn StdError + Send + Sync>>,
        timed_out: bool,
    ) -> Result<Verdict, Error> {
        let kind = if timed_out { ErrorKind::Timeout } else { ErrorKind::Connection };
        let url = self.url();
        // The query of a redirect's URL may be a signature.
        let url = url.split('?').next().unwrap_or_default();
        let message = self.settings.redact(format!("{} {url}: {}", self.method(), why.into()));
        self.ended(Err(Error::new(kind, message)))
    }

    /// The next step after a try.
    pub(crate) fn ended(&mut self, tried: Result<Answer, Error>) -> Result<Verdict, Error> {
        self.tries.ended();
        let attempts = self.tries.made();
        let (error, outcome) = match tried {
            Ok(Answer { status, headers, body }) if (200..300).contains(&status) => {
                let response = Response { status, headers, body, attempts };
                if let Some(names) = response.header(IGNORED) {
                    let path = self.request.path.split('?').next();
                    tracing::warn!(
                        names,
                        path,
                        "the server does not know these fields and passed them over"
                    );
                }
                tracing::debug!(status, request_id = response.header("x-request-id"), "answered");
                return Ok(Verdict::Done(response));
            }
            Ok(answer) => {
                let outcome = Outcome::Answer(answer.status);
                (self.settings.refused(&answer), outcome)
            }
            Err(error) if error.is_transient() => (error, Outcome::Broken),
            Err(error) => return Err(self.failed(error)),
        };
        let pause = self.tries.pause(outcome, error.retry_after(), random(), clock::now());
        let Some(wait) = pause else { return Err(self.failed(error)) };
        tracing::debug!(tried = attempts, wait_ms = wait.as_millis(), %error, "the call is tried again");
        Ok(Verdict::Again(wait))
    }

    fn failed(&self, error: Error) -> Error {
        let key = self.request.headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok());
        error.with_call(self.tries.made(), key)
    }
}
