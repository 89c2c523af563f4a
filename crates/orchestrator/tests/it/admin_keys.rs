//! Keys that an operator creates, lists and revokes with the admin API.

use std::{collections::BTreeSet, fs, time::Duration};

use meetbot_orchestrator::{keys::KeySpec, store::Scope};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    admin::{NOBODY, Operated},
    answers::is_error,
    server::{PATIENCE, answered, new_job, now},
    sessions::{browses, sign_in},
};

#[tokio::test]
async fn a_key_is_shown_once_listed_without_its_secret_and_revoked_at_once() {
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

    // Open streams with it end, too.
    let job = ops.server.client_of(second["key"].as_str().unwrap());
    let job = job.dispatch_bot(new_job()).await.unwrap().id;
    let events = format!("/api/v1/jobs/{job}/events");
    let stream = ops.server.request_as(second["key"].as_str().unwrap(), Method::GET, &events);
    let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
    let revoke = |id: &str| ops.ask(Method::DELETE, &format!("keys/{id}"));
    for key in [&made, &second] {
        let (status, revoked) = answered(revoke(key["id"].as_str().unwrap())).await;
        assert_eq!((status.as_u16(), revoked["revokedAt"].is_string()), (200, true), "{revoked}");
        // A key that this process revoked is not cached.
        assert_eq!(ops.opens(key["key"].as_str().unwrap(), "/api/v1/jobs").await, 401);
        let (again, mut unchanged) = answered(revoke(key["id"].as_str().unwrap())).await;
        // The last use is written a moment after it.
        unchanged["lastUsedAt"] = revoked["lastUsedAt"].clone();
        assert_eq!((again, unchanged), (status, revoked), "again, it changes nothing");
    }
    let read = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, read).await.expect("the stream ends");
    for wrong in ["key_01KAB1CDEFGHJKMNPQRSTVWXYZ", "nonsense", "%FF", NOBODY] {
        is_error(&answered(revoke(wrong)).await, 404, "not_found");
    }
    ops.server.stop().await;
}

#[tokio::test]
async fn the_last_operators_key_cannot_be_revoked() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let own = format!("keys/{}", ops.id);
    let refused = answered(ops.ask(Method::DELETE, &own)).await;
    is_error(&refused, 409, "conflict");
    let other = ops.make(json!({"consumer": "ops", "live": true, "scope": "operator"})).await;
    let other_key = other["key"].as_str().unwrap();
    // Two keys revoke each other concurrently: one of them remains.
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
async fn a_repeated_request_returns_the_same_key_which_is_not_stored() {
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
    // Another operator key of the same consumer does not get the stored response.
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
async fn a_browser_session_creates_keys_only_from_pages_of_the_server() {
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
    // Another session cannot derive the same key, and does not get a wrong one.
    let other = sign_in(&ops.server, &ops.key).await;
    is_error(&create(&other, Some("same-origin")).await, 422, "idempotency_mismatch");
    // A session ends when its key is revoked.
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
async fn pages_of_keys_are_stable_while_keys_are_added() {
    let data = TempDir::new().unwrap();
    let ops = Operated::start(&data).await;
    let spec = KeySpec { consumer: "many", live: false, scope: Scope::Read, expires_at: None };
    let made = futures_util::future::join_all((0..450).map(|_| ops.server.fresh_key(spec))).await;
    let made: BTreeSet<String> = made.into_iter().map(|fresh| fresh.key.id.to_string()).collect();
    let first = ops.get("keys?consumer=many&limit=200").await;
    assert_eq!(first["data"].as_array().unwrap().len(), 200);
    ops.server.fresh_key(spec).await;
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
