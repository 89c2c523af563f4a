//! Meetings whose jobs are created at one server, and watched, controlled and read at the other one.

use std::thread;

use meetbot::blocking::MeetBot;

use crate::{
    cluster::{Cluster, Server},
    pause,
    program::Running,
    scenarios::play_all,
};

/// How many bots a worker runs: more than half of all scenarios, so that both workers have bots.
const BOTS: &str = "24";

/// Two workers, each of which speaks to another server first.
fn workers(cluster: &Cluster, [one, other]: [&Server; 2]) -> [Running; 2] {
    [(0, [one, other]), (1, [other, one])].map(|(worker, servers)| {
        let mut command = cluster.worker_command(worker, &servers);
        Running::start(command.args(["--bots", BOTS])).0
    })
}

#[test]
fn every_scenario_ends_as_documented_on_two_servers() {
    let cluster = Cluster::new();
    let [one, other] = cluster.serve_both();
    let _workers = workers(&cluster, [&one, &other]);
    play_all([&one.client, &other.client], &cluster.secret);
    let log = cluster.database.log();
    assert!(!log.contains("deadlock detected"), "{log}");
}

#[test]
fn pauses_that_begin_at_one_server_and_end_at_the_other_leave_nothing_of_them_in_any_file() {
    let cluster = Cluster::new();
    let [one, other] = cluster.serve_both();
    let _workers = workers(&cluster, [&one, &other]);
    let (one, other) = (&one.client, &other.client);
    let plays: [fn([&MeetBot; 2]); 3] =
        [pause::pause_the_tone, pause::end_pauses_otherwise, pause::pause_chat];
    thread::scope(|scope| {
        for play in plays {
            scope.spawn(move || play([one, other]));
        }
    });
}
