//! Sessions of browsers, for the dashboard: media elements and event streams of a page cannot send a key, so they use a cookie. Only for pages of this server,
//! and therefore not in the API's document; see docs/dashboard.md.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::{Extensions, HeaderMap, Method, StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    Server,
    caller::{self, Caller, PresentedCredential},
    error::ApiError,
    request::{BODY_LIMIT, JsonBody},
    session_cookie::{self, Credential, PATH, cookie},
};
use crate::{
    fields::{Fields, Issues},
    sessions::{self, SESSION},
    store::Key,
};

pub(super) const LINKS: &str = "/api/v1/sessions/links";

pub(super) fn router(server: &Server) -> Router<Server> {
    let admit = middleware::from_fn_with_state(server.clone(), caller::admit);
    let keyed = Router::new()
        .route(PATH, get(who).delete(sign_out))
        .route(LINKS, post(make_link))
        .route_layer(admit);
    Router::new().route(PATH, post(sign_in)).merge(keyed)
}

/// Signs a browser in with a key or with a sign-in link.
async fn sign_in(
    State(server): State<Server>,
    headers: HeaderMap,
    extensions: Extensions,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    if !server.dashboard {
        return Err(ApiError::no_such_path(PATH));
    }
    // Prevents login CSRF: another site must not sign the user in with the site's own key.
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return Err(ApiError::forbidden("a session begins on a page of this server alone"));
    }
    // Checked before the link is used up: a browser that cannot store the cookie can retry.
    cookie(&headers, "", SESSION)?;
    let presented = PresentedCredential::of_body(credential(&body)?);
    let audited =
        caller::AuditedRequest { method: &Method::POST, path: PATH, extensions: &extensions };
    let key = caller::sign_in(&server, &presented, &audited).await?;
    // A new session replaces the previous one (no session fixation).
    if let Some(before) = session_cookie::shown(&server, &headers) {
        end(&server, before).await?;
    }
    let token = sessions::begin(server.store.as_ref(), key.id).await?;
    let cookie = cookie(&headers, token.expose(), SESSION)?;
    let answer = (StatusCode::CREATED, [(header::SET_COOKIE, cookie)], NO_STORE, describe(&key));
    Ok(answer.into_response())
}

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

fn credential(body: &str) -> Result<Credential, ApiError> {
    let refuse = |issues: Issues| ApiError::invalid_input(issues.into_vec());
    let fields = Fields::read(body).map_err(refuse)?;
    let mut issues = Issues::default();
    let (key, link) = (fields.value("key", &mut issues), fields.value("link", &mut issues));
    match (key, link) {
        (Some(Value::String(key)), None) => return Ok(Credential::Key(key.trim().to_owned())),
        (None, Some(Value::String(link))) => {
            return Ok(Credential::Link(sessions::hash_of_link(&link)));
        }
        _ => issues.add(&["key"], "required", "is required: an API key as a string (or `link`)"),
    }
    Err(refuse(issues))
}

fn describe(key: &Key) -> Json<Value> {
    Json(json!({
        "consumer": key.consumer_name,
        "world": if key.tenant.live { "live" } else { "test" },
        "scope": key.scope.as_str(),
        "key": key.id,
    }))
}

/// Describes the current session.
async fn who(caller: Caller) -> Response {
    (NO_STORE, describe(caller.key())).into_response()
}

async fn end(server: &Server, session: [u8; 32]) -> Result<(), ApiError> {
    server.store.end_session(session, server.store.now()).await?;
    server.known_keys.forget_shown(&session);
    Ok(())
}

/// Ends the session of this browser.
async fn sign_out(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    if let Some(session) = session_cookie::shown(&server, &headers) {
        end(&server, session).await?;
    }
    let cookie = cookie(&headers, "", Duration::ZERO)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Creates a sign-in link, good for one sign-in. Requires a key, because a session could otherwise renew itself without end.
async fn make_link(State(server): State<Server>, caller: Caller) -> Result<Response, ApiError> {
    if !server.dashboard {
        return Err(ApiError::no_such_path(LINKS));
    }
    if caller.is_browser() {
        return Err(ApiError::forbidden("a link is made with a key, not with a session"));
    }
    let (token, expires_at) = sessions::make_link(server.store.as_ref(), caller.key().id).await?;
    let link = Json(
        json!({"link": token.expose(), "path": sessions::path(&token), "expiresAt": expires_at}),
    );
    Ok((StatusCode::CREATED, NO_STORE, link).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_has_exactly_one_key_or_link() {
        assert!(matches!(credential(r#"{"key":" k "}"#), Ok(Credential::Key(key)) if key == "k"));
        assert!(matches!(credential(r#"{"link":"l"}"#), Ok(Credential::Link(_))));
        for body in [
            "",
            "[]",
            "{}",
            r#"{"key":1}"#,
            r#"{"key":null}"#,
            r#"{"key":"a","link":"b"}"#,
            r#"{"link":["x"]}"#,
        ] {
            assert!(credential(body).is_err(), "{body}");
        }
    }
}
