//! Several workers, several servers.

use std::collections::BTreeMap;

use meetbot::JobStatus;

use super::{Setup, dispatch};
use crate::program::{await_job, manifest_of};

/// The attempts for which a program's log has this line.
fn launched(log: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains("a bot was given"));
    lines
        .filter_map(|line| Some(line.split("job=").nth(1)?.split_whitespace().next()?.to_owned()))
        .collect()
}

#[test]
fn two_workers_share_jobs_and_none_is_given_twice() {
    let setup = Setup::new();
    let (_server, url) = setup.serve(0);
    let client = setup.client(&url);
    let workers = [(); 2].map(|()| setup.worker(&url, &["--bots", "6"]));
    let ids: Vec<_> = (0..12).map(|_| dispatch(&client, 600)).collect();
    // All at once, for which both have to do their half.
    for id in &ids {
        await_job(&client, id, |job| job.status == JobStatus::Recording);
    }
    for id in &ids {
        client.leave_bot(id).unwrap();
    }
    for id in &ids {
        let job = await_job(&client, id, |job| job.status.is_final());
        assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
        assert!(manifest_of(&client, id).complete);
    }
    let mut given = BTreeMap::new();
    for worker in workers {
        let (code, log) = worker.terminate_with_log();
        assert_eq!(code, Some(0));
        let of_worker = launched(&log);
        assert_eq!(of_worker.len(), 6, "{of_worker:?}");
        for id in of_worker {
            *given.entry(id).or_insert(0) += 1;
        }
    }
    let mut expected = ids;
    expected.sort_unstable();
    assert_eq!(given.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(given.values().all(|times| *times == 1), "{given:?}");
}

#[test]
fn a_worker_uses_the_next_server_if_one_does_not_answer() {
    let setup = Setup::new();
    let (server, away) = setup.serve(0);
    server.kill();
    let (_server, url) = setup.serve(0);
    let client = setup.client(&url);
    let worker = setup.worker(&format!("{away},{url}"), &["--until-idle", "1"]);
    let id = dispatch(&client, 3);
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    // Nothing is left to do.
    assert_eq!(worker.ended(), Some(0));
}
