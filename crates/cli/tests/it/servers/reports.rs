//! What operators of several servers see of the workers.

use super::{Cluster, meeting};
use crate::{
    program::{Running, client, create_with},
    workers::status::shows,
};

#[test]
fn each_server_shows_the_places_wanted_and_a_full_worker_reports_to_the_one_that_is_left() {
    let cluster = Cluster::new();
    let [one, other] = cluster.serve_both();
    let url = cluster.database.url(super::DATABASE);
    let store = [("MEETBOT_STORE_URL", url.as_str())];
    let scope = ["--scope", "admin"];
    let (key, _) = create_with("--live", cluster.servers[0].path(), &scope, &store);
    let admins = [&one, &other].map(|server| client(&server.url, &key));
    let ids = [(); 2].map(|()| one.client.dispatch_bot(meeting(90, None)).unwrap().id);
    for admin in &admins {
        shows(
            admin,
            &[
                "meetbot_places_wanted{pool=\"native\"} 2",
                "meetbot_places_wanted{pool=\"browser\"} 0",
                "meetbot_workers 0",
            ],
        );
    }
    let mut command = cluster.worker_command(0, &[&one, &other]);
    let (_worker, _) = Running::start(command.args(["--bots", "1", "--pools", "native"]));
    shows(&admins[0], &["meetbot_workers 1", "meetbot_workers_bots{pool=\"native\"} 1"]);
    // The worker has no free place, so it claims nothing from either server.
    one.running.kill();
    shows(
        &admins[1],
        &[
            "meetbot_workers 1",
            "meetbot_workers_bots{pool=\"native\"} 1",
            "meetbot_places_wanted{pool=\"native\"} 2",
        ],
    );
    let waits = |id: &&String| {
        other.client.get_bot(id).unwrap().unwrap().status == meetbot::JobStatus::Queued
    };
    other.client.cancel_bot(ids.iter().find(waits).unwrap()).unwrap();
    shows(&admins[1], &["meetbot_places_wanted{pool=\"native\"} 1"]);
}
