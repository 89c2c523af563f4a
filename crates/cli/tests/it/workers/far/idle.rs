//! A worker that ends by itself, and files that it cannot upload.

use meetbot::JobStatus;
use meetbot_testkit::polling::poll_until;

use super::Far;
use crate::{
    bucket_server::Fault,
    kills::webm_files,
    program::{PATIENCE, Running, TIMING, await_job},
};

#[test]
fn an_idle_worker_ends_although_files_of_an_unfinished_job_cannot_be_uploaded() {
    let far = Far::new();
    // The second worker here gets no job.
    assert_eq!(far.setup.limit("default", "first").code, Some(0));
    let worker = Running::start(far.worker_command(0).args(["--label", "first"])).0;
    let id = far.recording(0, 600);
    far.bucket.fault("*", "", None, Fault::Away);
    let folder = far.attempt(0, &id, 1);
    let bytes = || -> u64 {
        webm_files(&folder).iter().map(|file| file.metadata().map_or(0, |file| file.len())).sum()
    };
    let before = bytes();
    poll_until(PATIENCE, || if bytes() > before { Ok(()) } else { Err("nothing is recorded") });
    worker.kill();
    let mut command = far.worker_command(0);
    command.args(["--until-idle", "1"]).env(TIMING, r#"{"silentMs":3000}"#);
    let (code, log) = Running::start(&mut command).0.ended_with_log();
    assert_eq!(code, Some(0), "{log}");
    let stays = log.lines().find(|line| line.contains("files that it could not upload stay"));
    let job = folder.parent().unwrap().display().to_string();
    assert!(stays.is_some_and(|line| line.contains(&job)), "{log}");
    assert!(bytes() > before);
    // They are not lost: the next worker here continues the recording with them.
    far.bucket.lift();
    let _worker = Running::start(far.worker_command(0).args(["--label", "first"])).0;
    await_job(&far.client, &id, |job| job.status == JobStatus::Recording && job.attempt > 1);
    far.client.leave_bot(&id).unwrap();
    await_job(&far.client, &id, |job| job.status.is_final());
    far.continued_with_a_gap(&id);
}
