//! Who asks: the key of a request or of its session, whether it may, and the line that its use leaves in the audit log.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension,
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Extensions, HeaderMap, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use meetbot_types::{ErrorCode, JobId, UseId};
use utoipa::openapi::{OpenApi, security::SecurityRequirement};

use super::{
    BUSY, Server,
    document::operations,
    error::ApiError,
    login_paths,
    open_connections::Connection,
    sending::{self, Streamed},
    session_cookie::{self, Credential},
};
use crate::{
    audit::{Audit, CALLER_GONE},
    clock::Now,
    keys,
    limits::Left,
    shares::NoShare,
    store::{self, Key, KeyEnd, KeyUse, Scope, Tenant},
};

/// Of a request that came by no connection: there is none.
const NOWHERE: Peer = Peer(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
/// Longer paths are cut in the audit log.
const LONGEST_PATH: usize = 200;
/// How often what goes on for long asks whether its key is still good: with the time for which a key is believed, within a second of its end.
const ASK_AGAIN: Duration = Duration::from_millis(150);

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// What stands for one caller: an IPv6 network of 64 bits is one.
    pub(crate) fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address @ IpAddr::V4(_) => address,
        }
    }
}

/// Where a request with these extensions comes from.
pub(super) fn peer(extensions: &Extensions) -> Peer {
    extensions.get::<Peer>().copied().unwrap_or(NOWHERE)
}

/// The id of a request.
#[derive(Debug, Clone)]
pub(super) struct RequestName(pub(super) Arc<str>);

/// The job that an answer is about, where the path does not name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct About(pub(super) JobId);

/// The path of what an answer has made, where the request's path names only the list that it is in: the audit log names what was made.
#[derive(Debug, Clone)]
pub(super) struct Made(pub(super) String);

/// What a call needs, by its method and the path of its route. Of what nobody thought of, changes need `write`.
pub(super) fn required_scope(method: &Method, route: &str) -> Scope {
    let admin = ["/api/v1/admin/host", "/api/v1/consumers/", "/metrics"];
    if admin.iter().any(|admin| route.starts_with(admin)) {
        Scope::Admin
    } else if route.starts_with("/api/v1/admin/") {
        Scope::Operator
    } else if method.is_safe()
        || route.starts_with(session_cookie::PATH)
        || route.starts_with(login_paths::FOLDER)
    {
        Scope::Read
    } else {
        Scope::Write
    }
}

/// Says in the document what each of its calls needs.
pub(super) fn document_scopes(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let scope = required_scope(&method, path).as_str();
            operation.security = Some(vec![SecurityRequirement::new("apiKey", [scope])]);
        }
    }
}

/// What a request shows: a key; or a session or a link, as they are stored.
pub(super) enum Shown {
    Key(String),
    Session([u8; 32]),
    Link([u8; 32]),
}

impl Shown {
    /// What a browser signs in with.
    pub(super) fn of_body(credential: Credential) -> Self {
        match credential {
            Credential::Key(key) => Self::Key(key),
            Credential::Link(link) => Self::Link(link),
        }
    }

    /// What a request shows in its headers.
    fn of(server: &Server, method: &Method, headers: &HeaderMap) -> Result<Self, ApiError> {
        match session_cookie::shown(server, headers) {
            Some(session) if !headers.contains_key(header::AUTHORIZATION) => {
                if !session_cookie::is_from_own_page(method, headers) {
                    let message = "a session is for pages of this server (Sec-Fetch-Site: same-origin); a program shows a key";
                    return Err(ApiError::forbidden(message));
                }
                Ok(Self::Session(session))
            }
            _ => bearer(headers).map(|token| Self::Key(token.to_owned())),
        }
    }
}

/// Who asks, once [`admit`] has let the request in.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose jobs the request is about.
    pub(crate) tenant: Tenant,
    key: Arc<Key>,
    /// The session, where a browser asks.
    session: Option<[u8; 32]>,
}

impl Caller {
    /// The key that was shown, or that the browser signed in with.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Whether a session was shown, and not a key.
    pub(super) const fn is_browser(&self) -> bool {
        self.session.is_some()
    }

    /// The key or the session itself, as the request shows it: nothing else of the server's knows it.
    pub(super) fn secret<'a>(
        &self,
        server: &Server,
        headers: &'a HeaderMap,
    ) -> Result<&'a str, ApiError> {
        match self.session {
            Some(_) => session_cookie::token(server, headers).ok_or_else(ApiError::internal),
            None => bearer(headers),
        }
    }

    /// Whether the key, or the session, is still good: what goes on for long asks again.
    pub(super) async fn is_still_admitted(&self, server: &Server) -> bool {
        let (now, shown) = (server.clock.now(), self.session.unwrap_or(self.key.hash));
        let mut known = server.known_keys.get(&shown, now);
        if known.is_none() {
            let found = match self.session {
                Some(session) => server.store.session_key(session, server.store.now()).await,
                None => server.store.find_key(&self.key.prefix).await,
            };
            let found = found.ok().flatten().filter(|key| key.id == self.key.id);
            known = found.map(|key| server.known_keys.keep(shown, key, now));
        }
        known.is_some_and(|key| key.ended(now.wall).is_none())
    }

    /// A share of the streams and downloads, which the answer keeps until it is sent.
    pub(super) fn stream(&self, server: &Server) -> Result<Extension<Streamed>, ApiError> {
        match server.streams.take(self.key.id) {
            Ok(share) => Ok(Extension(Streamed(Arc::new(share)))),
            Err(none) => {
                server.metrics.refused("streams_per_key");
                let many = "the key has too many event streams and downloads open: close some of them, or ask again later";
                Err(no_share(none, many))
            }
        }
    }

    /// Waits until the key is no longer good.
    pub(super) async fn ends(&self, server: &Server) {
        while self.is_still_admitted(server).await {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

impl FromRequestParts<Server> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Server) -> Result<Self, ApiError> {
        // A route that is not behind `admit` has no caller: a bug, and no way in.
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::internal)
    }
}

/// Lets a request in whose key may do what it asks, and leaves a line of each change and each refusal.
pub(super) async fn admit(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Response {
    let now = server.clock.now();
    let peer = peer(request.extensions());
    let shown = Shown::of(&server, request.method(), request.headers());
    let (shown, key) = match shown {
        Ok(shown) => match find(&server, &shown, peer, now).await {
            Ok(key) => (shown, key),
            Err(refusal) => return refusal.into_response(),
        },
        Err(refusal) => return refusal.into_response(),
    };
    let left = server.requests.take(key.id, now.steady);
    if let Some(Left { limit, wait: Some(wait), .. }) = left {
        // Not told in the audit log, which would grow by what is not done.
        server.metrics.refused("requests_per_minute");
        let message = format!("the key has {limit} requests a minute, and they are used up");
        return add_rate_limit_headers(ApiError::rate_limited(message, wait).into_response(), left);
    }
    let call = match server.calls.take(key.id) {
        Ok(call) => call,
        Err(none) => {
            server.metrics.refused("requests_at_once");
            let busy = "the key has too many requests under way, or answers that it does not read";
            return add_rate_limit_headers(no_share(none, busy).into_response(), left);
        }
    };
    let connection = request.extensions().get::<Arc<Connection>>().map(Connection::hold);
    server.audit.shown(key.id, now.wall);
    let route = request.extensions().get::<MatchedPath>();
    let required = required_scope(request.method(), route.map_or("", MatchedPath::as_str));
    let checked = check(&key, required, now);
    let is_told = !request.method().is_safe() || checked.is_err();
    let asks = Asks {
        method: request.method(),
        path: request.uri().path(),
        extensions: request.extensions(),
    };
    let line = is_told.then(|| Line::begin(&server, &key, &asks, now));
    let response = match checked {
        Ok(()) => {
            let session = match shown {
                Shown::Session(session) => Some(session),
                Shown::Key(_) | Shown::Link(_) => None,
            };
            request.extensions_mut().insert(Caller { tenant: key.tenant, key, session });
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Some(line) = line {
        line.end(&response);
    }
    add_rate_limit_headers(sending::hold(response, call, connection), left)
}

/// The key that a browser signs in with: judged as that of a call, and told in the audit log.
pub(super) async fn signs_in(
    server: &Server,
    shown: &Shown,
    asks: &Asks<'_>,
) -> Result<Arc<Key>, ApiError> {
    let now = server.clock.now();
    let key = find(server, shown, asks.peer(), now).await?;
    if let Some(Left { limit, wait: Some(wait), .. }) = server.requests.take(key.id, now.steady) {
        server.metrics.refused("requests_per_minute");
        let message = format!("the key has {limit} requests a minute, and they are used up");
        return Err(ApiError::rate_limited(message, wait));
    }
    server.audit.shown(key.id, now.wall);
    let line = Line::begin(server, &key, asks, now);
    match check(&key, Scope::Read, now) {
        Ok(()) => {
            line.note(StatusCode::CREATED.as_u16(), None);
            Ok(key)
        }
        Err(refusal) => {
            line.note(refusal.code().status(), Some(refusal.code()));
            Err(refusal)
        }
    }
}

/// Says why there is no share for a key, and whose fault that is.
pub(super) fn no_share(none: NoShare, of_key: &str) -> ApiError {
    match none {
        NoShare::Own => ApiError::rate_limited(of_key, BUSY),
        NoShare::None => ApiError::unavailable("the server has too much to do"),
    }
}

fn add_rate_limit_headers(mut response: Response, left: Option<Left>) -> Response {
    if let Some(Left { limit, remaining, reset, .. }) = left {
        let headers = response.headers_mut();
        headers.insert("ratelimit-limit", limit.into());
        headers.insert("ratelimit-remaining", remaining.into());
        let seconds = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
        headers.insert("ratelimit-reset", seconds.into());
    }
    response
}

/// The key that a request shows, itself or by its session, good or ended.
pub(super) async fn find(
    server: &Server,
    shown: &Shown,
    peer: Peer,
    now: Now,
) -> Result<Arc<Key>, ApiError> {
    let (store, at) = (server.store.as_ref(), server.store.now());
    match shown {
        Shown::Key(token) => {
            let unknown = "the API key is not known";
            let hash = keys::hash(token);
            if let Some(key) = server.known_keys.get(&hash, now) {
                return Ok(key);
            }
            // What cannot be a key is not looked up, and not counted.
            if !keys::is_shaped(token) {
                return Err(ApiError::unauthorized(unknown));
            }
            let key = look_up(server, keys::find(store, token), unknown, peer, now).await?;
            Ok(server.known_keys.keep(hash, key, now))
        }
        Shown::Session(session) => {
            let unknown = "the session is over: sign in again";
            if let Some(key) = server.known_keys.get(session, now) {
                return Ok(key);
            }
            let find = store.session_key(*session, at);
            let key = look_up(server, find, unknown, peer, now).await?;
            Ok(server.known_keys.keep(*session, key, now))
        }
        Shown::Link(link) => {
            let unknown =
                "the link was used, or is older than a minute: `meetbot dashboard` makes a new one";
            look_up(server, store.end_session(*link, at), unknown, peer, now).await.map(Arc::new)
        }
    }
}

/// Looks a key up in the store; how many that nobody knows each address may show is limited.
async fn look_up(
    server: &Server,
    find: impl Future<Output = store::Result<Option<Key>>>,
    unknown: &str,
    peer: Peer,
    now: Now,
) -> Result<Key, ApiError> {
    let network = peer.network();
    // Beyond the limit keys are looked up one at a time: strangers take little of the store, and a good key beside them, behind the same proxy, is still let in.
    let over = server.unknown_keys.wait(&network, now.steady);
    let turn = match over {
        Some(_) => server.suspects.acquire().await.ok(),
        None => None,
    };
    let found = find.await?;
    drop(turn);
    if let Some(key) = found {
        return Ok(key);
    }
    if let Some(wait) = over {
        server.metrics.refused("unknown_keys_per_minute");
        let message = "too many keys that nobody knows come from this address";
        return Err(ApiError::rate_limited(message, wait));
    }
    server.unknown_keys.take(network, now.steady);
    Err(ApiError::unauthorized(unknown))
}

pub(super) fn check(key: &Key, required: Scope, now: Now) -> Result<(), ApiError> {
    match key.ended(now.wall) {
        Some(KeyEnd::Revoked) => Err(ApiError::unauthorized("the API key was revoked")),
        Some(KeyEnd::Expired) => Err(ApiError::unauthorized("the API key has expired")),
        None if !key.scope.includes(required) => {
            let message = format!("the key has the scope `{}`; this needs `{required}`", key.scope);
            Err(ApiError::forbidden(message))
        }
        // It would make keys of the live world, or have to be kept from half of what it is for.
        None if required.is_of_whole_server() && !key.tenant.live => {
            let message = "this needs a live key: a test key reaches the test world alone, and this is about the whole server";
            Err(ApiError::forbidden(message))
        }
        None => Ok(()),
    }
}

/// The token of `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing =
        || ApiError::unauthorized("an API key is needed, as in `Authorization: Bearer mb_live_…`");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, token) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

/// What the audit log says of a request.
pub(super) struct Asks<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) extensions: &'a Extensions,
}

impl Asks<'_> {
    fn peer(&self) -> Peer {
        peer(self.extensions)
    }
}

/// Leaves a line of what was made with the rights of a key by a call that shows none.
pub(super) fn note_made(server: &Server, key: &Key, asks: &Asks<'_>, now: Now) {
    Line::begin(server, key, asks, now).note(StatusCode::CREATED.as_u16(), None);
}

/// A line of the audit log that is being lived. Dropped without an end, it says that the caller went away: what was asked is done all the same.
pub(super) struct Line {
    audit: Arc<Audit>,
    used: Option<KeyUse>,
}

impl Line {
    pub(super) fn begin(server: &Server, key: &Key, asks: &Asks<'_>, now: Now) -> Self {
        let (path, name) = (asks.path, asks.extensions.get::<RequestName>());
        let used = KeyUse {
            id: UseId::generate(now.wall),
            at: now.wall,
            key: key.id,
            consumer: key.tenant.consumer,
            address: asks.peer().0,
            method: asks.method.to_string(),
            path: path.chars().take(LONGEST_PATH).collect(),
            job: path.split('/').find_map(|part| part.parse().ok()),
            status: CALLER_GONE,
            error: None,
            request: name.map_or_else(String::new, |name| name.0.to_string()),
            times: 1,
        };
        Self { audit: Arc::clone(&server.audit), used: Some(used) }
    }

    pub(super) fn end(mut self, response: &Response) {
        if let Some(used) = &mut self.used {
            used.job = used.job.or(response.extensions().get::<About>().map(|about| about.0));
            if let Some(Made(path)) = response.extensions().get() {
                used.path.clone_from(path);
            }
        }
        let error = response.extensions().get::<ApiError>().map(ApiError::code);
        self.note(response.status().as_u16(), error);
    }

    fn note(mut self, status: u16, error: Option<ErrorCode>) {
        if let Some(used) = self.used.take() {
            self.audit.note(KeyUse { status, error, ..used });
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(mut used) = self.used.take() {
            if std::thread::panicking() {
                used.status = ErrorCode::InternalError.status();
            }
            self.audit.note(used);
        }
    }
}
