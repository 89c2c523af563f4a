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
    let ticks = |pids: &[u32]| pids.iter().map(|pid| cpu_ticks(*pid)).collect::<Vec<_>>();
    let before = programs.map(ticks);
    thread::sleep(WINDOW);
    let after = programs.map(ticks);
    // A process that has ended meanwhile is left out.
    let spent = |index: usize| -> f64 {
        let pairs = before[index].iter().zip(&after[index]);
        pairs.filter_map(|(before, after)| Some((*after)? - (*before)?)).sum()
    };
    let seconds = started.elapsed().as_secs_f64();
    std::array::from_fn(|index| Cost {
        megabytes: programs[index].iter().filter_map(|pid| megabytes(*pid)).sum(),
        core_percent: spent(index) / TICKS / seconds * 100.0,
    })
}

/// User and system time since the process began; `None` if it has ended.
fn cpu_ticks(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
}

/// The memory of a process; what it shares is divided. `None` if it has ended.
pub(crate) fn megabytes(pid: u32) -> Option<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}
