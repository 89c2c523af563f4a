//! Finalises a recording: collects the files of all attempts in one folder with a manifest, which is written last. Only the mix is made later.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufReader, Write as _},
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
    journal_state::{BegunTrack, JournalState},
    late,
    levels::{self, Voices},
    mix,
    scan::{Scan, scan_until},
    webm,
};
use crate::bounds;

/// A finalised recording.
#[derive(Debug)]
pub(crate) struct Finalized {
    /// How the job ends.
    pub(crate) ending: Ending,
    /// The manifest's URI; `None` if nothing was recorded.
    pub(crate) manifest_uri: Option<String>,
    /// The length of the recording.
    pub(crate) duration_ms: u64,
    /// The total length of its pauses.
    pub(crate) paused_ms: u64,
}

/// Creates this attempt's folder, and copies the chat, the captions and the journal of the latest earlier attempt that has each, unless the attempt has a journal
/// already. Returns the folder.
pub(crate) fn carry_forward(order: &BotOrder) -> io::Result<PathBuf> {
    let own = folder_of(order, order.epoch);
    make_folder(&own)?;
    // It is copied last. After the copies were made, `late` adds what comes.
    if own.join(journal::FILE).exists() {
        return Ok(own);
    }
    for (name, keep_if_empty) in [(CHAT, false), (CAPTIONS, false), (journal::FILE, true)] {
        let target = own.join(name);
        if target.exists() {
            continue;
        }
        let source =
            (1..order.epoch).rev().map(|epoch| late::current(&folder_of(order, epoch), name));
        let Some(source) = source.into_iter().find(|path| path.exists()) else { continue };
        let mut lines = 0;
        write_whole(&target, |copy| {
            // Only complete lines: the last one may be truncated.
            journal::read::<serde::de::IgnoredAny>(&source, |line, _| {
                lines += 1;
                writeln!(copy, "{line}")
            })
        })?;
        if lines == 0 && !keep_if_empty {
            fs::remove_file(target)?;
        }
    }
    Ok(own)
}

/// Finalises the recording; `was_in_call` is whether this attempt was in the call. `end` returns the job's ending, given whether anything was recorded. `None` if
/// `stop` was cancelled meanwhile: the next attempt finalises again.
pub(crate) fn finalize(
    order: &BotOrder,
    was_in_call: bool,
    stop: &CancellationToken,
    end: impl FnOnce(bool) -> Ending,
) -> io::Result<Option<Finalized>> {
    let finalized = write_manifest(order, was_in_call, stop, end);
    if !was_in_call && !matches!(finalized, Ok(Some(_))) {
        // It contains only copies, and on a full disk each attempt would leave more of them.
        let _ = fs::remove_dir_all(folder_of(order, order.epoch));
    }
    finalized
}

/// Collects the files of all attempts in this attempt's folder, and writes the manifest last.
fn write_manifest(
    order: &BotOrder,
    was_in_call: bool,
    stop: &CancellationToken,
    end: impl FnOnce(bool) -> Ending,
) -> io::Result<Option<Finalized>> {
    // A failed join leaves evidence, but no recording.
    let before_the_call = !(1..=order.epoch).any(|epoch| folder_of(order, epoch).exists());
    let nothing =
        |ending| Some(Finalized { ending, manifest_uri: None, duration_ms: 0, paused_ms: 0 });
    if before_the_call && was_in_call {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the recording's folder is gone"));
    } else if before_the_call {
        check_nothing_is_elsewhere(order)?;
        return Ok(nothing(end(false)));
    }
    let own = carry_forward(order)?;
    late::add(order, &own)?;
    let mut journal_state = JournalState::of(&own)?;
    let begun = std::mem::take(&mut journal_state.tracks);
    let mut tracks = Vec::new();
    let mut media_ends = HashMap::<u32, u64>::new();
    let mut voices = Voices::default();
    for track in begun {
        if stop.is_cancelled() {
            return Ok(None);
        }
        let (attempt, number) = (track.attempt, track.number);
        // On one disk attempts follow one another, and a clock that was set back must not cut any of them.
        let until_ms = order.spool.as_ref().and_then(|_| journal_state.joined_after(attempt));
        let Some(track) = copy_track(order, &own, track, until_ms)? else { continue };
        let media_end = media_ends.entry(attempt).or_default();
        *media_end = (*media_end).max(track.start_ms + track.duration_ms);
        voices.add(attempt, number, &track);
        tracks.push(track);
    }
    let Some(started_at) = journal_state.started_at.filter(|_| !tracks.is_empty()) else {
        check_nothing_is_elsewhere(order)?;
        return Ok(nothing(end(false)));
    };
    let ending = end(true);
    let last_media_end = media_ends.values().max().copied();
    let left = journal_state.attempts.last().and_then(|span| span.left_ms);
    let duration_ms = left.unwrap_or(0).max(journal_state.last_ms).max(last_media_end.unwrap_or(0));
    journal_state.finish(duration_ms);
    let paused_ms = journal_state.pauses.iter().map(|pause| pause.end_ms - pause.start_ms).sum();
    let attempts = attempts(order, &journal_state, &media_ends, duration_ms);
    // Journals of the first version show a lost connection only by its gaps.
    let cut_off = journal_state.cut_off
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
    let levels = match voices.write(order, &own) {
        Ok(are_known) => are_known.then_some(levels::FILE),
        // The recording is whole without them.
        Err(error) if is_full(&error) => None,
        Err(error) => return Err(error),
    };
    for (name, media_type) in [
        (levels, "application/octet-stream"),
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
        participants: journal_state.participants,
        speaking: journal_state.speaking.spans(bounds::SPANS),
        tracks,
        unavailable: journal_state.unavailable,
        files,
        mixed,
        captions,
        chat,
        pauses: journal_state.pauses,
        attempts,
    };
    let path = own.join(MANIFEST);
    write_whole(&path, |file| Ok(serde_json::to_writer_pretty(file, &manifest)?))?;
    fs::File::open(&own)?.sync_all()?;
    if levels.is_some() {
        levels::remove_log(&own);
    }
    let path = path.canonicalize()?;
    let uri = Url::from_file_path(&path)
        .map_err(|()| io::Error::other(format!("{} is no file URL", path.display())))?;
    Ok(Some(Finalized { ending, manifest_uri: Some(uri.into()), duration_ms, paused_ms }))
}

/// Fails where an earlier attempt recorded something whose files are on the disk of another worker, and were not uploaded: they may come later.
fn check_nothing_is_elsewhere(order: &BotOrder) -> io::Result<()> {
    if order.spool.is_some() && order.begun.is_some() {
        let message = "an earlier attempt's files are on the disk of another worker";
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(())
}

/// Copies a track's file into this attempt's folder, unless it is there already, and completes it. `None` if it has no packets or is missing. `until_ms`: when the
/// next attempt was in the call. A bot that is cut off from the servers records beside its successor, which has the media from then on.
fn copy_track(
    order: &BotOrder,
    own: &Path,
    track: BegunTrack,
    until_ms: Option<u64>,
) -> io::Result<Option<Track>> {
    let target = own.join(&track.file);
    let source = folder_of(order, track.attempt).join(&track.file);
    let source = if target.exists() { &target } else { &source };
    let mut file = match fs::File::open(source) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let complete = |path: &Path| {
        let mut file = BufReader::with_capacity(READ_AT_ONCE, fs::File::open(path)?);
        let until_ms = until_ms.map(|until_ms| until_ms.saturating_sub(track.start_ms));
        let scan = scan_until(&mut file, &track.content.kind, until_ms)?;
        if scan.packets > 0 {
            complete_file(&private().open(path)?, &scan)?;
        }
        Ok::<_, io::Error>(scan)
    };
    let scan = if *source == target {
        // A crash in between leaves a usable file; the next attempt repeats the step.
        complete(&target)?
    } else {
        // The copy is scanned: the file itself still grows if its worker has more of it to upload.
        let temporary = target.with_extension("part");
        let copied = private().create(true).truncate(true).open(&temporary).and_then(|mut part| {
            io::copy(&mut file, &mut part)?;
            let scan = complete(&temporary)?;
            if scan.packets > 0 {
                fs::rename(&temporary, &target)?;
            }
            Ok(scan)
        });
        if !matches!(&copied, Ok(scan) if scan.packets > 0) {
            let _ = fs::remove_file(&temporary);
        }
        copied?
    };
    if scan.packets == 0 {
        return Ok(None);
    }
    let Content { kind, source, codec, rotation, attributed_by } = track.content;
    Ok(Some(Track {
        sha256: hash(&target)?,
        file: track.file,
        participant_id: track.participant_id,
        container: webm::container(&codec).into(),
        kind,
        source,
        codec,
        rotation,
        attributed_by,
        start_ms: track.start_ms,
        duration_ms: scan.duration_ms,
        packets: scan.packets,
        lost_packets: track.lost_packets,
        bytes: fs::metadata(&target)?.len(),
        gaps: track.gaps,
    }))
}

fn media_type(track: &Track) -> String {
    let container = if track.container == "webm" { "webm" } else { "x-matroska" };
    format!("{}/{container}", track.kind)
}

/// Completes a track's file: removes an incomplete end, and writes the duration and the cues.
fn complete_file(file: &fs::File, scan: &Scan) -> io::Result<()> {
    file.set_len(scan.whole)?;
    if let Some(at) = scan.duration_at {
        file.write_all_at(&webm::duration(scan.duration_ms), at)?;
    }
    if let Some(at) = scan.seek_head_at {
        // Cues are optional: on a full disk they are left out.
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

/// All attempts, also those that were never in the call. `media_ends` is the end of each attempt's media in ms.
fn attempts(
    order: &BotOrder,
    journal_state: &JournalState,
    media_ends: &HashMap<u32, u64>,
    end_ms: u64,
) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut recorded_until: Option<u64> = None;
    let last = if order.finalize.is_some() { order.epoch - 1 } else { order.epoch };
    for attempt in 1..=last {
        let Some((index, span)) =
            journal_state.attempts.iter().enumerate().find(|(_, span)| span.attempt == attempt)
        else {
            // Attempts before the first line of a continued recording are unknown: their journal is on the disk of another worker.
            let first = journal_state.attempts.first();
            let is_elsewhere = order.spool.is_some()
                && order.begun.is_some()
                && first.is_some_and(|first| first.attempt > attempt && first.joined_ms > 0);
            if is_elsewhere {
                recorded_until = Some(0);
            }
            attempts.push(Attempt {
                attempt,
                joined_ms: None,
                ended_ms: None,
                outcome: if is_elsewhere { "lost" } else { "never_joined" }.into(),
                gap_ms: None,
                dropped_datagrams: 0,
            });
            continue;
        };
        let until = journal_state.attempts.get(index + 1).map_or(end_ms, |next| next.joined_ms);
        let media_end = media_ends.get(&attempt).copied();
        let left_ms = span.left_ms.or(span.handed_over_ms);
        let ended_ms = left_ms.or(media_end).unwrap_or(span.joined_ms).min(until);
        let outcome = match (span.left_ms, span.handed_over_ms) {
            (Some(_), _) => "left",
            (None, Some(_)) => "handed_over",
            (None, None) => "lost",
        };
        attempts.push(Attempt {
            attempt,
            joined_ms: Some(span.joined_ms),
            ended_ms: Some(ended_ms),
            outcome: outcome.into(),
            gap_ms: recorded_until.map(|until| span.joined_ms.saturating_sub(until)),
            dropped_datagrams: span.dropped_datagrams,
        });
        recorded_until = Some(ended_ms);
    }
    attempts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use meetbot_types::{Cause, LeaveReason, RecordingState, Timestamp, bot::BegunRecording};

    use super::*;
    use xtask::ffmpeg;

    use crate::recording::{
        Counters, Mode, Recording, files::tests::open_to_others, journal::Line, orders::order,
        scan::scan, track::tests::write_voice,
    };

    /// Runs an attempt that records a second of Ann's voice, loses the connection if `loses`, and leaves when the meeting is over.
    fn attempt(order: &BotOrder, at: Instant, loses: bool) -> Manifest {
        attempt_at(order, at, Timestamp::UNIX_EPOCH, loses)
    }

    /// The same, admitted at this time of the wall clock.
    fn attempt_at(order: &BotOrder, at: Instant, wall: Timestamp, loses: bool) -> Manifest {
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
    fn a_finished_file_has_cues_and_finishing_it_again_changes_nothing() {
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

        complete_file(&private().open(&path).unwrap(), &found).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_log_of_a_finished_recording_is_finished_again_to_the_same_recording() {
        let folder = tempfile::tempdir().unwrap();
        let job = folder.path().join("job");
        let first = attempt(&order(&job, 1), crate::clock::now(), false);
        let track = &first.tracks[0];
        let path = job.join("e1").join(&track.file);
        let finished = fs::read(&path).unwrap();
        let whole = usize::try_from(scan(&mut &*finished, &track.kind).unwrap().whole).unwrap();
        // A log has the beginning of a long file as it was while the file grew, and what was added at its end; or a part of that.
        let begun = folder.path().join("audio.Ann.webm");
        write_voice(&begun, 50);
        let begun = fs::read(begun).unwrap();
        assert_ne!(begun[..whole], finished[..whole]);
        for (epoch, end) in [(2, finished.len()), (3, finished.len() - 1), (4, whole)] {
            fs::write(&path, [&begun[..whole], &finished[whole..end]].concat()).unwrap();
            let _ = fs::remove_file(job.join("e1").join(MANIFEST));
            let ending = Cause::Left(LeaveReason::MeetingEnded).ending(true, false);
            let begun = BegunRecording {
                started_at: Timestamp::UNIX_EPOCH,
                state: RecordingState::Stopped,
            };
            let order = BotOrder {
                spool: Some("w2".to_owned()),
                begun: Some(begun),
                finalize: Some(ending.clone()),
                ..order(&job, epoch)
            };
            finalize(&order, false, &CancellationToken::new(), |_| ending).unwrap().unwrap();
            let own = folder_of(&order, epoch);
            assert!(fs::read(own.join(&track.file)).unwrap() == finished, "{end}");
            let again: Manifest =
                serde_json::from_slice(&fs::read(own.join(MANIFEST)).unwrap()).unwrap();
            assert_eq!((&again.tracks, &again.files), (&first.tracks, &first.files));
            assert_eq!(again.attempts[0], first.attempts[0]);
            assert_eq!((again.complete, again.duration_ms), (epoch == 2, first.duration_ms));
            fs::remove_dir_all(own).unwrap();
        }
    }

    #[test]
    fn an_older_programs_file_without_reserved_space_stays_without_cues() {
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
        complete_file(&private().open(&path).unwrap(), &found).unwrap();
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
    fn pauses_and_stops_are_on_disk_before_they_are_reported() {
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

    /// An order for the second attempt, whose worker has none of the first one's files.
    fn continued_elsewhere(folder: &Path, state: RecordingState) -> BotOrder {
        let begun = BegunRecording { started_at: Timestamp::UNIX_EPOCH, state };
        let order = order(&folder.join("job"), 2);
        BotOrder { spool: Some("w2".to_owned()), begun: Some(begun), ..order }
    }

    #[test]
    fn a_recording_without_the_files_of_another_worker_continues_its_time_and_its_pause() {
        for (state, mode) in [
            (RecordingState::On, Mode::On),
            (RecordingState::Paused, Mode::Paused { since_ms: 60_000 }),
            (RecordingState::Stopped, Mode::Stopped),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let order = continued_elsewhere(folder.path(), state);
            let wall = Timestamp::UNIX_EPOCH + Duration::from_mins(1);
            let at = crate::clock::now();
            let recording = Recording::open(&order, (at, wall), Counters::default()).unwrap();
            assert_eq!(recording.mode(), mode);
            drop(recording);
            let again = Recording::open(&order, (at, wall), Counters::default()).unwrap();
            assert_eq!(again.mode(), mode, "the journal says so, too");
        }
        let folder = tempfile::tempdir().unwrap();
        let order = continued_elsewhere(folder.path(), RecordingState::On);
        let manifest = attempt_at(
            &order,
            crate::clock::now(),
            Timestamp::UNIX_EPOCH + Duration::from_mins(1),
            false,
        );
        assert_eq!(manifest.started_at, Timestamp::UNIX_EPOCH);
        let [first, second] = &manifest.attempts[..] else { panic!("{manifest:#?}") };
        assert_eq!((&*first.outcome, first.joined_ms, first.ended_ms), ("lost", None, None));
        assert_eq!((second.joined_ms, second.gap_ms), (Some(60_000), Some(60_000)));
        assert!(!manifest.complete);
    }

    #[test]
    fn a_pause_is_as_the_server_knows_it_where_the_earlier_journal_may_lack_its_last_seconds() {
        use RecordingState::{On, Paused, Stopped};
        let pause: fn(&mut Recording, Instant) = |it, at| it.pause(at).unwrap();
        let stop: fn(&mut Recording, Instant) = |it, at| it.stop(at).unwrap();
        let nothing: fn(&mut Recording, Instant) = |it, _| it.flush().unwrap();
        for (shipped, state, expected) in [
            (nothing, Paused, Mode::Paused { since_ms: 60_000 }),
            (nothing, Stopped, Mode::Stopped),
            (pause, On, Mode::On),
            (pause, Paused, Mode::Paused { since_ms: 0 }),
            (pause, Stopped, Mode::Stopped),
            // It was never reported, and its command comes again.
            (stop, On, Mode::Stopped),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let second = continued_elsewhere(folder.path(), state.clone());
            let (at, wall) = (crate::clock::now(), Timestamp::UNIX_EPOCH);
            let first = BotOrder { epoch: 1, begun: None, ..second.clone() };
            let mut recording = Recording::open(&first, (at, wall), Counters::default()).unwrap();
            shipped(&mut recording, at);
            let wall = wall + Duration::from_mins(1);
            for order in [second.clone(), BotOrder { epoch: 3, ..second }] {
                let recording = Recording::open(&order, (at, wall), Counters::default()).unwrap();
                assert_eq!(recording.mode(), expected, "{state:?}");
            }
        }
    }

    #[test]
    fn a_recording_that_is_on_another_worker_alone_is_not_finalised_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let begun = continued_elsewhere(folder.path(), RecordingState::On);
        let end = |has_media| Cause::Left(LeaveReason::MeetingEnded).ending(has_media, false);
        for was_in_call in [false, true] {
            let found = finalize(&begun, was_in_call, &CancellationToken::new(), end);
            assert_eq!(found.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        let nothing = BotOrder { begun: None, ..begun };
        let found = finalize(&nothing, false, &CancellationToken::new(), end).unwrap().unwrap();
        assert!(found.manifest_uri.is_none());
    }

    #[test]
    fn each_attempt_has_the_datagrams_that_were_dropped_in_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let at = crate::clock::now();
        for (epoch, dropped) in [(1, [3, 4].as_slice()), (2, &[]), (3, &[5])] {
            let order = order(&folder.path().join("job"), epoch);
            let opened = Recording::open(&order, (at, Timestamp::UNIX_EPOCH), Counters::default());
            let mut recording = opened.unwrap();
            for lost in dropped {
                recording.datagrams_dropped(*lost, at).unwrap();
            }
            recording.flush().unwrap();
        }
        let order = order(&folder.path().join("job"), 3);
        let manifest = attempt(&order, at, false);
        let dropped: Vec<_> = manifest.attempts.iter().map(|it| it.dropped_datagrams).collect();
        assert_eq!(dropped, [7, 0, 5], "{manifest:#?}");
    }

    #[test]
    fn a_meeting_that_ended_while_the_connection_was_lost_is_incomplete() {
        for loses in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let order = order(&folder.path().join("job"), 1);
            let manifest = attempt(&order, crate::clock::now(), loses);
            assert_eq!(manifest.leave_reason, Some(LeaveReason::MeetingEnded));
            assert_eq!(manifest.complete, !loses, "{manifest:#?}");
        }
    }

    #[test]
    fn media_from_just_before_an_admission_belong_to_the_new_attempt() {
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
    fn media_that_a_bot_records_beside_its_successor_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = crate::clock::now();
        let order = |epoch| {
            let order = order(&folder.path().join("job"), epoch);
            BotOrder { spool: Some("w2".to_owned()), ..order }
        };
        for (epoch, joined_ms, file) in [(1, 0, "audio.Ann.webm"), (2, 600, "audio.Ann.a2.webm")] {
            let after = Duration::from_millis(joined_ms);
            let at = (at + after, Timestamp::UNIX_EPOCH + after);
            let mut recording = Recording::open(&order(epoch), at, Counters::default()).unwrap();
            // A second of sound.
            write_voice(&folder_of(&order(epoch), epoch).join(file), 50);
            let (file, participant_id) = (file.to_owned(), "1".to_owned());
            let content = Content::default();
            let track =
                Line::Track { attempt: epoch, at_ms: joined_ms, file, participant_id, content };
            recording.journal.push(&track).unwrap();
            recording.flush().unwrap();
        }
        let end = |has_media| Cause::Left(LeaveReason::MeetingEnded).ending(has_media, false);
        for _again in 0..2 {
            finalize(&order(2), true, &CancellationToken::new(), end).unwrap().unwrap();
            let own = folder_of(&order(2), 2);
            let manifest: Manifest =
                serde_json::from_slice(&fs::read(own.join(MANIFEST)).unwrap()).unwrap();
            let spans = manifest.tracks.iter().map(|track| (track.start_ms, track.duration_ms));
            assert_eq!(spans.collect::<Vec<_>>(), [(0, 600), (600, 1_000)], "{manifest:#?}");
            assert_eq!(manifest.attempts[1].gap_ms, Some(0), "{manifest:#?}");
            for track in &manifest.tracks {
                ffmpeg::decodes(&own.join(&track.file));
            }
        }
    }

    #[test]
    fn files_of_two_attempts_are_readable_by_the_owner_only() {
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
