//! Workers: processes that run bots for servers.

mod behind;
mod far;
mod kills;
mod labels;
mod pools;
mod refused;
mod shared;
pub(crate) mod status;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use meetbot::{JobStatus, NewJob, blocking::MeetBot};
use tempfile::TempDir;

use crate::{
    kills::grown,
    program::{
        Running, TIMING, await_job, client, create, create_key, meetbot, sandbox, sandbox_token,
    },
};

/// A lease of six seconds, and a short pause after bots that are lost in succession.
const SHORT: &str = r#"{"leaseMs":6000,"pauseMs":100}"#;

/// Servers that run no bot themselves, a sandbox that outlives them, and workers on one data folder.
struct Setup {
    data: TempDir,
    _sandbox: Running,
    sandbox: String,
    key: String,
    worker_key: PathBuf,
    /// An address on loopback that nothing else of this machine listens on.
    host: String,
}

impl Setup {
    fn new() -> Self {
        // The keys of workers are in it, too: a folder that others may enter would be refused.
        let private = fs::Permissions::from_mode(0o700);
        let data = tempfile::Builder::new().permissions(private).tempdir().unwrap();
        let (running, address) = sandbox();
        let (key, _) = create_key(data.path(), &[]);
        let worker_key = key_file(data.path(), &["--scope", "worker", "--consumer", "workers"]);
        let id = std::process::id();
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let host = format!("127.{}.{}.{}", 100 + number % 100, id / 250 % 250, 1 + id % 250);
        Self { data, _sandbox: running, sandbox: address, key, worker_key, host }
    }

    /// A server with `bots.workers = "none"`, on a free port or on this one.
    fn serve(&self, port: u16) -> (Running, String) {
        self.serve_with(port, &[])
    }

    /// The same, with more settings in its environment.
    fn serve_with(&self, port: u16, settings: &[(&str, String)]) -> (Running, String) {
        self.serve_from(self.data.path(), port, settings)
    }

    /// The same, with another data folder.
    fn serve_from(&self, data: &Path, port: u16, settings: &[(&str, String)]) -> (Running, String) {
        let mut command = meetbot();
        command
            .env(TIMING, SHORT)
            .env("MEETBOT_BOTS_WORKERS", "none")
            .env("MEETBOT_SANDBOX_TOKEN", sandbox_token().expose())
            .envs(crate::program::store(data))
            .envs(settings.iter().map(|(name, value)| (*name, value)))
            .args(["serve", "--dev", "--sandbox", &self.sandbox])
            .args(["--listen", &format!("{}:{port}", self.host), "--data-dir"])
            .arg(data);
        let (server, started) = Running::start(&mut command);
        (server, started["url"].as_str().unwrap().to_owned())
    }

    /// A server of another data folder.
    fn serve_elsewhere(&self) -> (Running, String) {
        let data = TempDir::new().unwrap();
        crate::program::serve(data.path(), Some(&self.sandbox))
    }

    fn client(&self, url: &str) -> MeetBot {
        client(url, &self.key)
    }

    fn worker_command(&self, servers: &str, more: &[&str]) -> Command {
        self.worker_command_on(servers, self.data.path(), more)
    }

    /// The same, with another data folder.
    fn worker_command_on(&self, servers: &str, data: &Path, more: &[&str]) -> Command {
        let mut command = meetbot();
        command
            .args(["worker", "--servers", servers, "--key-file"])
            .arg(&self.worker_key)
            .arg("--data-dir")
            .arg(data)
            .args(more);
        command
    }

    fn worker(&self, servers: &str, more: &[&str]) -> Running {
        Running::start(&mut self.worker_command(servers, more)).0
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

static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// A file with a new live key.
fn key_file(data: &Path, more: &[&str]) -> PathBuf {
    let (key, _) = create("--live", data, more);
    let file = data.join(format!("key-{}", more.join("-").replace('/', "")));
    fs::write(&file, key + "\n").unwrap();
    file
}

fn dispatch(client: &MeetBot, seconds: u32) -> String {
    let meeting_url = format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}");
    client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
}
