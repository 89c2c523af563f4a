//! The server on PostgreSQL: repeats tests of the server, and tests failures of a separate database.

mod away;
mod examined;
mod migrate;
mod refused;
mod restored;
mod servers;

use std::process::Command;

use tempfile::TempDir;
use xtask::postgres::Postgres;

use crate::program::{POSTGRES, Running, create_with, serve_with};

/// The tests of this binary that run on PostgreSQL too: meetings with control calls, webhooks, kills, stops, deletion, recordings of two machines in a bucket. Tests that depend on the server's speed
/// are excluded, since these run beside all others.
const ON_BOTH: [&str; 9] = [
    "deletion::a_deleted_recording_is_removed_and_listed_in_the_receipt",
    "deletion::erasing_a_consumer_removes_its_bots_and_data_and_no_others",
    "drain::a_meeting_that_takes_too_long_is_handed_over_with_whole_files",
    "kills::fifty_kills_lose_no_acknowledged_job",
    "pause::a_pause_that_ends_by_stop_or_leave_is_counted",
    "pause::chat_of_a_pause_is_in_no_file_and_no_event_and_is_counted_once",
    "webhooks::a_dead_delivery_is_listed_shown_and_redelivered",
    "workers::far::mixes::a_worker_mixes_its_own_files_and_the_server_makes_no_mix",
    "workers::far::a_recording_of_two_machines_is_downloaded_and_erased",
];

#[test]
fn the_tests_of_meetings_kills_and_webhooks_pass_on_postgresql() {
    let database = Postgres::start();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=2"])
        .args(ON_BOTH)
        .env(POSTGRES, database.socket())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains(&format!("{} passed", ON_BOTH.len())), "{said}");
    assert!(!database.log().contains("deadlock detected"), "{}", database.log());
}

/// A server on a database of this PostgreSQL, the API's URL, a key and its webhook secret.
fn serve_on(
    data: &TempDir,
    store: &str,
    settings: &[(&str, &str)],
) -> (Running, String, String, String) {
    let store = [("MEETBOT_STORE_URL", store)];
    let (server, url) = serve_with(data.path(), None, &[&store, settings].concat());
    let (key, secret) = create_with("--test", data.path(), &[], &store);
    (server, url, key, secret)
}
