//! Tests with faults of Zoom: connections that fail at every step, other media than requested, pauses and repetitions.

use meetbot_bot::mix;
use meetbot_testkit::zoom::{CUT, SIGNALLING, Step, Zoom};
use meetbot_types::{
    JobStatus, Manifest,
    bot::{BotOrder, MediaKind, MixOrder, ZoomStream, ZoomStreamState},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use xtask::ffmpeg::tones_db;

use crate::{
    orchestrator::{Fixture, Running, ended, now},
    zoom::{
        CHAT, SHARE, SOUND, TRANSCRIPT, keyframe, media, order, packets, run, speak, started,
        stops, tone, zoom,
    },
};

const CAMERAS: u64 = 2;

/// Ends a meeting, and returns its complete manifest.
async fn recorded(zoom: &Zoom, fixture: &Fixture, bot: Running) -> Manifest {
    zoom.has_sent_all(&[SOUND]).await;
    zoom.play(stops(6)).await;
    bot.finish().await;
    let reports = fixture.take_reports();
    assert_eq!(ended(&reports).0.status, JobStatus::Completed, "{reports:#?}");
    assert_eq!(zoom.faults(), Vec::<String>::new());
    fixture.manifest(1)
}

/// 20 ms of a tone as PCM samples, `number` packets after its beginning.
#[expect(clippy::cast_possible_truncation, reason = "it is between -8000 and 8000")]
fn samples(hz: f64, number: u32) -> Vec<u8> {
    let sample = |at: u32| {
        let seconds = f64::from(number * 960 + at) / 48_000.0;
        ((seconds * hz * std::f64::consts::TAU).sin() * 8_000.0) as i16
    };
    (0..960).flat_map(|at| sample(at).to_le_bytes()).collect()
}

#[tokio::test]
async fn without_opus_zooms_samples_are_recorded_and_encoded_after_the_job() {
    let (zoom, fixture) = zoom().await;
    zoom.refuse(SOUND, &[20]);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    let from_ms = now().as_millis() - 5_000;
    let people = [(101, "Ada", 400.0), (102, "Bea", 900.0)];
    for number in 0..100_u32 {
        let at_ms = from_ms + i64::from(number) * 20;
        for (id, name, hz) in people {
            // Bea is silent for half a second.
            if id == 101 || !(40..65).contains(&number) {
                let packet = media(14, id, name, &samples(hz, number), at_ms);
                zoom.play([Step::Say(SOUND, packet)]).await;
            }
        }
    }
    let manifest = recorded(&zoom, &fixture, bot).await;
    assert_eq!((packets(&manifest, "101"), packets(&manifest, "102")), (100, 75));
    for (place, (id, name, _)) in people.into_iter().enumerate() {
        let is_its = |id: i64| {
            move |track: &&meetbot_types::manifest::Track| track.participant_id == id.to_string()
        };
        let track = manifest.tracks.iter().find(is_its(id)).unwrap();
        assert_eq!(track.file, format!("audio.{name}.mka"));
        assert_eq!((track.codec.as_str(), track.container.as_str()), ("pcm_s16le", "matroska"));
        assert!(track.duration_ms.abs_diff(2_000) <= 3, "{track:?}");
        let heard = tones_db(&fixture.folder(1).join(&track.file), &[400.0, 900.0]);
        assert!(heard[place] - heard[1 - place] > 40.0, "{name}: {heard:?}");
    }
    let silent: Vec<_> = manifest.tracks.iter().flat_map(|track| &track.gaps).collect();
    assert!(
        matches!(&silent[..], [gap] if (490..=510).contains(&(gap.end_ms - gap.start_ms))),
        "{silent:?}"
    );
    let order = MixOrder { folder: fixture.folder(1), unwanted: None };
    let mixed = mix(&order, &CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!(mixed, fixture.manifest(1), "every file is listed");
    for (place, (_, name, _)) in people.into_iter().enumerate() {
        let listed = |file: &str| mixed.files.iter().any(|it| it.name == file);
        let (webm, mka) = (format!("audio.{name}.webm"), format!("audio.{name}.mka"));
        assert!(listed(&webm) && listed(&mka), "{:?}", mixed.files);
        let track = mixed.tracks.iter().find(|track| track.file == webm).unwrap();
        assert_eq!((track.codec.as_str(), track.container.as_str()), ("opus", "webm"));
        let heard = tones_db(&fixture.folder(1).join(&webm), &[400.0, 900.0]);
        assert!(heard[place] - heard[1 - place] > 40.0, "{name}: {heard:?}");
    }
    assert_eq!(mixed.mixed.file.as_deref(), Some("audio.mixed.webm"));
}

#[tokio::test]
async fn the_camera_of_the_active_speaker_is_in_that_persons_file() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let (picture, voice) = (keyframe(folder.path()), tone(folder.path(), 400));
    fixture.zoom_stream(started(&zoom, 1));
    let mut order = order(&fixture);
    order.zoom.as_mut().unwrap().video = true;
    let bot = run(&zoom, order);
    let from_ms = now().as_millis() - 5_000;
    for (number, id, name) in [(0, 101, "Ada"), (1, 101, "Ada"), (2, 102, "Bea"), (3, 101, "Ada")] {
        let at_ms = from_ms + number * 40;
        zoom.play([Step::Say(CAMERAS, media(15, id, name, &picture, at_ms))]).await;
    }
    zoom.play(speak(&[(101, "Ada", &voice[..10])], from_ms)).await;
    zoom.has_sent_all(&[CAMERAS]).await;
    let manifest = recorded(&zoom, &fixture, bot).await;
    let pictures = |id: &str| -> u64 {
        let of = |track: &&meetbot_types::manifest::Track| {
            track.participant_id == id && track.source == "camera" && track.kind == MediaKind::Video
        };
        manifest.tracks.iter().filter(of).map(|track| track.packets).sum()
    };
    assert_eq!((pictures("101"), pictures("102")), (3, 1), "{manifest:#?}");
}

#[tokio::test]
async fn a_job_without_cameras_records_only_the_shared_screen() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let (picture, voice) = (keyframe(folder.path()), tone(folder.path(), 400));
    fixture.zoom_stream(started(&zoom, 1));
    let mut order = BotOrder { record_video: Some(false), ..order(&fixture) };
    // The order of a server with an older version.
    order.zoom.as_mut().unwrap().video = true;
    let bot = run(&zoom, order);
    let from_ms = now().as_millis() - 5_000;
    zoom.play([
        Step::Say(CAMERAS, media(15, 101, "Ada", &picture, from_ms)),
        Step::Say(SHARE, media(16, 101, "Ada", &picture, from_ms)),
    ])
    .await;
    zoom.play(speak(&[(101, "Ada", &voice[..10])], from_ms)).await;
    zoom.has_sent_all(&[CAMERAS, SHARE]).await;
    let manifest = recorded(&zoom, &fixture, bot).await;
    let mut sources: Vec<_> = manifest.tracks.iter().map(|track| track.source.as_str()).collect();
    sources.sort_unstable();
    assert_eq!(sources, ["microphone", "screen"], "{manifest:#?}");
}

#[tokio::test]
async fn cameras_that_zoom_refuses_do_not_affect_the_audio() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    zoom.refuse(CAMERAS, &[10]);
    fixture.zoom_stream(started(&zoom, 1));
    let mut order = order(&fixture);
    order.zoom.as_mut().unwrap().video = true;
    let bot = run(&zoom, order);
    zoom.play(speak(&[(101, "Ada", &voice)], now().as_millis() - 5_000)).await;
    let manifest = recorded(&zoom, &fixture, bot).await;
    assert_eq!(packets(&manifest, "101"), voice.len() as u64);
}

#[tokio::test]
async fn a_connection_that_fails_at_any_step_loses_and_duplicates_nothing() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    // Once before each handshake is answered. A stream that another connection has is requested again.
    for line in [SIGNALLING, SOUND, SHARE, TRANSCRIPT, CHAT] {
        zoom.refuse(line, &[CUT]);
    }
    zoom.refuse(SIGNALLING, &[8]);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    let mut steps = speak(&[(101, "Ada", &voice)], now().as_millis() - 5_000).into_iter();
    for line in [SIGNALLING, SOUND, SHARE, TRANSCRIPT, CHAT] {
        zoom.play(steps.by_ref().take(12)).await;
        zoom.play([Step::Cut(line)]).await;
        zoom.connects(line, 2).await;
    }
    // Zoom reports that the audio is interrupted, and then the whole stream.
    let event = json!({"msg_type": 6, "event": {"event_type": 7, "media_type": SOUND}});
    zoom.play([Step::Say(SIGNALLING, event)]).await;
    zoom.connects(SOUND, 3).await;
    zoom.play(steps.by_ref().take(12)).await;
    let interrupted = ZoomStreamState::Interrupted;
    fixture.zoom_stream(ZoomStream { state: interrupted, ..started(&zoom, 2) });
    zoom.connects(SIGNALLING, 3).await;
    zoom.connects(SOUND, 4).await;
    zoom.play(steps).await;
    let manifest = recorded(&zoom, &fixture, bot).await;
    assert_eq!(packets(&manifest, "101"), voice.len() as u64, "{manifest:#?}");
    let track = &manifest.tracks[0];
    assert!(track.gaps.is_empty() && track.duration_ms.abs_diff(2_000) <= 40, "{track:?}");
}

#[tokio::test]
async fn a_pause_of_the_stream_is_a_gap_and_later_media_keep_their_time() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    let from_ms = now().as_millis() - 8_000;
    let becomes = |state: u64| Step::Say(SIGNALLING, json!({"msg_type": 8, "state": state}));
    zoom.play(speak(&[(101, "Ada", &voice[..50])], from_ms)).await;
    zoom.play([becomes(5), becomes(6)]).await;
    zoom.play(speak(&[(101, "Ada", &voice[50..])], from_ms + 4_000)).await;
    let manifest = recorded(&zoom, &fixture, bot).await;
    let track = &manifest.tracks[0];
    assert_eq!(track.packets, voice.len() as u64);
    let [gap] = track.gaps.as_slice() else { panic!("{track:?}") };
    assert!((2_950..=3_050).contains(&(gap.end_ms - gap.start_ms)), "{gap:?}");
}

#[tokio::test]
async fn a_silence_of_65_seconds_is_a_gap_and_does_not_end_the_recording() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    // Everything is replayed from the past: only the timestamps contain the silence.
    let from_ms = now().as_millis() - 69_000;
    zoom.play(speak(&[(101, "Ada", &voice[..50])], from_ms)).await;
    zoom.play(speak(&[(101, "Ada", &voice[50..])], from_ms + 66_000)).await;
    let manifest = recorded(&zoom, &fixture, bot).await;
    let track = &manifest.tracks[0];
    assert_eq!((manifest.tracks.len(), track.packets), (1, voice.len() as u64));
    let [gap] = track.gaps.as_slice() else { panic!("{track:?}") };
    assert!((64_950..=65_050).contains(&(gap.end_ms - gap.start_ms)), "{gap:?}");
}

#[tokio::test]
async fn connections_that_zoom_closes_after_missed_keep_alives_are_reopened_without_loss() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    let from_ms = now().as_millis() - 69_000;
    zoom.play(speak(&[(101, "Ada", &voice[..50])], from_ms)).await;
    zoom.has_sent_all(&[SOUND]).await;
    // After 65 s without an answer Zoom closes both connections; signalling may be reopened within a minute.
    zoom.play([Step::Cut(SOUND), Step::Cut(SIGNALLING)]).await;
    zoom.connects(SIGNALLING, 2).await;
    zoom.connects(SOUND, 2).await;
    zoom.play(speak(&[(101, "Ada", &voice[50..])], from_ms + 66_000)).await;
    let manifest = recorded(&zoom, &fixture, bot).await;
    assert_eq!(packets(&manifest, "101"), voice.len() as u64, "{manifest:#?}");
    let gaps: u64 = manifest
        .tracks
        .iter()
        .flat_map(|track| &track.gaps)
        .map(|gap| gap.end_ms - gap.start_ms)
        .sum();
    assert!((64_950..=65_050).contains(&gaps), "{manifest:#?}");
}

#[tokio::test]
async fn a_mixed_stream_has_no_speaker_names() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    zoom.play(speak(&[(-1, "", &voice)], now().as_millis() - 5_000)).await;
    let manifest = recorded(&zoom, &fixture, bot).await;
    let person = manifest.participants.iter().find(|person| person.id == "mix").unwrap();
    assert_eq!(
        (person.name.as_str(), packets(&manifest, "mix")),
        ("Everybody", voice.len() as u64)
    );
}

#[tokio::test]
async fn if_zoom_refuses_opus_and_samples_the_job_ends_with_its_reason() {
    let (zoom, fixture) = zoom().await;
    zoom.refuse(SOUND, &[18, 20]);
    fixture.zoom_stream(started(&zoom, 1));
    run(&zoom, order(&fixture)).finish().await;
    let failure = ended(&fixture.take_reports()).0.failure.unwrap();
    assert!(failure.detail.contains("neither as Opus nor as L16"), "{failure:?}");
}

#[tokio::test]
async fn a_stopped_bot_leaves_its_stream_to_the_next_one() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    let from_ms = now().as_millis() - 5_000;
    zoom.play(speak(&[(101, "Ada", &voice[..50])], from_ms)).await;
    zoom.has_sent_all(&[SOUND]).await;
    bot.stop.cancel();
    bot.finish().await;
    let bot = run(&zoom, BotOrder { epoch: 2, joined_ms_ago: Some(1_000), ..order(&fixture) });
    zoom.connects(SIGNALLING, 2).await;
    zoom.play(speak(&[(101, "Ada", &voice[50..])], from_ms + 1_000)).await;
    zoom.has_sent_all(&[SOUND]).await;
    zoom.play(stops(6)).await;
    bot.finish().await;
    assert_eq!(ended(&fixture.take_reports()).0.status, JobStatus::Completed);
    assert_eq!(packets(&fixture.manifest(2), "101"), voice.len() as u64);
}
