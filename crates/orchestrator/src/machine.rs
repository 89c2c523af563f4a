//! Reads the state of the machine: processors, memory, disk.

use std::{io, num::NonZeroUsize, path::Path};

use meetbot_types::host::{HostCpu, HostDisk, HostMemory};
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::data_folder::Space;

/// The load of the processors, measured for 200 ms.
pub(crate) async fn cpu() -> Result<HostCpu, sysinfo::Error> {
    let mut system = System::new()?;
    system.refresh_cpu_usage();
    tokio::time::sleep(MINIMUM_CPU_UPDATE_INTERVAL).await;
    system.refresh_cpu_usage();
    let load = System::load_average()?;
    Ok(HostCpu {
        cores: u32::try_from(system.cpus().len()).unwrap_or(u32::MAX),
        used_percent: tenths(f64::from(system.global_cpu_usage())),
        load1: load.one,
        load5: load.five,
        load15: load.fifteen,
    })
}

/// A percentage, rounded to tenths: the number is an estimate.
fn tenths(percent: f64) -> f64 {
    (percent.clamp(0.0, 100.0) * 10.0).round() / 10.0
}

/// The memory of the machine, or the limit of the container.
pub(crate) fn memory() -> Result<HostMemory, sysinfo::Error> {
    let mut system = System::new()?;
    system.refresh_memory();
    let (mut total_bytes, mut free) = (system.total_memory(), system.available_memory());
    if let Some(limits) = system.cgroup_limits().filter(|limits| limits.total_memory < total_bytes)
    {
        (total_bytes, free) = (limits.total_memory, limits.free_memory);
    }
    let server = sysinfo::get_current_pid().ok().and_then(|pid| {
        let (own, what) =
            (ProcessesToUpdate::Some(&[pid]), ProcessRefreshKind::nothing().with_memory());
        system.refresh_processes_specifics(own, false, what);
        Some(system.process(pid)?.memory())
    });
    Ok(HostMemory {
        total_bytes,
        used_bytes: total_bytes.saturating_sub(free),
        server_bytes: server.unwrap_or(0),
    })
}

/// The memory that is planned for a browser in a meeting, in bytes, besides one core.
const BROWSER_BYTES: u64 = 1_500_000_000;

/// How many browsers can run on the machine.
pub(crate) fn browsers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    browsers_in(cores, memory().map_or(0, |memory| memory.total_bytes))
}

fn browsers_in(cores: usize, bytes: u64) -> usize {
    cores.min(usize::try_from(bytes / BROWSER_BYTES).unwrap_or(usize::MAX)).max(1)
}

/// The disk that holds this path.
pub(crate) fn disk(path: &Path) -> io::Result<HostDisk> {
    let Space { total, free } = Space::at(path)?;
    Ok(HostDisk { total_bytes: total, free_bytes: free })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_browsers_follows_cores_and_memory_and_is_at_least_one() {
        let gigabytes = |number: u64| number * 1_000_000_000;
        for (cores, bytes, browsers) in [
            (2, gigabytes(8), 2),
            (16, gigabytes(8), 5),
            (16, gigabytes(64), 16),
            (1, gigabytes(64), 1),
            (4, gigabytes(1), 1),
            (4, 0, 1),
        ] {
            assert_eq!(browsers_in(cores, bytes), browsers, "{cores} cores, {bytes} bytes");
        }
        assert!(browsers() >= 1);
    }
}
