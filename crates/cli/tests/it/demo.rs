//! `meetbot demo`, from the outside.

use std::path::Path;

use xtask::ffmpeg::decodes;

use crate::{
    google_meet::has_chromium,
    program::{meetbot, run},
};

#[test]
fn without_ffmpeg_only_the_mix_is_missing_with_its_reason() {
    let nothing = tempfile::tempdir().unwrap();
    let output =
        run(meetbot().args(["demo", "--seconds", "4", "--json"]).env("PATH", nothing.path()));
    assert_eq!(output.code, Some(0), "{output:?}");
    let shown = output.json();
    let mixed = &shown["manifest"]["mixed"];
    assert_eq!(mixed["file"], serde_json::Value::Null);
    assert!(mixed["missingBecause"].as_str().unwrap().contains("ffmpeg"), "{mixed}");
    assert_eq!(shown["manifest"]["complete"], true);
    let folder = Path::new(shown["files"][0]["path"].as_str().unwrap()).ancestors().nth(4).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_demo_with_a_browser_records_or_reports_that_chromium_is_missing() {
    let nothing = tempfile::tempdir().unwrap();
    let output = run(meetbot().args(["demo", "--browser"]).env("PATH", nothing.path()));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("apt-get install chromium"), "{output:?}");
    if !has_chromium() {
        return;
    }
    let output = run(meetbot().args(["demo", "--browser", "--seconds", "8", "--json"]));
    assert_eq!(output.code, Some(0), "{output:?}");
    let shown = output.json();
    let people = shown["manifest"]["participants"].as_array().unwrap();
    let names: Vec<&str> = people.iter().map(|person| person["name"].as_str().unwrap()).collect();
    for name in ["Ann Host", "Ben Weber", "Cleo Jones", "Dora Lang"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // Dora was not sent.
    assert_eq!(shown["manifest"]["tracks"].as_array().unwrap().len(), 3);
    let folder = Path::new(shown["files"][0]["path"].as_str().unwrap()).ancestors().nth(4).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_demo_records_delivers_webhooks_and_mixes() {
    let output = run(meetbot().args(["demo", "--seconds", "15", "--json"]));
    assert_eq!(output.code, Some(0), "{output:?}");
    let shown = output.json();
    let statuses: Vec<&str> =
        shown["statuses"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(statuses, ["queued", "joining", "in_call", "recording", "finalizing", "completed"]);
    assert_eq!(shown["webhookVerified"], true);
    assert!(shown["joinMs"].as_u64().is_some());
    assert_eq!(shown["manifest"]["complete"], true);
    let tracks = shown["manifest"]["tracks"].as_array().unwrap();
    let whole = |track: &&serde_json::Value| {
        (12_000..16_500).contains(&track["durationMs"].as_u64().unwrap())
    };
    // Carol comes later and goes earlier.
    assert_eq!((tracks.len(), tracks.iter().filter(whole).count()), (3, 2), "{tracks:#?}");
    for file in shown["files"].as_array().unwrap() {
        let path = Path::new(file["path"].as_str().unwrap());
        assert!(path.is_absolute() && path.is_file(), "{file}");
        if path.extension().is_some_and(|extension| extension == "webm") {
            decodes(path);
        }
    }
    let folder = Path::new(shown["files"][0]["path"].as_str().unwrap()).ancestors().nth(4).unwrap();
    assert!(
        folder.starts_with(std::env::temp_dir()) && folder != std::env::temp_dir(),
        "{}",
        folder.display()
    );
    std::fs::remove_dir_all(folder).unwrap();
}
