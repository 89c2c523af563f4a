//! All speakers in one file, made by ffmpeg after the meeting, where there is one. The speakers' own files stay as they are.

use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, TryLockError},
    time::Duration,
};

use meetbot_types::manifest::{Mixed, Track};
use tokio_util::sync::CancellationToken;

/// The mix's file.
pub(crate) const FILE: &str = "audio.mixed.webm";
/// A mix that takes longer is given up: the manifest must not wait for ever. Half an hour of three speakers takes 23 s on one core.
const TIME_LIMIT: Duration = Duration::from_mins(20);
/// How long a recording waits for those before it; its manifest is worth more than its mix.
const LONGEST_QUEUE: Duration = Duration::from_mins(5);
/// How often to look whether it is done.
const LOOK: Duration = Duration::from_millis(50);
/// What a shell says of a program that is not there.
const NOT_FOUND: i32 = 127;

/// One mix at a time: bots in meetings come first.
static TURN: Mutex<()> = Mutex::new(());

/// Mixes the tracks that lie in `folder`. `None` when it was stopped: then nothing of it is left.
pub(crate) fn mix(folder: &Path, tracks: &[Track], stop: &CancellationToken) -> Option<Mixed> {
    let missing = |why| Some(Mixed { file: None, missing_because: Some(why) });
    if tracks.is_empty() {
        return missing("nobody was heard".to_owned());
    }
    let turn = turn(stop);
    if stop.is_cancelled() {
        return None;
    }
    let Some(_turn) = turn else {
        let minutes = LONGEST_QUEUE.as_secs() / 60;
        return missing(format!("other recordings were being mixed for {minutes} min"));
    };
    let part = folder.join("audio.mixed.part");
    match run(folder, tracks, &part, stop)
        .and_then(|()| keep(&part, &folder.join(FILE)).map_err(|error| error.to_string()))
    {
        Ok(()) => Some(Mixed { file: Some(FILE.to_owned()), missing_because: None }),
        Err(why) => {
            let _ = fs::remove_file(&part);
            if stop.is_cancelled() {
                return None;
            }
            tracing::warn!(folder = %folder.display(), why, "the speakers are not mixed");
            missing(why)
        }
    }
}

/// Moves it to its place, if there is anything in it: ffmpeg says nothing of a disk that was full from the beginning.
fn keep(part: &Path, place: &Path) -> io::Result<()> {
    let file = fs::File::open(part)?;
    if file.metadata()?.len() == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "ffmpeg wrote nothing"));
    }
    file.sync_all()?;
    fs::rename(part, place)
}

/// The turn to mix; `None` when it does not come in time, or before the stop.
fn turn(stop: &CancellationToken) -> Option<MutexGuard<'static, ()>> {
    let mut waited = Duration::ZERO;
    loop {
        match TURN.try_lock() {
            Ok(turn) => return Some(turn),
            Err(TryLockError::Poisoned(turn)) => return Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) if waited >= LONGEST_QUEUE || stop.is_cancelled() => {
                return None;
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
        }
        waited += LOOK;
    }
}

fn run(
    folder: &Path,
    tracks: &[Track],
    part: &Path,
    stop: &CancellationToken,
) -> Result<(), String> {
    let mut ffmpeg = Command::new("nice");
    ffmpeg.args(["-n", "19", "ffmpeg", "-nostdin", "-y", "-v", "error"]).current_dir(folder);
    for track in tracks {
        // As a URL of the file protocol, so that no name is taken for an option or another protocol.
        ffmpeg.args(["-threads", "1", "-i"]).arg(format!("file:{}", track.file));
    }
    ffmpeg.args([
        "-filter_complex",
        &filter(tracks),
        "-map",
        "[mix]",
        "-c:a",
        "libopus",
        "-b:a",
        "48k",
        "-f",
        "webm",
    ]);
    ffmpeg.arg(part).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let missing = "ffmpeg is not on the machine that recorded";
    let status = match ffmpeg.spawn() {
        Ok(child) => wait(child, stop).map_err(|error| error.to_string())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing.to_owned()),
        Err(error) => return Err(format!("ffmpeg does not start: {error}")),
    };
    match status {
        None => Err(format!("ffmpeg was not done after {} min", TIME_LIMIT.as_secs() / 60)),
        Some(status) if status.success() => Ok(()),
        Some(status) if status.code() == Some(NOT_FOUND) => Err(missing.to_owned()),
        Some(status) => Err(format!("ffmpeg failed with {status}")),
    }
}

/// Each track at its time, and all of them together.
fn filter(tracks: &[Track]) -> String {
    let mut filter = String::new();
    for (index, track) in tracks.iter().enumerate() {
        let _ = write!(filter, "[{index}:a]adelay={}:all=1[t{index}];", track.start_ms);
    }
    for index in 0..tracks.len() {
        let _ = write!(filter, "[t{index}]");
    }
    let inputs = tracks.len();
    let _ = write!(
        filter,
        "amix=inputs={inputs}:duration=longest:normalize=0,alimiter=limit=0.95[mix]"
    );
    filter
}

/// Waits for its end; `None` when it was killed because it took too long, or was stopped.
fn wait(mut child: Child, stop: &CancellationToken) -> io::Result<Option<ExitStatus>> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if waited >= TIME_LIMIT || stop.is_cancelled() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
        waited += LOOK;
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::bot::MediaKind;

    use super::*;

    fn track(file: &str, start_ms: u64) -> Track {
        Track {
            file: file.to_owned(),
            participant_id: "a".to_owned(),
            kind: MediaKind::Audio,
            source: "microphone".to_owned(),
            codec: "opus".to_owned(),
            container: "webm".to_owned(),
            start_ms,
            duration_ms: 0,
            packets: 0,
            lost_packets: 0,
            bytes: 0,
            sha256: String::new(),
            gaps: Vec::new(),
        }
    }

    #[test]
    fn every_track_comes_at_its_time() {
        assert_eq!(
            filter(&[track("a", 0), track("b", 1_500)]),
            "[0:a]adelay=0:all=1[t0];[1:a]adelay=1500:all=1[t1];[t0][t1]amix=inputs=2:duration=longest:normalize=0,alimiter=limit=0.95[mix]"
        );
    }

    #[test]
    fn what_cannot_be_mixed_leaves_nothing_behind_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("audio.a.webm"), b"no WebM").unwrap();
        let stop = CancellationToken::new();
        let mixed = mix(folder.path(), &[track("audio.a.webm", 0)], &stop).unwrap();
        assert!(mixed.file.is_none() && mixed.missing_because.is_some(), "{mixed:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_mix_of_nothing_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (part, place) = (folder.path().join("part"), folder.path().join(FILE));
        fs::write(&part, b"").unwrap();
        assert_eq!(keep(&part, &place).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        fs::write(&part, b"sound").unwrap();
        keep(&part, &place).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"sound");
    }
}
