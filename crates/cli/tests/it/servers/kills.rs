//! Faults of every part of a cluster, one after the other, under load.

use std::time::Duration;

use crate::cluster_kills::fail_repeatedly;

/// As many as fit into the time of a test, with each kind of fault at least once; `cargo xtask bench kills --cluster` has more.
const ROUNDS: usize = 12;
/// Longer than the lease of these tests.
const SUSPENDED: Duration = Duration::from_secs(10);

#[test]
fn all_guarantees_hold_over_faults_of_every_part() {
    let survived = fail_repeatedly(ROUNDS, SUSPENDED);
    eprintln!("{survived}");
    assert_eq!(survived.faults.len(), 9);
    // Without lost bots the run would prove nothing.
    assert!(survived.continued > 0);
    assert!(survived.losses.with_process.1 + survived.losses.with_disk.1 > 0);
}
