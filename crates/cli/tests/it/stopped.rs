//! A server that is stopped (SIGSTOP) for longer than a lease, and then continues.

use std::time::{Duration, Instant};

use meetbot::{JobStatus, NewJob};
use meetbot_sandbox::Sandbox;
use meetbot_testkit::polling::poll_until;
use meetbot_types::bot::LEASE_SECONDS;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use xtask::ffmpeg::decodes;

use crate::program::{PATIENCE, await_job, client, create_key, manifest_of, sandbox_token, serve};

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a lease is measured by the clock, and here it has to run out"
)]
fn a_server_suspended_past_a_lease_continues_with_one_bot() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // In this process: the meeting goes on while the server is stopped.
    let sandbox =
        runtime.block_on(Sandbox::start(([127, 0, 0, 1], 0).into(), sandbox_token())).unwrap();
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path(), Some(&sandbox.address()));
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let job = client
        .dispatch_bot(NewJob {
            meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=600".to_owned(),
            ..NewJob::default()
        })
        .unwrap();
    let id = job.id.clone();
    await_job(&client, &id, |job| job.status == JobStatus::Recording);

    let pid = Pid::from_child(&server.child);
    kill_process(pid, Signal::STOP).unwrap();
    let woken = Instant::now() + Duration::from_secs(u64::from(LEASE_SECONDS) + 2);
    while let Some(left) = woken.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    kill_process(pid, Signal::CONT).unwrap();

    // The lease is over: what the first bot still reports is refused, it leaves, and the next attempt has the job.
    let job = await_job(&client, &id, |job| job.attempt == 2 && job.status == JobStatus::Recording);
    let seen = || sandbox.inspect(job.id.parse().unwrap());
    let seen = poll_until(PATIENCE, || {
        let seen = seen();
        if seen.present == 1 { Ok(seen) } else { Err(format!("{seen:?}")) }
    });
    assert_eq!((seen.joins, seen.present), (2, 1), "{seen:?}");

    client.leave_bot(&id).unwrap();
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
    let manifest = manifest_of(&client, &id);
    assert!(!manifest.complete);
    assert_eq!(manifest.attempts.len(), 2, "{manifest:#?}");
    for file in manifest.files.iter().filter(|file| file.media_type == "audio/webm") {
        decodes(&data.path().join(format!("recordings/{id}/e2")).join(&file.name));
    }
    runtime.block_on(sandbox.stop());
}
