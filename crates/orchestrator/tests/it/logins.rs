//! `meetbot login`: approval in the dashboard, and all ways in which a login is refused.

use meetbot_orchestrator::{
    keys::KeySpec,
    store::{Scope, UseFilter, Window},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    server::{PATIENCE, Server, answered, now},
    sessions::{browses, sign_in},
};

const OWN: Option<&str> = Some("same-origin");
const FIND: &str = "/api/v1/cli-auth/find";
const COMPLETE: &str = "/api/v1/cli-auth/complete";
const KEY: &str = "/api/v1/cli-auth/key";

/// Begins a login.
async fn begin(server: &Server, with: &Value) -> Value {
    let url = format!("{}/api/v1/cli-auth/init", server.url());
    let response = server.http.post(url).json(with).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let (status, begun) = (response.status(), response.json().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{begun}");
    begun
}

/// Polls once, without a key.
async fn poll(server: &Server, begun: &Value) -> (StatusCode, Value) {
    let nonce = begun["nonce"].as_str().unwrap();
    let url = format!("{}/api/v1/cli-auth/poll/{nonce}", server.url());
    answered(server.http.post(url)).await
}

/// Polls until it is not too soon.
async fn patient_poll(server: &Server, begun: &Value) -> (StatusCode, Value) {
    let polls = async {
        loop {
            let polled = poll(server, begun).await;
            if polled.0 != StatusCode::TOO_MANY_REQUESTS {
                return polled;
            }
        }
    };
    tokio::time::timeout(PATIENCE, polls).await.expect("a poll is answered")
}

/// A request from a page of this site, with the session of this cookie.
async fn asks(
    server: &Server,
    cookie: &str,
    site: Option<&str>,
    path: &str,
    body: &Value,
) -> (StatusCode, Value) {
    answered(browses(server, cookie, site, Method::POST, path).json(body)).await
}

fn approval(begun: &Value) -> Value {
    json!({"userCode": begun["userCode"], "decision": "approve"})
}

async fn works(server: &Server, key: &str) -> StatusCode {
    answered(server.request_as(key, Method::GET, "/api/v1/jobs")).await.0
}

#[tokio::test]
async fn an_approved_login_creates_one_key_with_at_most_the_requested_scope() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let cookie = sign_in(&server, &server.key("acme", false, Scope::Admin).await).await;
    let begun = begin(&server, &json!({"scope": "write", "host": "laptop"})).await;
    assert_eq!(begun["verificationUrl"], format!("{}/#/login", server.url()));
    assert_eq!((&begun["expiresIn"], &begun["interval"]), (&json!(600), &json!(2)));
    let pending = poll(&server, &begun).await;
    assert_eq!(pending, (StatusCode::ACCEPTED, json!({"state": "pending"})));

    let typed = json!({"userCode": begun["userCode"].as_str().unwrap().to_lowercase()});
    let (status, seen) = asks(&server, &cookie, OWN, FIND, &typed).await;
    assert_eq!(status, StatusCode::OK, "{seen}");
    assert_eq!((&seen["host"], &seen["address"]), (&json!("laptop"), &json!("127.0.0.1")));
    assert_eq!((&seen["scope"], &seen["world"]), (&json!("write"), &Value::Null));
    let more = json!({"userCode": begun["userCode"], "decision": "approve", "scope": "admin"});
    is_error(&asks(&server, &cookie, OWN, COMPLETE, &more).await, 400, "invalid_input");
    let (status, done) = asks(&server, &cookie, OWN, COMPLETE, &approval(&begun)).await;
    assert_eq!((status, &done["state"]), (StatusCode::OK, &json!("approved")));
    // The code is used up, also for the browser that approved it.
    is_error(&asks(&server, &cookie, OWN, COMPLETE, &approval(&begun)).await, 404, "not_found");

    let (status, made) = patient_poll(&server, &begun).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!((&made["consumer"], &made["live"]), (&json!("acme"), &json!(false)));
    assert_eq!((&made["scope"], &made["webhookSecret"]), (&json!("write"), &Value::Null));
    let expires: meetbot::Timestamp = made["expiresAt"].as_str().unwrap().parse().unwrap();
    let days = expires.millis_since(now()) / 86_400_000;
    assert!((89..=90).contains(&days), "{made}");
    let key = made["key"].as_str().unwrap();
    assert_eq!(works(&server, key).await, StatusCode::OK);
    is_error(&poll(&server, &begun).await, 410, "gone");

    // The audit log has it under the key that approved it, with the path of the new key.
    let path = format!("/api/v1/admin/keys/{}", made["id"].as_str().unwrap());
    let window = Window { limit: 100, after: None };
    let lines = async {
        loop {
            let lines = server.store().key_uses(UseFilter::default(), window).await.unwrap().data;
            let approved = lines.iter().find(|line| line.path == COMPLETE && line.status == 200);
            let line = lines.iter().find(|line| line.path == path && line.status == 201);
            if let (Some(approved), Some(line)) = (approved, line) {
                let nonce = begun["nonce"].as_str().unwrap();
                assert!(lines.iter().all(|line| !line.path.contains(nonce)));
                return (approved.key, line.key);
            }
            tokio::task::yield_now().await;
        }
    };
    let (approved, made_by) = tokio::time::timeout(PATIENCE, lines).await.expect("both lines");
    assert_eq!(approved, made_by);

    // `meetbot logout`: a key can end only itself.
    let ended = server.request_as(key, Method::DELETE, KEY);
    let (status, ended) = answered(ended).await;
    assert_eq!((status, &ended["id"]), (StatusCode::OK, &made["id"]));
    assert_eq!(works(&server, key).await, StatusCode::UNAUTHORIZED);
    assert_eq!(works(&server, &server.key).await, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn an_approval_is_limited_to_the_scope_world_and_lifetime_of_its_key() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let reader = sign_in(&server, &server.key("acme", false, Scope::Read).await).await;
    let begun = begin(&server, &json!({"scope": "operator"})).await;
    is_error(&asks(&server, &reader, OWN, COMPLETE, &approval(&begun)).await, 403, "forbidden");
    // The login is still pending, and a key with the scope read may approve that scope.
    let less = json!({"userCode": begun["userCode"], "decision": "approve", "scope": "read"});
    assert_eq!(asks(&server, &reader, OWN, COMPLETE, &less).await.0, StatusCode::OK);
    let (_, made) = patient_poll(&server, &begun).await;
    assert_eq!(made["scope"], "read", "{made}");
    let create = server.request_as(made["key"].as_str().unwrap(), Method::POST, "/api/v1/jobs");
    let create = create.json(&json!({"meetingUrl": "https://sandbox.meetbot.dev/two-speakers"}));
    is_error(&answered(create).await, 403, "forbidden");

    // A test key cannot approve a live key, nor the scope operator.
    let operator = sign_in(&server, &server.key("acme", false, Scope::Operator).await).await;
    let live = begin(&server, &json!({"world": "live"})).await;
    is_error(&asks(&server, &operator, OWN, COMPLETE, &approval(&live)).await, 403, "forbidden");
    let most = begin(&server, &json!({"scope": "operator"})).await;
    is_error(&asks(&server, &operator, OWN, COMPLETE, &approval(&most)).await, 403, "forbidden");

    // Nor a key that expires after the key of the session.
    let hour = now() + std::time::Duration::from_hours(1);
    let spec =
        KeySpec { consumer: "acme", live: true, scope: Scope::Write, expires_at: Some(hour) };
    let short = server.fresh_key(spec).await;
    let session = sign_in(&server, short.secret.expose()).await;
    assert_eq!(asks(&server, &session, OWN, COMPLETE, &approval(&live)).await.0, StatusCode::OK);
    let (_, made) = patient_poll(&server, &live).await;
    assert_eq!((&made["live"], &made["expiresAt"]), (&json!(true), &json!(hour)));

    // If the approving key was revoked meanwhile, no key is created.
    let begun = begin(&server, &json!({})).await;
    assert_eq!(asks(&server, &session, OWN, COMPLETE, &approval(&begun)).await.0, StatusCode::OK);
    server.store().revoke_key(short.key.id, false, server.store().now()).await.unwrap();
    let before = server.store().keys().await.unwrap().len();
    is_error(&poll(&server, &begun).await, 403, "forbidden");
    is_error(&poll(&server, &begun).await, 410, "gone");
    assert_eq!(server.store().keys().await.unwrap().len(), before);
    server.stop().await;
}

#[tokio::test]
async fn other_sites_and_callers_without_a_key_cannot_approve_and_guessing_is_limited() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let cookie = sign_in(&server, &server.key).await;
    let begun = begin(&server, &json!({})).await;
    for site in [None, Some("none"), Some("same-site"), Some("cross-site")] {
        for path in [FIND, COMPLETE] {
            let answer = asks(&server, &cookie, site, path, &approval(&begun)).await;
            is_error(&answer, 403, "forbidden");
        }
        let ended = browses(&server, &cookie, site, Method::DELETE, KEY);
        is_error(&answered(ended).await, 403, "forbidden");
    }
    // A session does not end its key either.
    let ended = browses(&server, &cookie, OWN, Method::DELETE, KEY);
    is_error(&answered(ended).await, 403, "forbidden");
    // Nonce, code and key cannot be used in place of each other.
    let nonce = begun["nonce"].as_str().unwrap();
    let with_nonce = json!({"userCode": nonce, "decision": "approve"});
    is_error(&asks(&server, &cookie, OWN, COMPLETE, &with_nonce).await, 404, "not_found");
    is_error(&poll(&server, &json!({"nonce": begun["userCode"]})).await, 410, "gone");
    is_error(
        &answered(server.request_as(nonce, Method::GET, "/api/v1/jobs")).await,
        401,
        "unauthorized",
    );
    is_error(&poll(&server, &json!({"nonce": "a".repeat(40)})).await, 410, "gone");
    // A form of another site begins no login.
    let url = format!("{}/api/v1/cli-auth/init", server.url());
    is_error(&answered(server.http.post(&url).body("{}")).await, 415, "unsupported_media_type");

    let guess = json!({"userCode": "ZZZZ-ZZZZ"});
    loop {
        let answer = asks(&server, &cookie, OWN, FIND, &guess).await;
        if answer.0 == StatusCode::TOO_MANY_REQUESTS {
            is_error(&answer, 429, "rate_limited");
            break;
        }
        is_error(&answer, 404, "not_found");
    }
    assert_eq!(poll(&server, &begun).await.0, StatusCode::ACCEPTED);
    // Another key can still deny it.
    let other = sign_in(&server, &server.key("other", false, Scope::Read).await).await;
    let denied = json!({"userCode": begun["userCode"], "decision": "deny"});
    assert_eq!(asks(&server, &other, OWN, COMPLETE, &denied).await.0, StatusCode::OK);
    is_error(&patient_poll(&server, &begun).await, 403, "forbidden");
    is_error(&poll(&server, &begun).await, 410, "gone");

    // One address may begin ten logins in a minute.
    loop {
        let answer = answered(server.http.post(&url).json(&json!({}))).await;
        if answer.0 != StatusCode::OK {
            is_error(&answer, 429, "rate_limited");
            break;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn without_a_dashboard_no_login_begins() {
    let data = TempDir::new().unwrap();
    let off = |name: &str| (name == "MEETBOT_DASHBOARD_ENABLED").then(|| "false".to_owned());
    let server = Server::start_with(&data, off).await;
    let url = format!("{}/api/v1/cli-auth/init", server.url());
    is_error(&answered(server.http.post(url).json(&json!({}))).await, 404, "no_such_path");
    server.stop().await;
}
