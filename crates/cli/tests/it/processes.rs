//! Bots in separate processes: they outlive their server however it ends, the next one adopts them, and none is left.

use std::{
    fs,
    path::{Path, PathBuf},
};

use meetbot::{JobStatus, LeaveReason, NewJob, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use meetbot_types::Manifest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use xtask::ffmpeg::decodes;

use crate::{
    kills::grown,
    program::{
        PATIENCE, Running, TIMING, await_job, client, create_key, manifest_of, sandbox,
        sandbox_token, serve_with,
    },
};

const OWN_PROCESSES: (&str, &str) = ("MEETBOT_BOTS_OWN_PROCESSES", "true");

/// A data folder and a sandbox that outlives its servers.
struct Setup {
    data: TempDir,
    _sandbox: Running,
    address: String,
    key: String,
}

impl Setup {
    fn new() -> Self {
        let data = TempDir::new().unwrap();
        let (sandbox, address) = sandbox();
        let (key, _) = create_key(data.path(), &[]);
        Self { data, _sandbox: sandbox, address, key }
    }

    /// A server whose bots run as separate processes.
    fn serve(&self, settings: &[(&str, &str)]) -> (Running, MeetBot) {
        let settings: Vec<_> = [OWN_PROCESSES].iter().chain(settings).copied().collect();
        let (server, url) = serve_with(self.data.path(), Some(&self.address), &settings);
        (server, client(&url, &self.key))
    }

    fn folder(&self, id: &str, attempt: u32) -> PathBuf {
        self.data.path().join(format!("recordings/{id}/e{attempt}"))
    }

    /// Starts a job, and waits until its recording has grown.
    fn recording(&self, client: &MeetBot, seconds: u32) -> String {
        let id = dispatch(client, seconds);
        await_job(client, &id, |job| job.status == JobStatus::Recording);
        grown(&self.folder(&id, 1), 4_000);
        id
    }
}

fn dispatch(client: &MeetBot, seconds: u32) -> String {
    let meeting_url = format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}");
    client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
}

/// The processes whose arguments are those of the job's bot.
pub(crate) fn bots(id: &str) -> Vec<Pid> {
    let arguments = format!("meetbot\0bot\0{id}\0");
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        (fs::read(entry.path().join("cmdline")).ok()? == arguments.as_bytes()).then_some(pid)
    });
    processes.collect()
}

/// Waits until no process of the job is left.
pub(crate) fn gone(id: &str) {
    poll_until(PATIENCE, || match bots(id)[..] {
        [] => Ok(()),
        ref left => Err(format!("{left:?} are left")),
    });
}

fn statuses(client: &MeetBot, id: &str) -> Vec<String> {
    let events = client.events(id, None).unwrap().data.into_iter();
    let changes = events.filter(|event| event.event == "job.status_changed");
    changes.map(|event| event.data.status.unwrap().to_string()).collect()
}

/// One attempt recorded all of the meeting, and its job passed through the usual statuses.
fn continued_without_gap(setup: &Setup, client: &MeetBot, id: &str) -> Manifest {
    let expected = ["joining", "in_call", "recording", "finalizing", "completed"];
    assert_eq!(statuses(client, id), expected);
    let manifest = manifest_of(client, id);
    assert!(manifest.complete, "{manifest:#?}");
    assert_eq!(manifest.attempts.len(), 1, "{manifest:#?}");
    let gaps = manifest.tracks.iter().flat_map(|track| &track.gaps);
    let cut_off: Vec<_> = gaps.filter(|gap| gap.reason == "network_loss").collect();
    assert!(cut_off.is_empty(), "{cut_off:?}");
    for file in manifest.files.iter().filter(|file| file.media_type.ends_with("/webm")) {
        decodes(&setup.folder(id, 1).join(&file.name));
    }
    gone(id);
    let left: Vec<_> = fs::read_dir(setup.data.path().join("bots"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(id))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    manifest
}

/// Checks that neither the environment nor the output of a bot's process shows a secret of its order.
fn shows_no_secret(setup: &Setup, id: &str, pid: Pid) {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let environment = fs::read(process.join("environ")).unwrap();
    let variables = environment.split(|byte| *byte == 0);
    let ours: Vec<_> = variables
        .filter(|variable| variable.starts_with(b"MEETBOT_"))
        .map(String::from_utf8_lossy)
        .collect();
    // The settings that the tests give servers, with the token, are not passed on.
    assert_eq!(ours, ["MEETBOT_LOG=debug"]);
    let output = setup.data.path().join(format!("bots/{id}.1.log"));
    let logged = fs::read_to_string(output).unwrap();
    assert!(!logged.contains(sandbox_token().expose()), "{logged}");
    assert!(!logged.contains(TIMING), "{logged}");
}

#[test]
fn a_bot_keeps_recording_after_a_kill_and_the_next_server_adopts_it() {
    let setup = Setup::new();
    let (server, one) = setup.serve(&[]);
    let id = setup.recording(&one, 12);
    let [bot] = bots(&id)[..] else { panic!("one process") };
    shows_no_secret(&setup, &id, bot);
    server.kill();
    let before = recorded(&setup.folder(&id, 1));
    // The bot records while no server runs.
    poll_until(PATIENCE, || {
        let now = recorded(&setup.folder(&id, 1));
        (now > before + 4_000).then_some(()).ok_or("the recording does not grow")
    });
    let (server, next) = setup.serve(&[]);
    assert_eq!(next.get_bot(&id).unwrap().unwrap().status, JobStatus::Recording);
    assert_eq!(bots(&id), [bot]);
    let job = await_job(&next, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    let manifest = continued_without_gap(&setup, &next, &id);
    assert!(manifest.duration_ms >= 11_000, "{manifest:#?}");
    assert_eq!(next.usage().unwrap().minutes, 1);
    let (code, log) = server.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(!log.contains(sandbox_token().expose()), "{log}");
}

/// How many bytes of sound are on disk.
fn recorded(folder: &Path) -> u64 {
    let files = crate::kills::webm_files(folder);
    files.iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

#[test]
fn a_stopping_server_leaves_its_bots_running_and_the_next_one_adopts_them() {
    let setup = Setup::new();
    // It would wait for bots of this process.
    let (server, one) = setup.serve(&[("MEETBOT_SERVER_DRAIN_SECONDS", "3600")]);
    let id = setup.recording(&one, 600);
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(bots(&id).len(), 1);
    let (_server, next) = setup.serve(&[("MEETBOT_BOTS_MAX", "1")]);
    next.send_chat_message(&id, "still here").unwrap();
    // The adopted bot counts: it is the only one allowed.
    let second = dispatch(&next, 2);
    next.pause_recording(&id).unwrap();
    next.resume_recording(&id).unwrap();
    assert_eq!(next.get_bot(&second).unwrap().unwrap().status, JobStatus::Queued);
    next.leave_bot(&id).unwrap();
    let job = await_job(&next, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    assert_eq!(job.leave_reason, Some(LeaveReason::Requested));
    continued_without_gap(&setup, &next, &id);
    let second = await_job(&next, &second, |job| job.status.is_final());
    assert_eq!(second.status, JobStatus::Completed);
    assert!(second.joined_at >= job.ended_at, "{second:#?}");
    gone(&second.id);
}

#[test]
fn a_killed_bot_is_replaced_and_the_manifest_has_a_gap() {
    let setup = Setup::new();
    let (_server, client) = setup.serve(&[]);
    let id = setup.recording(&client, 12);
    let [bot] = bots(&id)[..] else { panic!("one process") };
    kill_process(bot, Signal::KILL).unwrap();
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
    let manifest = manifest_of(&client, &id);
    assert!(!manifest.complete);
    assert!(manifest.attempts[1].gap_ms.unwrap() >= 1, "{manifest:#?}");
    gone(&id);
    // The output is kept after a crash.
    assert!(setup.data.path().join(format!("bots/{id}.1.log")).exists());
}

#[test]
fn a_bot_finishes_its_meeting_without_a_server_and_reports_later() {
    let setup = Setup::new();
    let (server, one) = setup.serve(&[]);
    let id = setup.recording(&one, 6);
    server.kill();
    let manifest = setup.folder(&id, 1).join("manifest.json");
    poll_until(PATIENCE, || manifest.exists().then_some(()).ok_or("no manifest"));
    assert_eq!(bots(&id).len(), 1, "it has not been heard");
    let (_server, next) = setup.serve(&[]);
    let job = await_job(&next, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    continued_without_gap(&setup, &next, &id);
}

#[test]
fn a_bot_ends_if_its_data_folder_is_removed() {
    let setup = Setup::new();
    let (server, client) = setup.serve(&[]);
    let id = setup.recording(&client, 600);
    server.kill();
    fs::remove_dir_all(setup.data.path().join("bots")).unwrap();
    gone(&id);
}

#[test]
fn a_bot_that_gets_sigterm_finishes_its_files_and_is_replaced() {
    let setup = Setup::new();
    let (server, one) = setup.serve(&[]);
    let id = setup.recording(&one, 12);
    server.kill();
    let [bot] = bots(&id)[..] else { panic!("one process") };
    // As a machine that is shut down does.
    kill_process(bot, Signal::TERM).unwrap();
    gone(&id);
    for file in crate::kills::webm_files(&setup.folder(&id, 1)) {
        decodes(&file);
    }
    let (_server, next) = setup.serve(&[]);
    let job = await_job(&next, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
    gone(&id);
}

#[test]
fn a_bot_whose_server_never_returns_ends_and_its_recording_is_kept() {
    // One is in its meeting, one waits to report the meeting's end.
    for seconds in [600, 4] {
        let setup = Setup::new();
        let alone = (TIMING, r#"{"pauseMs":100,"aloneMs":6000}"#);
        let (server, one) = setup.serve(&[alone]);
        let id = setup.recording(&one, seconds);
        server.kill();
        gone(&id);
        for file in crate::kills::webm_files(&setup.folder(&id, 1)) {
            decodes(&file);
        }
        let (_server, next) = setup.serve(&[]);
        if seconds > 10 {
            await_job(&next, &id, |job| job.attempt == 2 && job.status == JobStatus::Recording);
            next.leave_bot(&id).unwrap();
        }
        let job = await_job(&next, &id, |job| job.status.is_final());
        assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
        let manifest = manifest_of(&next, &id);
        assert!(!manifest.tracks.is_empty(), "{manifest:#?}");
        gone(&id);
    }
}
