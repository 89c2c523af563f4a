//! Runs the binary: once to its end, or as a server that is killed.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, mpsc},
    time::Duration,
};

use meetbot::{Job, Request, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use meetbot_types::{Manifest, bot::Secret};
use serde_json::Value;
use tempfile::NamedTempFile;

/// Long enough for a busy machine; reached only when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The variable that shortens how long a server waits for bots that are not heard.
pub(crate) const TIMING: &str = "MEETBOT_TEST_TIMING";

/// The variable that names the folder of the socket of a PostgreSQL: servers and keys of these tests are in a database of it then, one for each data folder.
pub(crate) const POSTGRES: &str = "MEETBOT_TEST_POSTGRES";

/// The setting that names a data folder's database, where it is a PostgreSQL that these tests run on. It is made where it is new.
pub(crate) fn store(data_dir: &Path) -> Option<(&'static str, String)> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    static MADE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let socket = std::env::var(POSTGRES).ok()?;
    let mut hasher = DefaultHasher::new();
    data_dir.hash(&mut hasher);
    let name = format!("data_{:x}", hasher.finish());
    if MADE.lock().unwrap().insert(name.clone()) {
        xtask::postgres::sql(&socket, "postgres", &[&format!("CREATE DATABASE {name}")]);
    }
    Some(("MEETBOT_STORE_URL", xtask::postgres::url(&socket, &name)))
}

/// The token of the servers of these tests for a separate sandbox.
const SANDBOX_TOKEN: &str = "sandbox-of-the-tests";

pub(crate) fn sandbox_token() -> Secret {
    Secret::new(SANDBOX_TOKEN)
}

/// The binary, without the `MEETBOT_` variables of the caller's environment.
pub(crate) fn meetbot() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetbot"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MEETBOT_")) {
        command.env_remove(name);
    }
    // Keeps the tests from using the logins of the person who runs them.
    command.env("XDG_CONFIG_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody"));
    // A backtrace of a bot that crashes on purpose would load the symbols of the whole program.
    command.env("RUST_BACKTRACE", "0");
    command
}

/// The output of a command and its exit code.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl CommandOutput {
    /// The only JSON object on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> CommandOutput {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    CommandOutput { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// A long-running command that is killed with −9 when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    /// Its output after the first line.
    lines: mpsc::Receiver<String>,
    /// The path of its log.
    log: std::path::PathBuf,
}

impl Running {
    /// Starts it and waits for the first JSON object it prints.
    pub(crate) fn start(command: &mut Command) -> (Self, Value) {
        let (log, path) = xtask::test_log::create("program");
        if command.get_envs().all(|(name, _)| name != "MEETBOT_LOG") {
            command.env("MEETBOT_LOG", "debug");
        }
        let mut child = command
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (sender, first) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            // Read to the end: a server must never block on a full pipe.
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let Ok(line) = first.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it did not start: {}", std::fs::read_to_string(&path).unwrap());
        };
        let object = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        (Self { child, lines: first, log: path }, object)
    }

    /// The next JSON object it prints.
    pub(crate) fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE * 2).expect("it prints something more");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// `kill -9`: nothing of it runs any more when this returns.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM.
    pub(crate) fn signal(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Its exit code, once it has ended by itself.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// The same, and all that it logged.
    pub(crate) fn ended_with_log(self) -> (Option<i32>, String) {
        let log = self.log.clone();
        (self.ended(), std::fs::read_to_string(log).unwrap())
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn terminate(self) -> Option<i32> {
        self.signal();
        self.ended()
    }

    /// SIGTERM, its exit code, and all that it logged.
    pub(crate) fn terminate_with_log(self) -> (Option<i32>, String) {
        self.signal();
        self.ended_with_log()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server on a free port, with its own sandbox or the one at `sandbox`. It is in development, since the receivers of these tests are on loopback. The
/// pauses before bots that are lost repeatedly are replaced are a fiftieth of the default.
pub(crate) fn serve(data_dir: &Path, sandbox: Option<&str>) -> (Running, String) {
    serve_with(data_dir, sandbox, &[])
}

/// The same, with settings in its environment.
pub(crate) fn serve_with(
    data_dir: &Path,
    sandbox: Option<&str>,
    settings: &[(&str, &str)],
) -> (Running, String) {
    let mut command = meetbot();
    command.env(TIMING, r#"{"pauseMs":100}"#).envs(settings.iter().copied());
    command.arg("serve").arg("--dev");
    if let Some(address) = sandbox {
        command.args(["--sandbox", address]).env("MEETBOT_SANDBOX_TOKEN", SANDBOX_TOKEN);
    }
    started(command, data_dir)
}

/// A server on a free port with default settings, except for these.
pub(crate) fn serve_by_default(data_dir: &Path, settings: &[(&str, &str)]) -> (Running, String) {
    let mut command = meetbot();
    command.envs(settings.iter().copied()).arg("serve");
    started(command, data_dir)
}

fn started(mut command: Command, data_dir: &Path) -> (Running, String) {
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).envs(store(data_dir));
    let (server, started) = Running::start(&mut command);
    (server, started["url"].as_str().unwrap().to_owned())
}

/// A sandbox in a separate process, and its address.
pub(crate) fn sandbox() -> (Running, String) {
    let mut command = meetbot();
    command.args(["sandbox", "serve", "--listen", "127.0.0.1:0"]);
    let (sandbox, started) = Running::start(command.env("MEETBOT_SANDBOX_TOKEN", SANDBOX_TOKEN));
    (sandbox, started["address"].as_str().unwrap().to_owned())
}

/// A receiver of webhooks, and its URL.
pub(crate) fn listen(secret: &str) -> (Running, String) {
    let mut command = meetbot();
    command
        .args(["webhooks", "listen", "--listen", "127.0.0.1:0"])
        .env("MEETBOT_WEBHOOK_SECRET", secret);
    let (receiver, started) = Running::start(&mut command);
    (receiver, started["url"].as_str().unwrap().to_owned())
}

/// A new test key of the data folder: the key and the webhook secret.
pub(crate) fn create_key(data_dir: &Path, more: &[&str]) -> (String, String) {
    create("--test", data_dir, more)
}

/// A new key of the data folder for real meetings.
pub(crate) fn create_live_key(data_dir: &Path) -> String {
    create("--live", data_dir, &[]).0
}

/// A new key of a kind (`--test`, `--live`), with more arguments: the key and its consumer's webhook secret.
pub(crate) fn create(kind: &str, data_dir: &Path, more: &[&str]) -> (String, String) {
    create_with(kind, data_dir, more, &[])
}

/// The same, with settings in its environment.
pub(crate) fn create_with(
    kind: &str,
    data_dir: &Path,
    more: &[&str],
    settings: &[(&str, &str)],
) -> (String, String) {
    let output = run(meetbot()
        .envs(store(data_dir))
        .envs(settings.iter().copied())
        .args(["keys", "create", kind, "--init", "--json", "--data-dir"])
        .arg(data_dir)
        .args(more));
    assert_eq!(output.code, Some(0), "{output:?}");
    let key = output.json();
    (key["key"].as_str().unwrap().to_owned(), key["webhookSecret"].as_str().unwrap().to_owned())
}

/// A job's manifest, decoded strictly; the SDK also accepts one with fewer fields.
pub(crate) fn manifest_of(client: &MeetBot, job_id: &str) -> Manifest {
    let path = format!("/api/v1/jobs/{job_id}/manifest");
    let answer = client.request(Request::new("GET", path).unwrap()).unwrap();
    serde_json::from_slice(answer.body()).unwrap()
}

/// The recorded tracks, read from a server into temporary files.
pub(crate) fn downloaded_tracks(client: &MeetBot, manifest: &Manifest) -> Vec<NamedTempFile> {
    let id = manifest.job_id.to_string();
    let read = |name: &str| {
        let file = NamedTempFile::with_suffix(name).unwrap();
        std::fs::write(file.path(), client.artifact(&id, name).unwrap()).unwrap();
        file
    };
    manifest.tracks.iter().map(|track| read(&track.file)).collect()
}

/// The SDK against a server.
pub(crate) fn client(url: &str, key: &str) -> MeetBot {
    MeetBot::builder().api_key(key).base_url(url).build().unwrap()
}

/// The job, once it is `wanted`.
pub(crate) fn await_job(client: &MeetBot, id: &str, wanted: impl Fn(&Job) -> bool) -> Job {
    poll_until(PATIENCE * 2, || {
        let job = client.get_bot(id).unwrap().unwrap();
        if wanted(&job) {
            return Ok(job);
        }
        assert!(!job.status.is_final(), "it has ended before: {job:#?}");
        Err(format!("the job is another: {job:#?}"))
    })
}

/// Waits for the event of the mix, which follows the manifest's change.
pub(crate) fn mix_reported(client: &MeetBot, id: &str) {
    poll_until(PATIENCE, || {
        let mut events = client.events(id, None).unwrap().data.into_iter();
        events.find(|event| event.event == "job.artifact_ready").ok_or("no event of the mix")
    });
}

/// The manifest, once the mix is made or has failed. The mix is made after the job has ended.
pub(crate) fn mixed(client: &MeetBot, id: &str) -> Manifest {
    poll_until(PATIENCE, || {
        let manifest = manifest_of(client, id);
        if manifest.mixed.is_pending() {
            return Err(format!("the mix is not made: {manifest:#?}"));
        }
        Ok(manifest)
    })
}
