//! Available platforms: the list of the API agrees with the jobs that are accepted.

use std::time::Duration;

use meetbot_orchestrator::{
    keys::KeySpec,
    store::{Creation, Scope, Start},
};
use meetbot_types::{FailureCode, JobId, MeetingLink, Platform};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::Server;

async fn ways(server: &Server, key: &str) -> Vec<Value> {
    let answer = server.request_as(key, Method::GET, "/api/v1/platforms").send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["nextCursor"], Value::Null);
    answer["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_platform_is_listed_as_available_exactly_when_its_jobs_are_accepted() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let live = server.key("acme", true, Scope::Write).await;
    let links = [
        ("google-meet", "https://meet.google.com/abc-defg-hij"),
        ("teams", "https://teams.microsoft.com/meet/2512345678901?p=AbCdEf"),
        ("zoom-web", "https://zoom.us/j/81234567890?pwd=abc"),
        ("jitsi", "https://meet.jit.si/PlanningMeeting"),
        ("janus", "janus+wss://janus.example.com/?room=1234"),
        ("sandbox", "https://sandbox.meetbot.dev/ends"),
    ];
    for (key, is_live) in [(&live, true), (&server.key, false)] {
        let all = ways(&server, key).await;
        for platform in Platform::ALL {
            assert!(all.iter().any(|way| way["platform"] == platform.as_str()), "{platform}");
        }
        for (platform, link) in links {
            let mut of_it = all.iter().filter(|way| way["platform"] == platform);
            let joinable = of_it.any(|way| way["joinable"] == true);
            let job = json!({"meetingUrl": link});
            let request = server.request_as(key, Method::POST, "/api/v1/jobs").json(&job);
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let body: Value = answer.json().await.unwrap();
            assert_eq!(status == 201, joinable, "{platform}: {body}");
            if joinable {
                continue;
            }
            assert_eq!(body["issues"][0]["code"], "platform_not_available", "{body}");
            let message = body["issues"][0]["message"].as_str().unwrap();
            for way in all.iter().filter(|way| way["platform"] == platform) {
                for missing in way["missing"].as_array().unwrap() {
                    assert!(
                        message.contains(missing["message"].as_str().unwrap()),
                        "{message}: {way}"
                    );
                }
            }
        }
        let sandbox = |way: &Value| way["via"] == "sandbox" && way["joinable"] == true;
        assert_eq!(all.iter().all(sandbox), !is_live, "the sandbox plays a test key's meetings");
    }
    server.stop().await;
}

/// A due job whose platform was available when it was created.
async fn waiting_job(server: &Server, url: &str, platform: &str) -> JobId {
    let spec = KeySpec { consumer: "acme", live: true, scope: Scope::Write, expires_at: None };
    let tenant = server.fresh_key(spec).await.key.tenant;
    let store = server.store();
    let now = store.now();
    let id = JobId::generate(now.wall);
    let job = json!({
        "id": id, "externalId": null, "meetingUrl": url, "platform": platform, "displayName": "meetbot",
        "status": "queued", "statusDetail": null, "joinAt": null, "metadata": {}, "attempt": 0, "leaveReason": null,
        "recording": {"state": "off", "permission": "not_required", "startedAt": null, "pausedMs": 0, "bytes": null, "deletedAt": null},
        "webhooks": {"onStatusChange": null, "onFinalize": null}, "autoLeave": meetbot_types::AutoLeave::default(),
        "failureCode": null, "failureDetail": null, "manifestUri": null, "createdAt": now.wall, "updatedAt": now.wall,
        "joinedAt": null, "endedAt": null,
    });
    let job = serde_json::from_value(job).unwrap();
    let link = MeetingLink::parse(url, None).unwrap();
    let start = Start { from: now.wall, by: now.wall + Duration::from_hours(1) };
    let created = store.create_job(tenant, job, link, start, None, now).await.unwrap();
    assert!(matches!(created, Creation::Created(_)), "{created:?}");
    id
}

#[tokio::test]
async fn a_job_whose_platform_became_unavailable_fails_with_what_is_missing() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    // The bots are kept, otherwise the jobs would get others.
    let mut bots = Vec::new();
    for (url, platform, missing) in [
        ("https://meet.google.com/abc-defg-hij", "google-meet", "no bot for google-meet"),
        ("https://zoom.us/j/81234567890", "zoom-web", "[zoom.apps.NAME]"),
    ] {
        let id = waiting_job(&server, url, platform).await;
        let bot = server.bot().await;
        assert_eq!(bot.order.job_id, id);
        let failure = bot.order.finalize.clone().unwrap().failure.unwrap();
        bots.push(bot);
        // It does not join, and completes the recording of earlier attempts.
        assert_eq!(failure.code, FailureCode::DispatchTimeout);
        let begins = format!("no bot of this server can join {platform} any more; ");
        assert!(
            failure.detail.starts_with(&begins) && failure.detail.contains(missing),
            "{failure}"
        );
    }
    // Available platforms are still joined.
    waiting_job(&server, "janus+wss://janus.example.com/?room=1234", "janus").await;
    assert_eq!(server.bot().await.order.finalize, None);
    server.stop().await;
}
