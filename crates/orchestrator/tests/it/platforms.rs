//! Which platforms can be joined, as the API says it and as it takes jobs.

use meetbot_orchestrator::store::Scope;
use meetbot_types::Platform;
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
async fn a_platform_is_said_to_be_joinable_exactly_when_a_job_for_it_is_taken() {
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
            let told = body["issues"][0]["message"].as_str().unwrap();
            for way in all.iter().filter(|way| way["platform"] == platform) {
                for missing in way["missing"].as_array().unwrap() {
                    assert!(told.contains(missing["message"].as_str().unwrap()), "{told}: {way}");
                }
            }
        }
        let sandbox = |way: &Value| way["via"] == "sandbox" && way["joinable"] == true;
        assert_eq!(all.iter().all(sandbox), !is_live, "the sandbox plays a test key's meetings");
    }
    server.stop().await;
}
