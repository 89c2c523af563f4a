//! What fails, for how long, and how it comes back.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{media::Losses, parts::Parts};
use crate::{bucket_server, cluster::DATABASE, load::random};

/// Something that fails. Which of two servers or workers it is, is random; of workers that die it is the one with more bots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    ServerKilled,
    WorkerKilled,
    /// A machine is gone with its disk; its successor has an empty one.
    WorkerAndDiskLost,
    DatabaseCrashed,
    BucketAway,
    /// A server or a worker is stopped by SIGSTOP, and continues later.
    Suspended,
    /// One connection between two parts passes nothing.
    NetworkCut,
    /// A worker reaches no server, but the bucket and the meetings.
    WorkerCutOff,
    /// No server is notified of the others' changes.
    NotificationsCut,
}

const ALL: [Fault; 9] = [
    Fault::WorkerAndDiskLost,
    Fault::ServerKilled,
    Fault::WorkerKilled,
    Fault::DatabaseCrashed,
    Fault::BucketAway,
    Fault::Suspended,
    Fault::NetworkCut,
    Fault::WorkerCutOff,
    Fault::NotificationsCut,
];

/// In this time another worker joins the meetings of a machine that is gone.
const REJOINED: Duration = Duration::from_secs(10);
/// Ends every connection that listens for notifications, or sends them.
const CUT_NOTIFICATIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query LIKE 'NOTIFY%')";

/// As many faults as there are rounds: all once, and then in random order, none again before all others.
pub(super) fn schedule(rounds: usize) -> Vec<Fault> {
    let mut faults = ALL.to_vec();
    while faults.len() < rounds {
        let mut left = ALL.to_vec();
        while !left.is_empty() {
            faults.push(left.remove(up_to(left.len() - 1)));
        }
    }
    faults.truncate(rounds);
    faults
}

fn up_to(largest: usize) -> usize {
    usize::try_from(random(largest as u64)).unwrap()
}

/// Passes a random time, up to this.
pub(super) fn pause(longest: Duration) {
    let longest = u64::try_from(longest.as_millis()).unwrap();
    pass(Duration::from_millis(random(longest)));
}

/// Passes this time. A thread of the scope that ends wakes the one that waits for it.
#[expect(clippy::disallowed_methods, reason = "faults last for a time of the clock")]
fn pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

impl Fault {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "server killed",
            Self::WorkerKilled => "worker killed",
            Self::WorkerAndDiskLost => "worker and disk lost",
            Self::DatabaseCrashed => "database crashed",
            Self::BucketAway => "bucket away",
            Self::Suspended => "process suspended",
            Self::NetworkCut => "network cut",
            Self::WorkerCutOff => "worker cut off from all servers",
            Self::NotificationsCut => "notifications cut",
        }
    }

    /// Happens, lasts a while, and is over when this returns. Returns what happened.
    pub(super) fn happen(
        self,
        parts: &mut Parts,
        suspended: Duration,
        losses: &mut Losses,
    ) -> String {
        let which = match self {
            Self::WorkerKilled => parts.busier_worker(),
            Self::WorkerAndDiskLost => parts.uploaded_worker(),
            _ => up_to(1),
        };
        match self {
            Self::ServerKilled => {
                parts.servers[which].take().unwrap().kill();
                pause(Duration::from_secs(4));
                parts.serve(which);
            }
            Self::WorkerKilled => {
                losses.worker_dies(parts, which, false);
                parts.workers[which].take().unwrap().kill();
                pause(Duration::from_secs(10));
                parts.work(which);
            }
            Self::WorkerAndDiskLost => {
                losses.worker_dies(parts, which, true);
                parts.workers[which].take().unwrap().kill();
                for entry in fs::read_dir(parts.cluster.workers[which].path()).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        fs::remove_dir_all(path).unwrap();
                    } else {
                        fs::remove_file(path).unwrap();
                    }
                }
                pause(Duration::from_secs(4));
                parts.work(which);
                pass(REJOINED);
            }
            Self::DatabaseCrashed => {
                parts.cluster.database.crash();
                pause(Duration::from_secs(6));
                parts.cluster.database.go_on();
            }
            Self::BucketAway => {
                parts.cluster.bucket.fault("*", "", None, bucket_server::Fault::Away);
                pause(Duration::from_secs(10));
                parts.cluster.bucket.lift();
            }
            Self::Suspended => {
                let is_worker = up_to(1) == 1;
                let processes = if is_worker { &parts.workers } else { &parts.servers };
                if is_worker {
                    losses.worker_is_suspended(parts, which);
                }
                let pid = Pid::from_child(&processes[which].as_ref().unwrap().child);
                kill_process(pid, Signal::STOP).unwrap();
                pass(suspended);
                kill_process(pid, Signal::CONT).unwrap();
            }
            Self::NetworkCut => {
                let switches = parts.switches();
                let (name, switch) = &switches[up_to(switches.len() - 1)];
                let name = format!("network cut from {name}");
                switch.cut();
                pause(Duration::from_secs(12));
                switch.mend();
                return name;
            }
            Self::WorkerCutOff => {
                for switch in parts.to_servers(which) {
                    switch.cut();
                }
                pass(Duration::from_secs(10));
                for switch in parts.to_servers(which) {
                    switch.mend();
                }
            }
            Self::NotificationsCut => {
                for _ in 0..=up_to(30) {
                    parts.cluster.database.sql(DATABASE, &[CUT_NOTIFICATIONS]);
                }
            }
        }
        format!("{}, number {which}", self.name())
    }
}
