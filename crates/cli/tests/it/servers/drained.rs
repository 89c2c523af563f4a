//! A worker that is stopped while its bots record: the other worker's bots continue their meetings, whatever the server does that the first one speaks to.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use meetbot::{ControlState, JobStatus, Timestamp};
use rustix::process::{Pid, Signal, kill_process};

use super::{Cluster, meeting, recording};
use crate::{
    bucket::completed,
    kills::grown,
    program::{await_job, manifest_of},
};

/// How many bots the worker runs.
const BOTS: usize = 3;
/// In how much time a worker hands its meetings over and ends.
const HANDED_OVER: Duration = Duration::from_secs(20);

/// What the worker's server does at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerState {
    Runs,
    Killed,
    /// It takes connections, and does not answer.
    Silent,
}

/// Stops a worker: none of its meetings may be without a recording for longer than this.
#[expect(clippy::disallowed_methods, reason = "a hand-over is measured by the clock")]
fn hands_over(server: ServerState, most: Duration) {
    let cluster = Cluster::new();
    let [one, other] = cluster.serve_both();
    let first = cluster.worker(0, &[&one, &other]);
    let ids = [(); BOTS].map(|()| other.client.dispatch_bot(meeting(300, None)).unwrap().id);
    let began = ids.each_ref().map(|id| {
        let job = recording(&other.client, id);
        grown(&cluster.workers[0].path().join(format!("recordings/{id}/e1")), 4_000);
        job.recording.started_at.unwrap()
    });
    let _second = cluster.worker(1, &[&other, &one]);
    let _server = match server {
        ServerState::Runs => Some(one),
        ServerState::Killed => {
            one.running.kill();
            None
        }
        ServerState::Silent => {
            kill_process(Pid::from_child(&one.running.child), Signal::STOP).unwrap();
            Some(one)
        }
    };
    let (stopped, stopped_at) = (Instant::now(), Timestamp::from(SystemTime::now()));
    first.signal();
    let ends = thread::spawn(move || (first.ended(), stopped.elapsed()));
    for id in &ids {
        await_job(&other.client, id, |job| {
            (&job.status, job.attempt) == (&JobStatus::Recording, 2)
        });
    }
    let continued = stopped.elapsed();
    let (code, ended) = ends.join().unwrap();
    assert_eq!(code, Some(0));
    assert!(continued < HANDED_OVER && ended < HANDED_OVER, "{continued:?}, {ended:?}");
    let gaps = ids.iter().zip(began).map(|(id, began)| {
        assert_eq!(other.client.leave_bot(id).unwrap().state, ControlState::Done);
        assert_eq!(completed(&other.client, id).attempt, 2);
        let manifest = manifest_of(&other.client, id);
        let [before, after] = manifest.attempts.as_slice() else { panic!("{manifest:#?}") };
        assert_eq!((&*before.outcome, &*after.outcome), ("handed_over", "left"), "{manifest:#?}");
        // Everything up to the signal is there.
        let signal = stopped_at.millis_since(began).cast_unsigned();
        let of_first = manifest.tracks.iter().filter(|track| !track.file.contains(".a2."));
        let end = of_first.map(|track| track.start_ms + track.duration_ms).max().unwrap();
        assert!(end + 500 >= signal, "{signal}: {manifest:#?}");
        after.gap_ms.unwrap()
    });
    let longest = Duration::from_millis(gaps.max().unwrap());
    assert!(longest < most, "{server:?}: {longest:?}, and all of it took {continued:?}");
}

#[test]
fn a_stopped_worker_hands_its_meetings_over_within_seconds() {
    hands_over(ServerState::Runs, Duration::from_secs(5));
}

#[test]
fn a_stopped_worker_hands_its_meetings_over_although_its_server_is_killed() {
    hands_over(ServerState::Killed, Duration::from_secs(5));
}

#[test]
fn a_stopped_worker_hands_its_meetings_over_although_its_server_is_silent() {
    hands_over(ServerState::Silent, Duration::from_secs(8));
}
