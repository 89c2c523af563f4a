//! Sends a call: the loop over its tries. What to do after each is decided in [`crate::retry`].

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use meetbot_types::Timestamp;
use reqwest::{
    Client, Method, Response,
    header::{
        ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
        RETRY_AFTER,
    },
};
use tracing::Instrument as _;
use url::Url;

use crate::{
    Error, ErrorKind,
    builder::Key,
    endpoint::Endpoint,
    error::shown,
    options::CallOptions,
    retry::{self, MAX_RETRIES, Outcome},
};

const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read into memory; the largest list of the server's is a tenth of it.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How many redirects a GET follows.
const MAX_REDIRECTS: u32 = 5;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const USER_AGENT: &str = concat!("meetbot-rust/", env!("CARGO_PKG_VERSION"));

/// A client's connections and settings; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    key: Arc<Key>,
    base: Arc<Url>,
    http: Client,
    options: CallOptions,
}

/// A whole answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    body: Bytes,
}

impl Transport {
    pub(crate) fn new(key: Key, base: Url, options: CallOptions) -> Result<Self, Error> {
        let http = http_client(options.connect_timeout)?;
        Ok(Self { key: Arc::new(key), base: Arc::new(base), http, options })
    }

    /// The same with what `options` sets.
    pub(crate) fn with(&self, options: CallOptions) -> Result<Self, Error> {
        let mut changed = self.clone();
        if options.connect_timeout.is_some()
            && options.connect_timeout != self.options.connect_timeout
        {
            changed.http = http_client(options.connect_timeout)?;
        }
        changed.options = CallOptions {
            timeout: options.timeout.or(changed.options.timeout),
            connect_timeout: options.connect_timeout.or(changed.options.connect_timeout),
            max_retries: options.max_retries.or(changed.options.max_retries),
            idempotency_key: options.idempotency_key.or(changed.options.idempotency_key),
        };
        Ok(changed)
    }

    pub(crate) fn max_retries(&self) -> u32 {
        self.options.max_retries.unwrap_or(MAX_RETRIES)
    }

    /// How long one try may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.options.timeout.unwrap_or(TIMEOUT)
    }

    /// Makes a call and reads its answer.
    pub(crate) async fn call<T>(&self, endpoint: Endpoint<T>) -> Result<T, Error> {
        let path = endpoint.path.split('?').next().unwrap_or_default();
        let span = tracing::debug_span!("meetbot.call", method = %endpoint.method, path);
        self.send(&endpoint).instrument(span).await
    }

    async fn send<T>(&self, endpoint: &Endpoint<T>) -> Result<T, Error> {
        let headers = self.headers(endpoint)?;
        let mut tried = 0;
        loop {
            tried += 1;
            let (error, outcome) = match self.answer(endpoint, &headers).await {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    return self.read(endpoint, &answer);
                }
                Ok(answer) => {
                    let outcome = Outcome::Answer(answer.status);
                    (self.refused(answer), outcome)
                }
                Err(error) if error.is_transient() => (error, Outcome::Broken),
                Err(error) => return Err(error),
            };
            let retry_after = error.retry_after();
            let Some(wait) =
                retry::decide(tried, self.max_retries(), outcome, retry_after, random())
            else {
                return Err(error);
            };
            tracing::debug!(tried, wait_ms = wait.as_millis(), %error, "the call is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    fn headers<T>(&self, endpoint: &Endpoint<T>) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if endpoint.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if endpoint.method == Method::POST {
            let key = match &self.options.idempotency_key {
                Some(key) => key.clone(),
                None => random_key(),
            };
            let usable = !key.is_empty()
                && key.len() <= 255
                && key.bytes().all(|byte| byte.is_ascii_graphic());
            let value =
                usable.then(|| HeaderValue::from_str(&key).ok()).flatten().ok_or_else(|| {
                    Error::configuration("an idempotency key is 1 to 255 visible ASCII characters")
                })?;
            headers.insert(IDEMPOTENCY_KEY, value);
        }
        Ok(headers)
    }

    /// One try: the whole answer, whatever its status.
    async fn answer<T>(
        &self,
        endpoint: &Endpoint<T>,
        headers: &HeaderMap,
    ) -> Result<Answer, Error> {
        let sent = async {
            let url = self.url(&endpoint.path)?;
            let response = self
                .follow(endpoint.method.clone(), url, headers.clone(), endpoint.body.clone())
                .await?;
            let status = response.status().as_u16();
            let (request_id, retry_after) = (request_id(&response), retry_after(&response));
            let body = self.body(response, &endpoint.method).await?;
            Ok(Answer { status, request_id, retry_after, body })
        };
        match tokio::time::timeout(self.timeout(), sent).await {
            Ok(answer) => answer,
            Err(_) => Err(self.broken_off(&endpoint.method, &endpoint.path)),
        }
    }

    /// One try of a GET whose body is read by the caller.
    pub(crate) async fn open(&self, path: &str, headers: HeaderMap) -> Result<Response, Error> {
        let opened = self.follow(Method::GET, self.url(path)?, headers, None);
        match tokio::time::timeout(self.timeout(), opened).await {
            Ok(response) => response,
            Err(_) => Err(self.broken_off(&Method::GET, path)),
        }
    }

    /// Sends, and follows redirects of a GET: with the key to the same origin only.
    async fn follow(
        &self,
        method: Method,
        mut url: Url,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Error> {
        for _ in 0..=MAX_REDIRECTS {
            let mut request =
                self.http.request(method.clone(), url.clone()).headers(headers.clone());
            if url.origin() == self.base.origin() {
                request = request.header(AUTHORIZATION, self.key.header());
            }
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            let response =
                request.send().await.map_err(|error| connection(error, &method, &url))?;
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let (true, Some(target)) = (response.status().is_redirection(), target) else {
                return Ok(response);
            };
            let next =
                url.join(target).ok().filter(|next| matches!(next.scheme(), "http" | "https"));
            match next {
                Some(next) if method == Method::GET => url = next,
                _ => {
                    let status = response.status().as_u16();
                    let message = format!(
                        "{method} {url} is redirected to {target:?}: is the base URL right?"
                    );
                    return Err(Error::new(ErrorKind::UnexpectedStatus, self.key.redact(message))
                        .with_answer(status, request_id(&response), String::new()));
                }
            }
        }
        Err(Error::new(
            ErrorKind::UnexpectedStatus,
            format!("more than {MAX_REDIRECTS} redirects, the last to {url}"),
        ))
    }

    /// The whole body, if it is of a size that an answer may have.
    async fn body(&self, mut response: Response, method: &Method) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        let url = response.url().clone();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| connection(error, method, &url))?
        {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Error::new(
                    ErrorKind::Decode,
                    format!("the answer of {url} is larger than {} MiB", MAX_ANSWER_BYTES >> 20),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn read<T>(&self, endpoint: &Endpoint<T>, answer: &Answer) -> Result<T, Error> {
        tracing::debug!(status = answer.status, request_id = answer.request_id, "answered");
        (endpoint.decode)(&answer.body).map_err(|error| {
            let body = self.key.redact(String::from_utf8_lossy(&answer.body).into_owned());
            let message =
                format!("the body is not what {} promises: {}", endpoint.path, shown(&body));
            Error::new(ErrorKind::Decode, message)
                .with_answer(answer.status, answer.request_id.clone(), body)
                .with_source(error)
        })
    }

    fn refused(&self, answer: Answer) -> Error {
        let body = self.key.redact(String::from_utf8_lossy(&answer.body).into_owned());
        Error::from_answer(answer.status, answer.request_id, answer.retry_after, body)
    }

    /// The error that a response other than 2xx is, its body read.
    pub(crate) async fn refuse(&self, response: Response) -> Error {
        let status = response.status().as_u16();
        let (request_id, retry_after) = (request_id(&response), retry_after(&response));
        let read = tokio::time::timeout(self.timeout(), self.body(response, &Method::GET)).await;
        // The status says enough when the body cannot be read.
        let body = read.ok().and_then(Result::ok).unwrap_or_default();
        self.refused(Answer { status, request_id, retry_after, body })
    }

    fn broken_off(&self, method: &Method, path: &str) -> Error {
        let url = self.base.as_str().trim_end_matches('/');
        let seconds = self.timeout().as_secs_f64();
        Error::new(
            ErrorKind::Timeout,
            format!("{method} {url}{path}: no whole answer within {seconds} s"),
        )
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        Url::parse(&url).map_err(|error| {
            Error::configuration(format!("{url:?} is not a URL")).with_source(error)
        })
    }
}

fn http_client(connect_timeout: Option<Duration>) -> Result<Client, Error> {
    Client::builder()
        .tls_backend_preconfigured(tls()?)
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout.unwrap_or(CONNECT_TIMEOUT))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| {
            Error::configuration("there is no HTTP client to be had").with_source(error)
        })
}

/// rustls with the platform's roots. The provider is named here, since a process-wide default may be missing or another's.
fn tls() -> Result<rustls::ClientConfig, Error> {
    use rustls_platform_verifier::BuilderVerifierExt as _;

    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let provider = rustls::crypto::ring::default_provider();
    let no_tls =
        |error| Error::configuration("TLS cannot be set up on this machine").with_source(error);
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(no_tls)?
        .with_platform_verifier()
        .map_err(no_tls)?
        .with_no_client_auth())
}

pub(crate) fn connection(error: reqwest::Error, method: &Method, url: &Url) -> Error {
    let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Connection };
    let what = if error.is_connect() { "cannot connect" } else { "the connection broke" };
    Error::new(kind, format!("{method} {url}: {what}")).with_source(error.without_url())
}

fn request_id(response: &Response) -> Option<String> {
    response.headers().get(REQUEST_ID)?.to_str().ok().map(ToOwned::to_owned)
}

fn retry_after(response: &Response) -> Option<Duration> {
    retry::retry_after(response.headers().get(RETRY_AFTER)?.to_str().ok()?, now())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place of the SDK that reads the wall clock"
)]
fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

/// A number from 0 to 1. Without randomness from the operating system it is 1: waiting longest is safe.
pub(crate) fn random() -> f64 {
    getrandom::u32().map_or(1.0, |number| f64::from(number) / f64::from(u32::MAX))
}

/// 128 random bits in hex.
fn random_key() -> String {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system gives randomness");
    format!("{:032x}", u128::from_le_bytes(bits))
}
