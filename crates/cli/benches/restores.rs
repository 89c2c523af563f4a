//! `cargo xtask bench restores [COUNT]`: backs a server up, stops or kills it, restores that and starts it again, 20 times by default, and checks what
//! is left. It measures no time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/backup_rounds.rs"]
mod backup_rounds;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

/// The number that the project promises.
const ROUNDS: u32 = 20;

fn main() {
    // `cargo bench` passes `--bench` to each program.
    let count = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let count = count.map_or(ROUNDS, |count| count.parse().unwrap());
    backup_rounds::rounds(count);
    println!("{count} rounds: jobs, keys, ledger and recordings were equal");
}
