//! What a client's calls go by, and what it says of their answers. Knows no connection.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header::RETRY_AFTER};
use url::Url;

use crate::{
    Error, ErrorKind, Response, clock,
    error::shown,
    key::Key,
    network::Network,
    no_proxy::is_loopback,
    options::CallOptions,
    redirect::{self, MAX_REDIRECTS},
    retry::{self, MAX_RETRIES},
    tries::Limits,
};

const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) const REACHED_WITH_HTTPS: &str = "the server does not speak plain HTTP there: is it reached with https://, and not with http://?";

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A client's settings; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) key: Arc<Key>,
    pub(crate) base: Arc<Url>,
    pub(crate) network: Arc<Network>,
    pub(crate) options: CallOptions,
}

/// A complete response of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Settings {
    /// The same with what `options` sets.
    pub(crate) fn with(&self, options: CallOptions) -> Self {
        let options = CallOptions {
            timeout: options.timeout.or(self.options.timeout),
            deadline: options.deadline.or(self.options.deadline),
            connect_timeout: options.connect_timeout.or(self.options.connect_timeout),
            max_retries: options.max_retries.or(self.options.max_retries),
            idempotency_key: options
                .idempotency_key
                .or_else(|| self.options.idempotency_key.clone()),
        };
        Self { options, ..self.clone() }
    }

    pub(crate) fn max_retries(&self) -> u32 {
        self.options.max_retries.unwrap_or(MAX_RETRIES)
    }

    /// How long one try may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.options.timeout.unwrap_or(TIMEOUT)
    }

    /// What the tries of a call may take.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            retries: self.max_retries(),
            timeout: self.timeout(),
            deadline: self.options.deadline,
        }
    }

    pub(crate) fn base_url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(crate) fn is_in_the_clear(&self) -> bool {
        is_in_the_clear(&self.base)
    }

    pub(crate) fn url(&self, path: &str) -> Result<Url, Error> {
        let url = format!("{}{path}", self.base_url());
        Url::parse(&url).map_err(|error| {
            Error::configuration(format!("{url:?} is not a URL")).with_source(error)
        })
    }

    /// A URL for messages: that of a redirect comes from the server, and its query may be a signature.
    pub(crate) fn shown(&self, url: &Url) -> String {
        let mut url = url.clone();
        url.set_query(None);
        self.key.redact(url.into())
    }

    /// A text for people without the API key.
    pub(crate) fn redact(&self, text: String) -> String {
        self.key.redact(text)
    }

    pub(crate) fn redirected_too_often(
        &self,
        next: &Url,
        status: u16,
        headers: &HeaderMap,
    ) -> Error {
        let message =
            format!("more than {MAX_REDIRECTS} redirects, the last to {}", self.shown(next));
        Error::new(ErrorKind::UnexpectedStatus, message).with_answer(
            status,
            request_id(headers),
            String::new(),
        )
    }

    /// The error that an answer is which does not hold what its call promises.
    pub(crate) fn unreadable(
        &self,
        path: &str,
        response: &Response,
        why: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        let body = self.key.redact(String::from_utf8_lossy(&response.body).into_owned());
        let message = format!("the body is not what {path} promises: {}", shown(&body));
        Error::new(ErrorKind::Decode, message)
            .with_answer(response.status, request_id(&response.headers), body)
            .with_call(response.attempts, None)
            .with_source(why)
    }

    pub(crate) fn refused(&self, answer: &Answer) -> Error {
        let body = self.key.redact(String::from_utf8_lossy(&answer.body).into_owned());
        let (request_id, retry_after) = (request_id(&answer.headers), retry_after(&answer.headers));
        if let Some(target) = redirect::shown_target(answer.status, &answer.headers) {
            let message = format!("the call is redirected to {target:?}: is the base URL right?");
            return Error::new(ErrorKind::UnexpectedStatus, self.key.redact(message)).with_answer(
                answer.status,
                request_id,
                body,
            );
        }
        // How servers of HTTPS answer who speaks plain HTTP to them (nginx, Apache, Go).
        let speaks_tls = answer.status == 400
            && self.base.scheme() == "http"
            && ["HTTPS port", "HTTPS server", "SSL-enabled"]
                .iter()
                .any(|words| body.contains(words));
        let error = Error::from_answer(answer.status, request_id, retry_after, body);
        if speaks_tls { error.with_hint(REACHED_WITH_HTTPS) } else { error }
    }
}

/// Whether what is sent to a server leaves this machine without encryption.
fn is_in_the_clear(server: &Url) -> bool {
    server.scheme() == "http" && !is_loopback(server.host_str().unwrap_or_default())
}

pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get(REQUEST_ID)?.to_str().ok().map(ToOwned::to_owned)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry::retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, clock::wall())
}

/// A number from 0 to 1. Without randomness from the operating system it is 1: waiting longest is safe.
pub(crate) fn random() -> f64 {
    getrandom::u32().map_or(1.0, |number| f64::from(number) / f64::from(u32::MAX))
}

/// 128 random bits in hex.
pub(crate) fn random_key() -> String {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system gives randomness");
    format!("{:032x}", u128::from_le_bytes(bits))
}
