//! `cargo xtask bench join`: how long from the call that dispatches a bot to the bot being in the call.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use meetbot::NewJob;
use tempfile::TempDir;

/// How many bots, one after the other.
const ROUNDS: usize = 30;

fn main() {
    let data = TempDir::new().unwrap();
    let (_server, url) = program::serve(data.path(), None);
    let (key, _) = program::create_key(data.path(), &[]);
    let client = program::client(&url, &key);
    let mut times: Vec<i64> = (0..ROUNDS)
        .map(|_| {
            let new = NewJob {
                meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=1".to_owned(),
                ..NewJob::default()
            };
            let job = client.dispatch_bot(new).unwrap();
            let job = client.wait_for_bot(&job.id, Some(program::PATIENCE)).unwrap();
            job.joined_at.unwrap().millis_since(job.created_at.unwrap())
        })
        .collect();
    times.sort_unstable();
    println!(
        "from dispatch to in_call, {ROUNDS} bots: median {} ms, slowest {} ms",
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
}
