//! `cargo xtask bench kills [COUNT]`: kills the server under load, 200 times by default, and checks the data that is left. It measures no time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

#[path = "../tests/it/load.rs"]
mod load;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;
#[path = "../tests/it/schema.rs"]
mod schema;

/// The number that the project promises to survive.
const KILLS: usize = 200;

fn main() {
    // `cargo bench` passes `--bench` to each program.
    let count = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!("{}", load::kill_repeatedly(count.map_or(KILLS, |count| count.parse().unwrap())));
}
