//! The connections of a client: a pool of them, and the way to a server, through a proxy where there is one.

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
    listened::{Heard, Listened},
    proxy::{Proxies, Proxy},
};

/// How long a connection is kept that nobody uses. Servers and what stands in front of them mostly keep theirs for 60 s or longer.
const IDLE: Duration = Duration::from_secs(90);
/// How soon and how often a quiet connection is probed, so that what stands in between does not forget it, and how many probes may go lost.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

type BoxError = Box<dyn StdError + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;
/// A task of the client's own: a connection above all.
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
        let way = Way {
            hop: HttpsConnector::from((tcp.clone(), Arc::clone(&tls))),
            tcp,
            proxies: Arc::clone(&proxies),
            user_agent: user_agent.clone(),
            heard: Heard::default(),
        };
        let connector = Connector { way, tls, limit: connect_timeout };
        let client = legacy::Client::builder(spawn)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self { client, proxies, user_agent }
    }

    /// The proxy on the way to this server, if there is one; an error where the one that was asked for cannot be used.
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
            let heard = about.remove::<Heard>().map(|heard| heard.since_sent());
            let connecting = error.is_connect();
            Broken { connecting, ..Broken::of(error) }.having_heard(heard)
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

/// A connection that was not to be had, or broke.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Whether it was never there.
    pub(crate) connecting: bool,
    pub(crate) timed_out: bool,
    pub(crate) clue: Option<Clue>,
    pub(crate) why: BoxError,
}

/// What a broken connection says of the one at its other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clue {
    /// It was spoken to in TLS and answered in HTTP.
    Http,
    /// It was spoken to in TLS and hung up.
    SilentToTls,
    /// It was spoken to in HTTP and answered in TLS.
    Tls,
    /// It was spoken to in HTTP and hung up.
    SilentToHttp,
    /// Its answer, which began with these bytes, is neither, or breaks off.
    Other(Vec<u8>),
}

/// No connection, since what came over it is no TLS.
#[derive(Debug)]
struct Unconnected {
    heard: Heard,
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
        let mut broken = Self { connecting: false, timed_out: false, clue: None, why: "".into() };
        let mut heard = None;
        let mut below: Option<&(dyn StdError + 'static)> = Some(&why);
        while let Some(error) = below {
            broken.timed_out |= is_io(error, io::ErrorKind::TimedOut);
            broken.clue = broken.clue.or_else(|| clue(error));
            if let Some(unconnected) = error.downcast_ref::<Unconnected>() {
                heard = Some(unconnected.heard.last());
                below = Some(&*unconnected.why);
                continue;
            }
            below = beneath(error);
        }
        broken.why = Box::new(why);
        broken.having_heard(heard)
    }

    /// The same, where this is known to have come in place of an answer.
    fn having_heard(mut self, heard: Option<Vec<u8>>) -> Self {
        let heard = heard.filter(|heard| !heard.is_empty());
        self.clue = match (self.clue, heard) {
            (Some(Clue::Http), Some(heard)) if !heard.starts_with(b"HTTP/") => {
                Some(Clue::Other(heard))
            }
            (Some(Clue::Other(_) | Clue::SilentToHttp), Some(heard)) if is_tls(&heard) => {
                Some(Clue::Tls)
            }
            (Some(Clue::Other(_) | Clue::SilentToHttp), Some(heard)) => Some(Clue::Other(heard)),
            (clue, _) => clue,
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
    errors.any(|error| clue(error) == Some(Clue::Http))
}

fn is_io(error: &(dyn StdError + 'static), kind: io::ErrorKind) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == kind)
}

fn clue(error: &(dyn StdError + 'static)) -> Option<Clue> {
    if let Some(rustls::Error::InvalidMessage(_)) = error.downcast_ref() {
        return Some(Clue::Http);
    }
    // Said of a handshake alone, and of no connection that has carried anything.
    if is_io(error, io::ErrorKind::UnexpectedEof) && error.to_string().contains("tls handshake") {
        return Some(Clue::SilentToTls);
    }
    let error: &hyper::Error = error.downcast_ref()?;
    if error.is_parse() {
        return Some(Clue::Other(Vec::new()));
    }
    error.is_incomplete_message().then_some(Clue::SilentToHttp)
}

/// Connects within the time limit, and speaks TLS with a server of HTTPS.
#[derive(Clone)]
struct Connector {
    way: Way,
    tls: Arc<ClientConfig>,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = Listened<MaybeHttpsStream<Hop>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let heard = Heard::default();
        let way = Way { heard: heard.clone(), ..self.way.clone() };
        let connecting = HttpsConnector::from((way, Arc::clone(&self.tls))).call(server);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(Ok(stream)) => Ok(Listened::new(stream, Heard::default())),
                Ok(Err(why)) if answers_without_tls(&*why) => {
                    Err(Unconnected { heard, why }.into())
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
struct Way {
    tcp: HttpConnector,
    /// To a proxy, which may speak TLS itself.
    hop: HttpsConnector<HttpConnector>,
    proxies: Arc<Proxies>,
    user_agent: HeaderValue,
    /// What comes over the connection that is made.
    heard: Heard,
}

impl Way {
    async fn to(mut self, server: Uri) -> Result<Hop, BoxError> {
        let hop = |stream, forwards, heard| Hop { stream: Listened::new(stream, heard), forwards };
        let Some(proxy) = self.proxies.before_uri(&server)?.cloned() else {
            poll_fn(|context| self.tcp.poll_ready(context)).await?;
            let stream = MaybeHttpsStream::Http(self.tcp.call(server).await?);
            return Ok(hop(stream, false, self.heard));
        };
        if server.scheme() != Some(&Scheme::HTTPS) {
            poll_fn(|context| self.hop.poll_ready(context)).await?;
            return Ok(hop(self.hop.call(proxy.uri).await?, true, self.heard));
        }
        let mut tunnel = Tunnel::new(proxy.uri, self.hop)
            .with_headers([(USER_AGENT, self.user_agent)].into_iter().collect());
        if let Some(password) = proxy.password {
            tunnel = tunnel.with_auth(password);
        }
        poll_fn(|context| tunnel.poll_ready(context)).await?;
        Ok(hop(tunnel.call(server).await?, false, self.heard))
    }
}

impl Service<Uri> for Way {
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
    stream: Listened<MaybeHttpsStream<TokioIo<TcpStream>>>,
    /// Whether a proxy is at its other end that has to be told the whole URL.
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
