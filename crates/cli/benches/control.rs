//! `cargo xtask bench control`: how long from the HTTP call of a control verb to its answer, which comes when the bot has done it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::time::Instant;

use meetbot::{ControlResult, ControlState, JobStatus, NewJob};
use tempfile::TempDir;

/// How many pauses, and as many resumptions.
const ROUNDS: usize = 200;

fn main() {
    let data = TempDir::new().unwrap();
    let (_server, url) = program::serve(data.path(), None);
    let (key, _) = program::create_key(data.path(), &[]);
    let client = program::client(&url, &key);
    let meeting_url = "https://sandbox.meetbot.dev/two-speakers?seconds=3600".to_owned();
    let id = client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id;
    while client.get_bot(&id).unwrap().unwrap().status != JobStatus::Recording {}
    let mut times = Vec::new();
    let mut call_timed = |call: &dyn Fn() -> ControlResult| {
        let started = Instant::now();
        assert_eq!(call().state, ControlState::Done);
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    };
    for _ in 0..ROUNDS {
        call_timed(&|| client.pause_recording(&id).unwrap());
        call_timed(&|| client.resume_recording(&id).unwrap());
    }
    client.leave_bot(&id).unwrap();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[times.len() * share / 100];
    println!(
        "from the call to the bot's act and back, {} calls: p50 {:.1} ms, p99 {:.1} ms",
        times.len(),
        at(50),
        at(99)
    );
}
