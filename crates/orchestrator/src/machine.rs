//! What the machine says of itself.

use std::{io, path::Path};

use meetbot_types::host::{HostCpu, HostDisk, HostMemory};
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::data_folder::Space;

/// Its processors, watched for a fifth of a second.
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

/// Numbers that are estimates have no fifteen digits.
fn tenths(percent: f64) -> f64 {
    (percent.clamp(0.0, 100.0) * 10.0).round() / 10.0
}

/// Its memory, or what a container may have of it.
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

/// The disk that holds this path.
pub(crate) fn disk(path: &Path) -> io::Result<HostDisk> {
    let Space { total, free } = Space::at(path)?;
    Ok(HostDisk { total_bytes: total, free_bytes: free })
}
