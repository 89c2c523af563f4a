//! How many connections this process may have open, by its limit of open files.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files as far as the system allows, and returns how many connections webhooks may use: the rest is for the API, bots and
/// files. The usual limit of 1,024 exists because of `select`, which this program does not use.
pub(crate) fn for_webhooks() -> u32 {
    open_files() / 2
}

/// Limits the number of connections of the API to a quarter of the open files.
pub(crate) fn for_api(wanted: usize) -> usize {
    wanted.min(open_files() as usize / 4).max(1)
}

fn open_files() -> u32 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    u32::try_from(limit.current.unwrap_or(u64::MAX)).unwrap_or(u32::MAX)
}
