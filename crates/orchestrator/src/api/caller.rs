//! Authenticates requests by key or session, checks scopes and limits, and writes the audit log's entry of each.

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
    RETRY_AFTER, Server,
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
    limits::RateLimitState,
    shares::ShareRefusal,
    store::{self, Key, KeyEnd, KeyUse, Scope, Tenant},
};

/// The address of a request without a connection, as in tests.
const NOWHERE: Peer = Peer(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
/// Longer paths are cut in the audit log.
const LONGEST_PATH: usize = 200;
/// How often long-running responses check that their key is still valid. Together with the time for which keys are cached, they end within a second of it.
const ASK_AGAIN: Duration = Duration::from_millis(150);

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// The address by which callers are counted: for IPv6, its network of 64 bits.
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

/// A response's extension: the job that it is about, where the path does not name it. For the audit log.
#[derive(Debug, Clone, Copy)]
pub(super) struct SubjectJob(pub(super) JobId);

/// A response's extension: the path of the created object, where the request's path names its collection. For the audit log.
#[derive(Debug, Clone)]
pub(super) struct CreatedPath(pub(super) String);

/// The scope that a call requires, by its method and the path of its route. Methods that change something require `write` unless a rule says more.
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

/// Writes the required scope of each call into the OpenAPI document.
pub(super) fn document_scopes(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let scope = required_scope(&method, path).as_str();
            operation.security = Some(vec![SecurityRequirement::new("apiKey", [scope])]);
        }
    }
}

/// The credential of a request: a key, or the hash of a session or link.
pub(super) enum PresentedCredential {
    Key(String),
    Session([u8; 32]),
    Link([u8; 32]),
}

impl PresentedCredential {
    /// The credential in the body of a browser's sign-in.
    pub(super) fn of_body(credential: Credential) -> Self {
        match credential {
            Credential::Key(key) => Self::Key(key),
            Credential::Link(link) => Self::Link(link),
        }
    }

    /// The credential in the headers of a request.
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

/// The authenticated caller of a request, added by [`admit`].
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The tenant whose jobs the request is about.
    pub(crate) tenant: Tenant,
    key: Arc<Key>,
    /// The hash of the session, where the caller is a browser.
    session: Option<[u8; 32]>,
}

impl Caller {
    /// The key in the request, or the one that the browser signed in with.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Whether the request was authenticated by a session instead of a key.
    pub(super) const fn is_browser(&self) -> bool {
        self.session.is_some()
    }

    /// The plain text of the key or session, which only the request holds.
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

    /// Whether the key or session is still valid. Long-running responses check it repeatedly.
    pub(super) async fn is_still_admitted(&self, server: &Server) -> bool {
        let (now, presented) = (server.clock.now(), self.session.unwrap_or(self.key.hash));
        let mut known = server.known_keys.get(&presented, now);
        if known.is_none() {
            let found = match self.session {
                Some(session) => server.store.session_key(session, server.store.now()).await,
                None => server.store.find_key(&self.key.prefix).await,
            };
            let found = found.ok().flatten().filter(|key| key.id == self.key.id);
            known = found.map(|key| server.known_keys.keep(presented, key, now));
        }
        known.is_some_and(|key| key.ended(now.wall).is_none())
    }

    /// Takes a share of the streams and downloads. The response holds it until its body is sent.
    pub(super) fn stream(&self, server: &Server) -> Result<Extension<Streamed>, ApiError> {
        match server.streams.take(self.key.id) {
            Ok(share) => Ok(Extension(Streamed(Arc::new(share)))),
            Err(none) => {
                server.metrics.refused("streams_per_key");
                let many = "the key has too many event streams and downloads open: close some of them, or ask again later";
                Err(share_refused(none, many))
            }
        }
    }

    /// Waits until the key or session is no longer valid.
    pub(super) async fn ends(&self, server: &Server) {
        while self.is_still_admitted(server).await {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

impl FromRequestParts<Server> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Server) -> Result<Self, ApiError> {
        // A route without the middleware `admit` has no caller. That is a bug, and such a request is refused.
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::internal)
    }
}

/// Middleware: passes a request on if its key has the required scope and is within its limits. Each change and each refusal is written to the audit log.
pub(super) async fn admit(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Response {
    let now = server.clock.now();
    let peer = peer(request.extensions());
    let presented = PresentedCredential::of(&server, request.method(), request.headers());
    let (presented, key) = match presented {
        Ok(presented) => match find(&server, &presented, peer, now).await {
            Ok(key) => (presented, key),
            Err(refusal) => return refusal.into_response(),
        },
        Err(refusal) => return refusal.into_response(),
    };
    let left = server.requests.take(key.id, now.steady);
    if let Some(RateLimitState { limit, wait: Some(wait), .. }) = left {
        // Not in the audit log: excess requests would make it grow.
        server.metrics.refused("requests_per_minute");
        let message = format!("the key has {limit} requests a minute, and they are used up");
        return add_rate_limit_headers(ApiError::rate_limited(message, wait).into_response(), left);
    }
    let call = match server.calls.take(key.id) {
        Ok(call) => call,
        Err(none) => {
            server.metrics.refused("requests_at_once");
            let busy = "the key has too many requests under way, or answers that it does not read";
            return add_rate_limit_headers(share_refused(none, busy).into_response(), left);
        }
    };
    let connection = request.extensions().get::<Arc<Connection>>().map(Connection::hold);
    server.audit.key_used(key.id, now.wall);
    let route = request.extensions().get::<MatchedPath>();
    let required = required_scope(request.method(), route.map_or("", MatchedPath::as_str));
    let checked = check(&key, required, now);
    let is_audited = !request.method().is_safe() || checked.is_err();
    let audited = AuditedRequest {
        method: request.method(),
        path: request.uri().path(),
        extensions: request.extensions(),
    };
    let entry = is_audited.then(|| AuditEntry::begin(&server, &key, &audited, now));
    let response = match checked {
        Ok(()) => {
            let session = match presented {
                PresentedCredential::Session(session) => Some(session),
                PresentedCredential::Key(_) | PresentedCredential::Link(_) => None,
            };
            request.extensions_mut().insert(Caller { tenant: key.tenant, key, session });
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Some(entry) = entry {
        entry.end(&response);
    }
    add_rate_limit_headers(sending::hold(response, call, connection), left)
}

/// Checks the credential of a browser's sign-in as that of a call, and writes the result to the audit log.
pub(super) async fn sign_in(
    server: &Server,
    presented: &PresentedCredential,
    audited: &AuditedRequest<'_>,
) -> Result<Arc<Key>, ApiError> {
    let now = server.clock.now();
    let key = find(server, presented, audited.peer(), now).await?;
    if let Some(RateLimitState { limit, wait: Some(wait), .. }) =
        server.requests.take(key.id, now.steady)
    {
        server.metrics.refused("requests_per_minute");
        let message = format!("the key has {limit} requests a minute, and they are used up");
        return Err(ApiError::rate_limited(message, wait));
    }
    server.audit.key_used(key.id, now.wall);
    let entry = AuditEntry::begin(server, &key, audited, now);
    match check(&key, Scope::Read, now) {
        Ok(()) => {
            entry.note(StatusCode::CREATED.as_u16(), None);
            Ok(key)
        }
        Err(refusal) => {
            entry.note(refusal.code().status(), Some(refusal.code()));
            Err(refusal)
        }
    }
}

/// The response to a request that got no share: 429 `of_key` if the key's own shares are used up, else 503.
pub(super) fn share_refused(none: ShareRefusal, of_key: &str) -> ApiError {
    match none {
        ShareRefusal::KeyLimit => ApiError::rate_limited(of_key, RETRY_AFTER),
        ShareRefusal::Exhausted => ApiError::unavailable("the server has too much to do"),
    }
}

fn add_rate_limit_headers(mut response: Response, left: Option<RateLimitState>) -> Response {
    if let Some(RateLimitState { limit, remaining, reset, .. }) = left {
        let headers = response.headers_mut();
        headers.insert("ratelimit-limit", limit.into());
        headers.insert("ratelimit-remaining", remaining.into());
        let seconds = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
        headers.insert("ratelimit-reset", seconds.into());
    }
    response
}

/// The key of a credential, which may have expired or been revoked.
pub(super) async fn find(
    server: &Server,
    presented: &PresentedCredential,
    peer: Peer,
    now: Now,
) -> Result<Arc<Key>, ApiError> {
    let (store, at) = (server.store.as_ref(), server.store.now());
    match presented {
        PresentedCredential::Key(token) => {
            let unknown = "the API key is not known";
            let hash = keys::hash(token);
            if let Some(key) = server.known_keys.get(&hash, now) {
                return Ok(key);
            }
            // A malformed key is neither looked up nor counted.
            if !keys::is_shaped(token) {
                return Err(ApiError::unauthorized(unknown));
            }
            let key = look_up(server, keys::find(store, token), unknown, peer, now).await?;
            Ok(server.known_keys.keep(hash, key, now))
        }
        PresentedCredential::Session(session) => {
            let unknown = "the session is over: sign in again";
            if let Some(key) = server.known_keys.get(session, now) {
                return Ok(key);
            }
            let find = store.session_key(*session, at);
            let key = look_up(server, find, unknown, peer, now).await?;
            Ok(server.known_keys.keep(*session, key, now))
        }
        PresentedCredential::Link(link) => {
            let unknown =
                "the link was used, or is older than a minute: `meetbot dashboard` makes a new one";
            look_up(server, store.end_session(*link, at), unknown, peer, now).await.map(Arc::new)
        }
    }
}

/// Looks a key up in the store. The number of unknown keys of each address is limited.
async fn look_up(
    server: &Server,
    find: impl Future<Output = store::Result<Option<Key>>>,
    unknown: &str,
    peer: Peer,
    now: Now,
) -> Result<Key, ApiError> {
    let network = peer.network();
    // Beyond the limit keys of the address are looked up one at a time: guessing takes little of the store, and a valid key behind the same proxy still works.
    let over = server.unknown_keys.wait(&network, now.steady);
    let turn = match over {
        Some(_) => server.unknown_key_lookups.acquire().await.ok(),
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
        // These calls act on both worlds, and a test key must not reach the live one.
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

/// The parts of a request that the audit log records.
pub(super) struct AuditedRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) extensions: &'a Extensions,
}

impl AuditedRequest<'_> {
    fn peer(&self) -> Peer {
        peer(self.extensions)
    }
}

/// Records something that was created with the rights of `key` by a call that carries no key.
pub(super) fn audit_created(server: &Server, key: &Key, audited: &AuditedRequest<'_>, now: Now) {
    AuditEntry::begin(server, key, audited, now).note(StatusCode::CREATED.as_u16(), None);
}

/// An entry of the audit log for a request in progress. If it is dropped before the response is known, it is recorded with [`CALLER_GONE`].
pub(super) struct AuditEntry {
    audit: Arc<Audit>,
    used: Option<KeyUse>,
}

impl AuditEntry {
    pub(super) fn begin(
        server: &Server,
        key: &Key,
        audited: &AuditedRequest<'_>,
        now: Now,
    ) -> Self {
        let (path, name) = (audited.path, audited.extensions.get::<RequestName>());
        let used = KeyUse {
            id: UseId::generate(now.wall),
            at: now.wall,
            key: key.id,
            consumer: key.tenant.consumer,
            address: audited.peer().0,
            method: audited.method.to_string(),
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
            used.job = used.job.or(response.extensions().get::<SubjectJob>().map(|about| about.0));
            if let Some(CreatedPath(path)) = response.extensions().get() {
                used.path.clone_from(path);
            }
        }
        let error = response.extensions().get::<ApiError>().map(ApiError::code);
        self.note(response.status().as_u16(), error);
    }

    fn note(mut self, status: u16, error: Option<ErrorCode>) {
        if let Some(used) = self.used.take() {
            self.audit.record(KeyUse { status, error, ..used });
        }
    }
}

impl Drop for AuditEntry {
    fn drop(&mut self) {
        if let Some(mut used) = self.used.take() {
            if std::thread::panicking() {
                used.status = ErrorCode::InternalError.status();
            }
            self.audit.record(used);
        }
    }
}
