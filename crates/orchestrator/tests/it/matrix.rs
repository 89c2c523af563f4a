//! Every documented call with every key that must be refused: each gets the documented error, and never a 500.

use std::{collections::BTreeSet, time::Duration};

use meetbot::{ListBots, Webhooks};
use meetbot_orchestrator::{keys::KeySpec, store::Scope};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    server::{Server, answered, new_job, now},
    sessions::{browses, sign_in},
};

/// The object of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Of {
    Nothing,
    Job,
    Delivery,
    Key,
    Consumer,
}

/// All calls, each with a body that is valid for the owner. A new call has to be added here.
const CALLS: [(&str, &str, Of, Option<&str>); 43] = [
    ("get", "/healthz", Of::Nothing, None),
    ("get", "/readyz", Of::Nothing, None),
    ("get", "/metrics", Of::Nothing, None),
    ("get", "/api/v1/admin/host", Of::Nothing, None),
    ("get", "/api/v1/admin/audit", Of::Nothing, None),
    ("get", "/api/v1/admin/consumers", Of::Nothing, None),
    ("get", "/api/v1/admin/consumers/{id}", Of::Consumer, None),
    ("delete", "/api/v1/admin/consumers/{id}", Of::Consumer, None),
    ("patch", "/api/v1/admin/consumers/{id}/quota", Of::Consumer, Some(r#"{"bots":1}"#)),
    ("get", "/api/v1/admin/keys", Of::Nothing, None),
    ("post", "/api/v1/admin/keys", Of::Nothing, Some(r#"{"consumer":"x","live":true}"#)),
    ("delete", "/api/v1/admin/keys/{id}", Of::Key, None),
    ("get", "/api/v1/admin/secrets", Of::Nothing, None),
    ("post", "/api/v1/admin/secrets/{id}/rotate", Of::Consumer, Some("{}")),
    ("post", "/api/v1/cli-auth/init", Of::Nothing, Some("{}")),
    ("post", "/api/v1/cli-auth/poll/{nonce}", Of::Nothing, None),
    ("post", "/api/v1/cli-auth/find", Of::Nothing, Some(r#"{"userCode":"BCDF-GHJK"}"#)),
    (
        "post",
        "/api/v1/cli-auth/complete",
        Of::Nothing,
        Some(r#"{"userCode":"BCDF-GHJK","decision":"approve"}"#),
    ),
    ("delete", "/api/v1/cli-auth/key", Of::Nothing, None),
    ("delete", "/api/v1/consumers/me", Of::Nothing, None),
    ("get", "/api/v1/platforms", Of::Nothing, None),
    ("get", "/api/v1/events", Of::Nothing, None),
    ("get", "/api/v1/usage", Of::Nothing, None),
    ("get", "/api/v1/jobs", Of::Nothing, None),
    (
        "post",
        "/api/v1/jobs",
        Of::Nothing,
        Some(r#"{"meetingUrl":"https://sandbox.meetbot.dev/two-speakers"}"#),
    ),
    ("get", "/api/v1/jobs/{id}", Of::Job, None),
    ("delete", "/api/v1/jobs/{id}", Of::Job, None),
    ("get", "/api/v1/jobs/{id}/artifacts", Of::Job, None),
    ("get", "/api/v1/jobs/{id}/artifacts/{name}", Of::Job, None),
    ("get", "/api/v1/jobs/{id}/events", Of::Job, None),
    ("get", "/api/v1/jobs/{id}/manifest", Of::Job, None),
    ("delete", "/api/v1/jobs/{id}/recording", Of::Job, None),
    ("post", "/api/v1/jobs/{id}/leave-call", Of::Job, Some("{}")),
    ("post", "/api/v1/jobs/{id}/pause-recording", Of::Job, Some("{}")),
    ("post", "/api/v1/jobs/{id}/request-recording-permission", Of::Job, Some("{}")),
    ("post", "/api/v1/jobs/{id}/resume-recording", Of::Job, Some("{}")),
    ("post", "/api/v1/jobs/{id}/send-chat-message", Of::Job, Some(r#"{"message":"hi"}"#)),
    ("post", "/api/v1/jobs/{id}/stop-recording", Of::Job, Some("{}")),
    ("get", "/api/v1/webhooks/deliveries", Of::Nothing, None),
    ("get", "/api/v1/webhooks/deliveries/{id}", Of::Delivery, None),
    ("post", "/api/v1/webhooks/deliveries/{id}/redeliver", Of::Delivery, None),
    (
        "post",
        "/api/v1/webhooks/deliveries/redeliver",
        Of::Nothing,
        Some(r#"{"endpoint":"http://127.0.0.1:1/","since":"2026-11-29T10:00:00Z"}"#),
    ),
    ("post", "/api/v1/webhooks/test", Of::Nothing, Some(r#"{"endpoint":"http://127.0.0.1:1/"}"#)),
];

/// The scope that the document requires for a call; `None` if it is public.
fn required_scope(operation: &Value) -> Option<Scope> {
    let requirement = &operation["security"][0];
    let word = requirement.as_object()?.get("apiKey")?[0].as_str();
    Some(Scope::known(word.unwrap()).unwrap())
}

/// Sends a call with this `Authorization`, if any.
async fn ask(
    server: &Server,
    method: &Method,
    path: &str,
    authorization: Option<&str>,
    body: Option<&str>,
) -> (StatusCode, Value) {
    let mut request = server.http.request(method.clone(), format!("{}{path}", server.url()));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or(Value::Null))
}

/// The status and JSON of the response to a request with this body.
async fn sent(request: RequestBuilder, body: Option<&str>) -> (StatusCode, Value) {
    let request = body.into_iter().fold(request, |request, body| {
        request.header("content-type", "application/json").body(body.to_owned())
    });
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or(Value::Null))
}

#[tokio::test]
async fn every_call_refuses_keys_without_its_scope() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let webhooks =
        Webhooks { on_status_change: Some("http://127.0.0.1:1/".to_owned()), on_finalize: None };
    let job = server
        .client()
        .dispatch_bot(meetbot::NewJob { webhooks: Some(webhooks), ..new_job() })
        .await
        .unwrap()
        .id;
    let _bot = server.bot().await;
    let deliveries = server.request(Method::GET, "/api/v1/webhooks/deliveries");
    let delivery =
        answered(deliveries).await.1["data"][0]["id"].as_str().expect("a delivery").to_owned();

    let (_, document) = answered(server.request(Method::GET, "/openapi.json")).await;
    let documented: BTreeSet<(&str, &str)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| (method.as_str(), path.as_str()))
        })
        .collect();
    let known = CALLS.iter().map(|(method, path, ..)| (*method, *path)).collect();
    assert_eq!(documented, known, "the calls of the document, and those that this test makes");

    let (mut keys, mut ended) = (Vec::new(), Vec::new());
    for scope in Scope::ALL {
        keys.push((scope, server.key("acme", false, scope).await));
        let spec = KeySpec { consumer: "acme", live: false, scope, expires_at: None };
        let revoked = server.fresh_key(spec).await;
        server.store().revoke_key(revoked.key.id, false, server.store().now()).await.unwrap();
        let expired = KeySpec { expires_at: Some(now() - Duration::from_secs(1)), ..spec };
        ended.push(revoked.secret.expose().to_owned());
        ended.push(server.fresh_key(expired).await.secret.expose().to_owned());
    }
    let spec = KeySpec { consumer: "acme", live: true, scope: Scope::Read, expires_at: None };
    let made = server.fresh_key(spec).await.key;
    let strangers = [
        server.key("other", false, Scope::Operator).await,
        server.key("acme", true, Scope::Admin).await,
    ];
    let wrong = [
        None,
        Some("Bearer".to_owned()),
        Some("Basic eDp5".to_owned()),
        Some("Bearer mb_test_wrong".to_owned()),
        Some(format!("Bearer mb_live_{}", "x".repeat(48))),
        Some(format!("Bearer {}x", server.key)),
        // The public part of a valid key with another secret.
        Some(format!("Bearer {}{}", &server.key[..16], "x".repeat(40))),
    ];
    let mut ended_sessions = Vec::new();
    // A key with the scope worker begins no session.
    for scope in Scope::ALL.into_iter().filter(|scope| *scope != Scope::Worker) {
        let spec = KeySpec { consumer: "acme", live: false, scope, expires_at: None };
        let revoked = server.fresh_key(spec).await;
        ended_sessions.push(sign_in(&server, revoked.secret.expose()).await);
        server.store().revoke_key(revoked.key.id, false, server.store().now()).await.unwrap();
        let signed_out = sign_in(&server, &server.key("acme", false, scope).await).await;
        let own = Some("same-origin");
        let out = browses(&server, &signed_out, own, Method::DELETE, "/api/v1/sessions");
        assert_eq!(out.send().await.unwrap().status(), 204);
        ended_sessions.push(signed_out);
    }
    let wrong: Vec<_> =
        wrong.into_iter().chain(ended.iter().map(|key| Some(format!("Bearer {key}")))).collect();

    let mut sessions = Vec::new();
    for (scope, key) in keys.iter().filter(|(scope, _)| *scope != Scope::Worker) {
        sessions.push((*scope, sign_in(&server, key).await));
    }
    let strange_sessions =
        [sign_in(&server, &strangers[0]).await, sign_in(&server, &strangers[1]).await];
    let believed = Duration::from_millis(800);
    let revoked = server.clock().now().steady;
    while server.clock().now().steady <= revoked + believed {
        tokio::task::yield_now().await;
    }

    let made_before = server.store().keys().await.unwrap().len();
    for (method, path, of, body) in CALLS {
        let operation = &document["paths"][path][method];
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let id = match of {
            Of::Delivery => &delivery,
            Of::Key => &made.id.to_string(),
            Of::Consumer => &made.tenant.consumer.to_string(),
            Of::Job | Of::Nothing => &job,
        };
        let at = path.replace("{id}", id).replace("{name}", "manifest.json");
        let Some(required) = required_scope(operation) else {
            let is_login = path.starts_with("/api/v1/cli-auth/");
            assert!(!path.starts_with("/api/") || is_login, "{path} is open to everybody");
            let wanted = if path.ends_with("{nonce}") { 410 } else { 200 };
            assert_eq!(ask(&server, &method, &at, None, body).await.0, wanted, "{path}");
            continue;
        };
        // The key is checked before the body, which is invalid here.
        let unreadable = body.map(|_| "{");
        for authorization in &wrong {
            let answer = ask(&server, &method, &at, authorization.as_deref(), unreadable).await;
            is_error(&answer, 401, "unauthorized");
            if method == Method::GET {
                let head = ask(&server, &Method::HEAD, &at, authorization.as_deref(), None).await;
                assert_eq!(head.0, 401, "HEAD {path}");
            }
        }
        for (_, key) in keys.iter().filter(|(scope, _)| !scope.includes(required)) {
            let answer =
                ask(&server, &method, &at, Some(&format!("Bearer {key}")), unreadable).await;
            is_error(&answer, 403, "forbidden");
        }
        if required == Scope::Operator {
            // Calls about the whole server are refused to test keys and to the scope admin.
            for key in keys.iter().map(|(_, key)| key).chain(&strangers) {
                let answer = ask(&server, &method, &at, Some(&format!("Bearer {key}")), body).await;
                is_error(&answer, 403, "forbidden");
            }
            for session in sessions.iter().map(|(_, session)| session).chain(&strange_sessions) {
                let request = browses(&server, session, Some("same-origin"), method.clone(), &at);
                is_error(&sent(request, body).await, 403, "forbidden");
            }
        } else if of != Of::Nothing {
            for key in &strangers {
                let answer = ask(&server, &method, &at, Some(&format!("Bearer {key}")), body).await;
                is_error(&answer, 404, "not_found");
            }
            for session in &strange_sessions {
                let request = browses(&server, session, Some("same-origin"), method.clone(), &at);
                is_error(&sent(request, body).await, 404, "not_found");
            }
        }
        for session in &ended_sessions {
            let request = browses(&server, session, Some("same-origin"), method.clone(), &at);
            is_error(&sent(request, unreadable).await, 401, "unauthorized");
        }
        for (scope, session) in &sessions {
            let elsewhere = [Some("cross-site"), Some("same-site"), None, Some("none")];
            let few = !scope.includes(required);
            let refused = elsewhere
                .into_iter()
                .filter(|site| site.is_some_and(|site| site != "none") || !method.is_safe())
                .chain(few.then_some(Some("same-origin")));
            for site in refused {
                let request = browses(&server, session, site, method.clone(), &at);
                is_error(&sent(request, unreadable).await, 403, "forbidden");
            }
        }
    }
    // None of these calls has changed anything.
    let kept = server.store().keys().await.unwrap();
    assert!(kept.iter().any(|key| key.id == made.id && key.revoked_at.is_none()));
    assert_eq!(kept.len(), made_before);
    let found = server.client().get_bot(&job).await.unwrap().unwrap();
    assert_eq!((found.status.as_str(), found.recording.deleted_at), ("joining", None));
    for key in &strangers {
        let theirs = server.client_of(key).list_bots(&ListBots::default()).await.unwrap();
        assert!(theirs.data.is_empty(), "{theirs:?}");
    }
    let mine = server.client().list_bots(&ListBots::default()).await.unwrap();
    assert_eq!(mine.data.len(), 1, "{mine:?}");
    server.stop().await;
}

#[tokio::test]
async fn calls_of_bots_accept_no_other_token() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    server.client().dispatch_bot(new_job()).await.unwrap();
    let bot = server.bot().await;
    let job = bot.order.job_id;
    let report = json!({"jobId": job, "epoch": 1, "reports": []}).to_string();
    let commands = format!("/api/v1/ingest/commands?jobId={job}&epoch=1&after=0&wait=0");
    let wrong = [
        None,
        Some("Bearer".to_owned()),
        Some(format!("Bearer {}x", bot.order.token.expose())),
        // An API key is not accepted as a bot's token.
        Some(format!("Bearer {}", server.key)),
    ];
    for authorization in wrong {
        let authorization = authorization.as_deref();
        let response =
            ask(&server, &Method::POST, "/api/v1/ingest", authorization, Some(&report)).await;
        is_error(&response, 401, "unauthorized");
        let asked = ask(&server, &Method::GET, &commands, authorization, None).await;
        is_error(&asked, 401, "unauthorized");
    }
    let token = format!("Bearer {}", bot.order.token.expose());
    let response = ask(&server, &Method::POST, "/api/v1/ingest", Some(&token), Some(&report)).await;
    assert_eq!(response.0, 200, "{response:?}");
    // A bot's token is not accepted by the API.
    let response = ask(&server, &Method::GET, "/api/v1/jobs", Some(&token), None).await;
    is_error(&response, 401, "unauthorized");
    server.stop().await;
}
