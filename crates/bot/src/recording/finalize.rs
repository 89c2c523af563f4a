//! The end of a recording: what every attempt left on disk becomes one folder with a manifest, which is written last. Only the mix comes later.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufReader, Read as _, Seek as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use meetbot_types::{
    Ending, JobStatus, Manifest,
    bot::{BotOrder, MediaKind},
    manifest::{self, Attempt, File, MixState, Mixed, Track},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    CAPTIONS, CHAT, NETWORK_LOSS, READ_AT_ONCE,
    files::{MANIFEST, folder_of, hash, make_folder, private, write_whole},
    journal::{self, Content},
    mix,
    scan::{Scan, scan},
    story::{Begun, Story},
    webm,
};
use crate::bounds;

/// A recording that is finished.
#[derive(Debug)]
pub(crate) struct Finalized {
    /// How the job ends.
    pub(crate) ending: Ending,
    /// Where the manifest is; `None` when nothing was recorded.
    pub(crate) manifest_uri: Option<String>,
    /// How long the recording is.
    pub(crate) duration_ms: u64,
    /// How long it was paused in all.
    pub(crate) paused_ms: u64,
}

/// Makes this attempt's folder and puts the journal and the chat of those before into it. Answers the folder.
pub(crate) fn carry_forward(order: &BotOrder) -> io::Result<PathBuf> {
    let own = folder_of(order, order.epoch);
    make_folder(&own)?;
    for (name, wanted) in [(journal::FILE, true), (CHAT, false), (CAPTIONS, false)] {
        let target = own.join(name);
        if target.exists() {
            continue;
        }
        let source = (1..order.epoch).rev().map(|epoch| folder_of(order, epoch).join(name));
        let Some(source) = source.into_iter().find(|path| path.exists()) else { continue };
        let mut lines = 0;
        write_whole(&target, |copy| {
            // Only whole lines: the last one may be torn.
            journal::read::<serde::de::IgnoredAny>(&source, |line, _| {
                lines += 1;
                writeln!(copy, "{line}")
            })
        })?;
        if lines == 0 && !wanted {
            fs::remove_file(target)?;
        }
    }
    Ok(own)
}

/// Finishes the recording; `was_in` is whether this attempt has a part in it. `end` says how the job ends, from whether anything was recorded. `None` when it was
/// stopped: the next attempt does it anew.
pub(crate) fn finalize(
    order: &BotOrder,
    was_in: bool,
    stop: &CancellationToken,
    end: impl FnOnce(bool) -> Ending,
) -> io::Result<Option<Finalized>> {
    let finalized = put_together(order, was_in, stop, end);
    if !was_in && !matches!(finalized, Ok(Some(_))) {
        // Nothing but copies is in it, and on a full disk each attempt would leave more of them.
        let _ = fs::remove_dir_all(folder_of(order, order.epoch));
    }
    finalized
}

fn put_together(
    order: &BotOrder,
    was_in: bool,
    stop: &CancellationToken,
    end: impl FnOnce(bool) -> Ending,
) -> io::Result<Option<Finalized>> {
    // A join that failed leaves evidence, and nothing that was recorded.
    let before_the_call = !(1..=order.epoch).any(|epoch| folder_of(order, epoch).exists());
    let nothing =
        |ending| Some(Finalized { ending, manifest_uri: None, duration_ms: 0, paused_ms: 0 });
    if before_the_call && was_in {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the recording's folder is gone"));
    } else if before_the_call {
        return Ok(nothing(end(false)));
    }
    let own = carry_forward(order)?;
    let mut story = Story::of(&own)?;
    let begun = std::mem::take(&mut story.tracks);
    let mut tracks = Vec::new();
    let mut last_media = HashMap::<u32, u64>::new();
    for track in begun {
        if stop.is_cancelled() {
            return Ok(None);
        }
        let attempt = track.attempt;
        let Some(track) = bring_in(order, &own, track)? else { continue };
        let last = last_media.entry(attempt).or_default();
        *last = (*last).max(track.start_ms + track.duration_ms);
        tracks.push(track);
    }
    let Some(started_at) = story.started_at.filter(|_| !tracks.is_empty()) else {
        return Ok(nothing(end(false)));
    };
    let ending = end(true);
    let last_sound = last_media.values().max().copied();
    let left = story.attempts.last().and_then(|stay| stay.left_ms);
    let duration_ms = left.unwrap_or(0).max(story.last_ms).max(last_sound.unwrap_or(0));
    story.finish(duration_ms);
    let paused_ms = story.pauses.iter().map(|pause| pause.end_ms - pause.start_ms).sum();
    let attempts = attempts(order, &story, &last_media, duration_ms);
    // Journals of the first version tell of a loss only by the gaps that it made.
    let cut_off = story.cut_off
        || tracks.iter().flat_map(|track| &track.gaps).any(|gap| gap.reason == NETWORK_LOSS);
    let one_stay = attempts.len() == 1 && attempts.iter().all(|attempt| attempt.outcome == "left");
    let unbroken = one_stay && !cut_off;
    let mut files: Vec<File> = tracks
        .iter()
        .map(|track| File {
            name: track.file.clone(),
            media_type: media_type(track),
            bytes: track.bytes,
            sha256: track.sha256.clone(),
        })
        .collect();
    let mixed = if tracks.iter().any(|track| track.kind == MediaKind::Audio) {
        Mixed { state: Some(MixState::Pending), file: None, missing_because: None }
    } else {
        mix::unavailable("nobody was heard")
    };
    let chat = own.join(CHAT).exists().then(|| CHAT.to_owned());
    let captions = own.join(CAPTIONS).exists().then(|| CAPTIONS.to_owned());
    for (name, media_type) in [
        (chat.as_deref(), "application/jsonl"),
        (captions.as_deref(), "application/jsonl"),
        (Some(journal::FILE), "application/jsonl"),
    ] {
        let Some(name) = name else { continue };
        let path = own.join(name);
        let file = fs::File::open(&path)?;
        file.sync_all()?;
        files.push(File {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            bytes: file.metadata()?.len(),
            sha256: hash(&path)?,
        });
    }
    let manifest = Manifest {
        schema_version: manifest::SCHEMA_VERSION,
        job_id: order.job_id,
        external_id: order.external_id.clone(),
        meeting_url: order.meeting_url.clone(),
        platform: order.link.platform.clone(),
        display_name: order.display_name.clone(),
        complete: unbroken && ending.status == JobStatus::Completed,
        started_at,
        ended_at: started_at + std::time::Duration::from_millis(duration_ms),
        duration_ms,
        leave_reason: ending.leave_reason.clone(),
        failure_code: ending.failure.as_ref().map(|failure| failure.code.clone()),
        participants: story.participants,
        speaking: story.speaking.spans(bounds::SPANS),
        tracks,
        unavailable: story.unavailable,
        files,
        mixed,
        captions,
        chat,
        pauses: story.pauses,
        attempts,
    };
    let path = own.join(MANIFEST);
    write_whole(&path, |file| Ok(serde_json::to_writer_pretty(file, &manifest)?))?;
    fs::File::open(&own)?.sync_all()?;
    let path = path.canonicalize()?;
    let uri = Url::from_file_path(&path)
        .map_err(|()| io::Error::other(format!("{} is no file URL", path.display())))?;
    Ok(Some(Finalized { ending, manifest_uri: Some(uri.into()), duration_ms, paused_ms }))
}

/// Brings a track's file into this attempt's folder, whole. `None` when nothing is in it.
fn bring_in(order: &BotOrder, own: &Path, track: Begun) -> io::Result<Option<Track>> {
    let target = own.join(&track.file);
    let source = folder_of(order, track.attempt).join(&track.file);
    let source = if target.exists() { &target } else { &source };
    let mut file = match fs::File::open(source) {
        Ok(file) => BufReader::with_capacity(READ_AT_ONCE, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let scan = scan(&mut file, &track.content.kind)?;
    if scan.packets == 0 {
        return Ok(None);
    }
    if *source == target {
        // A crash in between leaves a file that is as good as before; the next attempt does the same again.
        finish(&private().open(&target)?, &scan)?;
    } else {
        let torn = target.with_extension("part");
        file.rewind()?;
        let copied = private().create(true).truncate(true).open(&torn).and_then(|mut part| {
            io::copy(&mut file.take(scan.whole), &mut part)?;
            finish(&part, &scan)?;
            fs::rename(&torn, &target)
        });
        if let Err(error) = copied {
            let _ = fs::remove_file(&torn);
            return Err(error);
        }
    }
    let Content { kind, source, codec, rotation } = track.content;
    Ok(Some(Track {
        sha256: hash(&target)?,
        file: track.file,
        participant_id: track.participant_id,
        container: webm::container(&codec).into(),
        kind,
        source,
        codec,
        rotation,
        start_ms: track.start_ms,
        duration_ms: scan.duration_ms,
        packets: scan.packets,
        lost_packets: track.lost,
        bytes: fs::metadata(&target)?.len(),
        gaps: track.gaps,
    }))
}

fn media_type(track: &Track) -> String {
    let container = if track.container == "webm" { "webm" } else { "x-matroska" };
    format!("{}/{container}", track.kind)
}

/// Cuts a torn end off, and writes how long the file plays and where a player can begin.
fn finish(file: &fs::File, scan: &Scan) -> io::Result<()> {
    file.set_len(scan.whole)?;
    if let Some(at) = scan.duration_at {
        file.write_all_at(&webm::duration(scan.duration_ms), at)?;
    }
    if let Some(at) = scan.seek_head_at {
        // The file plays without them too: where there is no room left on the disk, it has none.
        let seek_head = match file.write_all_at(&webm::cues(&scan.cues), scan.whole) {
            Ok(()) => webm::seek_head(scan.whole - scan.segment),
            Err(error) if is_full(&error) => {
                file.set_len(scan.whole)?;
                webm::no_seek_head()
            }
            Err(error) => return Err(error),
        };
        file.write_all_at(&seek_head, at)?;
    }
    file.sync_all()
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// All attempts, those too that never were in the call. `last_media` is where the media of each end.
fn attempts(
    order: &BotOrder,
    story: &Story,
    last_media: &HashMap<u32, u64>,
    end_ms: u64,
) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut recorded_until: Option<u64> = None;
    let last = if order.finalize.is_some() { order.epoch - 1 } else { order.epoch };
    for attempt in 1..=last {
        let Some((index, stay)) =
            story.attempts.iter().enumerate().find(|(_, stay)| stay.attempt == attempt)
        else {
            attempts.push(Attempt {
                attempt,
                joined_ms: None,
                ended_ms: None,
                outcome: "never_joined".into(),
                gap_ms: None,
            });
            continue;
        };
        let until = story.attempts.get(index + 1).map_or(end_ms, |next| next.joined_ms);
        let last_media = last_media.get(&attempt).copied();
        let said = stay.left_ms.or(stay.handed_over_ms);
        let ended_ms = said.or(last_media).unwrap_or(stay.joined_ms).min(until);
        let outcome = match (stay.left_ms, stay.handed_over_ms) {
            (Some(_), _) => "left",
            (None, Some(_)) => "handed_over",
            (None, None) => "lost",
        };
        attempts.push(Attempt {
            attempt,
            joined_ms: Some(stay.joined_ms),
            ended_ms: Some(ended_ms),
            outcome: outcome.into(),
            gap_ms: recorded_until.map(|until| stay.joined_ms.saturating_sub(until)),
        });
        recorded_until = Some(ended_ms);
    }
    attempts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use meetbot_types::{Cause, LeaveReason, Timestamp};

    use super::*;
    use xtask::ffmpeg;

    use crate::recording::{
        Counters, Mode, Recording, files::tests::open_to_others, journal::Line, orders::order,
        track::tests::write_voice,
    };

    /// An attempt that recorded a second of Ann's voice, and lost the meeting or not; it leaves when the meeting is over.
    fn attempt(order: &BotOrder, at: Instant, loses: bool) -> Manifest {
        let wall = Timestamp::UNIX_EPOCH;
        let mut recording = Recording::open(order, (at, wall), Counters::default()).unwrap();
        let file = "audio.Ann.webm".to_owned();
        write_voice(&folder_of(order, order.epoch).join(&file), 50);
        let track = Line::Track {
            attempt: order.epoch,
            at_ms: 0,
            file,
            participant_id: "1".to_owned(),
            content: Content::default(),
        };
        recording.journal.push(&track).unwrap();
        if loses {
            recording.connection_lost(at + Duration::from_secs(2)).unwrap();
        }
        let reason = LeaveReason::MeetingEnded;
        recording.close(at + Duration::from_secs(40), Some(reason.clone())).unwrap();
        let end = |has_media| Cause::Left(reason).ending(has_media, false);
        finalize(order, true, &CancellationToken::new(), end).unwrap().unwrap();
        let manifest = folder_of(order, order.epoch).join(MANIFEST);
        serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap()
    }

    #[test]
    fn a_player_finds_the_cues_of_a_finished_file_and_finishing_it_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let order = order(folder.path(), 1);
        let track = &attempt(&order, crate::clock::now(), false).tracks[0];
        let path = folder_of(&order, 1).join(&track.file);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(track.bytes, bytes.len() as u64);
        let found = scan(&mut &*bytes, &track.kind).unwrap();
        let whole = usize::try_from(found.whole).unwrap();
        assert_eq!(bytes[whole..], webm::cues(&found.cues));
        let room = usize::try_from(found.seek_head_at.unwrap()).unwrap();
        let leads = webm::seek_head(found.whole - found.segment);
        assert_eq!(bytes[room..room + webm::SEEK_HEAD_BYTES], leads);
        ffmpeg::decodes(&path);

        finish(&private().open(&path).unwrap(), &found).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_file_of_an_older_program_which_has_no_room_stays_without_cues() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audio.Ann.webm");
        write_voice(&path, 50);
        let mut bytes = fs::read(&path).unwrap();
        let room =
            usize::try_from(scan(&mut &*bytes, &MediaKind::Audio).unwrap().seek_head_at.unwrap());
        bytes.drain(room.unwrap()..room.unwrap() + webm::SEEK_HEAD_BYTES);
        private().truncate(true).open(&path).unwrap().write_all(&bytes).unwrap();
        let found = scan(&mut &*bytes, &MediaKind::Audio).unwrap();
        assert_eq!((found.seek_head_at, found.packets), (None, 50));
        finish(&private().open(&path).unwrap(), &found).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes.len() as u64);
        ffmpeg::decodes(&path);
    }

    fn found_after(act: fn(&mut Recording, Instant)) -> Mode {
        let folder = tempfile::tempdir().unwrap();
        let (at, wall) = (crate::clock::now(), Timestamp::UNIX_EPOCH);
        let open = |epoch| {
            let order = order(&folder.path().join("job"), epoch);
            Recording::open(&order, (at, wall), Counters::default()).unwrap()
        };
        let mut recording = open(1);
        act(&mut recording, at);
        drop(recording);
        open(2).mode()
    }

    #[test]
    fn what_a_recording_was_told_is_on_disk_before_it_is_said_to_be_done() {
        assert_eq!(found_after(|_, _| ()), Mode::On);
        let paused = found_after(|recording, at| recording.pause(at).unwrap());
        assert_eq!(paused, Mode::Paused { since_ms: 0 });
        let resumed = found_after(|recording, at| {
            recording.pause(at).unwrap();
            recording.resume(at).unwrap();
        });
        assert_eq!(resumed, Mode::On);
        assert_eq!(found_after(|recording, at| recording.stop(at).unwrap()), Mode::Stopped);
    }

    #[test]
    fn a_meeting_that_ended_while_the_way_to_it_was_lost_is_not_recorded_whole() {
        for loses in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let order = order(&folder.path().join("job"), 1);
            let manifest = attempt(&order, crate::clock::now(), loses);
            assert_eq!(manifest.leave_reason, Some(LeaveReason::MeetingEnded));
            assert_eq!(manifest.complete, !loses, "{manifest:#?}");
        }
    }

    #[test]
    fn media_from_just_before_an_attempt_joined_do_not_count_for_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let at = crate::clock::now();
        let order = |epoch| order(&folder.path().join("job"), epoch);
        for (epoch, file, at_ms) in [(1, "audio.Ann.webm", 0), (2, "audio.Ann.a2.webm", 9_999)] {
            let at = at + Duration::from_secs(10) * (epoch - 1);
            let wall = Timestamp::from_millis(10_000 * i64::from(epoch - 1));
            let mut recording =
                Recording::open(&order(epoch), (at, wall), Counters::default()).unwrap();
            write_voice(&folder_of(&order(epoch), epoch).join(file), 50);
            let (file, participant_id) = (file.to_owned(), "1".to_owned());
            let content = Content::default();
            let track = Line::Track { attempt: epoch, at_ms, file, participant_id, content };
            recording.journal.push(&track).unwrap();
            recording.flush().unwrap();
        }
        let end = |has_media| Cause::Left(LeaveReason::MeetingEnded).ending(has_media, false);
        finalize(&order(2), true, &CancellationToken::new(), end).unwrap().unwrap();
        let manifest = folder_of(&order(2), 2).join(MANIFEST);
        let manifest: Manifest = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
        let [first, second] = manifest.attempts.as_slice() else { panic!("{manifest:#?}") };
        assert_eq!((first.ended_ms, second.joined_ms), (Some(1_000), Some(10_000)));
        assert_eq!(second.gap_ms, Some(9_000));
    }

    #[test]
    fn nothing_that_two_attempts_leave_on_disk_is_open_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let job = folder.path().join("recordings/job");
        let manifest = attempt(&order(&job, 1), crate::clock::now(), false);
        let file = folder_of(&order(&job, 1), 1).join(&manifest.tracks[0].file);
        assert!(file.exists());
        let end = |has_media| Cause::Left(LeaveReason::MeetingEnded).ending(has_media, false);
        finalize(&order(&job, 2), false, &CancellationToken::new(), end).unwrap().unwrap();
        assert!(job.join("e2").join(&manifest.tracks[0].file).exists());
        assert_eq!(open_to_others(&folder.path().join("recordings")), Vec::<String>::new());
    }
}
