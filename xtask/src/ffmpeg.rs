//! Judges recordings with ffmpeg, as a listener's player would.

use std::{path::Path, process::Command};

/// Fails unless ffmpeg decodes the whole file without a word.
///
/// # Panics
/// When it does not, or when there is no ffmpeg on this machine.
#[track_caller]
pub fn decodes(path: &Path) {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    let words = String::from_utf8_lossy(&decoded.stderr);
    assert!(decoded.status.success() && words.is_empty(), "{}: {words}", path.display());
}
