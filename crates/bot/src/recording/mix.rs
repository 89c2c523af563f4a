//! The mix of all speakers, and Opus files of PCM tracks: made by ffmpeg after the job has ended, if ffmpeg is installed. The recorded files are not
//! changed.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use meetbot_types::{
    Manifest,
    bot::{MediaKind, MixOrder},
    manifest::{File, MixState, Mixed, Track},
};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::{
    files::{MANIFEST, private},
    hash, write_whole,
};
use crate::media::Codec;

/// The mix's file.
pub(crate) const FILE: &str = "audio.mixed.webm";
/// Prefix and suffix of its temporary file; a number is between them.
const PART: (&str, &str) = ("audio.mixed.", ".part");
/// A mix that takes longer than the meeting and this time is aborted: an ffmpeg that hangs must not block the waiting mixes. Half an hour of three
/// speakers takes 23 s on one idle core.
const TIME_LIMIT: Duration = Duration::from_mins(20);
/// The exit status of `nice` for a program that is not installed.
const NOT_FOUND: i32 = 127;

/// Makes the mix of a recording, and replaces the manifest by one that lists the mix or the reason why there is none. Returns that manifest, or the
/// unchanged one if its mix is not pending. `None` if it was stopped: ffmpeg has ended then, and the manifest is unchanged.
///
/// # Errors
/// The manifest cannot be read or written; the same call may work later.
pub async fn mix(order: &MixOrder, stop: &CancellationToken) -> io::Result<Option<Manifest>> {
    let folder = &order.folder;
    let mut manifest: Manifest =
        serde_json::from_slice(&tokio::fs::read(folder.join(MANIFEST)).await?)?;
    if !manifest.mixed.is_pending() {
        return Ok(Some(manifest));
    }
    let made = if let Some(why) = &order.unwanted {
        Err(why.clone())
    } else {
        encode(folder, &mut manifest, stop).await;
        make(folder, &manifest, stop).await
    };
    manifest.mixed = match made {
        Ok(file) => {
            let name = file.name.clone();
            manifest.files.push(file);
            Mixed { state: Some(MixState::Made), file: Some(name), missing_because: None }
        }
        Err(_) if stop.is_cancelled() => return Ok(None),
        Err(why) => {
            tracing::warn!(job = %manifest.job_id, why, "the mix failed");
            unavailable(why)
        }
    };
    let is_unavailable = manifest.mixed.file.is_none();
    let (folder, text) = (folder.clone(), serde_json::to_vec_pretty(&manifest)?);
    let replace = move || {
        remove_parts(&folder)?;
        if is_unavailable {
            // A mix from before a crash that no manifest lists.
            remove(&folder.join(FILE));
        }
        write_whole(&folder.join(MANIFEST), |file| io::Write::write_all(file, &text))?;
        fs::File::open(&folder)?.sync_all()
    };
    tokio::task::spawn_blocking(replace).await.map_err(io::Error::other)??;
    Ok(Some(manifest))
}

/// There is no mix, and will be none.
pub(crate) fn unavailable(why: impl Into<String>) -> Mixed {
    Mixed { state: Some(MixState::Unavailable), file: None, missing_because: Some(why.into()) }
}

/// Mixes the audio tracks in `folder`; if it fails, no file is left.
async fn make(
    folder: &Path,
    manifest: &Manifest,
    stop: &CancellationToken,
) -> Result<File, String> {
    let voices: Vec<&Track> =
        manifest.tracks.iter().filter(|track| track.kind == MediaKind::Audio).collect();
    let mut args = Vec::new();
    for track in &voices {
        // As a file URL, so that no name is read as an option or another protocol.
        args.extend(["-threads", "1", "-i"].map(str::to_owned));
        args.push(format!("file:{}", track.file));
    }
    let mixed =
        ["-filter_complex", &filter(&voices), "-map", "[mix]", "-c:a", "libopus", "-b:a", "48k"];
    args.extend(mixed.map(str::to_owned));
    by_ffmpeg(folder, &args, FILE, Duration::from_millis(manifest.duration_ms), stop).await
}

/// Encodes each PCM file as WebM. The manifest's tracks are then the WebM files, and its files list both. If the encoding fails, the track keeps its
/// PCM file.
async fn encode(folder: &Path, manifest: &mut Manifest, stop: &CancellationToken) {
    let samples = |track: &&mut Track| track.codec == Codec::PcmS16le.name();
    for track in manifest.tracks.iter_mut().filter(samples) {
        let name = format!("{}.webm", track.file.trim_end_matches(".mka"));
        let length = Duration::from_millis(track.duration_ms);
        match encode_one(folder, &track.file, &name, length, stop).await {
            Ok(file) => {
                Codec::Opus.name().clone_into(&mut track.codec);
                "webm".clone_into(&mut track.container);
                track.file.clone_from(&file.name);
                track.sha256.clone_from(&file.sha256);
                track.bytes = file.bytes;
                manifest.files.push(file);
            }
            Err(_) if stop.is_cancelled() => return,
            Err(why) => {
                tracing::warn!(job = %manifest.job_id, why, "PCM samples cannot be encoded");
            }
        }
    }
}

async fn encode_one(
    folder: &Path,
    samples: &str,
    name: &str,
    length: Duration,
    stop: &CancellationToken,
) -> Result<File, String> {
    let args =
        ["-threads", "1", "-i", &format!("file:{samples}"), "-c:a", "libopus", "-b:a", "48k"];
    by_ffmpeg(folder, &args.map(str::to_owned), name, length, stop).await
}

/// Lets ffmpeg write a WebM file in `folder` from audio of this duration; if it fails, no file is left.
async fn by_ffmpeg(
    folder: &Path,
    args: &[String],
    name: &str,
    length: Duration,
    stop: &CancellationToken,
) -> Result<File, String> {
    let part = reserve(folder).map_err(|error| format!("it cannot be written: {error}"))?;
    let made = match run(folder, args, &part, TIME_LIMIT + length, stop).await {
        Ok(()) => {
            let (part, folder, name) = (part.clone(), folder.to_owned(), name.to_owned());
            let kept = tokio::task::spawn_blocking(move || keep(&part, &folder, &name)).await;
            kept.map_err(io::Error::other).flatten().map_err(|error| error.to_string())
        }
        Err(why) => Err(why),
    };
    if made.is_err() {
        remove(&part);
    }
    made
}

/// Creates an empty file into which no other ffmpeg writes: an ffmpeg of a killed server may still run, or open its file later.
/// ffmpeg keeps the mode of an existing file.
fn reserve(folder: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let part = folder.join(format!("{}{number}{}", PART.0, PART.1));
        match private().create_new(true).open(&part) {
            Ok(_) => return Ok(part),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Removes partial mixes of killed servers.
fn remove_parts(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PART.0) && name.ends_with(PART.1) {
            remove(&path);
        }
    }
    Ok(())
}

/// Removes a file, if it is there.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a partial mix cannot be removed");
    }
}

/// Renames the temporary file, if it is not empty: ffmpeg reports no error if the disk was full from the beginning.
fn keep(part: &Path, folder: &Path, name: &str) -> io::Result<File> {
    let file = fs::File::open(part)?;
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "ffmpeg wrote nothing"));
    }
    file.sync_all()?;
    let sha256 = hash(part)?;
    fs::rename(part, folder.join(name))?;
    Ok(File { name: name.to_owned(), media_type: "audio/webm".to_owned(), bytes, sha256 })
}

async fn run(
    folder: &Path,
    args: &[String],
    part: &Path,
    limit: Duration,
    stop: &CancellationToken,
) -> Result<(), String> {
    let mut ffmpeg = Command::new("nice");
    ffmpeg.args(["-n", "19", "ffmpeg", "-nostdin", "-y", "-v", "error"]).current_dir(folder);
    ffmpeg.args(args).args(["-f", "webm"]).arg(part);
    ffmpeg.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let missing = "ffmpeg is not on the machine that recorded";
    let mut child = match ffmpeg.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing.to_owned()),
        Err(error) => return Err(format!("ffmpeg does not start: {error}")),
    };
    let failed = tokio::select! {
        status = child.wait() => return status
            .map_err(|error| error.to_string())
            .and_then(|status| outcome(status, missing)),
        () = tokio::time::sleep(limit) => {
            format!("ffmpeg was not done after {} min", limit.as_secs() / 60)
        }
        () = stop.cancelled() => "the mix was stopped".to_owned(),
    };
    child.kill().await.map_err(|error| format!("ffmpeg cannot be ended: {error}"))?;
    Err(failed)
}

fn outcome(status: ExitStatus, missing: &str) -> Result<(), String> {
    match status.code() {
        Some(0) => Ok(()),
        Some(NOT_FOUND) => Err(missing.to_owned()),
        _ => Err(format!("ffmpeg failed with {status}")),
    }
}

/// The ffmpeg filter that delays each track to its start, and mixes all.
fn filter(tracks: &[&Track]) -> String {
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

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;

    use super::*;
    use crate::recording::orders::order;

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
            rotation: 0,
            attributed_by: None,
            bytes: 0,
            sha256: String::new(),
            gaps: Vec::new(),
        }
    }

    #[test]
    fn every_track_starts_at_its_time() {
        assert_eq!(
            filter(&[&track("a", 0), &track("b", 1_500)]),
            "[0:a]adelay=0:all=1[t0];[1:a]adelay=1500:all=1[t1];[t0][t1]amix=inputs=2:duration=longest:normalize=0,alimiter=limit=0.95[mix]"
        );
    }

    /// Writes a manifest with a mix in this state, of one track.
    fn manifest(folder: &Path, mixed: Mixed) -> Manifest {
        let order = order(folder, 1);
        let manifest = Manifest {
            schema_version: 1,
            job_id: order.job_id,
            external_id: None,
            meeting_url: order.meeting_url,
            platform: order.link.platform,
            display_name: order.display_name,
            complete: true,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
            duration_ms: 1,
            leave_reason: None,
            failure_code: None,
            participants: Vec::new(),
            speaking: Vec::new(),
            tracks: vec![track("audio.a.webm", 0)],
            unavailable: Vec::new(),
            files: Vec::new(),
            mixed,
            captions: None,
            chat: None,
            pauses: Vec::new(),
            attempts: Vec::new(),
        };
        fs::write(folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        manifest
    }

    fn on_disk(folder: &Path) -> Manifest {
        serde_json::from_slice(&fs::read(folder.join(MANIFEST)).unwrap()).unwrap()
    }

    fn pending() -> Mixed {
        Mixed { state: Some(MixState::Pending), ..Mixed::default() }
    }

    #[tokio::test]
    async fn a_failed_mix_leaves_no_file_and_its_reason_in_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        manifest(folder.path(), pending());
        fs::write(folder.path().join("audio.a.webm"), b"no WebM").unwrap();
        fs::write(folder.path().join(FILE), b"made before a crash, and not listed").unwrap();
        let order = MixOrder { folder: folder.path().to_owned(), unwanted: None };
        let answered = mix(&order, &CancellationToken::new()).await.unwrap().unwrap();
        let mixed = &answered.mixed;
        assert_eq!((&mixed.state, &mixed.file), (&Some(MixState::Unavailable), &None));
        assert!(mixed.missing_because.as_deref().unwrap().contains("ffmpeg"), "{mixed:?}");
        assert_eq!(on_disk(folder.path()), answered);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn an_unwanted_mix_is_given_up_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        manifest(folder.path(), pending());
        let order = MixOrder {
            folder: folder.path().to_owned(),
            unwanted: Some("it is switched off".to_owned()),
        };
        let answered = mix(&order, &CancellationToken::new()).await.unwrap().unwrap();
        assert_eq!(answered.mixed, unavailable("it is switched off"));
        assert_eq!(on_disk(folder.path()), answered);
    }

    #[tokio::test]
    async fn a_mix_that_is_stopped_leaves_the_manifest_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let before = manifest(folder.path(), pending());
        let order = MixOrder { folder: folder.path().to_owned(), unwanted: None };
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(mix(&order, &stop).await.unwrap(), None);
        assert_eq!(on_disk(folder.path()), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// The case after a crash between the manifest and its report: nothing is made twice.
    #[tokio::test]
    async fn a_mix_that_is_made_or_was_never_pending_is_returned_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let made = Mixed {
            state: Some(MixState::Made),
            file: Some(FILE.to_owned()),
            missing_because: None,
        };
        let order = MixOrder { folder: folder.path().to_owned(), unwanted: None };
        for mixed in [made, unavailable("nobody was heard"), Mixed::default()] {
            let before = manifest(folder.path(), mixed);
            assert_eq!(mix(&order, &CancellationToken::new()).await.unwrap(), Some(before));
        }
        fs::remove_file(folder.path().join(MANIFEST)).unwrap();
        let gone = mix(&order, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_empty_mix_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (part, place) = (reserve(folder.path()).unwrap(), folder.path().join(FILE));
        assert_eq!(
            keep(&part, folder.path(), FILE).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        fs::write(&part, b"sound").unwrap();
        let file = keep(&part, folder.path(), FILE).unwrap();
        assert_eq!((file.bytes, file.name.as_str()), (5, FILE));
        assert_eq!(fs::read(&place).unwrap(), b"sound");
        assert!(!part.exists());
    }

    /// An ffmpeg outlives its killed server, and may open its file while the next one already runs.
    #[test]
    fn an_ffmpeg_of_a_killed_server_does_not_write_into_another_mix() {
        let folder = tempfile::tempdir().unwrap();
        let left = reserve(folder.path()).unwrap();
        let own = reserve(folder.path()).unwrap();
        assert_ne!(left, own);
        fs::write(&own, b"ours").unwrap();
        fs::write(&left, b"theirs").unwrap();
        keep(&own, folder.path(), FILE).unwrap();
        remove_parts(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), b"ours");
    }
}
