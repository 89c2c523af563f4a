//! A hundred meetings at once in one process: all end as expected, and leave no resources behind.

use std::{fs, time::Duration};

use meetbot_testkit::polling::poll_until;
use tempfile::TempDir;

use crate::{
    program::{PATIENCE, client, create_key, serve},
    scenarios::{cases, ending},
};

/// How many meetings.
const CROWD: usize = 100;
/// Files that may stay open: pooled connections, a reader of the database.
const MORE_FILES: usize = 24;
/// What the allocator may keep, in kB.
const MORE_MEMORY: u64 = 32 * 1024;

/// Threads, open files, and resident memory in kB of a process.
fn held(pid: u32) -> (u64, usize, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    (number("Threads:"), fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), number("VmRSS:"))
}

#[test]
fn a_hundred_simultaneous_meetings_complete_and_leave_no_files_or_memory() {
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    // The long ones are played elsewhere.
    let long = ["network-lost", "quiet-room", "quiet-speech?seconds=63"];
    let cases: Vec<_> = cases().into_iter().filter(|case| !long.contains(&case.scenario)).collect();
    let play = || {
        let crowd: Vec<_> = (0..CROWD)
            .map(|index| {
                let case = &cases[index % cases.len()];
                (case, client.dispatch_bot(case.new_job()).unwrap().id)
            })
            .collect();
        for (case, id) in crowd {
            let job = client.wait_for_bot(&id, Some(PATIENCE * 2)).unwrap();
            assert_eq!(ending(&job), case.ending, "{}: {job:#?}", case.scenario);
        }
    };
    // The first crowd fills pools and the allocator's own stores; the second has to get by with them.
    play();
    let before = held(server.child.id());
    play();
    // Connections are kept for a while, for the next call.
    let after = poll_until(Duration::from_mins(2), || {
        let after = held(server.child.id());
        let few = after.1 <= before.1 + MORE_FILES;
        few.then_some(after)
            .ok_or_else(|| format!("open files: {before:?} before, {after:?} after"))
    });
    println!("threads, files, kB: {before:?} before, {after:?} after");
    assert!(after.0 <= before.0 + 8, "threads: {before:?} before, {after:?} after");
    assert!(after.2 <= before.2 + MORE_MEMORY, "memory: {before:?} before, {after:?} after");
}
