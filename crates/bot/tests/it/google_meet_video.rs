//! Tests of cameras and shared screens of the imitation of Google Meet, recorded with Debian's Chromium.

use std::{path::Path, process::Command};

use meetbot_imitation::{Action, Dialect, Imitation, Scenario, Signal, Sound, Video};
use meetbot_types::{
    ControlAction,
    bot::{BotOrder, BotReport, MediaKind},
    manifest::{Manifest, Track},
};

use crate::{
    google_meet::{has_chromium, order, says, step},
    orchestrator::{Fixture, command},
};

const ANN: &str = "Ann Host";
const BEN: &str = "Ben Weber";
/// The largest offset between audio and video (ITU-R BT.1359-1: people notice 45 ms before, 125 ms after).
const MOST_APART_MS: f64 = 80.0;

/// Records a meeting in which Ann's camera is on, Ben shares a screen, and both speak; then the bot leaves.
async fn recorded(scenario: Scenario) -> (Fixture, Imitation, Manifest) {
    let steps = vec![step(Signal::Knocked, &[Action::Admit])];
    let imitation = meetbot_imitation::serve(Scenario { steps, ..scenario }).await.unwrap();
    let fixture = Fixture::start().await;
    let bot = Fixture::run(BotOrder { record_video: Some(true), ..order(&fixture, &imitation) });
    fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
    imitation.act(Action::Camera { person: ANN.to_owned(), on: true });
    imitation.act(Action::Present { person: BEN.to_owned(), on: true });
    let shown = |of: &str, pictures: u64| {
        let of = of.to_owned();
        move |seen: &meetbot_imitation::Observed| {
            let all = seen.pictures.get(&of).or_else(|| seen.screen_pictures.get(&of));
            all >= Some(&pictures)
        }
    };
    imitation.until(shown(ANN, 10)).await;
    imitation.act(says(ANN, 2_000));
    imitation.until(|seen| seen.sent.get(ANN) >= Some(&100)).await;
    imitation.act(says(BEN, 1_000));
    let seen = imitation.until(|seen| seen.sent.get(BEN) >= Some(&50)).await;
    let (cameras, screens) = (seen.pictures[ANN], seen.screen_pictures[BEN]);
    imitation.until(shown(ANN, cameras + 10)).await;
    imitation.until(shown(BEN, screens + 10)).await;
    fixture.command(command(1, ControlAction::LeaveCall, None));
    bot.finish().await;
    let manifest = fixture.manifest(1);
    let seen = imitation.observed();
    assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
    assert_eq!(seen.takes_video, Some(true));
    (fixture, imitation, manifest)
}

fn track<'a>(manifest: &'a Manifest, name: &str, kind: &MediaKind) -> &'a Track {
    let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
    let is_it = |track: &&Track| track.participant_id == person.id && track.kind == *kind;
    manifest.tracks.iter().find(is_it).unwrap_or_else(|| panic!("{name}: {manifest:#?}"))
}

/// The start and end of white pictures in a file, in ms of the recording.
fn white(folder: &Path, track: &Track) -> (f64, f64) {
    let shown = Command::new("ffmpeg")
        .args(["-v", "repeat+error", "-i"])
        .arg(folder.join(&track.file))
        .args(["-fps_mode", "passthrough", "-vf"])
        .arg("signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-")
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    // ffmpeg's null muxer complains about two pictures within a millisecond; that message is ignored, and `repeat` prints it in place of a count.
    let said = String::from_utf8_lossy(&shown.stderr);
    let wrong = said.lines().find(|line| !line.contains("increasing dts to muxer"));
    assert!(shown.status.success() && wrong.is_none(), "{said}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let (mut at, mut begins, mut ends) = (0.0, None, None);
    for line in text.lines() {
        if let Some((_, time)) = line.split_once("pts_time:") {
            at = time.trim().parse::<f64>().unwrap() * 1_000.0 + track.start_ms as f64;
        } else if let Some((_, light)) = line.split_once("YAVG=") {
            let is_white = light.parse::<f64>().unwrap() > 128.0;
            match (is_white, begins, ends) {
                (true, None, _) => begins = Some(at),
                (false, Some(_), None) => ends = Some(at),
                _ => {}
            }
        }
    }
    (begins.unwrap_or_else(|| panic!("never white: {text}")), ends.unwrap())
}

/// The start and end of a voice in a file, in ms of the recording.
fn loud(folder: &Path, track: &Track) -> (f64, f64) {
    const PER_MS: usize = 48;
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(folder.join(&track.file))
        .args(["-f", "s16le", "-ac", "1", "-ar", "48000", "-"])
        .output()
        .unwrap();
    let samples: Vec<i16> =
        decoded.stdout.as_chunks::<2>().0.iter().map(|it| i16::from_le_bytes(*it)).collect();
    let is_loud = |piece: &[i16]| piece.iter().any(|sample| sample.unsigned_abs() > 300);
    let loud: Vec<bool> = samples.chunks(PER_MS).map(is_loud).collect();
    let at = |place: usize| (place as u64 + track.start_ms) as f64;
    let (first, last) = (loud.iter().position(|it| *it), loud.iter().rposition(|it| *it));
    (at(first.unwrap()), at(last.unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_and_screens_are_recorded_unchanged_and_in_sync_with_the_voice() {
    if !has_chromium() {
        return;
    }
    for (dialect, sound, video, codec, container) in [
        (Dialect::Labels, Sound::Native, Video::Vp8, "vp8", "webm"),
        (Dialect::Text, Sound::NetEq, Video::H264, "h264", "matroska"),
        (Dialect::Labels, Sound::NetEq, Video::Vp9, "vp9", "webm"),
    ] {
        let scenario = Scenario { dialect, sound, video, ..Scenario::default() };
        let (fixture, imitation, manifest) = recorded(scenario).await;
        let seen = imitation.observed();
        assert!(manifest.unavailable.is_empty(), "{manifest:#?}");
        assert_eq!(manifest.tracks.len(), 4, "{manifest:#?}");
        for (name, source, sent) in
            [(ANN, "camera", seen.pictures[ANN]), (BEN, "screen", seen.screen_pictures[BEN])]
        {
            let picture = track(&manifest, name, &MediaKind::Video);
            let is = (picture.source.as_str(), picture.codec.as_str(), picture.container.as_str());
            assert_eq!(is, (source, codec, container));
            // Pictures from before the roster named their owner are included. Those of the last second, in which the bot leaves, may be missing.
            assert!(picture.packets + 25 >= sent, "{name}: {sent} were sent: {picture:?}");
            let folder = fixture.folder(1);
            let (voice, shown) =
                (loud(&folder, track(&manifest, name, &MediaKind::Audio)), white(&folder, picture));
            let apart = [shown.0 - voice.0, shown.1 - voice.1];
            println!("{codec}, {source}: the picture is {apart:?} ms after the voice");
            assert!(apart.iter().all(|apart| apart.abs() <= MOST_APART_MS), "{apart:?}");
        }
        imitation.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_cannot_be_recorded_are_unavailable_in_the_manifest() {
    if !has_chromium() {
        return;
    }
    for (video, codec) in [(Video::Av1, "av1"), (Video::Vp9Layers, "vp9")] {
        let (_fixture, imitation, manifest) =
            recorded(Scenario { video, ..Scenario::default() }).await;
        assert!(
            manifest.tracks.iter().all(|track| track.kind == MediaKind::Audio),
            "{manifest:#?}"
        );
        let mut unavailable: Vec<_> = manifest
            .unavailable
            .iter()
            .map(|it| {
                let of = |person: &&meetbot_types::manifest::ManifestParticipant| {
                    person.id == it.participant_id
                };
                let name = manifest.participants.iter().find(of).unwrap().name.as_str();
                assert!(!it.missing_because.is_empty() && it.kind == MediaKind::Video);
                (name, it.source.as_str(), it.codec.as_str())
            })
            .collect();
        unavailable.sort_unstable();
        assert_eq!(unavailable, [(ANN, "camera", codec), (BEN, "screen", codec)]);
        imitation.stop().await;
    }
}
