//! The limits of a browser: the memory of its processes is measured, and the processors are set at its start. Both need no rights, other than limits by control groups.

use std::{fs, ops::RangeInclusive};

use rustix::process::Pid;

/// The processors, as `taskset` takes them, that one browser of this process may use: `count` of those that this process may use (as in `0-3,8`), from the one with
/// the index `first` on. `None`: all.
pub(super) fn processors(allowed: &str, count: usize, first: usize) -> Option<String> {
    let range = |part: &str| -> Option<RangeInclusive<usize>> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    let allowed: Vec<usize> = allowed.trim().split(',').filter_map(range).flatten().collect();
    if count == 0 || count >= allowed.len() {
        return None;
    }
    let chosen = allowed.iter().cycle().skip(first % allowed.len()).take(count);
    Some(chosen.map(ToString::to_string).collect::<Vec<_>>().join(","))
}

/// The processors that this process may use.
pub(super) fn allowed_processors() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// The memory of a process group, in bytes: the private memory of all processes, and the largest shared memory of one of them. The kernel lets a process of the same user
/// read it also for processes in a sandbox.
pub(super) fn memory_of(group: Pid) -> u64 {
    let (mut private, mut shared) = (0, 0);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process =
            entry.file_name().to_string_lossy().starts_with(|it: char| it.is_ascii_digit());
        if !is_process || !is_of(group, &entry.path().join("stat")) {
            continue;
        }
        // A process that has ended has no memory.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        private += bytes(&status, "RssAnon:");
        shared = bytes(&status, "RssShmem:").max(shared);
    }
    private + shared
}

/// Whether a process belongs to a group, by its `stat`.
fn is_of(group: Pid, stat: &std::path::Path) -> bool {
    let Ok(stat) = fs::read_to_string(stat) else { return false };
    // After the name: state, parent, group.
    let number = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(2)?.parse().ok());
    number == Some(group.as_raw_nonzero().get())
}

/// A field of `status`, in bytes; 0 if it is missing.
fn bytes(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_chosen_in_turn_among_the_allowed_ones() {
        for (allowed, count, first, chosen) in [
            ("0-3", 2, 0, Some("0,1")),
            ("0-3", 2, 3, Some("3,0")),
            ("0-1,8", 2, 4, Some("1,8")),
            ("0-3", 0, 0, None),
            ("0-3", 4, 1, None),
            ("5", 1, 0, None),
            ("", 1, 0, None),
        ] {
            assert_eq!(processors(allowed, count, first).as_deref(), chosen, "{allowed} {count}");
        }
        assert!(allowed_processors().is_some());
    }

    #[test]
    fn memory_is_read_from_the_status_of_the_groups_processes() {
        let status = "Name:\tx\nRssAnon:\t    1000 kB\nRssShmem:\t      24 kB\n";
        assert_eq!((bytes(status, "RssAnon:"), bytes(status, "RssFile:")), (1_024_000, 0));
        let own = rustix::process::getpgid(None).unwrap();
        assert!(memory_of(own) > 1_000_000);
        assert_eq!(memory_of(Pid::from_raw(i32::MAX).unwrap()), 0);
    }
}
