//! Tests with delayed packets and stalled clocks: audio and video keep their places and stay in sync.

use std::{path::Path, process::Command, time::Duration};

use meetbot_types::{
    Manifest,
    bot::{BotReport, MediaKind},
    manifest::Track,
};
use tempfile::TempDir;
use xtask::{
    ffmpeg::beeps_ms,
    janus::{Janus, ROOM},
};

use super::{
    media::{beeps, flashes},
    person::{Person, Sends},
    proxy::Proxy,
    video::{apart, marks},
};
use crate::orchestrator::Fixture;

/// How far a beep may be from its place, in ms.
const NEAR: u64 = 40;
/// How long each person's packets are delayed, in ms.
const DELAYED: [(&str, u64); 5] =
    [("Ann", 0), ("Bob", 500), ("Cy", 1_600), ("Dee", 2_600), ("Eli", 10_000)];
/// How many packets of 20 ms people send before the first fault. A beep counts if none of the seven packets around it is lost, which at 5 % loss is
/// true for 70 of 100: at least one of nine beeps is complete, except in one run in 50,000.
const BEFORE: u64 = 450;
/// Whose microphone stalls, and for how long, in ms.
const STALLED: (&str, u64) = ("Fay", 1_600);

fn of<'a>(manifest: &'a Manifest, name: &str, kind: &MediaKind) -> &'a Track {
    let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
    let mut theirs = manifest.tracks.iter().filter(|track| track.participant_id == person.id);
    theirs.find(|track| track.kind == *kind).unwrap()
}

/// How long before a gap a beep that the gap may hide begins: a beep lasts 100 ms.
const BEEP_MS: u64 = 120;

/// The times of marks without a gap near them.
fn whole(track: &Track, marks: Vec<u64>) -> Vec<u64> {
    let touched = |mark: &u64| {
        let begins = mark.saturating_sub(BEEP_MS)..*mark + 20;
        track.gaps.iter().any(|gap| gap.start_ms < begins.end && gap.end_ms > begins.start)
    };
    marks.into_iter().filter(|mark| !touched(mark)).collect()
}

/// Fails if beeps of a track are not at whole seconds after the first.
fn keeps_time(track: &Track, beeps: &[u64]) {
    for beep in beeps {
        let since = beep - beeps[0];
        assert!(since.abs_diff((since + 500) / 1_000 * 1_000) <= NEAR, "{beeps:?} {track:#?}");
    }
}

/// Fails unless all marks are at their times. `loses` is whether packets are lost.
fn judge(folder: &Path, manifest: &Manifest, loses: bool) {
    let end_of = |track: &Track| track.start_ms + track.duration_ms;
    let end_ms = end_of(of(manifest, "Ann", &MediaKind::Audio));
    for (name, _) in DELAYED {
        let voice = of(manifest, name, &MediaKind::Audio);
        let all = marks(folder, voice);
        keeps_time(voice, &whole(voice, all.clone()));
        assert!(end_of(voice).abs_diff(end_ms) <= 150, "{voice:#?}");
        if loses {
            assert!(voice.gaps.iter().all(|gap| gap.reason == "packet_loss"), "{voice:#?}");
        } else {
            assert!(voice.gaps.is_empty() && voice.lost_packets == 0, "{voice:#?}");
            assert!(all.len() as u64 + 1 >= voice.duration_ms / 1_000, "{name}: {all:?}");
        }
        let face = of(manifest, name, &MediaKind::Video);
        let flashes = whole(face, marks(folder, face));
        assert!(flashes.len() >= 5, "{name}: {flashes:?}");
        // A flash whose first picture was lost is detected late.
        let off = flashes.iter().filter(|flash| apart(**flash, &all) > NEAR).count();
        assert!(off <= if loses { flashes.len() / 3 } else { 0 }, "{name}: {flashes:?} {all:?}");
    }

    let (name, stood_ms) = STALLED;
    let voice = of(manifest, name, &MediaKind::Audio);
    let all = marks(folder, voice);
    let beeps = whole(voice, all);
    let still = |two: &[u64]| (two[1] - two[0]) % 1_000 > 300 && (two[1] - two[0]) % 1_000 < 700;
    let at = beeps.windows(2).position(still).unwrap_or_else(|| panic!("{beeps:?}")) + 1;
    keeps_time(voice, &beeps[..at]);
    keeps_time(voice, &beeps[at..]);
    let stood = (beeps[at] - beeps[at - 1]) % 1_000;
    assert!(stood.abs_diff(stood_ms % 1_000) <= NEAR, "{beeps:?}");
    assert!(end_of(voice).abs_diff(end_ms) <= 150, "{voice:#?}");
    if !loses {
        let [gap] = voice.gaps.as_slice() else { panic!("{voice:#?}") };
        assert_eq!(gap.reason, "muted");
        assert!((gap.end_ms - gap.start_ms).abs_diff(stood_ms) <= NEAR, "{gap:?}");
        // The camera continues: after the stall, its flashes are where the beeps would be.
        let face = of(manifest, name, &MediaKind::Video);
        let last = beeps[beeps.len() - 1];
        for flash in marks(folder, face) {
            if flash + BEEP_MS <= gap.start_ms {
                assert!(apart(flash, &beeps[..at]) <= NEAR, "{flash} {beeps:?}");
            } else if flash >= gap.end_ms + 1_000 && flash + stood < last + NEAR {
                assert!(apart(flash + stood, &beeps[at..]) <= NEAR, "{flash} {beeps:?}");
            }
        }
    }
}

/// The times of beeps in the output of `janus-pp-rec` for Janus' recording, if it is installed.
fn beeps_by_janus(recorded: &Path) -> Option<Vec<u64>> {
    let (from, to) = (recorded.with_extension("mjr"), recorded.with_extension("opus"));
    let made = Command::new("janus-pp-rec").args([&from, &to]).output().ok()?;
    assert!(made.status.success(), "{made:?}");
    Some(beeps_ms(&to))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_and_video_keep_their_times_through_stalls_of_the_network_and_of_clocks() {
    let Some(janus) = Janus::start() else { return };
    let proxy = Proxy::start(&janus, 5).await;
    let folder = TempDir::new().unwrap();
    let record = folder.path().join("dee");
    let (voice, camera) = (Some(beeps()), Some(flashes()));
    let sends = Sends { voice, camera, ..Sends::default() };
    let mut people = Vec::new();
    for (name, _) in DELAYED.iter().chain([&STALLED]) {
        let record = (*name == "Dee").then(|| record.clone());
        people.push(Person::join(&janus, ROOM, name, Sends { record, ..sends.clone() }).await);
    }
    let (near, far) = (Fixture::start().await, Fixture::start().await);
    let mut bots = Vec::new();
    for (fixture, link) in [(&near, janus.link(ROOM, "")), (&far, proxy.link(ROOM))] {
        let mut order = fixture.order_for(1, &link);
        order.auto_leave.after_solo_seconds = Some(1);
        bots.push(Fixture::run(order));
        fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    }
    people[0].sent(people[0].packets() + BEFORE).await;
    for (person, (_, ms)) in people.iter().zip(DELAYED) {
        person.delay_packets(Duration::from_millis(ms));
    }
    people[DELAYED.len()].stall_microphone(Duration::from_millis(STALLED.1));
    people[0].sent(people[0].packets() + 700).await;
    for person in people {
        person.leave().await;
    }
    for bot in bots {
        bot.finish().await;
    }
    judge(&near.folder(1), &near.manifest(1), false);
    judge(&far.folder(1), &far.manifest(1), true);

    let recorded = folder.path().join("dee-audio-0");
    if let Some(theirs) = beeps_by_janus(&recorded) {
        let ours =
            beeps_ms(&near.folder(1).join(&of(&near.manifest(1), "Dee", &MediaKind::Audio).file));
        let since_last = |beeps: &[u64]| -> Vec<u64> {
            beeps.iter().rev().take(ours.len()).map(|beep| beeps[beeps.len() - 1] - beep).collect()
        };
        assert!(theirs.len() >= 10, "{theirs:?}");
        for (ours, theirs) in since_last(&ours).into_iter().zip(since_last(&theirs)) {
            assert!(ours.abs_diff(theirs) <= NEAR, "{ours:?} {theirs:?}");
        }
    }
}
