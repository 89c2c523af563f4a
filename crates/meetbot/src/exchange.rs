//! [`Exchange`]: a call from its first try to its end, whoever sends it.

use std::{error::Error as StdError, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, USER_AGENT},
};
use tokio::time::Instant;
use url::Url;

use crate::{
    Error, ErrorKind, Request, Response, clock,
    redirect::{self, MAX_REDIRECTS},
    retry::{self, Outcome},
    settings::{Answer, IDEMPOTENCY_KEY, Settings, random, random_key},
};

/// What the server passed over: names, percent-encoded, with commas between them.
const IGNORED: &str = "x-meetbot-ignored";

/// A call that is sent by means of your own: a client of another library, or a test that plays the server.
///
/// It says what to send, and after each try what follows from its outcome, by the same rules as every other call: idempotency key, retries,
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
    attempts: u32,
    started: Instant,
    /// Where this try was redirected to, and how many redirects that took.
    redirected: Option<(Url, u32)>,
}

/// What follows from a try.
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
        Ok(Self { settings, request, attempts: 0, started: clock::now(), redirected: None })
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.request.method.as_str()
    }

    /// Where to send it.
    pub fn url(&self) -> String {
        match &self.redirected {
            Some((url, _)) => url.to_string(),
            None => format!("{}{}", self.settings.base_url(), self.request.path),
        }
    }

    /// The headers to send: with the API key to the server, without it to where a redirect leads.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = if self.redirected.is_some() {
            redirect::kept(&self.request.headers)
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
        self.left().map_or(self.settings.timeout(), |left| left.min(self.settings.timeout()))
    }

    /// What follows from an answer.
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
        let Some(next) = self.redirect(status, &headers) else {
            return self.ended(Ok(Answer { status, headers, body }));
        };
        let redirects = self.redirected.as_ref().map_or(0, |(_, redirects)| *redirects);
        if redirects == MAX_REDIRECTS {
            return self.ended(Err(self.settings.redirected_too_often(&next, status, &headers)));
        }
        self.redirected = Some((next, redirects + 1));
        Ok(Verdict::Again(Duration::ZERO))
    }

    /// The URL of a redirect that is followed.
    fn redirect(&self, status: u16, headers: &HeaderMap) -> Option<Url> {
        if !redirect::are_followed(&self.request.method, &self.request.path) {
            return None;
        }
        redirect::target(&Url::parse(&self.url()).ok()?, status, headers)
    }

    /// What follows from a connection that was not to be had or broke, or from a try that took too long.
    pub fn broken(
        &mut self,
        why: impl Into<Box<dyn StdError + Send + Sync>>,
        timed_out: bool,
    ) -> Result<Verdict, Error> {
        let kind = if timed_out { ErrorKind::Timeout } else { ErrorKind::Connection };
        let url = self.url();
        // That of a redirect may end in a signature.
        let url = url.split('?').next().unwrap_or_default();
        let message = self.settings.redact(format!("{} {url}: {}", self.method(), why.into()));
        self.ended(Err(Error::new(kind, message)))
    }

    /// What follows from a try.
    pub(crate) fn ended(&mut self, tried: Result<Answer, Error>) -> Result<Verdict, Error> {
        self.attempts += 1;
        self.redirected = None;
        let (error, outcome) = match tried {
            Ok(Answer { status, headers, body }) if (200..300).contains(&status) => {
                let response = Response { status, headers, body, attempts: self.attempts };
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
        let (retries, tried) = (self.settings.max_retries(), self.attempts);
        let wait = retry::decide(tried, retries, outcome, error.retry_after(), random());
        let left = self.left();
        let Some(wait) = wait.filter(|wait| left.is_none_or(|left| *wait < left)) else {
            return Err(self.failed(error));
        };
        tracing::debug!(tried, wait_ms = wait.as_millis(), %error, "the call is tried again");
        Ok(Verdict::Again(wait))
    }

    /// What is left of the time for the whole call.
    fn left(&self) -> Option<Duration> {
        let deadline = self.settings.options.deadline?;
        Some(deadline.saturating_sub(clock::now() - self.started))
    }

    fn failed(&self, error: Error) -> Error {
        let key = self.request.headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok());
        error.with_call(self.attempts, key)
    }
}
