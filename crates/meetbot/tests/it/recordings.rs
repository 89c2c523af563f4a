//! Runs `spec/vectors/recordings.json`: captions, chat and events of a recording.

use meetbot::{Error, ErrorKind, blocking};
use serde::Serialize;
use serde_json::{Value, json};
use xtask::spec_file;

use crate::server::{Server, answer};

/// What the client gives, as JSON.
fn found<T: Serialize>(lines: Result<Vec<T>, Error>) -> Result<Value, Error> {
    lines.map(|lines| serde_json::to_value(lines).unwrap())
}

fn read(client: &blocking::MeetBot, what: &str) -> Result<Value, Error> {
    match what {
        "captions" => found(client.captions("job_x")),
        "chat" => found(client.chat("job_x")),
        "events" => found(client.events_file("job_x")),
        _ => panic!("nothing reads {what:?}"),
    }
}

/// Whether all fields that are expected are there.
fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value))),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, value)| holds(found, value))
        }
        _ => found == expected,
    }
}

/// The manifest of a recording that has the case's file, and the file.
fn recording(case: &Value) -> (Value, Option<&str>) {
    let what = case["read"].as_str().unwrap();
    let Some(text) = case["text"].as_str() else { return (json!({"jobId": "job_x"}), None) };
    let name = format!("{what}.jsonl");
    let sha256 = meetbot_types::signature::sha256(text.as_bytes());
    let mut file = json!({"name": name, "bytes": text.len(), "sha256": sha256});
    for said in ["bytes", "sha256"] {
        if let Some(said_so) = case.get(said) {
            file[said] = said_so.clone();
        }
    }
    let mut manifest = json!({"jobId": "job_x", "files": [file]});
    if what != "events" {
        manifest[what] = name.into();
    }
    (manifest, Some(text))
}

#[test]
fn the_files_of_a_recording_are_read_as_the_vectors_say() {
    let vectors = spec_file::read_json("spec/vectors/recordings.json");
    for case in vectors["cases"].as_array().unwrap() {
        let name = &case["name"];
        let (manifest, text) = recording(case);
        let answers = [Some(manifest.to_string()), text.map(str::to_owned)];
        let answers = answers.into_iter().flatten().map(|body| answer(200, &[], &body));
        let server = Server::start(answers);
        match (read(&server.blocking(), case["read"].as_str().unwrap()), &case["reads"]) {
            (Ok(found), reads) if !reads.is_null() => {
                assert!(holds(&found, reads), "{name}: {found:#}");
            }
            (Err(error), Value::Null) => {
                assert_eq!(error.kind(), ErrorKind::Decode, "{name}: {error}");
                assert_eq!(case["error"], true, "{name}");
            }
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn speaking_spans_come_from_the_manifest_and_a_missing_one_is_an_error() {
    let manifest =
        r#"{"jobId":"job_x","speaking":[{"participantId":"p-1","startMs":5,"endMs":9}]}"#;
    let missing = r#"{"error":"not_found","message":"the job has no manifest"}"#;
    let server = Server::start([
        answer(200, &[], manifest),
        answer(404, &[], missing),
        answer(404, &[], missing),
    ]);
    let client = server.client();
    let spans = client.speaking("job_x").await.unwrap();
    let spans: Vec<_> =
        spans.iter().map(|span| (span.participant_id.as_deref(), span.end_ms)).collect();
    assert_eq!(spans, [(Some("p-1"), 9)]);
    assert_eq!(client.speaking("job_x").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(client.captions("job_x").await.unwrap_err().kind(), ErrorKind::NotFound);
}
