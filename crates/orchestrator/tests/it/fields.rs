//! Fields of a request with a wrong or unknown name: refused with the right name, or ignored and listed.

use meetbot::ListBots;
use meetbot_orchestrator::store::Scope;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    server::{MEETING, Server, answered, new_job},
};

/// The issues of a response, each as its path and code.
#[track_caller]
fn issues(answer: &(StatusCode, Value)) -> Vec<String> {
    is_error(answer, 400, "invalid_input");
    let issues = answer.1["issues"].as_array().unwrap().iter();
    issues
        .map(|issue| {
            let path: Vec<&str> = issue["path"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap())
                .collect();
            format!("{} {}", path.join("."), issue["code"].as_str().unwrap())
        })
        .collect()
}

/// The status of a response, whether it is replayed, and its header of ignored names.
async fn passed_over(request: RequestBuilder) -> (u16, bool, Option<String>) {
    let response = request.send().await.unwrap();
    let header =
        |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let replayed = header("idempotent-replayed").is_some();
    (response.status().as_u16(), replayed, header("x-meetbot-ignored"))
}

#[tokio::test]
async fn a_misspelt_field_is_refused_with_its_right_name() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let body = json!({
        "meetingUrl": MEETING, "join_at": "2027-01-01T00:00:00Z", "bot_name": "Acme", "auto_leave": {"after_solo_seconds": 9},
        "autoLeave": {"afterSolo": 9, "afterSilenceSeconds": 0}, "webhook": "https://example.com/hook", "externalId": 5, "colour": "red",
    });
    let answer = answered(server.request(Method::POST, "/api/v1/jobs").json(&body)).await;
    let mut found = issues(&answer);
    found.sort();
    assert_eq!(
        found,
        [
            "autoLeave.afterSilenceSeconds out_of_range",
            "autoLeave.afterSolo unknown_field",
            "auto_leave unknown_field",
            "bot_name unknown_field",
            "externalId invalid_type",
            "join_at unknown_field",
            "webhook unknown_field",
        ]
    );
    let message = answer.1["message"].as_str().unwrap();
    for right in ["joinAt?", "displayName?", "autoLeave?", "afterSoloSeconds?", "webhooks?"] {
        assert!(message.contains(&format!("did you mean {right}")), "{message}");
    }
    let jobs = server.client().list_bots(&ListBots::default()).await.unwrap();
    assert!(jobs.data.is_empty() && server.has_launched_none().await);
    server.stop().await;
}

#[tokio::test]
async fn a_field_in_the_wrong_place_is_refused_with_the_right_place() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let refused = async |path: &str, body: Value, place: &str, hint: &str| {
        let answer = answered(server.request(Method::POST, path).json(&body)).await;
        assert_eq!(issues(&answer), [format!("{place} unknown_field")], "{path} {body}");
        let message = answer.1["message"].as_str().unwrap();
        assert!(message.ends_with(&format!("{place}: is not known here; {hint}")), "{message}");
    };
    let far = "2027-01-01T00:00:00Z";
    for (name, value, place, hint) in [
        (
            "autoLeave",
            json!({"joinAt": far}),
            "autoLeave.joinAt",
            "joinAt belongs at the top level",
        ),
        (
            "webhooks",
            json!({"join_at": far}),
            "webhooks.join_at",
            "joinAt belongs at the top level",
        ),
        (
            "webhooks",
            json!({"afterSoloSeconds": 9}),
            "webhooks.afterSoloSeconds",
            "afterSoloSeconds belongs in autoLeave",
        ),
        (
            "autoLeave",
            json!({"onFinalize": "https://example.com"}),
            "autoLeave.onFinalize",
            "onFinalize belongs in webhooks",
        ),
        (
            "onFinalise",
            json!("https://example.com"),
            "onFinalise",
            "onFinalize belongs in webhooks",
        ),
        ("after_solo_secs", json!(9), "after_solo_secs", "afterSoloSeconds belongs in autoLeave"),
        (
            "silence_timeout",
            json!(9),
            "silence_timeout",
            "afterSilenceSeconds belongs in autoLeave",
        ),
        (
            "autoLeave.afterSoloSeconds",
            json!(9),
            "autoLeave.afterSoloSeconds",
            "afterSoloSeconds belongs in autoLeave",
        ),
        (
            "idempotency_key",
            json!("a"),
            "idempotency_key",
            "did you mean the header Idempotency-Key?",
        ),
    ] {
        refused("/api/v1/jobs", json!({"meetingUrl": MEETING, name: value}), place, hint).await;
    }
    let body = || json!({"meetingUrl": MEETING});
    for (query, place, hint) in [
        ("joinAt=2027-01-01T00:00:00Z", "joinAt", "joinAt belongs in the body"),
        ("join_at=2027-01-01T00:00:00Z", "join_at", "joinAt belongs in the body"),
        ("bot_name=Acme", "bot_name", "displayName belongs in the body"),
        (
            "autoLeave[afterSoloSeconds]=9",
            "autoLeave[afterSoloSeconds]",
            "afterSoloSeconds belongs in the body, in autoLeave",
        ),
        ("Idempotency-Key=a", "Idempotency-Key", "did you mean the header Idempotency-Key?"),
    ] {
        refused(&format!("/api/v1/jobs?{query}"), body(), place, hint).await;
    }
    // Reported together with the issues of the body.
    let both =
        server.request(Method::POST, "/api/v1/jobs?joinAt=x").json(&json!({"meetingUrl": 5}));
    assert_eq!(issues(&answered(both).await), ["joinAt unknown_field", "meetingUrl invalid_type"]);
    let jobs = server.client().list_bots(&ListBots::default()).await.unwrap();
    assert!(jobs.data.is_empty() && server.has_launched_none().await);

    let id = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let chat = format!("/api/v1/jobs/{id}/send-chat-message?message=hi");
    let answer =
        answered(server.request(Method::POST, &chat).json(&json!({"message": "hi"}))).await;
    assert_eq!(issues(&answer), ["message unknown_field"]);
    // Calls without query parameters and fields.
    let leave = format!("/api/v1/jobs/{id}/leave-call");
    refused(
        &leave,
        json!({"idempotencyKey": "a"}),
        "idempotencyKey",
        "did you mean the header Idempotency-Key?",
    )
    .await;
    let redeliver = "/api/v1/webhooks/deliveries/dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ/redeliver";
    for path in [leave.as_str(), redeliver] {
        let path = format!("{path}?idempotency_key=a");
        refused(&path, json!({}), "idempotency_key", "did you mean the header Idempotency-Key?")
            .await;
    }
    let stream = format!("/api/v1/jobs/{id}/events?last_event_id=5");
    let stream = server.request(Method::GET, &stream).header("accept", "text/event-stream");
    assert_eq!(issues(&answered(stream).await), ["last_event_id unknown_field"]);
    server.stop().await;
}

#[tokio::test]
async fn ignored_fields_with_invisible_names_are_listed_too() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let body = json!({"meetingUrl": MEETING, "": 1, " ": 1, "\t": 1, "autoLeave": {"": 1}, "webhooks": {"\u{200b}": 1}});
    let (status, _, named) =
        passed_over(server.request(Method::POST, "/api/v1/jobs?=1").json(&body)).await;
    let mut named: Vec<String> = named.unwrap().split(',').map(str::to_owned).collect();
    named.sort();
    assert_eq!(status, 201);
    assert_eq!(named, ["\"\"", "%09", "%20", "autoLeave.\"\"", "webhooks.%E2%80%8B"]);
    server.stop().await;
}

#[tokio::test]
async fn ignored_fields_are_listed_on_replayed_responses_too() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let create = |key: &str, query: &str, body: &str| {
        let path = format!("/api/v1/jobs{query}");
        let request = server.request(Method::POST, &path).header("idempotency-key", key);
        passed_over(request.header("content-type", "application/json").body(body.to_owned()))
    };
    // As text, because ignored names are listed in their order.
    let named = format!(
        r#"{{"meetingUrl":"{MEETING}","externalId":"lesson","colour, é":1,"autoLeave":{{"afterLunch":1}},
            "metadata":{{"join_at":1,"anything":{{"display_name":2}}}}}}"#
    );
    let header = Some("colour%2C%20%C3%A9,autoLeave.afterLunch".to_owned());
    assert_eq!(create("a", "", &named).await, (201, false, header.clone()));
    assert_eq!(create("a", "", &named).await, (201, true, header.clone()));
    // The job exists already, under another key.
    assert_eq!(create("b", "", &named).await, (200, false, header.clone()));
    assert_eq!(create("b", "", &named).await, (200, true, header.clone()));
    let both = Some("colour%2C%20%C3%A9,autoLeave.afterLunch,utm_source".to_owned());
    assert_eq!(create("a", "?utm_source=x", &named).await, (201, true, both));
    assert_eq!(
        create("c", "", &json!({"meetingUrl": MEETING}).to_string()).await,
        (201, false, None)
    );
    let many: serde_json::Map<_, _> =
        (0..50).map(|number| (format!("{number}{}", "x".repeat(60)), Value::Null)).collect();
    let mut many = Value::Object(many);
    many["meetingUrl"] = MEETING.into();
    let (status, _, header) = create("d", "", &many.to_string()).await;
    let header = header.unwrap();
    assert!(status == 201 && header.len() <= 1024 && header.split(',').count() <= 20, "{header}");
    server.stop().await;
}

#[tokio::test]
async fn commands_list_ignored_fields_and_refuse_a_message_in_another_field() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let id = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let post = |verb: &str| server.request(Method::POST, &format!("/api/v1/jobs/{id}/{verb}"));
    let found =
        answered(post("send-chat-message").json(&json!({"text": "hi", "to": "host"}))).await;
    assert_eq!(issues(&found), ["text unknown_field", "message required"]);
    // The bot of this test does not answer: 202, and the same when it is repeated.
    let leave =
        || post("leave-call").header("idempotency-key", "leave").json(&json!({"reason": "lunch"}));
    let named = Some("reason".to_owned());
    assert_eq!(passed_over(leave()).await, (202, false, named.clone()));
    assert_eq!(passed_over(leave()).await, (202, true, named));
    assert_eq!(passed_over(post("leave-call").body("no JSON")).await.2, None);
    server.stop().await;
}

/// Tries every documented call with every query parameter.
#[tokio::test]
async fn a_misspelt_query_parameter_is_refused_and_others_are_ignored() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let admin = server.key("acme", false, Scope::Admin).await;
    let operator = server.key("ops", true, Scope::Operator).await;
    let id = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let consumer = server.store().keys().await.unwrap()[0].tenant.consumer.to_string();
    let (_, document) = answered(server.request(Method::GET, "/openapi.json")).await;
    assert_eq!(document["servers"], json!([{"url": "/"}]));
    let mut tried = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            for parameter in parameters.filter(|one| one["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let other = format!("{}_{}", name[..1].to_uppercase(), &name[1..]);
                let is_operators = operation["security"][0]["apiKey"][0] == "operator";
                let (key, id) = if is_operators { (&operator, &consumer) } else { (&admin, &id) };
                let at = format!("{}?{other}=x&limit=0", path.replace("{id}", id));
                let stream = ["application/json", "text/event-stream"];
                for accept in stream {
                    let request = server.request_as(key, method.clone(), &at);
                    let found = issues(&answered(request.header("accept", accept)).await);
                    assert!(found.contains(&format!("{other} unknown_field")), "{at}: {found:?}");
                }
                tried.push(name.to_owned());
            }
        }
    }
    for name in ["externalId", "createdAfter", "jobId", "state", "confirm", "limit", "cursor"] {
        assert!(tried.iter().any(|tried| tried == name), "{name} is not in {tried:?}");
    }
    // All issues are reported together.
    let path = "/api/v1/jobs?external_id=a&stauts=queued&limit=0&page=2&status[]=failed";
    let answer = answered(server.request(Method::GET, path)).await;
    let mut wanted = ["external_id", "stauts", "page", "status[]"]
        .map(|name| format!("{name} unknown_field"))
        .to_vec();
    wanted.push("limit invalid_parameter".to_owned());
    assert_eq!(issues(&answer), wanted);
    for right in ["externalId?", "status?", "cursor?"] {
        assert!(answer.1["message"].as_str().unwrap().contains(&format!("did you mean {right}")));
    }
    let path = "/api/v1/jobs?externalId=a&externalId=b&platform=zoom-web&platform=teams&status=failed&status=queued&limit=1&limit=1";
    let found = issues(&answered(server.request(Method::GET, path)).await);
    assert_eq!(
        found,
        ["externalId", "platform", "limit"].map(|name| format!("{name} duplicate_field"))
    );
    for (path, named) in [
        ("/api/v1/jobs?colour=2&limit=1&colour=3&a.b=&=&%20=1", "colour,a%2Eb,\"\",%20".to_owned()),
        ("/api/v1/usage?month=2026-01", "month".to_owned()),
        (&*format!("/api/v1/jobs/{id}?expand=manifest"), "expand".to_owned()),
    ] {
        let get = passed_over(server.request(Method::GET, path)).await;
        assert_eq!(get, (200, false, Some(named.clone())), "{path}");
        assert_eq!(
            passed_over(server.request(Method::HEAD, path)).await,
            (200, false, Some(named))
        );
    }
    // A request without a valid key is refused before its fields are looked at.
    let stranger = server.http.get(format!("{}/api/v1/jobs?external_id=a", server.url()));
    is_error(&answered(stranger).await, 401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_plain_utf_8_is_refused_with_its_encoding() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let whole = json!({"meetingUrl": MEETING}).to_string();
    let post = |path: &str, body: Vec<u8>| {
        server.request(Method::POST, path).header("content-type", "application/json").body(body)
    };
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], whole.as_bytes()].concat();
    let latin = b"{\"meetingUrl\":\"\xe9\"}".to_vec();
    let chat = "/api/v1/jobs/job_01KAB1CDEFGHJKMNPQRSTVWXYZ/send-chat-message";
    for path in ["/api/v1/jobs", chat] {
        for (body, word) in [
            (format!("\u{feff}{whole}").into_bytes(), "byte order mark"),
            (utf16.clone(), "UTF-16"),
            ([b"\xff\xfe", &*utf16].concat(), "UTF-16"),
            (gzip.clone(), "gzip"),
            (latin.clone(), "not UTF-8, from byte 15"),
        ] {
            let answer = answered(post(path, body)).await;
            assert_eq!(issues(&answer), [" invalid_json"]);
            assert!(answer.1["message"].as_str().unwrap().contains(word), "{word}: {answer:?}");
        }
        for coding in ["gzip", "br", "identity, gzip"] {
            let sent = post(path, gzip.clone()).header("content-encoding", coding);
            let answer = answered(sent).await;
            is_error(&answer, 415, "unsupported_media_type");
            assert!(answer.1["message"].as_str().unwrap().contains(coding), "{answer:?}");
        }
    }
    let plain = post("/api/v1/jobs", whole.into_bytes()).header("content-encoding", "identity");
    assert_eq!(answered(plain).await.0, 201);
    server.stop().await;
}

#[tokio::test]
async fn a_name_must_be_visible_and_a_time_must_not_be_too_far() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let with = async |name: &str, value: &str| {
        let body = json!({"meetingUrl": MEETING, name: value});
        answered(server.request(Method::POST, "/api/v1/jobs").json(&body)).await
    };
    for blank in ["\u{200b}", "\u{3164}", " \u{2800}\u{202e}", "\u{e0041}\u{fe0f}", "\u{feff}"] {
        assert_eq!(
            issues(&with("displayName", blank).await),
            ["displayName too_short"],
            "{blank:?}"
        );
    }
    assert_eq!(with("displayName", "\u{200b}❤\u{fe0f}").await.0, 201);
    for far in [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-23:59",
        "10000-01-01T00:00:00Z",
        "+275760-09-13T00:00:00.000Z",
    ] {
        assert_eq!(issues(&with("joinAt", far).await), ["joinAt too_far"], "{far}");
    }
    for wrong in ["9999-12-31T23:59:61Z", "9999-12-32T00:00:00Z", "1e9", "-000001-01-01T00:00:00Z"]
    {
        assert_eq!(issues(&with("joinAt", wrong).await), ["joinAt invalid_time"], "{wrong}");
    }
    let list = "/api/v1/jobs?createdBefore=9999-12-31T23:59:59Z";
    assert_eq!(answered(server.request(Method::GET, list)).await.0, 200);
    server.stop().await;
}
