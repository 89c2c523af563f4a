//! The connections of a client: the pool, and how a server is dialled, through a proxy where there is one.

use std::{
    error::Error as StdError,
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{PROXY_AUTHORIZATION, USER_AGENT},
    response,
    uri::Scheme,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, rt};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connected, Connection, HttpConnector, proxy::Tunnel},
    },
    rt::{TokioIo, TokioTimer},
};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

use crate::{
    Error,
    proxy::{Proxies, Proxy},
    received_bytes::{ReceivedBytes, RecordingStream},
};

/// How long an idle connection is kept. Most servers and proxies keep theirs for 60 s or longer.
const IDLE: Duration = Duration::from_secs(90);
/// When and how often an idle connection is probed, so that middleboxes do not drop it, and how many probes may be lost.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

type BoxError = Box<dyn StdError + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;
/// A background task of the client, in most cases a connection.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs the tasks of a client.
#[derive(Clone)]
pub(crate) struct Spawn(pub(crate) Arc<dyn Fn(Task) + Send + Sync>);

/// A pool of connections; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connections {
    client: legacy::Client<Connector, Full<Bytes>>,
    proxies: Arc<Proxies>,
    user_agent: HeaderValue,
}

impl Connections {
    pub(crate) fn new(
        tls: ClientConfig,
        proxies: Arc<Proxies>,
        user_agent: HeaderValue,
        connect_timeout: Duration,
        spawn: Spawn,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        let tls = Arc::new(tls);
        let dialer = Dialer {
            hop: HttpsConnector::from((tcp.clone(), Arc::clone(&tls))),
            tcp,
            proxies: Arc::clone(&proxies),
            user_agent: user_agent.clone(),
            received: ReceivedBytes::default(),
        };
        let connector = Connector { dialer, tls, limit: connect_timeout };
        let client = legacy::Client::builder(spawn)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self { client, proxies, user_agent }
    }

    /// The proxy for this server, if any; an error if the requested one cannot be used.
    pub(crate) fn proxy_before(&self, server: &Url) -> Result<Option<&Proxy>, Error> {
        self.proxies.before_url(server).map_err(Error::configuration)
    }

    /// Sends a request; the answer's body is still to be read.
    pub(crate) async fn send(
        &self,
        method: &Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Received, Broken> {
        let uri = Uri::try_from(url.as_str()).map_err(Broken::of)?;
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        // To a server of HTTPS the proxy only opens a tunnel: that is where it reads the password.
        if uri.scheme() == Some(&Scheme::HTTP)
            && let Ok(Some(Proxy { password: Some(password), .. })) = self.proxies.before_uri(&uri)
        {
            headers.insert(PROXY_AUTHORIZATION, password.clone());
        }
        let mut request = Request::new(body.map(Full::new).unwrap_or_default());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let response = self.client.request(request).await.map_err(|error| {
            let mut about = http::Extensions::new();
            if let Some(connected) = error.connect_info() {
                connected.get_extras(&mut about);
            }
            let received =
                about.remove::<ReceivedBytes>().map(|received| received.since_last_send());
            let connecting = error.is_connect();
            Broken { connecting, ..Broken::of(error) }.with_received(received)
        })?;
        let (head, body) = response.into_parts();
        Ok(Received { url: url.clone(), head, body })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections(…)")
    }
}

impl Default for Spawn {
    fn default() -> Self {
        Self(Arc::new(|task| drop(tokio::spawn(task))))
    }
}

impl<F: Future<Output = ()> + Send + 'static> rt::Executor<F> for Spawn {
    fn execute(&self, task: F) {
        (self.0)(Box::pin(task));
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Received {
    url: Url,
    head: response::Parts,
    body: Incoming,
}

impl Received {
    pub(crate) const fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// What was asked for: after redirects, the last of them.
    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// The next bytes of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(bytes) = frame.map_err(Broken::of)?.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// A connection that could not be made, or broke.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Whether it failed while connecting.
    pub(crate) connecting: bool,
    pub(crate) timed_out: bool,
    pub(crate) hint: Option<FailureHint>,
    pub(crate) why: BoxError,
}

/// The probable cause of a failure, from the bytes and errors of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FailureHint {
    /// We spoke TLS, and the peer answered in HTTP.
    Http,
    /// We spoke TLS, and the peer closed the connection.
    SilentToTls,
    /// We spoke HTTP, and the peer answered in TLS.
    Tls,
    /// We spoke HTTP, and the peer closed the connection.
    SilentToHttp,
    /// The peer's answer, which began with these bytes, is neither, or is cut off.
    Other(Vec<u8>),
}

/// A failed TLS handshake, with the bytes that the peer sent.
#[derive(Debug)]
struct Unconnected {
    received: ReceivedBytes,
    why: BoxError,
}

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl StdError for Unconnected {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.why.source()
    }
}

impl Broken {
    fn of(why: impl StdError + Send + Sync + 'static) -> Self {
        let mut broken = Self { connecting: false, timed_out: false, hint: None, why: "".into() };
        let mut received = None;
        let mut below: Option<&(dyn StdError + 'static)> = Some(&why);
        while let Some(error) = below {
            broken.timed_out |= is_io(error, io::ErrorKind::TimedOut);
            broken.hint = broken.hint.or_else(|| hint(error));
            if let Some(unconnected) = error.downcast_ref::<Unconnected>() {
                received = Some(unconnected.received.last());
                below = Some(&*unconnected.why);
                continue;
            }
            below = beneath(error);
        }
        broken.why = Box::new(why);
        broken.with_received(received)
    }

    /// Refines the hint by the bytes that were received in place of a response.
    fn with_received(mut self, received: Option<Vec<u8>>) -> Self {
        let received = received.filter(|received| !received.is_empty());
        self.hint = match (self.hint, received) {
            (Some(FailureHint::Http), Some(received)) if !received.starts_with(b"HTTP/") => {
                Some(FailureHint::Other(received))
            }
            (Some(FailureHint::Other(_) | FailureHint::SilentToHttp), Some(received))
                if is_tls(&received) =>
            {
                Some(FailureHint::Tls)
            }
            (Some(FailureHint::Other(_) | FailureHint::SilentToHttp), Some(received)) => {
                Some(FailureHint::Other(received))
            }
            (hint, _) => hint,
        };
        self
    }
}

/// Whether these bytes are the beginning of an alert or a handshake of TLS: the kind of the record, and a version of 3.x (RFC 8446, 5.1).
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, 0..=4, ..])
}

/// What an error is of. An `io::Error` names what it wraps in no other way.
fn beneath<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn answers_without_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut errors = std::iter::successors(Some(error), |error| beneath(*error));
    errors.any(|error| hint(error) == Some(FailureHint::Http))
}

fn is_io(error: &(dyn StdError + 'static), kind: io::ErrorKind) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == kind)
}

fn hint(error: &(dyn StdError + 'static)) -> Option<FailureHint> {
    if let Some(rustls::Error::InvalidMessage(_)) = error.downcast_ref() {
        return Some(FailureHint::Http);
    }
    // An error of handshakes only.
    if is_io(error, io::ErrorKind::UnexpectedEof) && error.to_string().contains("tls handshake") {
        return Some(FailureHint::SilentToTls);
    }
    let error: &hyper::Error = error.downcast_ref()?;
    if error.is_parse() {
        return Some(FailureHint::Other(Vec::new()));
    }
    error.is_incomplete_message().then_some(FailureHint::SilentToHttp)
}

/// Connects within the time limit, and speaks TLS with a server of HTTPS.
#[derive(Clone)]
struct Connector {
    dialer: Dialer,
    tls: Arc<ClientConfig>,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = RecordingStream<MaybeHttpsStream<Hop>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let received = ReceivedBytes::default();
        let dialer = Dialer { received: received.clone(), ..self.dialer.clone() };
        let connecting = HttpsConnector::from((dialer, Arc::clone(&self.tls))).call(server);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(Ok(stream)) => Ok(RecordingStream::new(stream, ReceivedBytes::default())),
                Ok(Err(why)) if answers_without_tls(&*why) => {
                    Err(Unconnected { received, why }.into())
                }
                Ok(Err(why)) => Err(why),
                Err(_) => {
                    let why = format!("no connection within {} s", limit.as_secs_f64());
                    Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
                }
            }
        })
    }
}

/// Connects to a server, or to the proxy in front of it.
#[derive(Clone)]
struct Dialer {
    tcp: HttpConnector,
    /// To a proxy, which may speak TLS itself.
    hop: HttpsConnector<HttpConnector>,
    proxies: Arc<Proxies>,
    user_agent: HeaderValue,
    /// The bytes that the new connection receives.
    received: ReceivedBytes,
}

impl Dialer {
    async fn to(mut self, server: Uri) -> Result<Hop, BoxError> {
        let hop = |stream, forwards, received| Hop {
            stream: RecordingStream::new(stream, received),
            forwards,
        };
        let Some(proxy) = self.proxies.before_uri(&server)?.cloned() else {
            poll_fn(|context| self.tcp.poll_ready(context)).await?;
            let stream = MaybeHttpsStream::Http(self.tcp.call(server).await?);
            return Ok(hop(stream, false, self.received));
        };
        if server.scheme() != Some(&Scheme::HTTPS) {
            poll_fn(|context| self.hop.poll_ready(context)).await?;
            return Ok(hop(self.hop.call(proxy.uri).await?, true, self.received));
        }
        let mut tunnel = Tunnel::new(proxy.uri, self.hop)
            .with_headers([(USER_AGENT, self.user_agent)].into_iter().collect());
        if let Some(password) = proxy.password {
            tunnel = tunnel.with_auth(password);
        }
        poll_fn(|context| tunnel.poll_ready(context)).await?;
        Ok(hop(tunnel.call(server).await?, false, self.received))
    }
}

impl Service<Uri> for Dialer {
    type Response = Hop;
    type Error = BoxError;
    type Future = Connecting<Hop>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        Box::pin(self.clone().to(server))
    }
}

/// A connection to the server or to a proxy.
struct Hop {
    stream: RecordingStream<MaybeHttpsStream<TokioIo<TcpStream>>>,
    /// Whether the peer is a proxy, to which requests name the whole URL.
    forwards: bool,
}

impl Connection for Hop {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.forwards)
    }
}

impl rt::Read for Hop {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl rt::Write for Hop {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
