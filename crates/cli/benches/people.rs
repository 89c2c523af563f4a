//! `cargo xtask bench people`: the cost of each event of a meeting for its bot, with ten people and with a hundred thousand.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

use tempfile::TempDir;

const PEOPLE: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

fn main() {
    let folder = TempDir::new().unwrap();
    let costs = PEOPLE.map(|people| {
        meetbot_bot::bench::cost_of_events(&folder.path().join(people.to_string()), people)
    });
    print!("µs each, of so many people        ");
    for people in PEOPLE {
        print!("  {people:>7}");
    }
    println!();
    for (row, (what, _)) in costs[0].iter().enumerate() {
        print!("{what:<34}");
        for column in &costs {
            print!("  {:>7.1}", column[row].1.as_secs_f64() * 1e6);
        }
        println!();
    }
}
