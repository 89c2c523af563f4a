//! A second server that could not serve all recordings is refused, and so is a worker that records onto a server's disk.

use meetbot::JobStatus;
use tempfile::TempDir;

use super::{Cluster, meeting};
use crate::{
    bucket_server::BucketServer,
    program::{PATIENCE, Running, client, meetbot, run},
};

#[test]
fn a_second_server_is_refused_unless_all_recordings_are_in_the_same_bucket() {
    let cluster = Cluster::new();
    let one = cluster.serve(0);
    let refused = |change: &[(&str, &str)], words: &[&str]| {
        let mut command = cluster.serve_command(1);
        for (name, value) in change {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
        let output = run(&mut command);
        assert_eq!(output.code, Some(1), "{output:?}");
        for word in words {
            assert!(output.err.contains(word), "{word} is missing in {output:?}");
        }
    };
    let right = ["another meetbot server", "bots.workers = \"none\"", "storage.url"];
    refused(
        &[
            ("MEETBOT_STORAGE_URL", ""),
            ("MEETBOT_STORAGE_ENDPOINT", ""),
            ("MEETBOT_STORAGE_PATH_STYLE", ""),
        ],
        &right,
    );
    refused(&[("MEETBOT_BOTS_WORKERS", "own")], &right);
    refused(&[("MEETBOT_STORAGE_URL", "s3://acme/us")], &right);
    // A bucket of the same name elsewhere.
    let elsewhere = BucketServer::start();
    let settings = elsewhere.settings("eu");
    let (endpoint, place) =
        settings.iter().find(|(name, _)| *name == "MEETBOT_STORAGE_ENDPOINT").unwrap();
    refused(&[(endpoint, place)], &["s3://acme/eu", "other servers", "storage.endpoint"]);

    let other = cluster.serve(1);
    // A worker on a server's own disk.
    let mut near = meetbot();
    near.args(["worker", "--servers", &one.url, "--key-file"]).arg(cluster.worker_key());
    near.arg("--data-dir").arg(cluster.servers[0].path());
    let output = run(&mut near);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("several servers work on this database"), "{output:?}");
    // Alone, the server takes it, and no other server any more.
    assert_eq!(other.running.terminate(), Some(0));
    let (_near, _) = Running::start(&mut near);
    refused(&[], &right);
}

#[test]
fn a_second_server_is_refused_while_finished_recordings_are_on_a_disk() {
    let cluster = Cluster::new();
    let local = TempDir::new().unwrap();
    let store = cluster.database.url(super::DATABASE);
    let (alone, url) =
        crate::program::serve_with(local.path(), None, &[("MEETBOT_STORE_URL", &store)]);
    let client = client(&url, &cluster.key);
    let id = client.dispatch_bot(meeting(1, None)).unwrap().id;
    let done = client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!(done.status, JobStatus::Completed, "{done:#?}");
    assert_eq!(alone.terminate(), Some(0));
    let one = cluster.serve(0);
    let output = run(&mut cluster.serve_command(1));
    assert_eq!(output.code, Some(1), "{output:?}");
    for word in ["1 recordings were finished before there was a bucket", "DELETE"] {
        assert!(output.err.contains(word), "{word} is missing in {output:?}");
    }
    one.client.delete_recording(&id).unwrap();
    let other = cluster.serve(1);
    assert!(other.client.get_bot(&id).unwrap().is_some());
}
