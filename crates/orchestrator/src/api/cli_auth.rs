//! `meetbot login`: a program begins a login and polls; a user who is signed in to the dashboard approves it; the program receives a key.

use std::{fmt::Display, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{Extensions, HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use meetbot_types::{
    ApiKey, CreatedKey, ErrorBody, Issue, KeyScope,
    login::{AskedLogin, Decision, LoginCode, LoginDecision, NewLogin, StartedLogin, World},
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server, admin,
    caller::{self, AuditedRequest, Caller},
    error::ApiError,
    query::{Query, listed},
    request::{BODY_LIMIT, JsonBody, PathParams},
    session_cookie,
};
use crate::{
    fields::{Fields, Ignored, Issues, LOGIN_CODE, LOGIN_DECISION, NEW_LOGIN},
    keys::{self, KeySpec},
    logins::{self, Approval, INTERVAL, LIFE, LoginRequest, LookupError, PollResult, Refused},
    store::{Key, Scope},
};

/// How long the key of a login is valid.
const KEY_LIFE: Duration = Duration::from_hours(90 * 24);
/// The longest host name, in characters.
const LONGEST_HOST: usize = 64;
/// The longest code that is read, in characters; longer ones are refused.
const LONGEST_CODE: usize = 40;

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// The calls of the program, without a key.
pub(super) fn open_router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(init_login)).routes(routes!(poll_login))
}

/// The calls that require a session or a key.
pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(find_login))
        .routes(routes!(complete_login))
        .routes(routes!(end_own_key))
}

/// Begin a login: a program asks for a key that somebody approves in the dashboard. It shows `userCode` and `verificationUrl`, and polls.
///
/// A code is good for ten minutes, once. One address begins at most ten logins in a minute.
#[utoipa::path(post, path = "/api/v1/cli-auth/init", tag = "login", security(()), request_body = NewLogin,
    responses(
        (status = 200, description = "The login waits", body = StartedLogin),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
        (status = 404, description = "no_such_path: the server has no dashboard", body = ErrorBody),
        (status = 429, description = "rate_limited: this address has begun too many; ask again after Retry-After", body = ErrorBody,
            headers(("Retry-After" = String, description = "Seconds to wait"))),
    ))]
async fn init_login(
    State(server): State<Server>,
    headers: HeaderMap,
    extensions: Extensions,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    if !server.dashboard {
        return Err(ApiError::no_such_path("/api/v1/cli-auth/init"));
    }
    let (peer, now) = (caller::peer(&extensions), server.clock.now());
    let (scope, live, host) = read_new(&body).map_err(ApiError::invalid_input)?;
    let asked = LoginRequest { scope, live, host, address: peer.0 };
    let (nonce, code) = match server.logins.begin(asked, peer.network(), now.steady) {
        Ok(begun) => begun,
        Err(Refused::Wait(wait)) => {
            let message = "too many logins were begun from this address";
            return Err(ApiError::rate_limited(message, wait));
        }
        Err(Refused::Full) => return Err(ApiError::unavailable("too many logins wait")),
    };
    let started = StartedLogin {
        nonce: nonce.expose().to_owned(),
        user_code: logins::shown(&code),
        verification_url: format!("{}/#/login", session_cookie::origin(&headers)),
        expires_in: LIFE.as_secs(),
        interval: INTERVAL.as_secs(),
    };
    Ok((NO_STORE, Json(started)).into_response())
}

/// Ask what has become of a login, with its nonce. The key is given once.
#[utoipa::path(post, path = "/api/v1/cli-auth/poll/{nonce}", tag = "login", security(()),
    params(("nonce" = String, Path, description = "Of the answer that began the login")),
    responses(
        (status = 200, description = "It was approved: the key, which is shown once", body = CreatedKey),
        (status = 202, description = "Nobody has decided: ask again after `interval` seconds", body = Object),
        (status = 403, description = "forbidden: it was denied", body = ErrorBody),
        (status = 410, description = "gone: it was decided on before, or was begun more than ten minutes ago, or before the server was restarted", body = ErrorBody),
        (status = 429, description = "rate_limited: slow down; ask again after Retry-After", body = ErrorBody,
            headers(("Retry-After" = String, description = "Seconds to wait"))),
    ))]
async fn poll_login(
    State(server): State<Server>,
    PathParams(nonce): PathParams<String>,
    extensions: Extensions,
) -> Result<Response, ApiError> {
    let now = server.clock.now().steady;
    match server.logins.poll(&nonce, now) {
        PollResult::Waiting => {
            Ok((StatusCode::ACCEPTED, NO_STORE, Json(json!({"state": "pending"}))).into_response())
        }
        PollResult::TooSoon(wait) => {
            Err(ApiError::rate_limited("slow_down: this login was polled a moment ago", wait))
        }
        PollResult::Denied => Err(ApiError::forbidden("the login was denied")),
        PollResult::Gone => Err(ApiError::gone(
            "the login is over: a code is good for ten minutes, and once; begin another one",
        )),
        PollResult::Approved(approval) => {
            let made = make_key(&server, &approval, &extensions).await;
            let unmade = made.as_ref().is_err_and(ApiError::is_passing);
            if unmade {
                server.logins.put_back(&nonce, approval, now);
            }
            Ok((NO_STORE, Json(made?)).into_response())
        }
    }
}

/// Creates the key of an approved login, and records that in the audit log under the key that approved it.
async fn make_key(
    server: &Server,
    approval: &Approval,
    extensions: &Extensions,
) -> Result<CreatedKey, ApiError> {
    let now = server.clock.now();
    let by = server.store.find_key(&approval.prefix).await?;
    let by = by.filter(|by| by.id == approval.key && by.ended(now.wall).is_none());
    let by = by.ok_or_else(|| ApiError::forbidden("the key with which it was approved is over"))?;
    let end = now.wall + KEY_LIFE;
    let spec = KeySpec {
        consumer: &by.consumer_name,
        live: by.tenant.live,
        scope: approval.scope,
        // The new key expires no later than the key of the session that approved it.
        expires_at: Some(by.expires_at.map_or(end, |at| at.min(end))),
    };
    let fresh = keys::create(server.store.as_ref(), spec).await?;
    let shown = fresh.key.shown();
    tracing::info!(key = %shown.id, by = %by.id, scope = %shown.scope, "a key was created for a login");
    let path = format!("/api/v1/admin/keys/{}", shown.id);
    let audited = AuditedRequest { method: &Method::POST, path: &path, extensions };
    caller::audit_created(server, &by, &audited, now);
    Ok(CreatedKey { key: fresh.secret.expose().to_owned(), webhook_secret: None, shown })
}

/// See what the program that shows this code asks for. Five wrong codes of a key in a minute, and further ones are refused.
#[utoipa::path(post, path = "/api/v1/cli-auth/find", tag = "login", request_body = LoginCode,
    responses(
        (status = 200, description = "What it asks for", body = AskedLogin),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
        (status = 404, description = "not_found: no login waits with this code", body = ErrorBody),
    ))]
async fn find_login(
    State(server): State<Server>,
    caller: Caller,
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let (code, ignored) = query.with(read_code(&body))?;
    let now = server.clock.now().steady;
    let (asked, left) = server.logins.find(&code, caller.key().id, now)?;
    let answer = AskedLogin {
        host: asked.host,
        address: asked.address,
        scope: asked.scope.into(),
        world: asked.live.map(world),
        expires_in: left.as_secs(),
    };
    Ok((NO_STORE, Extension(ignored), Json(answer)).into_response())
}

/// Approve or deny a login, by its code. The key that the program is given has at most the rights of the key or session that approves it, for 90 days at most.
#[utoipa::path(post, path = "/api/v1/cli-auth/complete", tag = "login", request_body = LoginDecision,
    responses(
        (status = 200, description = "It is decided", body = Object),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
        (status = 403, description = "forbidden: the login asks for more than the caller's key may, or for the other world", body = ErrorBody),
        (status = 404, description = "not_found: no login waits with this code", body = ErrorBody),
    ))]
async fn complete_login(
    State(server): State<Server>,
    caller: Caller,
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let ((code, decision, scope), ignored) = query.with(read_decision(&body))?;
    let key = caller.key();
    let now = server.clock.now().steady;
    server.logins.decide(&code, key.id, now, |asked| match decision {
        Decision::Approve => approve(asked, scope, key).map(Some),
        _ => Ok(None),
    })?;
    let state = if decision == Decision::Approve { "approved" } else { "denied" };
    Ok((NO_STORE, Extension(ignored), Json(json!({"state": state}))).into_response())
}

/// The approval of a login, limited to the rights of `key`.
fn approve(asked: &LoginRequest, scope: Option<Scope>, key: &Key) -> Result<Approval, ApiError> {
    let own = key.scope;
    if asked.live.is_some_and(|live| live != key.tenant.live) {
        let [asked, own] = [!key.tenant.live, key.tenant.live].map(world);
        let message = format!("the login asks for a {asked} key, and this is a {own} one");
        return Err(ApiError::forbidden(message));
    }
    let scope = scope.unwrap_or(asked.scope);
    if !asked.scope.includes(scope) {
        let message = format!("is more than the login asks for, which is {}", asked.scope);
        return Err(ApiError::invalid("scope", "scope_too_high", message));
    }
    if !own.includes(scope) {
        let message = format!(
            "the login asks for the scope `{scope}`, and the key of this session has `{own}`: approve it for `{own}`"
        );
        return Err(ApiError::forbidden(message));
    }
    if scope.is_of_whole_server() && !key.tenant.live {
        let message = format!("a key with the scope {scope} is a live one, and this is a test one");
        return Err(ApiError::forbidden(message));
    }
    Ok(Approval { key: key.id, prefix: key.prefix.clone(), scope })
}

/// End the key that is shown, as `meetbot logout` does: it opens nothing any more. A session does not end its key.
#[utoipa::path(delete, path = "/api/v1/cli-auth/key", tag = "login",
    responses(
        (status = 200, description = "The key, which is revoked", body = ApiKey),
        (status = 403, description = "forbidden: a session was shown", body = ErrorBody),
        (status = 409, description = "conflict: it is the last good key with the scope operator", body = ErrorBody),
    ))]
async fn end_own_key(
    State(server): State<Server>,
    caller: Caller,
    query: Query,
) -> Result<Response, ApiError> {
    query.finish()?;
    if caller.is_browser() {
        return Err(ApiError::forbidden("a session ends itself, and not its key"));
    }
    let revoked = admin::revoke(&server, &caller, caller.key().id).await?;
    let gone = || ApiError::unauthorized("the API key is not known");
    Ok(Json(revoked.ok_or_else(gone)?).into_response())
}

const fn world(live: bool) -> World {
    if live { World::Live } else { World::Test }
}

impl From<LookupError> for ApiError {
    fn from(none: LookupError) -> Self {
        match none {
            LookupError::Unknown => Self::not_found(
                "no login waits with this code: it is another one, was used, or is older than ten minutes",
            ),
            LookupError::Wait(wait) => Self::rate_limited("too many wrong codes", wait),
        }
    }
}

/// A field whose value is one of a set of words; `None` if it is absent.
fn word<T: Display>(
    fields: &Fields<'_>,
    name: &str,
    known: fn(&str) -> Option<T>,
    all: &[T],
    issues: &mut Issues,
) -> Option<T> {
    let Value::String(word) = fields.value(name, issues)? else {
        issues.wrong_type(&[name], "a string");
        return None;
    };
    let found = known(&word);
    if found.is_none() {
        let message = format!("{word:?} is none of {}", listed(all));
        issues.add(&[name], &format!("unknown_{name}"), message);
    }
    found
}

fn scope(fields: &Fields<'_>, issues: &mut Issues) -> Option<Scope> {
    let word = word(fields, "scope", KeyScope::known, KeyScope::ALL, issues)?;
    Scope::known(word.as_str())
}

type New = (Scope, Option<bool>, Option<String>);

fn read_new(body: &str) -> Result<New, Vec<Issue>> {
    const HOST: &str = "host";
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let scope = scope(&fields, &mut issues).unwrap_or(Scope::Write);
    let world = word(&fields, "world", World::known, World::ALL, &mut issues);
    let host = fields.text(HOST, LONGEST_HOST, &mut issues);
    // It is shown to the person who approves: only unambiguous characters, and nothing that reads as a sentence.
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if host.as_ref().is_some_and(|host| !host.chars().all(plain)) {
        let message = "must be a host's name: letters, digits, dots, hyphens and underscores";
        issues.add(&[HOST], "invalid_characters", message);
    }
    NEW_LOGIN.check_names(&fields, &mut issues, &mut ignored);
    let live = world.map(|world| world == World::Live);
    if issues.is_empty() { Ok((scope, live, host)) } else { Err(issues.into_vec()) }
}

fn code(fields: &Fields<'_>, issues: &mut Issues) -> Option<String> {
    const NAME: &str = "userCode";
    if fields.raw(NAME).is_none() {
        issues.add(&[NAME], "required", "is required: the code that the program shows");
    }
    fields.text(NAME, LONGEST_CODE, issues)
}

fn read_code(body: &str) -> Result<(String, Ignored), Vec<Issue>> {
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let code = code(&fields, &mut issues);
    LOGIN_CODE.check_names(&fields, &mut issues, &mut ignored);
    match code {
        Some(code) if issues.is_empty() => Ok((code, ignored)),
        _ => Err(issues.into_vec()),
    }
}

type Decided = (String, Decision, Option<Scope>);

fn read_decision(body: &str) -> Result<(Decided, Ignored), Vec<Issue>> {
    const NAME: &str = "decision";
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let code = code(&fields, &mut issues);
    if fields.raw(NAME).is_none() {
        issues.add(&[NAME], "required", "is required: approve or deny");
    }
    let decision = word(&fields, NAME, Decision::known, Decision::ALL, &mut issues);
    let scope = scope(&fields, &mut issues);
    LOGIN_DECISION.check_names(&fields, &mut issues, &mut ignored);
    match (code, decision) {
        (Some(code), Some(decision)) if issues.is_empty() => Ok(((code, decision, scope), ignored)),
        _ => Err(issues.into_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems<T: std::fmt::Debug>(read: Result<T, Vec<Issue>>) -> Vec<String> {
        let issues = read.unwrap_err().into_iter();
        issues.map(|issue| format!("{} {}", issue.path.join("."), issue.code)).collect()
    }

    #[test]
    fn a_login_asks_for_a_write_key_of_any_world_by_default() {
        assert_eq!(read_new("{}").unwrap(), (Scope::Write, None, None));
        let whole = r#"{"scope":"read","world":"live","host":"my-laptop.local"}"#;
        let host = Some("my-laptop.local".to_owned());
        assert_eq!(read_new(whole).unwrap(), (Scope::Read, Some(true), host));
        for (body, problem) in [
            (r#"{"scope":"root"}"#, "scope unknown_scope"),
            (r#"{"scope":1}"#, "scope invalid_type"),
            (r#"{"world":"real"}"#, "world unknown_world"),
            (r#"{"host":""}"#, "host too_short"),
            (r#"{"host":"type yes, please"}"#, "host invalid_characters"),
            (r#"{"host":"lapt\u043ep"}"#, "host invalid_characters"),
            (r#"{"Scope":"read"}"#, "Scope unknown_field"),
            ("[]", " invalid_json"),
        ] {
            assert_eq!(problems(read_new(body)), [problem], "{body}");
        }
        let long = json!({"host": "x".repeat(65)}).to_string();
        assert_eq!(problems(read_new(&long)), ["host too_long"]);
    }

    #[test]
    fn a_decision_is_approve_or_deny() {
        let read = read_decision(r#"{"userCode":"a","decision":"deny"}"#).unwrap().0;
        assert_eq!(read, ("a".to_owned(), Decision::Deny, None));
        assert_eq!(problems(read_decision("{}")), ["userCode required", "decision required"]);
        let body = r#"{"userCode":"a","decision":"yes"}"#;
        assert_eq!(problems(read_decision(body)), ["decision unknown_decision"]);
        assert_eq!(problems(read_code(r#"{"userCode":7}"#)), ["userCode invalid_type"]);
    }
}
