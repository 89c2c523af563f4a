//! Every error response has the documented form, those of the router included; no bad input causes a 500.

use meetbot_orchestrator::store::Scope;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{MEETING, Server, answered, new_job};

/// Checks the documented form of an error.
#[track_caller]
pub(crate) fn is_error(answer: &(StatusCode, Value), status: u16, code: &str) {
    let (found, body) = answer;
    assert_eq!((found.as_u16(), body["error"].as_str()), (status, Some(code)), "{body}");
    assert!(body["message"].as_str().is_some_and(|message| message.len() > 5), "{body}");
    assert!(body["requestId"].as_str().is_some_and(|id| id.starts_with("req_")), "{body}");
    assert_eq!(body["issues"].is_array(), code == "invalid_input", "{body}");
}

#[tokio::test]
async fn errors_of_the_router_have_the_documented_form() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let post = |path: &str| server.request(Method::POST, path);
    let job = "/api/v1/jobs/job_01KAB1CDEFGHJKMNPQRSTVWXYZ";
    for path in [
        "/api/v2/jobs",
        "/api/v1/api/v1/jobs",
        &format!("/api/v1{job}"),
        "/api/v1/jobs/",
        &format!("{job}/"),
        &format!("{job}/recordings"),
        "/api/v1/%FF",
    ] {
        let answer = answered(server.request(Method::GET, path)).await;
        is_error(&answer, 404, "no_such_path");
        assert!(answer.1["message"].as_str().unwrap().ends_with(path), "{answer:?}");
    }
    is_error(
        &answered(server.request(Method::PATCH, "/api/v1/jobs")).await,
        405,
        "method_not_allowed",
    );
    is_error(&answered(post("/api/v1/jobs").body("{}")).await, 415, "unsupported_media_type");
    let text = post("/api/v1/jobs").header("content-type", "text/plain").body("{}");
    is_error(&answered(text).await, 415, "unsupported_media_type");
    let huge = json!({"meetingUrl": MEETING, "metadata": {"text": "x".repeat(1 << 20)}});
    is_error(&answered(post("/api/v1/jobs").json(&huge)).await, 413, "payload_too_large");
    // The last path is not UTF-8.
    for id in ["nonsense", "job_01KAB1CDEFGHJKMNPQRSTVWXYZ", "%F0%9F%92%A9", "%FF"] {
        for path in ["", "/manifest", "/events", "/artifacts/chat.jsonl"] {
            let path = format!("/api/v1/jobs/{id}{path}");
            is_error(&answered(server.request(Method::GET, &path)).await, 404, "not_found");
        }
        let path = format!("/api/v1/webhooks/deliveries/{id}");
        is_error(&answered(server.request(Method::GET, &path)).await, 404, "not_found");
        for (method, path) in [
            (Method::DELETE, ""),
            (Method::DELETE, "/recording"),
            (Method::POST, "/pause-recording"),
        ] {
            let path = format!("/api/v1/jobs/{id}{path}");
            is_error(&answered(server.request(method, &path)).await, 404, "not_found");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn all_issues_of_a_body_are_reported_together() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let create = |body: Value| answered(server.request(Method::POST, "/api/v1/jobs").json(&body));
    let all_wrong = json!({
        "meetingUrl": "not-a-url", "externalId": "", "displayName": "x".repeat(101), "joinAt": "2026-05-15T14:00:00",
        "metadata": [1], "autoLeave": {"afterSoloSeconds": -1, "afterMaxSeconds": 0, "onBotDetected": "yes"},
        "webhooks": {"onFinalize": "ftp://x", "onStatusChange": 7}, "platform": "holodeck", "unknown": true,
    });
    let answer = create(all_wrong).await;
    is_error(&answer, 400, "invalid_input");
    let mut paths: Vec<String> = answer.1["issues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| {
            assert!(
                issue["message"].as_str().unwrap().len() > 5 && issue["code"].is_string(),
                "{issue}"
            );
            let parts: Vec<&str> = issue["path"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| part.as_str().unwrap())
                .collect();
            parts.join(".")
        })
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "autoLeave.afterMaxSeconds",
            "autoLeave.afterSoloSeconds",
            "autoLeave.onBotDetected",
            "displayName",
            "externalId",
            "joinAt",
            "meetingUrl",
            "metadata",
            "platform",
            "webhooks.onFinalize",
            "webhooks.onStatusChange",
        ]
    );
    let with = |name: &str, value: Value| create(json!({"meetingUrl": MEETING, name: value}));
    for (name, value) in [
        ("metadata", json!({"text": "x".repeat(17 << 10)})),
        ("joinAt", json!("2099-01-01T00:00:00Z")),
        ("meetingUrl", json!(format!("{MEETING}?x={}", "x".repeat(2048)))),
        ("meetingUrl", json!("https://example.com/room")),
        ("meetingUrl", json!("https://user:pass@zoom.us/j/91234567890")),
        ("webhooks", json!({"onFinalize": "http://169.254.169.254/"})),
        ("webhooks", json!({"onFinalize": "http://user:pass@example.com/"})),
        ("autoLeave", json!({"afterMaxSeconds": 86_401})),
        ("externalId", json!("x".repeat(256))),
        ("meetingUrl", Value::Null),
    ] {
        let answer = with(name, value.clone()).await;
        is_error(&answer, 400, "invalid_input");
        assert_eq!(answer.1["issues"][0]["path"][0], name, "{value}: {}", answer.1);
    }
    for body in ["", "{", "[]", "null", "7", "{\"meetingUrl\":}", "\u{0}"] {
        let request = server
            .request(Method::POST, "/api/v1/jobs")
            .header("content-type", "application/json")
            .body(body);
        is_error(&answered(request).await, 400, "invalid_input");
    }
    assert!(
        server.client().list_bots(&meetbot::ListBots::default()).await.unwrap().data.is_empty()
    );
    server.stop().await;
}

#[tokio::test]
async fn unavailable_and_unknown_platforms_have_different_codes() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let live = server.key("acme", true, Scope::Write).await;
    let create = async |url: &str, key: &str| {
        let mut built = server
            .request(Method::POST, "/api/v1/jobs")
            .json(&json!({"meetingUrl": url}))
            .build()
            .unwrap();
        built.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        server.http.execute(built).await.unwrap().json::<Value>().await.unwrap()
    };
    let known = create("https://meet.google.com/abc-defg-hij", &live).await;
    assert_eq!(known["issues"][0]["code"], "platform_not_available", "{known}");
    assert!(known["issues"][0]["message"].as_str().unwrap().contains("sandbox"), "{known}");
    let unknown = create("https://example.com/room", &live).await;
    assert_eq!(unknown["issues"][0]["code"], "unknown_platform", "{unknown}");
    assert!(unknown["issues"][0]["message"].as_str().unwrap().contains("google-meet"), "{unknown}");
    // With a test key the sandbox plays the same meeting, and the platform stays that of the URL.
    let played = create("https://meet.google.com/abc-defg-hij", &server.key).await;
    assert_eq!(
        (&played["platform"], &played["status"]),
        (&json!("google-meet"), &json!("queued")),
        "{played}"
    );
    assert_eq!(server.bot().await.order.sandbox.unwrap().scenario, "two-speakers?seconds=20");
    server.stop().await;
}

#[tokio::test]
async fn public_paths_need_no_key() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        let mut built = server.request(Method::GET, path).build().unwrap();
        built.headers_mut().remove("authorization");
        built.headers_mut().insert("x-request-id", "trace-7".parse().unwrap());
        let response = server.http.execute(built).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["x-request-id"], "trace-7", "a sane id is taken over");
        assert!(response.json::<Value>().await.unwrap().is_object());
    }
    let odd = server
        .request(Method::GET, "/healthz")
        .header("x-request-id", "<script>")
        .send()
        .await
        .unwrap();
    assert!(odd.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    server.stop().await;
}

#[tokio::test]
async fn query_parameters_and_headers_are_parsed_strictly() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let job = server.client().dispatch_bot(new_job()).await.unwrap();
    let events = format!("/api/v1/jobs/{}/events", job.id);
    for query in [
        "/api/v1/jobs?cursor=",
        "/api/v1/jobs?externalId=",
        "/api/v1/jobs?createdBefore=",
        "/api/v1/jobs?limit=%2B5",
        "/api/v1/jobs?limit=5e0",
        "/api/v1/webhooks/deliveries?jobId=",
        // Larger than the store's integers.
        &format!("{events}?cursor=18446744073709551615"),
        &format!("{events}?cursor=-1"),
    ] {
        let answer = answered(server.request(Method::GET, query)).await;
        is_error(&answer, 400, "invalid_input");
    }
    for id in ["", "null", "18446744073709551615", "1 2"] {
        let asked = server.request(Method::GET, &events).header("last-event-id", id);
        is_error(&answered(asked).await, 400, "invalid_input");
    }
    for key in ["", "a\tb", &"x".repeat(256)] {
        let asked =
            server.request(Method::POST, "/api/v1/jobs").json(&json!({"meetingUrl": MEETING}));
        is_error(&answered(asked.header("idempotency-key", key)).await, 400, "invalid_input");
    }
    server.stop().await;
}
