//! The admin API: what an operator's key changes for everybody, and what it does not.

use std::{collections::BTreeSet, fs, time::Duration};

use meetbot_orchestrator::{
    keys::Wanted,
    store::{KeyStore as _, Scope, Store as _},
};
use meetbot_types::{KeyId, Timestamp};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    server::{PATIENCE, Server, answered, new_job, now},
    sessions::{browses, sign_in},
};

const NOBODY: &str = "con_01KAB1CDEFGHJKMNPQRSTVWXYZ";

/// A server with an operator's key.
struct Operated {
    server: Server,
    key: String,
    id: KeyId,
}

impl Operated {
    async fn start(data: &TempDir) -> Self {
        let server = Server::start(data).await;
        let wanted =
            Wanted { consumer: "ops", live: true, scope: Scope::Operator, expires_at: None };
        let fresh = server.fresh_key(wanted).await;
        Self { server, key: fresh.secret.expose().to_owned(), id: fresh.key.id }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request_as(&self.key, method, &format!("/api/v1/admin/{path}"))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = answered(self.ask(Method::GET, path)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answered(self.ask(Method::POST, path).json(&body)).await
    }

    async fn make(&self, body: Value) -> Value {
        let (status, made) = self.post("keys", body).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    /// The id of the consumer with this name.
    async fn consumer(&self, name: &str) -> String {
        let found = self.get(&format!("consumers?name={name}")).await;
        found["data"][0]["id"].as_str().unwrap().to_owned()
    }

    /// All entries of a list, by pages of this size.
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
    async fn opens(&self, key: &str, path: &str) -> StatusCode {
        self.server.request_as(key, Method::GET, path).send().await.unwrap().status()
    }

    /// Lines of the audit log that this filter gives, once there are so many.
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
async fn a_key_is_made_shown_once_listed_without_its_secret_and_revoked_at_once() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let expires = (now() + Duration::from_hours(24)).to_string();
    let body = json!({"consumer": " new one ", "live": true, "scope": "read", "expiresAt": expires, "note": 1});
    let response = ops.ask(Method::POST, "keys").json(&body).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["x-meetbot-ignored"]),
        (201.try_into().unwrap(), &"note".parse().unwrap())
    );
    let made: Value = response.json().await.unwrap();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert!(key.starts_with(made["prefix"].as_str().unwrap()) && key.len() == 56, "{made}");
    assert!(made["webhookSecret"].as_str().unwrap().starts_with("whsec_"), "a new consumer");
    assert_eq!((&made["consumer"], &made["scope"]), (&json!("new one"), &json!("read")));
    assert_eq!((&made["live"], &made["expiresAt"]), (&json!(true), &json!(expires)));
    assert_eq!(ops.opens(key, "/api/v1/jobs").await, 200);
    assert_eq!(ops.opens(key, "/metrics").await, 403);

    let second = ops.make(json!({"consumer": "new one", "live": false})).await;
    assert_eq!((&second["webhookSecret"], &second["scope"]), (&Value::Null, &json!("write")));
    assert_eq!(second["consumerId"], made["consumerId"]);

    let listed = ops.get("keys?consumer=new%20one").await;
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
    assert_eq!(
        BTreeSet::from([id, second["id"].as_str().unwrap()]),
        ids.into_iter().map(|id| id.as_str().unwrap()).collect()
    );
    let whole = ops.get("keys").await.to_string();
    for secret in [key, &ops.key, made["webhookSecret"].as_str().unwrap(), "hash"] {
        assert!(!whole.contains(secret), "{whole}");
    }

    // What is open with it ends, too.
    let job = ops.server.client_of(second["key"].as_str().unwrap());
    let job = job.dispatch_bot(new_job()).await.unwrap().id;
    let events = format!("/api/v1/jobs/{job}/events");
    let stream = ops.server.request_as(second["key"].as_str().unwrap(), Method::GET, &events);
    let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
    let revoke = |id: &str| ops.ask(Method::DELETE, &format!("keys/{id}"));
    for key in [&made, &second] {
        let (status, revoked) = answered(revoke(key["id"].as_str().unwrap())).await;
        assert_eq!((status.as_u16(), revoked["revokedAt"].is_string()), (200, true), "{revoked}");
        // This process has no key in mind that it has revoked itself.
        assert_eq!(ops.opens(key["key"].as_str().unwrap(), "/api/v1/jobs").await, 401);
        let again = answered(revoke(key["id"].as_str().unwrap())).await;
        assert_eq!(again, (status, revoked), "again, it changes nothing");
    }
    let read = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, read).await.expect("the stream ends");
    for wrong in ["key_01KAB1CDEFGHJKMNPQRSTVWXYZ", "nonsense", "%FF", NOBODY] {
        is_error(&answered(revoke(wrong)).await, 404, "not_found");
    }
    ops.server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said_with_its_place() {
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
            r#"{"consumer":"a","live":true,"scope":"worker"}"#,
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
async fn the_last_operators_key_is_not_revoked_unless_there_is_another() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let own = format!("keys/{}", ops.id);
    let refused = answered(ops.ask(Method::DELETE, &own)).await;
    is_error(&refused, 409, "conflict");
    assert!(
        refused.1["message"].as_str().unwrap().contains("make another one first"),
        "{refused:?}"
    );
    let other = ops.make(json!({"consumer": "ops", "live": true, "scope": "operator"})).await;
    let other_key = other["key"].as_str().unwrap();
    // Each revokes the other at the same time: one of them stays.
    let theirs = format!("/api/v1/admin/keys/{}", ops.id);
    let mine = format!("keys/{}", other["id"].as_str().unwrap());
    let revoke = ops.server.request_as(other_key, Method::DELETE, &theirs);
    let (first, second) = tokio::join!(revoke.send(), ops.ask(Method::DELETE, &mine).send());
    let statuses = BTreeSet::from([first, second].map(|answer| answer.unwrap().status().as_u16()));
    assert!(statuses.contains(&200) && statuses.len() == 2, "{statuses:?}");
    let good = |key: &&Value| key["scope"] == "operator" && key["revokedAt"].is_null();
    let left =
        if ops.opens(&ops.key, "/api/v1/admin/keys").await == 200 { &ops.key } else { other_key };
    let (_, listed) =
        answered(ops.server.request_as(left, Method::GET, "/api/v1/admin/keys")).await;
    assert_eq!(listed["data"].as_array().unwrap().iter().filter(good).count(), 1, "{listed}");
    ops.server.stop().await;
}

#[tokio::test]
async fn a_doubled_request_makes_one_key_which_is_stored_nowhere() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let body = json!({"consumer": "doubled", "live": true, "scope": "write"});
    let ask = |key: &str, body: &Value| {
        let request = ops.server.request_as(key, Method::POST, "/api/v1/admin/keys");
        answered(request.header("idempotency-key", "once").json(body))
    };
    let all = futures_util::future::join_all((0..16).map(|_| ask(&ops.key, &body))).await;
    let made = all[0].clone();
    assert_eq!(made.0, 201, "{made:?}");
    assert!(all.iter().all(|one| *one == made), "{all:#?}");
    let key = made.1["key"].as_str().unwrap();
    assert_eq!(ops.opens(key, "/api/v1/jobs").await, 200);
    assert_eq!(ops.get("keys?consumer=doubled").await["data"].as_array().unwrap().len(), 1);

    let other = json!({"consumer": "doubled", "live": true, "scope": "read"});
    is_error(&ask(&ops.key, &other).await, 422, "idempotency_mismatch");
    // Another operator of the same consumer does not get an answer that was not meant for it.
    let second = ops.make(json!({"consumer": "ops", "live": true, "scope": "operator"})).await;
    is_error(&ask(second["key"].as_str().unwrap(), &body).await, 422, "idempotency_mismatch");
    let refusal = json!({"consumer": "", "live": true});
    is_error(&ask(&ops.key, &refusal).await, 400, "invalid_input");

    ops.server.stop().await;
    for entry in fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = fs::read(&path) else { continue };
        for secret in [&key[16..], &ops.key[16..]] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a key", path.display());
        }
    }
}

#[tokio::test]
async fn an_operators_browser_makes_keys_from_pages_of_the_server_alone() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let session = sign_in(&ops.server, &ops.key).await;
    let body = json!({"consumer": "browsed", "live": true});
    let create = |session: &str, site: Option<&str>| {
        let path = "/api/v1/admin/keys";
        let request = browses(&ops.server, session, site, Method::POST, path);
        answered(request.header("idempotency-key", "b").json(&body))
    };
    for site in [None, Some("none"), Some("same-site"), Some("cross-site")] {
        is_error(&create(&session, site).await, 403, "forbidden");
    }
    let made = create(&session, Some("same-origin")).await;
    assert_eq!(made.0, 201, "{made:?}");
    assert_eq!(ops.opens(made.1["key"].as_str().unwrap(), "/api/v1/jobs").await, 200);
    assert_eq!(create(&session, Some("same-origin")).await, made, "a doubled click");
    // Another session could not find the same key again, and is not given a wrong one.
    let other = sign_in(&ops.server, &ops.key).await;
    is_error(&create(&other, Some("same-origin")).await, 422, "idempotency_mismatch");
    // A session ends with its key, also when the API revokes that.
    let operator = ops.make(json!({"consumer": "ops", "live": true, "scope": "operator"})).await;
    let own = format!("/api/v1/admin/keys/{}", ops.id);
    let revoke = ops.server.request_as(operator["key"].as_str().unwrap(), Method::DELETE, &own);
    assert_eq!(answered(revoke).await.0, 200);
    for session in [&session, &other] {
        is_error(&create(session, Some("same-origin")).await, 401, "unauthorized");
    }
    ops.server.stop().await;
}

#[tokio::test]
async fn keys_come_in_pages_that_new_ones_do_not_shift() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let wanted = Wanted { consumer: "many", live: false, scope: Scope::Read, expires_at: None };
    let made = futures_util::future::join_all((0..450).map(|_| ops.server.fresh_key(wanted))).await;
    let made: BTreeSet<String> = made.into_iter().map(|fresh| fresh.key.id.to_string()).collect();
    let first = ops.get("keys?consumer=many&limit=200").await;
    assert_eq!(first["data"].as_array().unwrap().len(), 200);
    ops.server.fresh_key(wanted).await;
    let mut found: Vec<String> = Vec::new();
    let mut page = first;
    loop {
        let ids = page["data"].as_array().unwrap().iter();
        found.extend(ids.map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        page = ops.get(&format!("keys?consumer=many&limit=200&cursor={next}")).await;
    }
    assert!(found.is_sorted_by(|one, next| one > next), "newest first");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), made);
    ops.server.stop().await;
}

#[tokio::test]
async fn a_consumers_quota_is_read_set_and_given_back() {
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
    // It holds: the second job waits, and gets its bot as soon as there is room.
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
async fn a_consumer_is_erased_by_its_confirmed_name_and_no_other_with_it() {
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
    assert!(refused.1["message"].as_str().unwrap().contains("/consumers/me"), "{refused:?}");
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
async fn a_webhook_secret_is_rotated_shown_once_and_listed_never() {
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
    // A doubled request is no second rotation.
    assert_eq!(ask(json!({"overlapSeconds": 3600})).await, (status, rotated.clone()));
    let refused = ops.post(&rotate, json!({})).await;
    is_error(&refused, 409, "conflict");
    assert!(refused.1["message"].as_str().unwrap().contains("overlapSeconds 0"), "{refused:?}");

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
async fn the_audit_log_names_who_changed_what_and_no_secret() {
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
    // Who may not is named too, with its own key.
    let admin = ops
        .server
        .fresh_key(Wanted { consumer: "acme", live: true, scope: Scope::Admin, expires_at: None })
        .await;
    assert_eq!(ops.opens(admin.secret.expose(), "/api/v1/admin/keys").await, 403);

    let mine = ops.lines(&format!("key={}", ops.id), 4).await;
    let mut told: Vec<String> = mine
        .iter()
        .map(|line| {
            format!("{} {} {}", line["method"].as_str().unwrap(), path_of(line), line["status"])
        })
        .collect();
    told.sort();
    let expected = [
        format!("DELETE /api/v1/admin/keys/{id} 200"),
        format!("PATCH /api/v1/admin/consumers/{acme}/quota 200"),
        format!("POST /api/v1/admin/keys/{id} 201"),
        format!("POST /api/v1/admin/secrets/{acme}/rotate 200"),
    ];
    assert_eq!(told, expected);
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
async fn an_operators_key_sees_the_jobs_of_its_own_consumer_alone() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let job = ops.server.client().dispatch_bot(new_job()).await.unwrap().id;
    let _bot = ops.server.bot().await;
    assert_eq!(ops.opens(&ops.key, &format!("/api/v1/jobs/{job}")).await, 404);
    // It may all that a key of each lesser scope may.
    for path in ["/api/v1/jobs", "/api/v1/usage", "/api/v1/admin/host", "/metrics"] {
        assert_eq!(ops.opens(&ops.key, path).await, 200, "{path}");
    }
    ops.server.stop().await;
}
