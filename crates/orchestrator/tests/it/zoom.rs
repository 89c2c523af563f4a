//! Zoom's webhooks: authentication, the jobs and streams that they start, and hostile ones.

use std::fmt::Write as _;

use meetbot_orchestrator::{
    store::Scope,
    zoom::{AppSettings, ZoomSettings},
};
use meetbot_testkit::zoom::Webhook;
use meetbot_types::{
    Cause, Ending, Failure, FailureCode,
    bot::{BotReport, Commands, MediaCounters, Secret, ZoomStreamState},
    signature,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::{Bot, Server, answered, now};

const TOKEN: &str = "the-webhook-secret-token";
const MEETING: &str = "https://zoom.us/j/91234567890?pwd=x";

async fn server(data: &TempDir) -> Server {
    server_with(data, None).await
}

/// A server whose app makes jobs of this template.
async fn server_with(data: &TempDir, template: Option<&Value>) -> Server {
    let template = template.map(|template| template.as_object().unwrap().clone());
    server_set(data, |settings| settings.auto_dispatch = template).await
}

/// A server with an app whose settings are changed.
async fn server_set(data: &TempDir, change: impl FnOnce(&mut AppSettings)) -> Server {
    let file = |name: &str, secret: &str| {
        let path = data.path().with_extension(name);
        std::fs::write(&path, secret).unwrap();
        path
    };
    let mut app = AppSettings {
        client_id: "client".to_owned(),
        client_secret_file: file("client", "the-client-secret-of-zoom"),
        webhook_secret_files: vec![file("old", "an-older-token"), file("new", TOKEN)],
        account_id: None,
        consumer: "acme".to_owned(),
        record_video: true,
        auto_dispatch: None,
    };
    change(&mut app);
    let hosts = vec!["zoom.us".to_owned()];
    let zoom = ZoomSettings { hosts, apps: [("desk".to_owned(), app)].into() };
    Server::start_changed(data, |config| config.zoom = zoom).await
}

fn started(stream: &str, url: &str) -> Value {
    let payload = json!({"meeting_uuid": "u", "rtms_stream_id": stream, "meeting_id": "91234567890", "server_urls": url});
    json!({"event": "meeting.rtms_started", "event_ts": now().as_millis(), "payload": payload})
}

/// Posts a body, signed at this moment with this token.
async fn post_at(server: &Server, body: String, token: &str, seconds: i64) -> (StatusCode, String) {
    let Webhook { body, timestamp, signature } = Webhook::signed(body, seconds, token);
    let request = server
        .http
        .post(format!("{}/api/v1/hooks/zoom", server.url()))
        .header("x-zm-request-timestamp", timestamp)
        .header("x-zm-signature", signature)
        .body(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn post(server: &Server, body: &Value) -> StatusCode {
    post_at(server, body.to_string(), TOKEN, now().as_millis() / 1000).await.0
}

/// A bot of a job that is created with this key.
async fn bot(server: &Server, key: &str) -> Bot {
    let job = json!({"meetingUrl": MEETING});
    let created = server.request_as(key, reqwest::Method::POST, "/api/v1/jobs").json(&job);
    assert_eq!(created.send().await.unwrap().status(), StatusCode::CREATED);
    server.bot().await
}

#[tokio::test]
async fn a_bot_in_the_lobby_receives_the_stream_of_its_meeting() {
    let data = TempDir::new().unwrap();
    let server = server(&data).await;
    let key = server.key("acme", true, Scope::Write).await;
    let bot = bot(&server, &key).await;
    let app = bot.order.zoom.clone().unwrap();
    assert_eq!(
        (app.client_id.as_str(), app.client_secret.expose()),
        ("client", "the-client-secret-of-zoom")
    );
    let asks = bot.asks::<Commands>("after=0&wait=30&knownStream=0");
    let webhook = started("s1", "wss://a.zoom.us/");
    let hears = post(&server, &webhook);
    let (answer, status) = tokio::join!(asks, hears);
    assert_eq!(status, StatusCode::OK);
    let stream = answer.zoom_stream.unwrap();
    assert_eq!(
        (stream.version, stream.stream_id.as_str(), stream.state),
        (1, "s1", ZoomStreamState::Started)
    );
    // The next bot after a kill gets the stream again; one that has it gets nothing new.
    let again: Commands = bot.asks("after=0&wait=0&knownStream=0").await;
    assert_eq!(again.zoom_stream, Some(stream));
    let known: Commands = bot.asks("after=0&wait=0&knownStream=1").await;
    assert_eq!(known.zoom_stream, None);
    server.stop().await;
}

#[tokio::test]
async fn record_video_of_the_job_overrides_the_apps_setting() {
    for (app, record_video, asked) in [
        (true, None, true),
        (false, None, false),
        (true, Some(false), false),
        (false, Some(true), true),
    ] {
        let data = TempDir::new().unwrap();
        let server = server_set(&data, |settings| settings.record_video = app).await;
        let key = server.key("acme", true, Scope::Write).await;
        let job = json!({"meetingUrl": MEETING, "recordVideo": record_video});
        let created = server.request_as(&key, reqwest::Method::POST, "/api/v1/jobs").json(&job);
        let (status, job) = answered(created).await;
        assert_eq!((status, &job["recordVideo"]), (StatusCode::CREATED, &json!(record_video)));
        let order = server.bot().await.order.clone();
        assert_eq!(
            (order.zoom.unwrap().video, order.record_video),
            (asked, record_video),
            "{app} {record_video:?}"
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn the_timeline_has_how_a_bot_was_admitted() {
    let data = TempDir::new().unwrap();
    let server = server(&data).await;
    // A bot that is dropped is replaced.
    let mut bots = Vec::new();
    for (live, via) in [(true, "rtms"), (false, "sandbox")] {
        let key = server.key("acme", live, Scope::Write).await;
        let mut bot = bot(&server, &key).await;
        assert_eq!(bot.report(BotReport::Admitted).await, StatusCode::OK);
        let path = format!("/api/v1/jobs/{}/events", bot.order.job_id);
        let (_, events) = answered(server.request_as(&key, reqwest::Method::GET, &path)).await;
        let said = |event: &Value| (event["data"]["status"].clone(), event["data"]["via"].clone());
        let events = events["data"].as_array().unwrap_or_else(|| panic!("{live}: {events}"));
        let said: Vec<_> = events.iter().map(said).collect();
        assert_eq!(said, [(json!("joining"), Value::Null), (json!("in_call"), json!(via))]);
        bots.push(bot);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_job_of_a_consumer_without_an_app_is_refused_with_what_is_missing() {
    let data = TempDir::new().unwrap();
    let server = server(&data).await;
    let key = server.key("other", true, Scope::Write).await;
    let job = json!({"meetingUrl": MEETING});
    let refused = server.request_as(&key, reqwest::Method::POST, "/api/v1/jobs").json(&job);
    let refused: Value = refused.send().await.unwrap().json().await.unwrap();
    let text = refused.to_string();
    assert!(text.contains("platform_not_available") && text.contains("[zoom.apps.NAME]"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn validation_is_answered_with_the_hmac_of_its_token() {
    let data = TempDir::new().unwrap();
    let server = server(&data).await;
    let body = json!({"event": "endpoint.url_validation", "event_ts": 1, "payload": {"plainToken": "abc"}});
    for token in [TOKEN, "an-older-token"] {
        let (status, answer) =
            post_at(&server, body.to_string(), token, now().as_millis() / 1000).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let expected = signature::hmac_sha256(token.as_bytes(), b"abc");
        assert_eq!(
            (status, answer),
            (StatusCode::OK, json!({"plainToken": "abc", "encryptedToken": expected}))
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn hostile_webhooks_start_nothing() {
    let data = TempDir::new().unwrap();
    let server = server(&data).await;
    let key = server.key("acme", true, Scope::Write).await;
    let bot = bot(&server, &key).await;
    let (good, second) = (started("s1", "wss://a.zoom.us/").to_string(), now().as_millis() / 1000);
    let mut deep = String::from("{\"event\":\"meeting.rtms_started\",\"payload\":");
    let _ = write!(deep, "{}", "[".repeat(30_000));
    for (body, token, at, expected) in [
        (good.clone(), "a wrong token", second, StatusCode::UNAUTHORIZED),
        (good.clone(), TOKEN, second - 301, StatusCode::UNAUTHORIZED),
        (good.clone(), TOKEN, second + 400, StatusCode::UNAUTHORIZED),
        (started("s2", "ws://a.zoom.us/").to_string(), TOKEN, second, StatusCode::BAD_REQUEST),
        (started("s3", "wss://127.0.0.1/").to_string(), TOKEN, second, StatusCode::BAD_REQUEST),
        (
            started("s4", "wss://zoom.us.evil.example/").to_string(),
            TOKEN,
            second,
            StatusCode::BAD_REQUEST,
        ),
        ("no json".to_owned(), TOKEN, second, StatusCode::BAD_REQUEST),
        (String::new(), TOKEN, second, StatusCode::BAD_REQUEST),
        (deep, TOKEN, second, StatusCode::BAD_REQUEST),
        ("x".repeat(64 * 1024 + 1), TOKEN, second, StatusCode::PAYLOAD_TOO_LARGE),
        (
            json!({"event": "meeting.started", "payload": {}}).to_string(),
            TOKEN,
            second,
            StatusCode::OK,
        ),
    ] {
        let (status, answer) = post_at(&server, body.clone(), token, at).await;
        assert_eq!(status, expected, "{body:.80} {answer}");
        assert!(!answer.contains(TOKEN), "{answer}");
    }
    let unsigned = server.http.post(format!("{}/api/v1/hooks/zoom", server.url())).body(good);
    assert_eq!(unsigned.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let answer: Commands = bot.asks("after=0&wait=0&knownStream=0").await;
    assert_eq!(answer.zoom_stream, None);
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_webhooks_in_a_minute_are_answered_and_start_nothing() {
    let data = TempDir::new().unwrap();
    let server = server(&data).await;
    let key = server.key("acme", true, Scope::Write).await;
    let mut bot = bot(&server, &key).await;
    let url = format!("{}/api/v1/hooks/zoom", server.url());
    let body = started("s1", "wss://a.zoom.us/").to_string();
    let second = now().as_millis() / 1000;
    let send = async |number: u64| {
        let request = server.http.post(&url).body(body.clone());
        let request = match number % 4 {
            // An API key of the consumer is not a valid signature.
            0 => request.bearer_auth(&key),
            1 => request.header("x-zm-request-timestamp", second),
            _ => request.header("x-zm-signature", "v0=00").header("x-zm-request-timestamp", second),
        };
        request.send().await.unwrap().status()
    };
    let (mut unsigned, mut refused) = (0, 0);
    for first in (0..10_000).step_by(50) {
        // On a busy machine they take longer than the bot's lease.
        if first % 1_000 == 0 {
            let media = MediaCounters::default();
            assert_eq!(bot.report(BotReport::Heartbeat { media }).await, StatusCode::OK);
        }
        for status in futures_util::future::join_all((first..first + 50).map(&send)).await {
            match status {
                StatusCode::UNAUTHORIZED => unsigned += 1,
                StatusCode::TOO_MANY_REQUESTS => refused += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert!(
        unsigned >= 1_200 && refused > 0,
        "an address has 1,200 a minute: {unsigned} {refused}"
    );
    let answer: Commands = bot.asks("after=0&wait=0&knownStream=0").await;
    assert_eq!(answer.zoom_stream, None);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_webhook_changes_nothing() {
    let data = TempDir::new().unwrap();
    let server = server(&data).await;
    let key = server.key("acme", true, Scope::Write).await;
    let bot = bot(&server, &key).await;
    let (webhook, second) =
        (started("s1", "wss://a.zoom.us/").to_string(), now().as_millis() / 1000);
    for _ in 0..20 {
        let (status, _) = post_at(&server, webhook.clone(), TOKEN, second).await;
        assert_eq!(status, StatusCode::OK);
    }
    let answer: Commands = bot.asks("after=0&wait=0&knownStream=0").await;
    assert_eq!(answer.zoom_stream.unwrap().version, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_without_a_job_gets_one_from_the_apps_template() {
    let data = TempDir::new().unwrap();
    let template = json!({"displayName": "Notes", "metadata": {"from": "zoom"}});
    let server = server_with(&data, Some(&template)).await;
    let key = server.key("acme", true, Scope::Write).await;
    let test_key = server.key("acme", false, Scope::Write).await;
    for _ in 0..3 {
        assert_eq!(post(&server, &started("s1", "wss://a.zoom.us/")).await, StatusCode::OK);
    }
    let bot = server.bot().await;
    let answer: Commands = bot.asks("after=0&wait=30&knownStream=0").await;
    assert_eq!(answer.zoom_stream.unwrap().stream_id, "s1");
    // Zoom repeats the event after the job has its stream.
    assert_eq!(post(&server, &started("s1", "wss://b.zoom.us/")).await, StatusCode::OK);
    let jobs = async |key: &str| {
        answered(server.request_as(key, reqwest::Method::GET, "/api/v1/jobs")).await.1["data"]
            .clone()
    };
    let made = jobs(&key).await;
    assert_eq!(made.as_array().unwrap().len(), 1, "{made}");
    let (job, name) = (&made[0], &made[0]["displayName"]);
    assert_eq!((name, &job["externalId"]), (&json!("Notes"), &json!("zoom-stream-s1")));
    assert_eq!(job["metadata"], json!({"from": "zoom"}));
    assert_eq!(job["meetingUrl"], json!("https://zoom.us/j/91234567890"));
    assert_eq!(jobs(&test_key).await, json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_stream_whose_job_waits_gets_no_second_job() {
    let data = TempDir::new().unwrap();
    let server = server_with(&data, Some(&json!({}))).await;
    let key = server.key("acme", true, Scope::Write).await;
    let bot = bot(&server, &key).await;
    for _ in 0..2 {
        assert_eq!(post(&server, &started("s1", "wss://a.zoom.us/")).await, StatusCode::OK);
    }
    let answer: Commands = bot.asks("after=0&wait=30&knownStream=0").await;
    assert_eq!(answer.zoom_stream.unwrap().stream_id, "s1");
    let (_, jobs) = answered(server.request_as(&key, reqwest::Method::GET, "/api/v1/jobs")).await;
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1, "{jobs}");
    server.stop().await;
}

#[tokio::test]
async fn a_withdrawn_consent_removes_the_recording() {
    let data = TempDir::new().unwrap();
    let server = server(&data).await;
    let key = server.key("acme", true, Scope::Write).await;
    let mut bot = bot(&server, &key).await;
    let earlier = bot.order.folder.join("e1");
    std::fs::create_dir_all(&earlier).unwrap();
    std::fs::write(earlier.join("audio.Ann.webm"), "sound").unwrap();
    bot.record().await;
    let end = |ending: Ending| BotReport::Ended {
        ending,
        manifest_uri: None,
        duration_ms: 0,
        paused_ms: 0,
        consent_revoked: true,
    };
    let failure = Failure::new(FailureCode::RecordingDisabled, "the host withdrew the consent");
    let ending = Cause::Failed(failure).ending(true, false);
    // An unauthenticated caller removes nothing.
    let mut stale = bot.stale();
    stale.order.token = Secret::new("another");
    assert_eq!(stale.report(end(ending.clone())).await, StatusCode::UNAUTHORIZED);
    assert!(earlier.exists());
    assert_eq!(bot.report(end(ending)).await, StatusCode::OK);
    assert!(!bot.order.folder.exists());
    let path = format!("/api/v1/jobs/{}", bot.order.job_id);
    let (_, job) = answered(server.request_as(&key, reqwest::Method::GET, &path)).await;
    assert_eq!(
        (&job["status"], &job["failureCode"]),
        (&json!("failed"), &json!("recording_disabled"))
    );
    assert_eq!((&job["manifestUri"], &job["recording"]["bytes"]), (&Value::Null, &json!(0)));
    assert!(job["recording"]["deletedAt"].is_string(), "{job}");
    server.stop().await;
}
