//! `cargo xtask bench hostile [MEETINGS]`: meetings with hostile servers, beside good meetings of another consumer (50), in the protocols of Janus and of the
//! sandbox. It measures that consumer's calls, the packets missing in its recordings, and the memory and disk that the hostile meetings take.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/hostile.rs"]
mod hostile;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::time::Duration;

use self::hostile::{Plan, Protocol, play};

/// How many good meetings.
const MEETINGS: usize = 50;
/// How long each of them takes.
const SECONDS: u64 = 40;

fn main() {
    let good = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let good = good.map_or(MEETINGS, |good| good.parse().unwrap());
    for protocol in [Protocol::Janus, Protocol::Sandbox] {
        let measured = play(Plan {
            protocol,
            good,
            seconds: [SECONDS; 2],
            at_once: true,
            longest: Duration::from_secs(SECONDS),
        });
        println!("{protocol:?}: {good} good meetings, {} hostile ones", measured.floods.len());
        println!("calls of the good ones' consumer, ms   median       p99       max     calls");
        let [alone, beside] = measured.calls;
        row("before", alone);
        row("beside the hostile ones", beside);
        let (sent, recorded) = measured.packets;
        println!(
            "packets of the good ones: {sent} sent, {} of them not in a file",
            sent - recorded
        );
        println!(
            "memory grew by {:.1} MB, the database by {:.1} MB",
            measured.memory, measured.database
        );
        println!("datagrams at addresses that are refused: {}", measured.caught);
        for ((report, job), disk) in measured.floods.into_iter().zip(measured.disk) {
            let ending = job.failure_detail.or(job.leave_reason.map(|reason| reason.to_string()));
            println!(
                "  {:<15} {:>6} said, {:>6.1} MB, {} joins; {disk:.1} MB of files, {} ({})",
                report.kind,
                report.messages,
                report.bytes as f64 / 1_048_576.0,
                report.joins,
                job.status,
                ending.unwrap_or_default(),
            );
        }
    }
}

fn row(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what:<36} {:>9.1} {:>9.1} {:>9.1} {:>9}", at(50), at(99), at(100), times.len());
}
