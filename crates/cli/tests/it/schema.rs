//! Recordings fit the schemas in `spec/`.

use std::{collections::HashMap, sync::LazyLock};

use jsonschema::Validator;
use meetbot::blocking::MeetBot;
use serde_json::Value;
use xtask::spec_file;

/// The schema of each file.
static SCHEMAS: LazyLock<HashMap<&str, Validator>> = LazyLock::new(|| {
    let files = [
        ("manifest.json", "manifest"),
        ("captions.jsonl", "captions"),
        ("chat.jsonl", "chat"),
        ("events.jsonl", "events"),
    ];
    let schema = |name| spec_file::read_json(&format!("spec/{name}.schema.json"));
    files.map(|(file, name)| (file, jsonschema::validator_for(&schema(name)).unwrap())).into()
});

/// Fails unless the manifest, or the line of a file, fits its schema.
#[track_caller]
fn fits(file: &str, value: &Value) {
    let problems: Vec<String> = SCHEMAS[file]
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{file}: {problems:#?} in {value:#}");
}

/// Fails unless the recording fits the schemas, each line of each file included.
#[track_caller]
pub(crate) fn recording_fits(client: &MeetBot, id: &str) {
    let manifest: Value =
        serde_json::from_slice(&client.artifact(id, "manifest.json").unwrap()).unwrap();
    fits("manifest.json", &manifest);
    let files = manifest["files"].as_array().unwrap().iter();
    for file in files.filter(|file| file["mediaType"] == "application/jsonl") {
        let name = file["name"].as_str().unwrap();
        let text = String::from_utf8(client.artifact(id, name).unwrap().to_vec()).unwrap();
        for line in text.lines() {
            let line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            fits(name, &line);
        }
    }
    speaking_fits(&manifest);
}

/// The spans are sorted, disjoint and within the recording, belong to its participants, and add up to their speaking times.
#[track_caller]
fn speaking_fits(manifest: &Value) {
    let spans = manifest["speaking"].as_array().unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let mut ends: HashMap<&str, (u64, u64)> = HashMap::new();
    let mut last = 0;
    for span in spans {
        let (start, end) = (number(&span["startMs"]), number(&span["endMs"]));
        let (before, spoke) = ends.entry(span["participantId"].as_str().unwrap()).or_default();
        assert!(last <= start && start < end, "{manifest:#}");
        assert!(*before < start || *spoke == 0, "{manifest:#}");
        assert!(end <= number(&manifest["durationMs"]), "{manifest:#}");
        (*before, *spoke, last) = (end, *spoke + end - start, start);
    }
    for person in manifest["participants"].as_array().unwrap() {
        let spoke = ends.remove(person["id"].as_str().unwrap()).unwrap_or_default().1;
        assert_eq!(spoke, number(&person["speakingMs"]), "{manifest:#}");
    }
    assert!(ends.is_empty(), "{ends:?} are nobody's: {manifest:#}");
}

#[test]
fn the_schema_accepts_manifests_and_nothing_else() {
    let vectors = spec_file::read_json("spec/vectors/models.json");
    let case = vectors["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["model"] == "manifest")
        .unwrap();
    let mut manifest = case["json"].clone();
    fits("manifest.json", &manifest);
    let schema = &SCHEMAS["manifest.json"];
    manifest["tracks"][0]["packets"] = "many".into();
    assert!(!schema.is_valid(&manifest));
    manifest.as_object_mut().unwrap().remove("tracks");
    assert!(!schema.is_valid(&manifest));
}

#[test]
fn the_schemas_accept_lines_and_nothing_else() {
    use serde_json::json;

    let person = json!({"id": "p", "name": "Ann", "isHost": false, "isBot": false});
    let joined = json!({"type": "participant_joined", "atMs": 5, "participant": person});
    fits("events.jsonl", &joined);
    fits("events.jsonl", &json!({"type": "left", "attempt": 1, "atMs": 5, "reason": null}));
    let caption =
        json!({"speakerId": "p", "speaker": "Ann", "startMs": 1, "endMs": 2, "text": "a"});
    fits("captions.jsonl", &caption);
    for (file, line) in [
        ("events.jsonl", json!({"type": "hand_raised", "atMs": 5})),
        ("events.jsonl", json!({"type": "paused"})),
        ("events.jsonl", json!({"type": "paused", "atMs": -1})),
        ("events.jsonl", json!({"type": "participant_joined", "atMs": 5, "participant": "Ann"})),
        ("captions.jsonl", json!({"speaker": "Ann", "text": "a"})),
        ("chat.jsonl", caption),
    ] {
        assert!(!SCHEMAS[file].is_valid(&line), "{file}: {line}");
    }
}
