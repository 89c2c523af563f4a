//! The admin API: consumers, quotas, webhook secrets, the audit log, and invalid bodies of every call.

use std::time::Duration;

use meetbot_orchestrator::{keys::KeySpec, store::Scope};
use meetbot_types::{KeyId, Timestamp};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    server::{PATIENCE, Server, answered, new_job, now},
};

pub(crate) const NOBODY: &str = "con_01KAB1CDEFGHJKMNPQRSTVWXYZ";

/// A server with an operator's key.
pub(crate) struct Operated {
    pub(crate) server: Server,
    pub(crate) key: String,
    pub(crate) id: KeyId,
}

impl Operated {
    pub(crate) async fn start(data: &TempDir) -> Self {
        let server = Server::start(data).await;
        let spec =
            KeySpec { consumer: "ops", live: true, scope: Scope::Operator, expires_at: None };
        let fresh = server.fresh_key(spec).await;
        Self { server, key: fresh.secret.expose().to_owned(), id: fresh.key.id }
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request_as(&self.key, method, &format!("/api/v1/admin/{path}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, answer) = answered(self.ask(Method::GET, path)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answered(self.ask(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn make(&self, body: Value) -> Value {
        let (status, made) = self.post("keys", body).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    /// The id of the consumer with this name.
    async fn consumer(&self, name: &str) -> String {
        let found = self.get(&format!("consumers?name={name}")).await;
        found["data"][0]["id"].as_str().unwrap().to_owned()
    }

    /// All entries of a list, read in pages of this size.
    async fn all(&self, list: &str, limit: usize) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{list}?limit={limit}{cursor}")).await;
            let data = page["data"].as_array().unwrap();
            assert!(data.len() <= limit, "{page}");
            all.extend(data.iter().cloned());
            let Some(next) = page["nextCursor"].as_str() else { return all };
            cursor = format!("&cursor={next}");
        }
    }

    /// The status of a call with this key.
    pub(crate) async fn opens(&self, key: &str, path: &str) -> StatusCode {
        self.server.request_as(key, Method::GET, path).send().await.unwrap().status()
    }

    /// The entries of the audit log that match this filter, once there are `count`.
    async fn lines(&self, filter: &str, count: usize) -> Vec<Value> {
        let look = async {
            loop {
                let found = self.get(&format!("audit?{filter}")).await;
                let data = found["data"].as_array().unwrap().clone();
                if data.len() >= count {
                    return data;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the lines are written")
    }
}

fn path_of(line: &Value) -> &str {
    line["path"].as_str().unwrap()
}

#[tokio::test]
async fn each_issue_of_a_body_has_its_path() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let acme = ops.consumer("acme").await;
    let quota = format!("consumers/{acme}/quota");
    let rotate = format!("secrets/{acme}/rotate");
    for (method, path, body, issue) in [
        (Method::POST, "keys", r#"{"live":true}"#, ("consumer", "required")),
        (
            Method::POST,
            "keys",
            r#"{"consumer":"a","live":true,"Scope":"read"}"#,
            ("Scope", "unknown_field"),
        ),
        (
            Method::POST,
            "keys",
            r#"{"consumer":"a","live":false,"scope":"operator"}"#,
            ("live", "live_required"),
        ),
        (
            Method::POST,
            "keys",
            r#"{"consumer":"a","live":true,"scope":"viewer"}"#,
            ("scope", "unknown_scope"),
        ),
        (
            Method::POST,
            "keys?consumer=a",
            r#"{"consumer":"a","live":true}"#,
            ("consumer", "unknown_field"),
        ),
        (Method::POST, "keys", "[]", ("", "invalid_json")),
        (Method::PATCH, &quota, r#"{"bots":0}"#, ("bots", "out_of_range")),
        (Method::PATCH, &quota, r#"{"maxBots":1}"#, ("maxBots", "unknown_field")),
        (Method::PATCH, &quota, "{}", ("", "required")),
        (Method::PATCH, &quota, r#"{"workerLabels":["EU"]}"#, ("workerLabels", "invalid_label")),
        (Method::POST, &rotate, r#"{"overlap_seconds":0}"#, ("overlap_seconds", "unknown_field")),
        (Method::GET, "keys?limit=201", "", ("limit", "invalid_parameter")),
        (Method::GET, "keys?cursor=job_1", "", ("cursor", "invalid_parameter")),
        (Method::GET, "audit?after=yesterday", "", ("after", "invalid_parameter")),
        (Method::GET, "audit?refused=yes", "", ("refused", "invalid_parameter")),
        (Method::GET, "audit?key=1&key=2", "", ("key", "duplicate_field")),
        (Method::GET, "consumers?Name=acme", "", ("Name", "unknown_field")),
    ] {
        let mut request = ops.ask(method.clone(), path);
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = answered(request).await;
        is_error(&answer, 400, "invalid_input");
        let issues = answer.1["issues"].as_array().unwrap();
        let places: Vec<_> = issues
            .iter()
            .map(|issue| {
                let path = issue["path"].as_array().unwrap();
                let path: Vec<&str> = path.iter().map(|part| part.as_str().unwrap()).collect();
                (path.join("."), issue["code"].as_str().unwrap())
            })
            .collect();
        assert!(places.contains(&(issue.0.to_owned(), issue.1)), "{method} {path}: {places:?}");
    }
    let text = ops.ask(Method::POST, "keys").body("{}");
    is_error(&answered(text).await, 415, "unsupported_media_type");
    let huge = json!({"consumer": "x".repeat(300_000), "live": true});
    is_error(&ops.post("keys", huge).await, 413, "payload_too_large");
    for path in ["", "keys/", "tokens", "consumers/x/quotas"] {
        is_error(&answered(ops.ask(Method::GET, path)).await, 404, "no_such_path");
    }
    is_error(&answered(ops.ask(Method::PUT, "keys")).await, 405, "method_not_allowed");
    assert_eq!(ops.all("keys", 200).await.len(), 2, "nothing was made");
    ops.server.stop().await;
}

#[tokio::test]
async fn a_consumers_quota_is_read_set_and_cleared() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let id = ops.consumer("acme").await;
    let before = ops.get(&format!("consumers/{id}")).await;
    assert_eq!(
        before["quota"],
        json!({"bots": "default", "minutes": "default", "queuedJobs": "default"})
    );
    assert_eq!((&before["maxBots"], &before["maxQueuedJobs"]), (&Value::Null, &json!(10_000)));
    let change = async |body: Value| {
        let request = ops.ask(Method::PATCH, &format!("consumers/{id}/quota")).json(&body);
        let (status, changed) = answered(request).await;
        assert_eq!(status, 200, "{changed}");
        changed
    };
    let changed = change(json!({"bots": 1, "queuedJobs": "none"})).await;
    assert_eq!(changed["quota"], json!({"bots": 1, "minutes": "default", "queuedJobs": "none"}));
    assert_eq!((&changed["maxBots"], &changed["maxQueuedJobs"]), (&json!(1), &Value::Null));
    // It is enforced: the second job waits, and gets its bot when the first has ended.
    let client = ops.server.client();
    client.dispatch_bot(new_job()).await.unwrap();
    let second = client.dispatch_bot(new_job()).await.unwrap().id;
    let _first_bot = ops.server.bot().await;
    let waits = client.get_bot(&second).await.unwrap().unwrap();
    assert_eq!(waits.status_detail.as_deref(), Some("at_bot_limit"));
    assert_eq!(ops.get(&format!("consumers/{id}")).await["test"]["queuedJobs"], 1);
    let cleared = change(json!({"bots": "default", "queuedJobs": "default"})).await;
    let _second_bot = ops.server.bot().await;
    assert_eq!(cleared["quota"], before["quota"]);
    assert_eq!(cleared["maxQueuedJobs"], before["maxQueuedJobs"]);
    assert_eq!(before["workerLabels"], json!([]));
    let labelled = change(json!({"workerLabels": ["net=fast", "eu"]})).await;
    assert_eq!(labelled["workerLabels"], json!(["eu", "net=fast"]));
    assert_eq!(change(json!({"bots": 9})).await["workerLabels"], labelled["workerLabels"]);
    assert_eq!(change(json!({"workerLabels": []})).await["workerLabels"], json!([]));
    for wrong in [NOBODY, "acme", "%FF"] {
        is_error(
            &answered(ops.ask(Method::GET, &format!("consumers/{wrong}"))).await,
            404,
            "not_found",
        );
        let patch = ops.ask(Method::PATCH, &format!("consumers/{wrong}/quota"));
        is_error(&answered(patch.json(&json!({"bots": 1}))).await, 404, "not_found");
    }
    ops.server.stop().await;
}

#[tokio::test]
async fn only_the_consumer_whose_name_is_confirmed_is_erased() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let live = ops.server.key("acme", true, Scope::Write).await;
    ops.server.key("other", true, Scope::Write).await;
    let job = ops.server.client().dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = ops.server.bot().await;
    bot.record().await;
    bot.complete("file:///m.json").await;
    let (acme, own) = (ops.consumer("acme").await, ops.consumer("ops").await);
    let erase = |id: &str, query: &str| {
        answered(ops.ask(Method::DELETE, &format!("consumers/{id}{query}")))
    };
    for query in ["", "?confirm=other", "?confirm=ACME"] {
        is_error(&erase(&acme, query).await, 400, "invalid_input");
    }
    is_error(&erase(NOBODY, "?confirm=acme").await, 404, "not_found");
    let refused = erase(&own, "?confirm=ops").await;
    is_error(&refused, 409, "conflict");
    assert_eq!(ops.opens(&live, &format!("/api/v1/jobs/{job}")).await, 404, "of the other world");
    assert_eq!(ops.opens(&ops.server.key, &format!("/api/v1/jobs/{job}")).await, 200);

    let (status, receipt) = erase(&acme, "?confirm=acme").await;
    assert_eq!(status, 200, "{receipt}");
    assert_eq!(
        (&receipt["consumer"], &receipt["jobs"], &receipt["keys"]),
        (&json!("acme"), &json!(1), &json!(2))
    );
    for key in [&live, &ops.server.key] {
        assert_eq!(ops.opens(key, "/api/v1/jobs").await, 401);
    }
    is_error(&erase(&acme, "?confirm=acme").await, 404, "not_found");
    let names: Vec<Value> =
        ops.all("consumers", 1).await.into_iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["other", "ops"]);
    ops.server.stop().await;
}

#[tokio::test]
async fn a_rotated_webhook_secret_is_shown_once_and_never_listed() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let id = ops.consumer("acme").await;
    let rotate = format!("secrets/{id}/rotate");
    let ask = |body: Value| {
        answered(ops.ask(Method::POST, &rotate).header("idempotency-key", "r").json(&body))
    };
    let (status, rotated) = ask(json!({"overlapSeconds": 3600})).await;
    assert_eq!(status, 200, "{rotated}");
    let secret = rotated["webhookSecret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret != ops.server.webhook_secret, "{rotated}");
    let until: Timestamp = rotated["previousUntil"].as_str().unwrap().parse().unwrap();
    assert!((until - Duration::from_hours(1)).millis_since(now()).abs() < 60_000, "{until}");
    // A repeated request does not rotate again.
    assert_eq!(ask(json!({"overlapSeconds": 3600})).await, (status, rotated.clone()));
    let refused = ops.post(&rotate, json!({})).await;
    is_error(&refused, 409, "conflict");

    let listed = ops.get("secrets?consumer=acme").await;
    let expected =
        json!({"consumerId": id, "consumer": "acme", "previousUntil": rotated["previousUntil"]});
    assert_eq!(listed["data"], json!([expected]));
    let whole = json!([ops.all("secrets", 1).await, ops.all("consumers", 200).await]).to_string();
    assert!(!whole.contains("whsec_"), "{whole}");

    let (status, cut) = ops.post(&rotate, json!({"overlapSeconds": 0})).await;
    assert_eq!((status.as_u16(), &cut["previousUntil"]), (200, &Value::Null));
    let kept = ops.server.store().webhook_secrets("acme", ops.server.store().now()).await.unwrap();
    assert_eq!(kept.unwrap().current.expose(), cut["webhookSecret"]);
    assert_eq!(ops.get("secrets?consumer=acme").await["data"][0]["previousUntil"], Value::Null);
    for wrong in [NOBODY, "acme"] {
        let path = format!("secrets/{wrong}/rotate");
        is_error(&ops.post(&path, json!({})).await, 404, "not_found");
    }
    ops.server.stop().await;
}

#[tokio::test]
async fn the_audit_log_records_changes_with_their_key_and_no_secrets() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let before = now();
    let acme = ops.consumer("acme").await;
    let made = ops.make(json!({"consumer": "acme", "live": true})).await;
    let id = made["id"].as_str().unwrap();
    let quota =
        ops.ask(Method::PATCH, &format!("consumers/{acme}/quota")).json(&json!({"bots": 7}));
    assert_eq!(answered(quota).await.0, 200);
    let rotated = ops.post(&format!("secrets/{acme}/rotate"), json!({})).await.1;
    assert_eq!(answered(ops.ask(Method::DELETE, &format!("keys/{id}"))).await.0, 200);
    // Refused calls are recorded too, under the key that was refused.
    let admin = ops
        .server
        .fresh_key(KeySpec { consumer: "acme", live: true, scope: Scope::Admin, expires_at: None })
        .await;
    assert_eq!(ops.opens(admin.secret.expose(), "/api/v1/admin/keys").await, 403);

    let mine = ops.lines(&format!("key={}", ops.id), 4).await;
    let mut entries: Vec<String> = mine
        .iter()
        .map(|line| {
            format!("{} {} {}", line["method"].as_str().unwrap(), path_of(line), line["status"])
        })
        .collect();
    entries.sort();
    let expected = [
        format!("DELETE /api/v1/admin/keys/{id} 200"),
        format!("PATCH /api/v1/admin/consumers/{acme}/quota 200"),
        format!("POST /api/v1/admin/keys/{id} 201"),
        format!("POST /api/v1/admin/secrets/{acme}/rotate 200"),
    ];
    assert_eq!(entries, expected);
    let refused = ops.lines(&format!("consumer={acme}&refused=true"), 1).await;
    assert_eq!(refused.len(), 1);
    assert_eq!(
        (&refused[0]["key"], &refused[0]["error"]),
        (&json!(admin.key.id), &json!("forbidden"))
    );
    let whole = ops.get("audit").await.to_string();
    for secret in [
        &made["key"],
        &rotated["webhookSecret"],
        &json!(ops.key),
        &json!("whsec_"),
        &json!("mb_live_"),
    ] {
        assert!(!whole.contains(secret.as_str().unwrap()), "{whole}");
    }
    let count = async |filter: String| {
        ops.get(&format!("audit?{filter}")).await["data"].as_array().unwrap().len()
    };
    assert_eq!(count(format!("after={before}")).await, 5);
    assert_eq!(count(format!("before={before}")).await, 0);
    assert_eq!(count(format!("after={}", now() + Duration::from_mins(1))).await, 0);
    assert_eq!(ops.all("audit", 2).await.len(), 5);
    ops.server.stop().await;
}

#[tokio::test]
async fn an_operators_key_sees_only_the_jobs_of_its_consumer() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let job = ops.server.client().dispatch_bot(new_job()).await.unwrap().id;
    let _bot = ops.server.bot().await;
    assert_eq!(ops.opens(&ops.key, &format!("/api/v1/jobs/{job}")).await, 404);
    // It includes each lower scope.
    for path in ["/api/v1/jobs", "/api/v1/usage", "/api/v1/admin/host", "/metrics"] {
        assert_eq!(ops.opens(&ops.key, path).await, 200, "{path}");
    }
    ops.server.stop().await;
}
