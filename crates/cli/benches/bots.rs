//! `cargo xtask bench bots`: what a recording bot costs the server, the meetings being played by another process.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

mod cost;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::{thread, time::Duration};

use meetbot::{JobStatus, ListBots, NewJob, blocking::MeetBot};
use tempfile::TempDir;

use self::cost::costs;

fn main() {
    let data = TempDir::new().unwrap();
    let (sandbox, address) = program::sandbox();
    let (server, url) = program::serve(data.path(), Some(&address));
    let (key, _) = program::create_key(data.path(), &[]);
    let client = program::client(&url, &key);
    // The first bot fills caches and pools that stay.
    meet(&client, 1);
    end(&client);
    let [idle] = costs([&[server.child.id()]]);
    println!("idle server: {:.1} MB, {:.2} % of a core", idle.megabytes, idle.core_percent);
    println!("bots  server MB  MB per bot  % of a core per bot   sandbox: % of a core per meeting");
    for count in [1, 10, 50] {
        meet(&client, count);
        let [cost, other] = costs([&[server.child.id()], &[sandbox.child.id()]]);
        println!(
            "{count:>4}  {:>9.1}  {:>10.2}  {:>19.2}   {:>32.2}",
            cost.megabytes,
            (cost.megabytes - idle.megabytes) / f64::from(count),
            (cost.core_percent - idle.core_percent) / f64::from(count),
            other.core_percent / f64::from(count),
        );
        end(&client);
    }
}

fn in_status(client: &MeetBot, status: &JobStatus) -> usize {
    let list = ListBots { status: vec![status.clone()], ..ListBots::default() };
    client.bots(&list).inspect(|job| assert!(job.is_ok(), "{job:?}")).count()
}

/// Sends bots to a meeting of two speakers each, and waits until all record.
fn meet(client: &MeetBot, count: u32) {
    for _ in 0..count {
        let meeting_url = "https://sandbox.meetbot.dev/two-speakers?seconds=3600".to_owned();
        client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap();
    }
    while in_status(client, &JobStatus::Recording) < count as usize {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Lets all bots leave, and waits until they have.
fn end(client: &MeetBot) {
    let list = ListBots { status: vec![JobStatus::Recording], ..ListBots::default() };
    let jobs: Vec<_> = client.bots(&list).map(|job| job.unwrap()).collect();
    for job in jobs {
        client.leave_bot(&job.id).unwrap();
        let job = client.wait_for_bot(&job.id, Some(program::PATIENCE)).unwrap();
        assert_eq!(job.status, JobStatus::Completed, "{job:?}");
    }
}
