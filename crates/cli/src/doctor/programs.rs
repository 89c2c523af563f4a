//! Programs that bots use where they are installed.

use std::process::{Command, Stdio};

use super::Finding;

const FFMPEG: &str = "ffmpeg";

pub(super) fn look() -> Vec<Finding> {
    let encoders = said("ffmpeg", &["-hide_banner", "-encoders"]);
    vec![judge_ffmpeg(said("ffmpeg", &["-version"]).as_deref(), encoders.as_deref())]
}

/// What a program prints; `None` where it is missing or fails.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim()
}

fn judge_ffmpeg(version: Option<&str>, encoders: Option<&str>) -> Finding {
    let Some(version) = version.map(first_line) else {
        let remedy = "install it (apt-get install ffmpeg): without it there is no audio.mixed.webm";
        return Finding::warn(FFMPEG, "it is not on PATH", remedy);
    };
    if !encoders.is_some_and(|encoders| encoders.contains("libopus")) {
        let remedy = "install one that has it: without it there is no audio.mixed.webm";
        return Finding::warn(FFMPEG, format!("{version}, without the encoder libopus"), remedy);
    }
    Finding::ok(FFMPEG, version)
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn ffmpeg_must_have_opus() {
        let encoders = Some(" A....D libopus              libopus Opus (codec opus)");
        assert_eq!(judge_ffmpeg(Some("ffmpeg version 5.1.8\nbuilt"), encoders).state, State::Ok);
        assert_eq!(judge_ffmpeg(Some("ffmpeg version 5.1.8"), Some("")).state, State::Warn);
        assert_eq!(judge_ffmpeg(None, None).state, State::Warn);
    }
}
