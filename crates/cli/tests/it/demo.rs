//! `meetbot demo`, from the outside.

use std::{path::Path, process::Command};

use crate::program::{meetbot, run};

#[test]
fn the_demo_shows_the_whole_product() {
    let said = run(meetbot().args(["demo", "--seconds", "6", "--json"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    let shown = said.json();
    let statuses: Vec<&str> =
        shown["statuses"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(statuses, ["queued", "joining", "in_call", "recording", "finalizing", "completed"]);
    assert_eq!(shown["webhookVerified"], true);
    assert!(shown["joinMs"].as_u64().is_some());
    assert_eq!(shown["manifest"]["complete"], true);
    let tracks = shown["manifest"]["tracks"].as_array().unwrap();
    assert_eq!(tracks.len(), 2, "{tracks:#?}");
    for track in tracks {
        let seconds = track["durationMs"].as_u64().unwrap() as f64 / 1000.0;
        assert!((3.0..7.5).contains(&seconds), "{track}");
    }
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

/// Fails unless ffmpeg decodes the whole file without a word.
pub(crate) fn decodes(path: &Path) {
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    let words = String::from_utf8_lossy(&ffmpeg.stderr);
    assert!(ffmpeg.status.success() && words.is_empty(), "{}: {words}", path.display());
}
