//! Sends a call: the loop over its tries. What to do after each is decided in [`crate::retry`].

use std::{error::Error as StdError, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_RANGE, RETRY_AFTER},
};
use tracing::Instrument as _;
use url::Url;

use crate::{
    Error, ErrorKind, Request, Response, Verdict,
    builder::Key,
    clock,
    connections::{Broken, Clue, Connections, Received},
    endpoint::Endpoint,
    error::shown,
    exchange::Exchange,
    network::Network,
    no_proxy::is_loopback,
    options::CallOptions,
    pieces::content_range,
    redirect::{self, MAX_REDIRECTS},
    retry::{self, MAX_RETRIES},
};

const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read into memory; the largest list of the server's is a tenth of it.
pub(crate) const MAX_ANSWER_BYTES: usize = 64 << 20;

const REACHED_WITH_HTTP: &str =
    "the server does not speak TLS there: is it reached with http://, and not with https://?";
const REACHED_WITH_HTTPS: &str = "the server does not speak plain HTTP there: is it reached with https://, and not with http://?";

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A client's connections and settings; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pub(crate) key: Arc<Key>,
    base: Arc<Url>,
    pub(crate) network: Arc<Network>,
    http: Connections,
    pub(crate) options: CallOptions,
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Transport {
    pub(crate) fn new(
        key: Key,
        base: Url,
        network: Network,
        options: CallOptions,
    ) -> Result<Self, Error> {
        let http = network.connections(options.connect_timeout)?;
        http.proxy_before(&base)?;
        if is_in_the_clear(&base) {
            tracing::warn!(
                server = %base,
                "the API key goes over plain http:// to another machine: everyone on the way can read it; use https://"
            );
        }
        let (key, base, network) = (Arc::new(key), Arc::new(base), Arc::new(network));
        Ok(Self { key, base, network, http, options })
    }

    /// The same with what `options` sets.
    pub(crate) fn with(&self, options: CallOptions) -> Result<Self, Error> {
        let mut changed = self.clone();
        if options.connect_timeout.is_some()
            && options.connect_timeout != self.options.connect_timeout
        {
            changed.http = self.network.connections(options.connect_timeout)?;
        }
        changed.options = CallOptions {
            timeout: options.timeout.or(changed.options.timeout),
            deadline: options.deadline.or(changed.options.deadline),
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

    pub(crate) fn base_url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(crate) fn is_in_the_clear(&self) -> bool {
        is_in_the_clear(&self.base)
    }

    /// Makes a call and reads its answer.
    pub(crate) async fn call<T>(&self, endpoint: Endpoint<T>) -> Result<T, Error> {
        let mut request = Request::new(endpoint.method.as_str(), endpoint.path)?;
        if let Some(body) = endpoint.body {
            request = request.json(body);
        }
        let path = request.path.clone();
        let response = self.request(request).await?;
        (endpoint.decode)(&response.body).map_err(|error| self.unreadable(&path, &response, error))
    }

    /// Makes a call, and tries it again where that may help.
    pub(crate) async fn request(&self, request: Request) -> Result<Response, Error> {
        let path = request.path.split('?').next().unwrap_or_default();
        let span = tracing::debug_span!("meetbot.call", method = %request.method, path);
        self.send(request).instrument(span).await
    }

    async fn send(&self, request: Request) -> Result<Response, Error> {
        let mut exchange = Exchange::new(self.clone(), request)?;
        loop {
            let answer = self.answer(&exchange.request, exchange.limit()).await;
            match exchange.ended(answer)? {
                Verdict::Done(response) => return Ok(response),
                Verdict::Again(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// One try: the whole answer, whatever its status.
    async fn answer(&self, request: &Request, limit: Duration) -> Result<Answer, Error> {
        let sent = async {
            let headers = request.headers.clone();
            let response =
                self.follow(&request.method, &request.path, headers, request.body.clone()).await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = self.body(response, &request.method).await?;
            Ok(Answer { status, headers, body })
        };
        match tokio::time::timeout(limit, sent).await {
            Ok(answer) => answer,
            Err(_) => Err(self.broken_off(&request.method, &request.path, limit)),
        }
    }

    /// One try of a GET whose body is read by the caller.
    pub(crate) async fn open(&self, path: &str, headers: HeaderMap) -> Result<Received, Error> {
        let opened = self.follow(&Method::GET, path, headers, None);
        match tokio::time::timeout(self.timeout(), opened).await {
            Ok(response) => response,
            Err(_) => Err(self.broken_off(&Method::GET, path, self.timeout())),
        }
    }

    /// Sends, and follows the redirects of an artifact.
    async fn follow(
        &self,
        method: &Method,
        path: &str,
        mut headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Received, Error> {
        let are_followed = redirect::are_followed(method, path);
        let mut url = self.url(path)?;
        headers.insert(AUTHORIZATION, self.key.header());
        let mut redirects = 0;
        loop {
            let sent = self.http.send(method, &url, headers.clone(), body.clone());
            let response = sent.await.map_err(|error| self.broken(error, method, &url))?;
            let status = response.status().as_u16();
            let next = redirect::target(&url, status, response.headers());
            let Some(next) = next.filter(|_| are_followed) else { return Ok(response) };
            if redirects == MAX_REDIRECTS {
                return Err(self.redirected_too_often(&next, status, response.headers()));
            }
            self.http.proxy_before(&next)?;
            redirects += 1;
            (url, headers) = (next, redirect::kept(&headers));
        }
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

    /// The whole body, if it is of a size that an answer may have; a part of a file, if it is no more than it says.
    async fn body(&self, mut response: Received, method: &Method) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        let url = response.url().clone();
        let (status, id) = (response.status().as_u16(), request_id(response.headers()));
        // What was read of it is no body.
        let too_large = |message| {
            Error::new(ErrorKind::Decode, message).with_answer(status, id.clone(), String::new())
        };
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let range = range.filter(|_| response.status() == StatusCode::PARTIAL_CONTENT);
        let said = range.and_then(content_range).map(|(first, last, _)| last - first + 1);
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.broken(error, method, &url))?
        {
            let size = body.len() + chunk.len();
            if said.is_some_and(|said| size as u64 > said) {
                let message = format!("{}: the server sent more than it said", self.shown(&url));
                return Err(too_large(message));
            }
            if size > MAX_ANSWER_BYTES {
                return Err(too_large(format!(
                    "the answer of {} is larger than {} MiB",
                    self.shown(&url),
                    MAX_ANSWER_BYTES >> 20
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
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

    /// The error that a response other than 2xx is, its body read.
    pub(crate) async fn refuse(&self, response: Received) -> Error {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let read = tokio::time::timeout(self.timeout(), self.body(response, &Method::GET)).await;
        // The status says enough when the body cannot be read.
        let body = read.ok().and_then(Result::ok).unwrap_or_default();
        self.refused(&Answer { status, headers, body })
    }

    fn broken_off(&self, method: &Method, path: &str, limit: Duration) -> Error {
        let (url, seconds) = (self.base_url(), limit.as_secs_f64());
        Error::new(
            ErrorKind::Timeout,
            format!("{method} {url}{path}: no whole answer within {seconds:.3} s"),
        )
    }

    /// The error of a connection that was not to be had, or broke.
    pub(crate) fn broken(&self, error: Broken, method: &Method, url: &Url) -> Error {
        let kind = if error.timed_out { ErrorKind::Timeout } else { ErrorKind::Connection };
        let what = if error.connecting { "cannot connect" } else { "the connection broke" };
        let mut message = format!("{method} {}: {what}", self.shown(url));
        let proxy = self.http.proxy_before(url).ok().flatten();
        if let Some(proxy) = proxy {
            message = format!("{message} through the proxy {}", proxy.uri);
        }
        let told = Error::new(kind, message).with_source(error.why);
        // Through a proxy, both that and the server may be at the other end.
        match error.clue {
            Some(Clue::Http) if proxy.is_some() => {
                told.with_hint("the proxy or the server does not speak TLS there: is one of them reached with http://?")
            }
            Some(Clue::Http) => told.with_hint(REACHED_WITH_HTTP),
            Some(Clue::SilentToTls) => {
                told.with_hint("it was hung up in the TLS handshake: does TLS have another port, or is the server reached with http://?")
            }
            Some(Clue::Tls) if proxy.is_some() => {
                told.with_hint("what answers speaks TLS: is the proxy reached with https://?")
            }
            Some(Clue::Tls) if url.scheme() == "http" => told.with_hint(REACHED_WITH_HTTPS),
            Some(Clue::SilentToHttp) if url.scheme() == "http" && proxy.is_none() => {
                told.with_hint("a server that is reached with https:// hangs up like this too")
            }
            Some(Clue::Other(bytes)) if !bytes.is_empty() => {
                let began = self.key.redact_beginning(String::from_utf8_lossy(&bytes).into_owned());
                told.with_hint(&format!("the answer cannot be read; it begins with {}", shown(&began)))
            }
            _ => told,
        }
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

    pub(crate) fn url(&self, path: &str) -> Result<Url, Error> {
        let url = format!("{}{path}", self.base_url());
        Url::parse(&url).map_err(|error| {
            Error::configuration(format!("{url:?} is not a URL")).with_source(error)
        })
    }
}

/// Whether what is sent to a server leaves this machine without encryption.
fn is_in_the_clear(server: &Url) -> bool {
    server.scheme() == "http" && !is_loopback(server.host_str().unwrap_or_default())
}

fn request_id(headers: &HeaderMap) -> Option<String> {
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
