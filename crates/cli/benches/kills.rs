//! `cargo xtask bench kills [COUNT]`: kills the server under load, 200 times by default, and checks the data that is left. With `--cluster` any part of two
//! servers, two workers, a database and a bucket fails, and the network between them. It measures no time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/bucket_server.rs"]
mod bucket_server;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/cluster.rs"]
mod cluster;
#[path = "../tests/it/cluster_kills/mod.rs"]
mod cluster_kills;
#[path = "../tests/it/load.rs"]
mod load;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;
#[path = "../tests/it/schema.rs"]
mod schema;

use std::time::Duration;

/// The number that the project promises to survive.
const KILLS: usize = 200;
/// How long a process of the cluster is suspended.
const SUSPENDED: Duration = Duration::from_mins(1);

fn main() {
    // `cargo bench` passes `--bench` to each program.
    let (options, counts): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let count = counts.first().map_or(KILLS, |count| count.parse().unwrap());
    if options.iter().any(|option| option == "--cluster") {
        println!("{}", cluster_kills::fail_repeatedly(count, SUSPENDED));
    } else {
        println!("{}", load::kill_repeatedly(count));
    }
}
