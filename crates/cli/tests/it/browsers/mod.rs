//! A meeting of two people who sit at real browsers, on the pages that Janus brings along.

mod chromium;
mod layers;
mod pages;

use std::{path::PathBuf, process::Command};

use meetbot::{
    AutoLeaveConfig, ControlState, JobStatus, LeaveReason, NewJob, Rule, webhook::EventDetails,
};
use meetbot_types::{Manifest, bot::MediaKind, manifest::Track};
use tempfile::TempDir;
use xtask::{
    ffmpeg::{colours, decodes, tones_db},
    janus::{Janus, ROOM},
};

use self::{
    chromium::{Chromium, Tab, hears, sees},
    pages::{Pages, join_chat, join_video, stop},
};
use crate::program::{PATIENCE, client, create_live_key, manifest_of, serve_with};

/// How long they talk while they are recorded, in seconds.
const SECONDS: u64 = 30;

/// What a microphone hears: a tone, a whole number of its waves.
fn tone(folder: &TempDir, hz: u32) -> PathBuf {
    let source = format!("sine=frequency={hz}:sample_rate=48000:duration=10");
    let arguments = ["-f", "lavfi", "-i", &source, "-af", "volume=4"];
    made(folder.path().join(format!("{hz}.wav")), &arguments)
}

/// What a camera sees: a colour.
fn colour(folder: &TempDir, name: &str) -> PathBuf {
    let source = format!("color=c={name}:s=320x240:r=15:d=1");
    let arguments = ["-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p"];
    made(folder.path().join(format!("{name}.y4m")), &arguments)
}

fn made(path: PathBuf, arguments: &[&str]) -> PathBuf {
    let made = Command::new("ffmpeg").args(["-v", "error"]).args(arguments).arg(&path).status();
    assert!(made.expect("this test needs ffmpeg: apt-get install ffmpeg").success());
    path
}

/// What the browser itself did not send: where it is short of CPU, its microphone skips samples.
///
/// # Panics
/// When a gap has another reason: nothing that was sent is missing.
fn missing_ms(track: &Track) -> u64 {
    assert!(track.gaps.iter().all(|gap| gap.reason == "muted"), "{track:#?}");
    track.gaps.iter().map(|gap| gap.end_ms - gap.start_ms).sum()
}

fn track<'a>(manifest: &'a Manifest, name: &str, kind: &MediaKind) -> &'a Track {
    let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
    let mut tracks = manifest
        .tracks
        .iter()
        .filter(|track| track.participant_id == person.id && track.kind == *kind);
    let track = tracks.next().unwrap_or_else(|| panic!("no {kind} of {name}: {manifest:#?}"));
    assert!(tracks.next().is_none(), "more than one {kind} of {name}: {manifest:#?}");
    track
}

#[test]
fn two_people_in_chromium_are_recorded_into_separate_files() {
    let Some(janus) = Janus::start() else { return };
    let _pages = Pages::serve(&janus);
    let scratch = TempDir::new().unwrap();
    let people = [("Alice", 440, "red"), ("Bob", 880, "blue")];
    let mut seats = people.map(|(name, hz, colour_of_picture)| {
        let flags = [hears(&tone(&scratch, hz)), sees(&colour(&scratch, colour_of_picture))];
        let mut browser = Chromium::start(&janus, &flags);
        let tab = join_video(&mut browser, name, "");
        (browser, tab)
    });
    let [(alices, room), (bobs, bobs_room)] = &mut seats;
    alices.until(room, "$('#remote1').text() === 'Bob'");
    let chat = join_chat(alices, "Alice");

    let data = TempDir::new().unwrap();
    let settings = [("MEETBOT_BOTS_ALLOW_NETWORKS", "10.213.0.0/16")];
    let (_server, url) = serve_with(data.path(), None, &settings);
    let client = client(&url, &create_live_key(data.path()));
    let job = client
        .dispatch_bot(NewJob {
            meeting_url: janus.link(ROOM, &format!("&textroom={ROOM}")),
            display_name: Some("Notes".to_owned()),
            auto_leave: Some(AutoLeaveConfig {
                after_solo_seconds: Rule::After(1),
                ..AutoLeaveConfig::default()
            }),
            ..NewJob::default()
        })
        .unwrap();
    let id = job.id.clone();

    let mut events = client.watch(&id).unwrap().map(Result::unwrap);
    events.find(|event| event.data.status == Some(JobStatus::Recording)).expect("it records");
    alices.until(&chat, "$('#list').text().includes('Notes')");
    alices.write(&chat, "#datasend", "hello bot");
    let read = |details| match details {
        EventDetails::Chat { message } => message.sender.zip(message.text),
        _ => None,
    };
    let message = events.find_map(|event| read(event.data.details));
    assert_eq!(message, Some(("Alice".to_owned(), "hello bot".to_owned())));
    let written = client.send_chat_message(&id, "hello people").unwrap();
    assert_eq!(written.state, ControlState::Done);
    alices.until(&chat, "$('#chatroom').text().includes('Notes: hello people')");

    talk(alices, room, SECONDS);
    stop(alices, &chat);
    stop(alices, room);
    stop(bobs, bobs_room);
    let job = client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!((job.status, job.leave_reason), (JobStatus::Completed, Some(LeaveReason::Solo)));
    let manifest = manifest_of(&client, &id);
    assert!(manifest.complete, "{manifest:#?}");
    let mut names: Vec<_> = manifest.participants.iter().map(|person| &*person.name).collect();
    names.sort_unstable();
    assert_eq!((names, manifest.tracks.len()), (vec!["Alice", "Bob"], 4), "{manifest:#?}");
    for (name, hz, picture) in people {
        let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
        assert!(person.left_at.is_some() && person.speaking_ms >= SECONDS * 1_000, "{person:?}");
        let file = |track: &Track| data.path().join(format!("recordings/{id}/e1/{}", track.file));
        let voice = track(&manifest, name, &MediaKind::Audio);
        assert_eq!((voice.file.clone(), &*voice.codec), (format!("audio.{name}.webm"), "opus"));
        let own_first = if hz == 440 { [440.0, 880.0] } else { [880.0, 440.0] };
        let heard = tones_db(&file(voice), &own_first);
        assert!(heard[0] - heard[1] >= 40.0, "{name}: {heard:?}");
        let face = track(&manifest, name, &MediaKind::Video);
        assert_eq!((face.file.clone(), &*face.codec), (format!("video.{name}.webm"), "vp8"));
        for track in [voice, face] {
            decodes(&file(track));
            assert!(track.duration_ms >= SECONDS * 1_000 && track.start_ms <= 2_000, "{track:#?}");
            assert!(track.lost_packets == 0 && missing_ms(track) <= SECONDS * 100, "{track:#?}");
        }
        let pictures = colours(&file(face));
        assert!(pictures.len() as u64 >= SECONDS * 5, "{} pictures", pictures.len());
        for [red, _, blue] in pictures {
            let (own, other) = if picture == "red" { (red, blue) } else { (blue, red) };
            assert!(own > 150 && other < 100, "{name}, who is {picture}: {red} {blue}");
        }
    }
}

/// Waits until the camera has been on for so many seconds more, by its own clock.
fn talk(browser: &mut Chromium, room: &Tab, seconds: u64) {
    browser.value(
        room,
        &format!(
            "new Promise(done => {{
                const camera = $('#videolocal video').get(0), end = camera.currentTime + {seconds};
                camera.ontimeupdate = () => camera.currentTime >= end && done();
            }})"
        ),
    );
}
