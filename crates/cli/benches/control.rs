//! `cargo xtask bench control`: how long from the HTTP call of a control verb to its answer, which comes when the bot has done it: on one server, and on two
//! servers with PostgreSQL and fsync, at the server where the bot waits for commands, at the other one, and there without notifications between the servers.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/bucket_server.rs"]
mod bucket_server;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/cluster.rs"]
mod cluster;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::time::Instant;

use meetbot::{ControlResult, ControlState, JobStatus, NewJob, blocking::MeetBot};
use tempfile::TempDir;
use xtask::postgres::Postgres;

use self::cluster::Cluster;

/// How many pauses, and as many resumptions.
const ROUNDS: usize = 200;
/// The same where each call waits for a look.
const SLOW_ROUNDS: usize = 50;

fn main() {
    println!("from the call to the bot's act and back:");
    on_one_server();
    on_two_servers();
}

fn on_one_server() {
    let data = TempDir::new().unwrap();
    let (_server, url) = program::serve(data.path(), None);
    let (key, _) = program::create_key(data.path(), &[]);
    let client = program::client(&url, &key);
    let id = recording(&client);
    measure("one server", &client, &id, ROUNDS);
    client.leave_bot(&id).unwrap();
}

fn on_two_servers() {
    let cluster = Cluster::on(Postgres::start_durable());
    let [one, other] = cluster.serve_both();
    // Its bots wait for commands at the first server that it is given.
    let _worker = cluster.worker(0, &[&one, &other]);
    let id = recording(&one.client);
    measure("two servers, at the bot's", &one.client, &id, ROUNDS);
    measure("two servers, at the other one", &other.client, &id, ROUNDS);
    let cut = cluster.cut_notifications();
    measure("the same without notifications", &other.client, &id, SLOW_ROUNDS);
    drop(cut);
    other.client.leave_bot(&id).unwrap();
}

/// A job whose bot records.
fn recording(client: &MeetBot) -> String {
    let meeting_url = "https://sandbox.meetbot.dev/two-speakers?seconds=3600".to_owned();
    let id = client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id;
    while client.get_bot(&id).unwrap().unwrap().status != JobStatus::Recording {}
    id
}

fn measure(of: &str, client: &MeetBot, id: &str, rounds: usize) {
    let mut times = Vec::new();
    let mut call_timed = |call: &dyn Fn() -> ControlResult| {
        let started = Instant::now();
        assert_eq!(call().state, ControlState::Done);
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    };
    for _ in 0..rounds {
        call_timed(&|| client.pause_recording(id).unwrap());
        call_timed(&|| client.resume_recording(id).unwrap());
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[times.len() * share / 100];
    println!(
        "{of:<31} {:>4} calls: p50 {:>6.1} ms, p99 {:>6.1} ms, longest {:>6.1} ms",
        times.len(),
        at(50),
        at(99),
        times[times.len() - 1]
    );
}
