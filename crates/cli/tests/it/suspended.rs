//! A server that is stopped (SIGSTOP) for a few seconds in a meeting, and finds in its sockets what came meanwhile.

use std::time::{Duration, Instant};

use meetbot::{JobStatus, NewJob};
use meetbot_types::{bot::MediaKind, manifest::Track};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use xtask::{
    ffmpeg::{beeps_ms, flashes_ms},
    janus::{Janus, ROOM},
};

use crate::{
    janus::{
        media::{beeps, flashes},
        person::{Person, Sends},
        serve,
    },
    program::{await_job, client, manifest_of, meetbot, run},
};

/// For how long the server is stopped.
const STOPPED: Duration = Duration::from_secs(3);
/// How far a mark may be from its place, in ms.
const NEAR: u64 = 40;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the time for which a process is stopped passes on the clock"
)]
fn speech_during_a_suspended_server_keeps_its_time() {
    let Some(janus) = Janus::start() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let people = ["Ann", "Bob"].map(|name| {
        let sends = Sends { voice: Some(beeps()), camera: Some(flashes()), ..Sends::default() };
        runtime.block_on(Person::join(&janus, ROOM, name, sends))
    });
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path());
    let output = run(meetbot()
        .args(["keys", "create", "--live", "--init", "--json", "--data-dir"])
        .arg(data.path()));
    let client = client(&url, output.json()["key"].as_str().unwrap());
    let order = NewJob { meeting_url: janus.link(ROOM, ""), ..NewJob::default() };
    let id = client.dispatch_bot(order).unwrap().id;
    await_job(&client, &id, |job| job.status == JobStatus::Recording);
    let speak = |packets| runtime.block_on(people[0].sent(people[0].packets() + packets));
    speak(150);

    let pid = Pid::from_child(&server.child);
    kill_process(pid, Signal::STOP).unwrap();
    let woken = Instant::now() + STOPPED;
    while let Some(left) = woken.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    kill_process(pid, Signal::CONT).unwrap();
    speak(200);
    client.leave_bot(&id).unwrap();
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    for person in people {
        runtime.block_on(person.leave());
    }

    let manifest = manifest_of(&client, &id);
    let folder = data.path().join(format!("recordings/{id}/e1"));
    let marks = |track: &Track| -> Vec<u64> {
        let path = folder.join(&track.file);
        let sound = track.kind == MediaKind::Audio;
        let found = if sound { beeps_ms(&path) } else { flashes_ms(&path) };
        found.into_iter().map(|ms| ms + track.start_ms).collect()
    };
    let voices = manifest.tracks.iter().filter(|track| track.kind == MediaKind::Audio);
    for voice in voices.clone() {
        let beeps = marks(voice);
        // 7 s without the time in which the server was stopped, 10 s with it.
        assert!(beeps.len() >= 9 && voice.duration_ms >= 9_500, "{beeps:?} {voice:#?}");
        for beep in &beeps {
            let since = beep - beeps[0];
            assert!(since.abs_diff((since + 500) / 1_000 * 1_000) <= NEAR, "{beeps:?}");
        }
        assert!(voice.start_ms + voice.duration_ms <= manifest.duration_ms + 100, "{voice:#?}");
        assert!(voice.gaps.is_empty() && voice.lost_packets == 0, "{voice:#?}");
        let face = manifest.tracks.iter().find(|track| {
            track.kind == MediaKind::Video && track.participant_id == voice.participant_id
        });
        let flashes = marks(face.unwrap());
        assert!(flashes.len() >= 8, "{flashes:?}");
        for flash in flashes {
            let apart = beeps.iter().map(|beep| beep.abs_diff(flash)).min().unwrap();
            assert!(apart <= NEAR, "{flash} {beeps:?}");
        }
    }
    assert_eq!(voices.count(), 2, "{manifest:#?}");
}
