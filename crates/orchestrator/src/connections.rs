//! How many connections this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files as far as the system lets us, and says how many connections that leaves for webhooks: the rest is for the API, bots and
/// files. Systems start programs with 1,024 for the sake of an old system call that nothing here uses.
pub(crate) fn for_webhooks() -> u32 {
    open_files() / 2
}

/// How many of the connections that are wanted for the API it may have.
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
