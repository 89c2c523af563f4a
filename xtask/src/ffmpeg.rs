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

/// How long a file says it plays, in ms.
///
/// # Panics
/// When it does not say so, or when there is no ffprobe on this machine.
#[track_caller]
pub fn length_ms(path: &Path) -> u64 {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("this test needs ffprobe: apt-get install ffmpeg");
    let seconds: f64 = String::from_utf8_lossy(&probed.stdout)
        .trim()
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}: {probed:?}", path.display()));
    std::time::Duration::from_secs_f64(seconds).as_millis().try_into().unwrap_or(u64::MAX)
}
