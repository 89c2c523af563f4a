//! `cargo xtask bench join`: how long from the call that dispatches a bot to the bot being in the call. With `--scheduled`: how long after its
//! `joinAt` a job gets its bot, and is in the call. With `--browser`: how long bots with Chromium take to join, and what they cost.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

mod browser;
mod cost;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::time::{Duration, SystemTime};

use meetbot::{Job, JobStatus, NewJob, Timestamp, blocking::MeetBot};
use tempfile::TempDir;

/// How many bots, one after the other.
const ROUNDS: usize = 30;
/// How many jobs are scheduled.
const SCHEDULED: usize = 200;
/// When the first of them begins: by then all are created.
const AHEAD: Duration = Duration::from_secs(4);

fn main() {
    if std::env::args().any(|argument| argument == "--browser") {
        return browser::run();
    }
    let data = TempDir::new().unwrap();
    let (_server, url) = program::serve(data.path(), None);
    let (key, _) = program::create_key(data.path(), &[]);
    let client = program::client(&url, &key);
    if std::env::args().any(|argument| argument == "--scheduled") {
        for apart in [Duration::from_millis(25), Duration::from_millis(1), Duration::ZERO] {
            scheduled(&client, apart);
        }
        return;
    }
    let times = (0..ROUNDS).map(|_| {
        let job = client.dispatch_bot(new_job(None)).unwrap();
        let job = await_end(&client, &job);
        job.joined_at.unwrap().millis_since(job.created_at.unwrap())
    });
    let times = sorted(times.collect());
    println!(
        "from dispatch to in_call, {ROUNDS} bots: median {} ms, slowest {} ms",
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
}

/// Jobs whose `joinAt` are this far apart.
fn scheduled(client: &MeetBot, apart: Duration) {
    let first = Timestamp::from(SystemTime::now()) + AHEAD;
    let jobs: Vec<Job> = (0..SCHEDULED)
        .map(|number| first + apart * u32::try_from(number).unwrap())
        .map(|join_at| client.dispatch_bot(new_job(Some(join_at))).unwrap())
        .collect();
    let created = Timestamp::from(SystemTime::now());
    assert!(created.millis_since(first) < 0, "the first began before the last was created");
    let (mut claimed, mut joined) = (Vec::new(), Vec::new());
    for job in jobs {
        let job = await_end(client, &job);
        let events = client.events(&job.id, None).unwrap().data;
        let claim =
            events.iter().find(|event| event.data.status == Some(JobStatus::Joining)).unwrap();
        let join_at = job.join_at.unwrap();
        claimed.push(claim.emitted_at.unwrap().millis_since(join_at));
        joined.push(job.joined_at.unwrap().millis_since(join_at));
    }
    let apart = apart.as_millis();
    for (what, times) in
        [("its bot is launched", sorted(claimed)), ("it is in the call", sorted(joined))]
    {
        let (median, p99) = (times[SCHEDULED / 2], times[SCHEDULED * 99 / 100]);
        let slowest = times[SCHEDULED - 1];
        println!(
            "from joinAt until {what}, {SCHEDULED} jobs {apart} ms apart: median {median} ms, p99 {p99} ms, slowest {slowest} ms"
        );
    }
}

fn new_job(join_at: Option<Timestamp>) -> NewJob {
    NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=1".to_owned(),
        join_at,
        ..NewJob::default()
    }
}

fn await_end(client: &MeetBot, job: &Job) -> Job {
    client.wait_for_bot(&job.id, Some(program::PATIENCE)).unwrap()
}

fn sorted(mut times: Vec<i64>) -> Vec<i64> {
    times.sort_unstable();
    times
}
