//! kill −9 of the server in a meeting of other people: the recording can be played up to the kill, and the manifest states the gap.

#[expect(dead_code, reason = "shared with the tests of the bot, which use all of it")]
#[path = "../../../bot/tests/it/janus/media.rs"]
pub(crate) mod media;
#[expect(dead_code, reason = "shared with the tests of the bot, which use all of it")]
#[path = "../../../bot/tests/it/janus/person.rs"]
pub(crate) mod person;

use std::{
    hash::BuildHasher as _,
    path::Path,
    time::{Duration, SystemTime},
};

use meetbot::{Job, JobStatus, NewJob, Timestamp};
use meetbot_testkit::polling::poll_until;
use meetbot_types::{Manifest, bot::MediaKind};
use serde_json::Value;
use tempfile::TempDir;
use xtask::{
    ffmpeg::{decodes, plays_to_ms, tones_db},
    janus::{Janus, ROOM},
};

use self::person::{Person, Sends};
use crate::program::{PATIENCE, Running, await_job, client, manifest_of, meetbot, run, serve_with};

/// How many kills of the server each job lives through: a job has five attempts.
const KILLS: [u64; 3] = [4, 3, 3];
/// A server is killed within this time after its bot has joined, in ms.
const LONGEST: u64 = 3_000;
/// What a kill may cost, in ms.
const MOST_LOST: u64 = 1_000;
/// After this time in the call a bot records everyone, in ms.
const ALL_ARE_HEARD: u64 = 2_000;

/// Random moments from a seed.
struct SeededRandom(u64);

impl SeededRandom {
    /// With the seed in `MEETBOT_TEST_SEED`, or a new one.
    #[expect(clippy::print_stderr, reason = "a test that failed can be repeated")]
    fn new() -> Self {
        let seed = std::env::var("MEETBOT_TEST_SEED").ok();
        let seed = seed.map_or_else(
            || std::hash::RandomState::new().hash_one(0),
            |seed| seed.parse().expect("MEETBOT_TEST_SEED is a number"),
        );
        eprintln!("MEETBOT_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

pub(crate) fn serve(data: &Path) -> (Running, String) {
    serve_with(data, None, &[("MEETBOT_BOTS_ALLOW_NETWORKS", "10.213.0.0/16")])
}

#[expect(clippy::disallowed_methods, reason = "a moment on the recording's own clock")]
fn wall() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// The lines of an attempt's journal, but for one that is not whole; none before there is a journal.
fn journal(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The lines of `attempt` alone.
fn of_attempt<'a>(lines: &'a [Value], kind: &'a str, attempt: u64) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind && line["attempt"] == attempt).collect()
}

/// Checks the files of an attempt that was killed at `killed`; returns that moment in the recording's time.
fn left_by(folder: &Path, attempt: u64, killed: Timestamp) -> u64 {
    let lines = journal(folder);
    let first = lines.iter().find(|line| line["type"] == "started").unwrap();
    let began: Timestamp = first["startedAt"].as_str().unwrap().parse().unwrap();
    let killed_ms = u64::try_from(killed.millis_since(began)).unwrap();
    let joined_ms = of_attempt(&lines, "started", attempt)[0]["atMs"].as_u64().unwrap();
    let tracks = of_attempt(&lines, "track", attempt);
    for track in &tracks {
        let path = folder.join(track["file"].as_str().unwrap());
        let ends_ms = track["atMs"].as_u64().unwrap() + plays_to_ms(&path).unwrap_or(0);
        assert!(
            ends_ms + MOST_LOST >= killed_ms,
            "{} plays to {ends_ms} ms, and the kill was at {killed_ms} ms",
            path.display()
        );
    }
    let everyone = tracks.len() == 4;
    assert!(
        everyone || killed_ms < joined_ms + ALL_ARE_HEARD,
        "two voices and two faces: {lines:#?}"
    );
    killed_ms
}

#[test]
fn after_ten_kills_recordings_play_up_to_each_kill_and_continue() {
    let Some(janus) = Janus::start() else { return };
    let mut random = SeededRandom::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // One face has a keyframe each second, the other only when it is asked for one.
    let people = [("Ann", 440, media::moving()), ("Bob", 880, media::flashes())];
    let people = people.map(|(name, hz, camera)| {
        let voice = Some(media::tone(hz));
        let sends = Sends { voice, camera: Some(camera), ..Sends::default() };
        runtime.block_on(Person::join(&janus, ROOM, name, sends))
    });
    let data = TempDir::new().unwrap();
    let (mut server, mut url) = serve(data.path());
    let output = run(meetbot()
        .args(["keys", "create", "--live", "--init", "--json", "--data-dir"])
        .arg(data.path()));
    let key = output.json()["key"].as_str().unwrap().to_owned();
    for kills in KILLS {
        let order = NewJob { meeting_url: janus.link(ROOM, ""), ..NewJob::default() };
        let id = client(&url, &key).dispatch_bot(order).unwrap().id;
        let folder = |attempt: u64| data.path().join(format!("recordings/{id}/e{attempt}"));
        let mut killed_ms = Vec::new();
        for attempt in 1..=kills {
            let folder = folder(attempt);
            poll_until(PATIENCE, || {
                let begun = !of_attempt(&journal(&folder), "started", attempt).is_empty();
                begun.then_some(()).ok_or("the bot does not join")
            });
            std::thread::park_timeout(Duration::from_millis(random.below(LONGEST)));
            let killed = wall();
            server.kill();
            killed_ms.push(left_by(&folder, attempt, killed));
            (server, url) = serve(data.path());
        }
        let client = client(&url, &key);
        let goes_on =
            |job: &Job| u64::from(job.attempt) > kills && job.status == JobStatus::Recording;
        await_job(&client, &id, goes_on);
        client.leave_bot(&id).unwrap();
        let job = await_job(&client, &id, |job| job.status.is_final());
        assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
        let manifest = manifest_of(&client, &id);
        tells_the_truth(&manifest, &killed_ms);
        holds_what_was_sent(&manifest, &folder(kills + 1));
    }
    for person in people {
        runtime.block_on(person.leave());
    }
}

/// The manifest says when each attempt ended, and how long nobody recorded.
fn tells_the_truth(manifest: &Manifest, killed_ms: &[u64]) {
    assert!(!manifest.complete);
    assert_eq!(manifest.participants.len(), 2, "{manifest:#?}");
    assert_eq!(manifest.attempts.len(), killed_ms.len() + 1, "{manifest:#?}");
    for (two, killed_ms) in manifest.attempts.windows(2).zip(killed_ms) {
        let [before, next] = two else { unreachable!("windows of two") };
        assert_eq!((before.outcome.as_str(), before.joined_ms.is_some()), ("lost", true));
        let (ended, joined) = (before.ended_ms.unwrap(), next.joined_ms.unwrap());
        assert_eq!(next.gap_ms, Some(joined - ended), "{manifest:#?}");
        // The last packet that is in a file lasts a little.
        let true_end = killed_ms.saturating_sub(MOST_LOST)..=killed_ms + 100;
        assert!(true_end.contains(&ended) && joined >= *killed_ms, "{killed_ms}: {manifest:#?}");
    }
    assert_eq!(manifest.attempts.last().unwrap().outcome, "left", "{manifest:#?}");
}

/// Every file plays whole, and each voice is the voice of its person.
fn holds_what_was_sent(manifest: &Manifest, folder: &Path) {
    let name_of = |id: &str| {
        manifest.participants.iter().find(|person| person.id == id).map(|person| &*person.name)
    };
    for track in &manifest.tracks {
        let path = folder.join(&track.file);
        decodes(&path);
        if track.kind == MediaKind::Audio && track.duration_ms > 200 {
            let heard = tones_db(&path, &[440.0, 880.0]);
            let own = heard[0] - heard[1];
            let own = if name_of(&track.participant_id) == Some("Ann") { own } else { -own };
            assert!(own >= 40.0, "{}: {heard:?}", track.file);
        }
    }
}
