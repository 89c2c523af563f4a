//! The cost of processes: their private memory and CPU time.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// How long CPU time is measured.
pub(crate) const WINDOW: Duration = Duration::from_secs(15);
/// Clock ticks of `/proc` in a second: 100 on every Linux that Rust's std runs on.
const TICKS: f64 = 100.0;

/// What some processes cost together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Their memory; what they share with others is divided among all (PSS).
    pub(crate) megabytes: f64,
    /// Their CPU time.
    pub(crate) core_percent: f64,
}

/// The memory that each of these programs, a list of processes each, has now, and the CPU time it takes from now on; all in one window.
pub(crate) fn costs<const N: usize>(programs: [&[u32]; N]) -> [Cost; N] {
    // What has just begun or ended settles first.
    thread::sleep(Duration::from_secs(2));
    let started = Instant::now();
    let ticks = || programs.map(|processes| processes.iter().map(|pid| cpu_ticks(*pid)).sum());
    let before: [f64; N] = ticks();
    thread::sleep(WINDOW);
    let after: [f64; N] = ticks();
    let seconds = started.elapsed().as_secs_f64();
    std::array::from_fn(|index| Cost {
        megabytes: programs[index].iter().map(|pid| megabytes(*pid)).sum(),
        core_percent: (after[index] - before[index]) / TICKS / seconds * 100.0,
    })
}

/// User and system time since the process began.
fn cpu_ticks(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

fn megabytes(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
