//! `spec/vectors/recorded_answers.json`: answers of the real server, from which every SDK's tests take fields away.

use std::collections::{BTreeMap, BTreeSet};

use meetbot::{JobStatus, ListBots, Metadata, NewJob, Request, Webhooks, blocking::MeetBot};
use meetbot_testkit::scripted::Receiver;
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::spec_file;

use crate::program::{PATIENCE, client, create_key, create_live_key, serve};

const FILE: &str = "spec/vectors/recorded_answers.json";
/// Between them they show all that events carry.
const SCENARIOS: [&str; 4] =
    ["chatty", "asks-permission?seconds=2", "asks-permission?seconds=2&answer=deny", "kicked"];

fn ask(client: &MeetBot, method: &str, path: &str) -> Value {
    let request = Request::new(method, path).unwrap();
    serde_json::from_slice(client.request(request).unwrap().body()).unwrap()
}

/// Answers of each model, as the server gives them.
fn answers() -> BTreeMap<&'static str, Vec<Value>> {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &["--consumer", "acme"]);
    let (admin, _) = create_key(data.path(), &["--consumer", "acme", "--scope", "admin"]);
    let live = client(&url, &create_live_key(data.path()));
    let (client, admin) = (client(&url, &key), client(&url, &admin));
    let mut receiver = Receiver::start([]).unwrap();
    let ids = SCENARIOS.map(|scenario| {
        let new = NewJob {
            meeting_url: format!("https://sandbox.meetbot.dev/{scenario}"),
            external_id: Some(scenario.to_owned()),
            metadata: Some(Metadata::from_json(r#"{"customer": "cust_4711"}"#).unwrap()),
            webhooks: Some(Webhooks {
                on_status_change: Some(receiver.url.clone()),
                on_finalize: Some(receiver.url.clone()),
            }),
            ..NewJob::default()
        };
        client.dispatch_bot(new).unwrap().id
    });
    let mut found: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut keep = |model, answer| found.entry(model).or_default().push(answer);
    let chatty = &ids[0];
    let recording = client
        .watch(chatty)
        .unwrap()
        .find(|event| event.as_ref().unwrap().data.status == Some(JobStatus::Recording));
    assert!(recording.is_some(), "it records");
    for verb in ["pause-recording", "resume-recording"] {
        keep("control_result", ask(&client, "POST", &format!("/api/v1/jobs/{chatty}/{verb}")));
    }
    let jobs = ids.clone().map(|id| client.wait_for_bot(&id, Some(PATIENCE)).unwrap());
    // Each ends once, and each that has recorded something gets a mix.
    let mut expected = jobs.len() + jobs.iter().filter(|job| job.manifest_uri.is_some()).count();
    while expected > 0 {
        let event = receiver.wait().json();
        let name = event["event"].as_str().unwrap();
        let awaited = ["job.finalized", "job.failed", "job.artifact_ready"].contains(&name);
        expected -= usize::from(awaited);
        keep("webhook_event", event);
    }
    for (id, job) in ids.iter().zip(&jobs) {
        keep("job", ask(&client, "GET", &format!("/api/v1/jobs/{id}")));
        let events = ask(&client, "GET", &format!("/api/v1/jobs/{id}/events"));
        for event in events["data"].as_array().unwrap() {
            keep("timeline_event", event.clone());
        }
        if job.manifest_uri.is_some() {
            keep("manifest", ask(&client, "GET", &format!("/api/v1/jobs/{id}/manifest")));
        }
    }
    assert_eq!(client.list_bots(&ListBots::default()).unwrap().data.len(), ids.len());
    let deliveries = ask(&client, "GET", "/api/v1/webhooks/deliveries?limit=200");
    for delivery in deliveries["data"].as_array().unwrap() {
        keep("delivery", delivery.clone());
    }
    keep("usage", ask(&client, "GET", "/api/v1/usage"));
    for client in [&client, &live] {
        for platform in ask(client, "GET", "/api/v1/platforms")["data"].as_array().unwrap() {
            keep("platform", platform.clone());
        }
    }
    keep("host", ask(&admin, "GET", "/api/v1/admin/host"));
    let path = format!("/api/v1/jobs/{chatty}/recording");
    keep("deletion_receipt", ask(&client, "DELETE", &path));
    keep("erasure_receipt", ask(&admin, "DELETE", "/api/v1/consumers/me?confirm=acme"));
    let folder = data.path().canonicalize().unwrap().display().to_string();
    let text = serde_json::to_string(&found).unwrap().replace(&folder, "/data");
    let moved: BTreeMap<String, Vec<Value>> = serde_json::from_str(&text).unwrap();
    found.into_keys().map(|model| (model, moved[model].clone())).collect()
}

/// The path of every field, `tracks[].gaps[].reason`, and the name of each event; what stands in metadata is the caller's.
fn fields(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if path != "metadata" && !path.ends_with(".metadata") => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(value, &path, into);
                if path == "event" {
                    into.insert(format!("event {value}"));
                }
                into.insert(path);
            }
        }
        Value::Array(list) => {
            for value in list {
                fields(value, &format!("{path}[]"), into);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_that_the_server_sends_is_in_a_recorded_answer() {
    let found = answers();
    if std::env::var_os("UPDATE").is_some() {
        let mut kept = Vec::new();
        for (model, answers) in &found {
            let mut seen = BTreeSet::new();
            for answer in answers {
                let before = seen.len();
                fields(answer, "", &mut seen);
                if seen.len() > before {
                    kept.push(json!({"model": model, "json": answer}));
                }
            }
        }
        spec_file::check_json(FILE, &json!({"kind": "recorded_answers", "answers": kept}));
    }
    let recorded = spec_file::read_json(FILE);
    for (model, answers) in found {
        let (mut sent, mut known) = (BTreeSet::new(), BTreeSet::new());
        for answer in &answers {
            fields(answer, "", &mut sent);
        }
        for answer in recorded["answers"].as_array().unwrap() {
            if answer["model"] == model {
                fields(&answer["json"], "", &mut known);
            }
        }
        let new: Vec<_> = sent.difference(&known).collect();
        assert!(
            new.is_empty(),
            "{model}: {new:?} is in no recorded answer: UPDATE=1 cargo test -p meetbot-cli --test it recorded::"
        );
    }
}
