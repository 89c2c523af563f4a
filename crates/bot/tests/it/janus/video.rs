//! Pictures: whose, in step with the voice, from the first second on, and whole whatever goes lost.

use std::{path::Path, sync::atomic::Ordering};

use meetbot_types::{
    Manifest,
    bot::{BotReport, MediaKind},
    manifest::Track,
};
use xtask::{
    ffmpeg::{beeps_ms, flashes_ms, length_ms},
    janus::{H264_ROOM, Janus, ROOM},
};

use super::{
    media::{beeps, flashes, flashes_h264, moving},
    meetings::sent,
    person::{Person, Sends},
    proxy::Proxy,
};
use crate::orchestrator::Stage;

fn of<'a>(manifest: &'a Manifest, kind: &MediaKind, source: &str) -> &'a Track {
    let mut found =
        manifest.tracks.iter().filter(|track| track.kind == *kind && track.source == source);
    let track = found.next().unwrap_or_else(|| panic!("no {kind} of {source}: {manifest:#?}"));
    assert!(found.next().is_none(), "one {kind} of {source}: {manifest:#?}");
    track
}

/// When each mark is, in the recording's time.
fn marks(folder: &Path, track: &Track) -> Vec<u64> {
    let path = folder.join(&track.file);
    let found = if track.kind == MediaKind::Audio { beeps_ms(&path) } else { flashes_ms(&path) };
    found.into_iter().map(|ms| ms + track.start_ms).collect()
}

/// How far a mark is from the nearest of others, in ms.
fn apart(mark: u64, others: &[u64]) -> u64 {
    others.iter().map(|other| mark.abs_diff(*other)).min().unwrap()
}

/// Joins a room where someone sends, who leaves after so many packets of their voice. Answers the manifest.
async fn recorded(stage: &Stage, link: &str, person: Person, packets: u64) -> Manifest {
    let mut order = stage.order_for(1, link);
    order.auto_leave.after_solo_seconds = Some(1);
    let bot = Stage::run(order);
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    sent(&person, person.packets.load(Ordering::Relaxed) + packets).await;
    person.leave().await;
    bot.ends().await;
    stage.manifest(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn face_and_screen_are_files_apart_and_in_step_with_the_voice() {
    let Some(janus) = Janus::start() else { return };
    let sends = Sends { voice: Some(beeps()), camera: Some(flashes()), screen: Some(flashes()) };
    let ann = Person::join(&janus, ROOM, "Ann", sends).await;
    let stage = Stage::set().await;
    let manifest = recorded(&stage, &janus.link(ROOM, ""), ann, 400).await;

    let voice = of(&manifest, &MediaKind::Audio, "microphone");
    let face = of(&manifest, &MediaKind::Video, "camera");
    let screen = of(&manifest, &MediaKind::Video, "screen");
    assert_eq!((face.file.as_str(), screen.file.as_str()), ("video.Ann.webm", "screen.Ann.webm"));
    assert_eq!((face.codec.as_str(), face.container.as_str()), ("vp8", "webm"));
    let files = manifest.files.iter().filter(|file| file.media_type == "video/webm");
    assert_eq!(files.count(), 2, "{manifest:#?}");
    let beeps = marks(&stage.folder(1), voice);
    for track in [face, screen] {
        let flashes = marks(&stage.folder(1), track);
        assert!(flashes.len() >= 6 && beeps.len() >= 6, "{flashes:?} {beeps:?}");
        for flash in flashes {
            assert!(apart(flash, &beeps) <= 80, "{flash} is out of step: {beeps:?}");
        }
        let path = stage.folder(1).join(&track.file);
        assert_eq!(length_ms(&path), track.duration_ms, "{track:#?}");
        assert!(track.gaps.is_empty() && track.packets >= 150, "{track:#?}");
        assert!(track.start_ms <= 1_300, "a keyframe comes each second: {track:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h264_is_recorded_as_it_comes() {
    let Some(janus) = Janus::start() else { return };
    let sends = Sends { voice: Some(beeps()), camera: Some(flashes_h264()), ..Sends::default() };
    let ann = Person::join(&janus, H264_ROOM, "Ann", sends).await;
    let stage = Stage::set().await;
    let link = janus.link(H264_ROOM, "");
    let manifest = recorded(&stage, &link, ann, 250).await;
    let face = of(&manifest, &MediaKind::Video, "camera");
    assert_eq!((face.codec.as_str(), face.container.as_str()), ("h264", "matroska"));
    let beeps = marks(&stage.folder(1), of(&manifest, &MediaKind::Audio, "microphone"));
    let flashes = marks(&stage.folder(1), face);
    assert!(flashes.len() >= 3, "{flashes:?}");
    for flash in flashes {
        assert!(apart(flash, &beeps) <= 80, "{flash} is out of step: {beeps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_five_of_a_hundred_packets_lost_everything_plays_and_time_stands() {
    let Some(janus) = Janus::start() else { return };
    let proxy = Proxy::start(&janus, 5).await;
    let sends = Sends { voice: Some(beeps()), camera: Some(moving()), ..Sends::default() };
    let ann = Person::join(&janus, ROOM, "Ann", sends).await;
    let stage = Stage::set().await;
    // Each file is decoded by the stage, without a word of ffmpeg's.
    let manifest = recorded(&stage, &proxy.link(ROOM), ann, 750).await;
    assert!(proxy.lost.load(Ordering::Relaxed) > 30, "something was lost");

    let voice = of(&manifest, &MediaKind::Audio, "microphone");
    assert!(voice.lost_packets > 10 && !voice.gaps.is_empty(), "{voice:#?}");
    let beeps = marks(&stage.folder(1), voice);
    assert!(beeps.len() >= 13, "{beeps:?}");
    // A beep whose first packets are lost is heard late; time that slipped would move all that follow.
    let mut places: Vec<u64> = beeps.iter().map(|beep| beep % 1_000).collect();
    places.sort_unstable();
    let usual = places[places.len() / 2];
    let late = places.iter().filter(|place| place.abs_diff(usual) > 40).count();
    assert!(late * 5 <= beeps.len(), "{late} of {beeps:?} are not where the others are");
    let face = of(&manifest, &MediaKind::Video, "camera");
    // The film has its next keyframe after 10 s: one that came sooner was asked for. The first may be lost, and so may the answers.
    assert!(face.start_ms <= 6_000, "{face:#?}");
    let ends = |track: &Track| track.start_ms + track.duration_ms;
    assert!(
        ends(face) <= ends(voice) + 100,
        "no picture comes after its time: {face:#?} {voice:#?}"
    );
}
