//! What operators see of workers: at each worker's own metrics, and at the server.

use meetbot::{JobStatus, Request, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use serde_json::Value;

use super::{Setup, dispatch, far::Far};
use crate::{
    bucket_server::Fault,
    disk_full::small_disk,
    program::{PATIENCE, Running, await_job, client, create, run},
};

/// The metrics at this address. A worker asks for no key.
pub(super) fn scraped(client: &MeetBot) -> String {
    let answer = client.request(Request::new("GET", "/metrics").unwrap()).unwrap();
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    String::from_utf8(answer.body().to_vec()).unwrap()
}

/// Waits until the metrics have all these lines.
pub(crate) fn shows(client: &MeetBot, lines: &[&str]) -> String {
    poll_until(PATIENCE, || {
        let text = scraped(client);
        match lines.iter().find(|line| !text.lines().any(|found| found == **line)) {
            Some(missing) => Err(format!("{missing} is missing in {text}")),
            None => Ok(text),
        }
    })
}

/// The value of a metric without labels.
pub(super) fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
}

/// A client of a worker's metrics, by what the worker printed.
pub(super) fn metrics_of(started: &Value) -> MeetBot {
    let url = started["metrics"].as_str().unwrap();
    client(url.strip_suffix("/metrics").unwrap(), "none")
}

pub(super) fn admin(setup: &Setup, url: &str) -> MeetBot {
    client(url, &create("--live", setup.data.path(), &["--scope", "admin"]).0)
}

#[test]
fn a_worker_and_its_server_show_how_the_worker_is() {
    let setup = Setup::new();
    let (_server, url) = setup.serve(0);
    let admin = admin(&setup, &url);
    shows(&admin, &["meetbot_workers 0", "meetbot_workers_places 0"]);
    let refused = run(&mut setup.worker_command(&url, &["--metrics", "0.0.0.0:0"]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let arguments = ["--bots", "7", "--metrics", "127.0.0.1:0"];
    let (worker, started) = Running::start(&mut setup.worker_command(&url, &arguments));
    let own = metrics_of(&started);
    shows(&own, &["meetbot_worker_places 7", "meetbot_worker_bots{pool=\"native\"} 0"]);
    let client = setup.client(&url);
    let id = setup.recording(&client, 600);
    let text = shows(
        &own,
        &[
            "meetbot_worker_bots{pool=\"native\"} 1",
            "meetbot_worker_bots{pool=\"browser\"} 0",
            "meetbot_worker_bots_launched_total{platform=\"sandbox\"} 1",
            "meetbot_worker_draining 0",
            "meetbot_worker_disk_low 0",
            "meetbot_media_unshipped_seconds 0.0",
        ],
    );
    for positive in [
        "meetbot_worker_disk_free_bytes",
        "meetbot_worker_memory_process_bytes",
        "meetbot_worker_cores",
        "meetbot_start_time_seconds",
    ] {
        assert!(value(&text, positive) > 0.0, "{positive} in {text}");
    }
    assert!(value(&text, "meetbot_worker_heard_age_seconds") < 60.0, "{text}");
    shows(
        &admin,
        &[
            "meetbot_workers 1",
            "meetbot_workers_places 7",
            "meetbot_workers_bots{pool=\"native\"} 1",
            "meetbot_workers_disks_low 0",
            "meetbot_workers_uploads_failing 0",
        ],
    );
    client.leave_bot(&id).unwrap();
    await_job(&client, &id, |job| job.status.is_final());
    shows(&own, &["meetbot_worker_bots{pool=\"native\"} 0"]);
    // A worker that is killed is lost, and one that stops is not.
    worker.kill();
    shows(&admin, &["meetbot_workers 0", "meetbot_workers_lost_total 1"]);
    let stops = setup.worker(&url, &[]);
    shows(&admin, &["meetbot_workers 1"]);
    assert_eq!(stops.terminate(), Some(0));
    shows(&admin, &["meetbot_workers 0", "meetbot_workers_lost_total 1"]);
}

#[test]
fn operators_see_that_a_workers_uploads_do_not_reach_the_bucket() {
    let far = Far::new();
    let admin = admin(&far.setup, &far.url);
    let mut command = far.worker_command(0);
    let (_worker, started) = Running::start(command.args(["--metrics", "127.0.0.1:0"]));
    let own = metrics_of(&started);
    let id = far.recording(0, 600);
    far.logged(&id, 1);
    assert!(value(&scraped(&own), "meetbot_media_unshipped_seconds") < 60.0);
    let storage = || {
        let answer = admin.request(Request::new("GET", "/readyz").unwrap()).unwrap();
        serde_json::from_slice::<Value>(answer.body()).unwrap()["storage"].clone()
    };
    assert_eq!(storage(), Value::Null);
    far.bucket.fault("*", "", None, Fault::Away);
    shows(&own, &["meetbot_worker_uploads_failing 1"]);
    shows(&admin, &["meetbot_workers_uploads_failing 1", "meetbot_uploads_failing 0"]);
    assert!(storage()["problem"].as_str().unwrap().contains("1 workers"), "{}", storage());
    poll_until(PATIENCE, || match value(&scraped(&admin), "meetbot_workers_unshipped_seconds") {
        seconds if seconds > 10.0 => Ok(()),
        seconds => Err(format!("media waits for {seconds} s")),
    });
    far.bucket.lift();
    shows(&own, &["meetbot_worker_uploads_failing 0"]);
    shows(&admin, &["meetbot_workers_uploads_failing 0"]);
    assert_eq!(storage(), Value::Null);
    far.client.leave_bot(&id).unwrap();
    far.is_whole(&id, 1);
    shows(&own, &["meetbot_media_unshipped_seconds 0.0"]);
}

#[test]
fn a_worker_without_room_for_an_hour_of_a_bot_takes_no_jobs() {
    let name = "a_worker_without_room_for_an_hour_of_a_bot_takes_no_jobs";
    let Some(disk) = small_disk(name) else { return };
    let far = Far::new();
    let admin = admin(&far.setup, &far.url);
    let mut command = far.setup.worker_command_on(&far.url, disk.path(), &[]);
    let (_worker, _) = Running::start(command.envs(far.bucket.settings("eu")));
    shows(&admin, &["meetbot_workers 1", "meetbot_workers_disks_low 1"]);
    let id = dispatch(&far.client, 1);
    // Another worker has room.
    let other = far.worker(0);
    assert_eq!(await_job(&far.client, &id, |job| job.status.is_final()).attempt, 1);
    assert!(!disk.path().join("recordings").join(&id).exists());
    assert_eq!(other.terminate(), Some(0));
    let id = dispatch(&far.client, 1);
    shows(&admin, &["meetbot_workers 1", "meetbot_jobs{status=\"queued\"} 1"]);
    disk.grow("size=500m");
    shows(&admin, &["meetbot_workers_disks_low 0"]);
    let job = await_job(&far.client, &id, |job| job.status.is_final());
    assert_eq!(job.status, JobStatus::Completed);
}
