//! Sends a call: the loop over its tries. [`crate::retry`] decides what follows each.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_RANGE},
};
use tracing::Instrument as _;
use url::Url;

use crate::{
    Error, ErrorKind, Request, Response, Verdict,
    connections::{Broken, Connections, FailureHint, Received},
    endpoint::Endpoint,
    error::shown,
    exchange::Exchange,
    options::CallOptions,
    pieces::content_range,
    redirect::{self, MAX_REDIRECTS},
    settings::{Answer, REACHED_WITH_HTTPS, Settings, request_id},
};

/// The largest response that is read into memory; the server's largest list is a tenth of it.
pub(crate) const MAX_ANSWER_BYTES: usize = 64 << 20;

const REACHED_WITH_HTTP: &str =
    "the server does not speak TLS there: is it reached with http://, and not with https://?";

/// A client's connections and settings; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pub(crate) settings: Settings,
    http: Connections,
}

impl Transport {
    pub(crate) fn new(settings: Settings) -> Result<Self, Error> {
        let http = settings.network.connections(settings.options.connect_timeout)?;
        http.proxy_before(&settings.base)?;
        if settings.is_in_the_clear() {
            tracing::warn!(
                server = %settings.base,
                "the API key goes over plain http:// to another machine: everyone on the way can read it; use https://"
            );
        }
        Ok(Self { settings, http })
    }

    /// A copy with these options.
    pub(crate) fn with(&self, options: CallOptions) -> Result<Self, Error> {
        let settings = self.settings.with(options);
        let limit = settings.options.connect_timeout;
        let http = if limit == self.settings.options.connect_timeout {
            self.http.clone()
        } else {
            settings.network.connections(limit)?
        };
        Ok(Self { settings, http })
    }

    /// Makes a call and reads its answer.
    pub(crate) async fn call<T>(&self, endpoint: Endpoint<T>) -> Result<T, Error> {
        let mut request = Request::new(endpoint.method.as_str(), endpoint.path)?;
        if let Some(body) = endpoint.body {
            request = request.json(body);
        }
        let path = request.path.clone();
        let response = self.request(request).await?;
        (endpoint.decode)(&response.body)
            .map_err(|error| self.settings.unreadable(&path, &response, error))
    }

    /// Makes a call, and tries it again where that may help.
    pub(crate) async fn request(&self, request: Request) -> Result<Response, Error> {
        let path = request.path.split('?').next().unwrap_or_default();
        let span = tracing::debug_span!("meetbot.call", method = %request.method, path);
        self.send(request).instrument(span).await
    }

    async fn send(&self, request: Request) -> Result<Response, Error> {
        let mut exchange = Exchange::new(self.settings.clone(), request)?;
        loop {
            let answer = self.answer(&exchange.request, exchange.limit()).await;
            match exchange.ended(answer)? {
                Verdict::Done(response) => return Ok(response),
                Verdict::Again(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// One try: the complete response of any status.
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
        match tokio::time::timeout(self.settings.timeout(), opened).await {
            Ok(response) => response,
            Err(_) => Err(self.broken_off(&Method::GET, path, self.settings.timeout())),
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
        let mut url = self.settings.url(path)?;
        headers.insert(AUTHORIZATION, self.settings.key.header());
        let mut redirects = 0;
        loop {
            let sent = self.http.send(method, &url, headers.clone(), body.clone());
            let response = sent.await.map_err(|error| self.broken(error, method, &url))?;
            let status = response.status().as_u16();
            let next = redirect::target(&url, status, response.headers());
            let Some(next) = next.filter(|_| are_followed) else { return Ok(response) };
            if redirects == MAX_REDIRECTS {
                return Err(self.settings.redirected_too_often(&next, status, response.headers()));
            }
            self.http.proxy_before(&next)?;
            redirects += 1;
            (url, headers) = (next, redirect::headers_for_target(&headers));
        }
    }

    /// Reads the whole body, up to the largest size of a response; of a part of a file, up to the size in `Content-Range`.
    async fn body(&self, mut response: Received, method: &Method) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        let url = response.url().clone();
        let (status, id) = (response.status().as_u16(), request_id(response.headers()));
        // The error shows no body, since it was not read whole.
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
                let message =
                    format!("{}: the server sent more than it said", self.settings.shown(&url));
                return Err(too_large(message));
            }
            if size > MAX_ANSWER_BYTES {
                return Err(too_large(format!(
                    "the answer of {} is larger than {} MiB",
                    self.settings.shown(&url),
                    MAX_ANSWER_BYTES >> 20
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Reads the body of a response other than 2xx, and makes an error of it.
    pub(crate) async fn refuse(&self, response: Received) -> Error {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let read =
            tokio::time::timeout(self.settings.timeout(), self.body(response, &Method::GET)).await;
        // The status says enough when the body cannot be read.
        let body = read.ok().and_then(Result::ok).unwrap_or_default();
        self.settings.refused(&Answer { status, headers, body })
    }

    fn broken_off(&self, method: &Method, path: &str, limit: Duration) -> Error {
        let (url, seconds) = (self.settings.base_url(), limit.as_secs_f64());
        Error::new(
            ErrorKind::Timeout,
            format!("{method} {url}{path}: no whole answer within {seconds:.3} s"),
        )
    }

    /// The error of a connection that could not be made, or broke.
    pub(crate) fn broken(&self, error: Broken, method: &Method, url: &Url) -> Error {
        let kind = if error.timed_out { ErrorKind::Timeout } else { ErrorKind::Connection };
        let what = if error.connecting { "cannot connect" } else { "the connection broke" };
        let mut message = format!("{method} {}: {what}", self.settings.shown(url));
        let proxy = self.http.proxy_before(url).ok().flatten();
        if let Some(proxy) = proxy {
            message = format!("{message} through the proxy {}", proxy.uri);
        }
        let described = Error::new(kind, message).with_source(error.why);
        // With a proxy, the peer may be the proxy or the server.
        match error.hint {
            Some(FailureHint::Http) if proxy.is_some() => {
                described.with_hint("the proxy or the server does not speak TLS there: is one of them reached with http://?")
            }
            Some(FailureHint::Http) => described.with_hint(REACHED_WITH_HTTP),
            Some(FailureHint::SilentToTls) => {
                described.with_hint("it was hung up in the TLS handshake: does TLS have another port, or is the server reached with http://?")
            }
            Some(FailureHint::Tls) if proxy.is_some() => {
                described.with_hint("what answers speaks TLS: is the proxy reached with https://?")
            }
            Some(FailureHint::Tls) if url.scheme() == "http" => described.with_hint(REACHED_WITH_HTTPS),
            Some(FailureHint::SilentToHttp) if url.scheme() == "http" && proxy.is_none() => {
                described.with_hint("a server that is reached with https:// hangs up like this too")
            }
            Some(FailureHint::Other(bytes)) if !bytes.is_empty() => {
                let began = self.settings.key.redact_beginning(String::from_utf8_lossy(&bytes).into_owned());
                described.with_hint(&format!("the answer cannot be read; it begins with {}", shown(&began)))
            }
            _ => described,
        }
    }
}
