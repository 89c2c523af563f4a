//! Who asks: the key of a request, whether it may, and the line that its use leaves in the audit log.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension,
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use meetbot_types::{ErrorCode, JobId, UseId};
use utoipa::openapi::{OpenApi, security::SecurityRequirement};

use super::{
    BUSY, Server,
    document::operations,
    error::ApiError,
    open_connections::Connection,
    sending::{self, Streamed},
};
use crate::{
    audit::{Audit, CALLER_GONE},
    clock::Now,
    keys,
    limits::Left,
    shares::NoShare,
    store::{Key, KeyEnd, KeyUse, Scope, Tenant},
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

/// The id of a request.
#[derive(Debug, Clone)]
pub(super) struct RequestName(pub(super) Arc<str>);

/// The job that an answer is about, where the path does not name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct About(pub(super) JobId);

/// What a call needs, by its method and the path of its route. Of what nobody thought of, changes need `write`.
pub(super) fn needed(method: &Method, route: &str) -> Scope {
    let admin = ["/api/v1/admin/", "/api/v1/consumers/", "/metrics"];
    if admin.iter().any(|admin| route.starts_with(admin)) {
        Scope::Admin
    } else if method.is_safe() {
        Scope::Read
    } else {
        Scope::Write
    }
}

/// Says in the document what each of its calls needs.
pub(super) fn say_scopes(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let scope = needed(&method, path).as_str();
            operation.security = Some(vec![SecurityRequirement::new("apiKey", [scope])]);
        }
    }
}

/// Who asks, once [`admit`] has let the request in.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose jobs the request is about.
    pub(crate) tenant: Tenant,
    key: Arc<Key>,
}

impl Caller {
    /// Whether the key is still good: what goes on for long asks again.
    pub(super) async fn is_still_admitted(&self, server: &Server) -> bool {
        let now = server.clock.now();
        let known = match server.known_keys.get(&self.key.hash, now) {
            Some(key) => Some(key),
            None => match server.store.find_key(&self.key.prefix).await {
                Ok(Some(key)) if key.id == self.key.id => Some(server.known_keys.keep(key, now)),
                _ => None,
            },
        };
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
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(NOWHERE);
    let key = match shown_key(&server, request.headers(), peer, now).await {
        Ok(key) => key,
        Err(refusal) => return refusal.into_response(),
    };
    let left = server.requests.take(key.id, now.steady);
    if let Some(Left { limit, wait: Some(wait), .. }) = left {
        // Not told in the audit log, which would grow by what is not done.
        server.metrics.refused("requests_per_minute");
        let message = format!("the key has {limit} requests a minute, and they are used up");
        return say_left(ApiError::rate_limited(message, wait).into_response(), left);
    }
    let call = match server.calls.take(key.id) {
        Ok(call) => call,
        Err(none) => {
            server.metrics.refused("requests_at_once");
            let busy = "the key has too many requests under way, or answers that it does not read";
            return say_left(no_share(none, busy).into_response(), left);
        }
    };
    let connection = request.extensions().get::<Arc<Connection>>().map(Connection::hold);
    server.audit.shown(key.id, now.wall);
    let route = request.extensions().get::<MatchedPath>();
    let needed = needed(request.method(), route.map_or("", MatchedPath::as_str));
    let checked = check(&key, needed, now);
    let is_told = !request.method().is_safe() || checked.is_err();
    let line = is_told.then(|| Line::begin(&server, &key, &request, now));
    let response = match checked {
        Ok(()) => {
            request.extensions_mut().insert(Caller { tenant: key.tenant, key });
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Some(line) = line {
        line.end(&response);
    }
    say_left(sending::hold(response, call, connection), left)
}

/// Says why there is no share for a key, and whose fault that is.
fn no_share(none: NoShare, of_key: &str) -> ApiError {
    match none {
        NoShare::Own => ApiError::rate_limited(of_key, BUSY),
        NoShare::None => ApiError::unavailable("the server has too much to do"),
    }
}

fn say_left(mut response: Response, left: Option<Left>) -> Response {
    if let Some(Left { limit, remaining, reset, .. }) = left {
        let headers = response.headers_mut();
        headers.insert("ratelimit-limit", limit.into());
        headers.insert("ratelimit-remaining", remaining.into());
        let seconds = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
        headers.insert("ratelimit-reset", seconds.into());
    }
    response
}

/// The key that a request shows, good or ended.
async fn shown_key(
    server: &Server,
    headers: &HeaderMap,
    peer: Peer,
    now: Now,
) -> Result<Arc<Key>, ApiError> {
    let token = bearer(headers)?;
    let hash = keys::hash(token);
    if let Some(key) = server.known_keys.get(&hash, now) {
        return Ok(key);
    }
    let unknown = || ApiError::unauthorized("the API key is not known");
    // What cannot be a key is not looked up, and not counted.
    if !keys::is_shaped(token) {
        return Err(unknown());
    }
    let network = peer.network();
    // Beyond the limit keys are looked up one at a time: strangers take little of the store, and a good key beside them, behind the same proxy, is still let in.
    let over = server.unknown_keys.wait(&network, now.steady);
    let turn = match over {
        Some(_) => server.suspects.acquire().await.ok(),
        None => None,
    };
    let found = keys::find(server.store.as_ref(), token).await?;
    drop(turn);
    if let Some(key) = found {
        return Ok(server.known_keys.keep(key, now));
    }
    if let Some(wait) = over {
        server.metrics.refused("unknown_keys_per_minute");
        let message = "too many keys that nobody knows come from this address";
        return Err(ApiError::rate_limited(message, wait));
    }
    server.unknown_keys.take(network, now.steady);
    Err(unknown())
}

fn check(key: &Key, needed: Scope, now: Now) -> Result<(), ApiError> {
    match key.ended(now.wall) {
        Some(KeyEnd::Revoked) => Err(ApiError::unauthorized("the API key was revoked")),
        Some(KeyEnd::Expired) => Err(ApiError::unauthorized("the API key has expired")),
        None if key.scope < needed => {
            let message = format!("the key has the scope `{}`; this needs `{needed}`", key.scope);
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

/// A line of the audit log that is being lived. Dropped without an end, it says that the caller went away: what was asked is done all the same.
struct Line {
    audit: Arc<Audit>,
    used: Option<KeyUse>,
}

impl Line {
    fn begin(server: &Server, key: &Key, request: &Request, now: Now) -> Self {
        let path = request.uri().path();
        let peer = request.extensions().get::<Peer>().copied().unwrap_or(NOWHERE);
        let name = request.extensions().get::<RequestName>();
        let used = KeyUse {
            id: UseId::generate(now.wall),
            at: now.wall,
            key: key.id,
            consumer: key.tenant.consumer,
            address: peer.0,
            method: request.method().to_string(),
            path: path.chars().take(LONGEST_PATH).collect(),
            job: path.split('/').find_map(|part| part.parse().ok()),
            status: CALLER_GONE,
            error: None,
            request: name.map_or_else(String::new, |name| name.0.to_string()),
            times: 1,
        };
        Self { audit: Arc::clone(&server.audit), used: Some(used) }
    }

    fn end(mut self, response: &Response) {
        let Some(mut used) = self.used.take() else { return };
        used.status = response.status().as_u16();
        used.error = response.extensions().get::<ApiError>().map(ApiError::code);
        used.job = used.job.or(response.extensions().get::<About>().map(|about| about.0));
        self.audit.note(used);
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
