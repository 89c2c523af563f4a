//! Bots as separate processes. Each has a log file in the data folder, which is locked as long as the process lives: the process inherits the
//! locked file as its standard output, so that it holds the lock from its first moment on, and the kernel releases the lock when it ends.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use meetbot_bot::{Connect, Lateness};
use meetbot_orchestrator::{BotExit, Stop, bots_folder};
use meetbot_types::{JobId, bot::BotOrder};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

/// The file with the address on which the server listens.
const SERVER: &str = "server";
/// The file that bots write when they read their media too late.
const LATE: &str = "late";
/// The suffix of the name of a bot's output.
const OUTPUT: &str = ".log";
/// How often to look whether a bot lives that another server launched.
const LOOK: Duration = Duration::from_millis(250);
/// How many outputs of crashed bots are kept, the newest ones.
const KEPT: usize = 50;

/// The input of a bot's process, on its standard input. It contains secrets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BotLaunch {
    pub(super) order: BotOrder,
    /// The folder that the bot processes of a data folder share.
    pub(super) folder: PathBuf,
    /// How many browsers may run on the data folder.
    pub(super) browsers: usize,
    /// Whether the bot outlives the process that launched it.
    pub(super) outlives: bool,
}

impl BotLaunch {
    /// The file with the server's present address, for a bot that outlives it. Bots of workers use the address in the order.
    pub(super) fn server(&self) -> Option<PathBuf> {
        self.outlives.then(|| self.folder.join(SERVER))
    }

    /// The file in which the bot reports that it reads its media too late.
    pub(super) fn late(&self) -> PathBuf {
        self.folder.join(LATE)
    }

    /// The bot's output.
    pub(super) fn output(&self) -> PathBuf {
        output(&self.folder, self.order.job_id, self.order.epoch)
    }
}

fn output(folder: &Path, job: JobId, attempt: u32) -> PathBuf {
    folder.join(format!("{job}.{attempt}{OUTPUT}"))
}

/// Launches bot processes.
#[derive(Debug)]
pub(super) struct Processes {
    folder: PathBuf,
    browsers: usize,
    /// Whether bots outlive this process.
    outlive: bool,
}

impl Processes {
    /// The launcher for a data folder, with at most `browsers` bots in browsers at once.
    pub(super) fn new(data_dir: &Path, browsers: usize, outlive: bool) -> io::Result<Self> {
        Ok(Self { folder: bots_folder(&std::path::absolute(data_dir)?), browsers, outlive })
    }

    /// The connections of bots that are tasks of this process, which also reads what the others report.
    pub(super) fn connections(&self) -> reqwest::Result<Connect> {
        let lateness = Lateness::with_reports_in(self.folder.join(LATE));
        super::shared_connections(None, self.browsers, lateness)
    }

    /// Makes the shared folder.
    pub(super) fn prepare(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.clear()
    }

    /// Writes the server's address for the bots that live.
    pub(super) fn set_server_url(&self, url: &str) -> io::Result<()> {
        self.prepare()?;
        // Atomically: a bot that finds no file assumes that its server is gone.
        let next = self.folder.join("server.next");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(url.as_bytes())?;
        fs::rename(next, self.folder.join(SERVER))
    }

    pub(super) fn is_alive(&self, job: JobId, attempt: u32) -> bool {
        is_locked(&output(&self.folder, job, attempt))
    }

    pub(super) async fn run(&self, order: BotOrder, stop: Stop) -> BotExit {
        let launch = BotLaunch {
            order,
            folder: self.folder.clone(),
            browsers: self.browsers,
            outlives: self.outlive,
        };
        let mut child = match self.start(&launch).await {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, "a bot's process cannot be started");
                return BotExit::Ended;
            }
        };
        let ended = tokio::select! {
            biased;
            ended = child.wait() => ended,
            () = stop.drain.cancelled(), if self.outlive => return BotExit::Detached,
            () = stop.leave.cancelled(), if !self.outlive => {
                if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
                    && let Err(error) = kill_process(pid, Signal::TERM)
                {
                    tracing::warn!(%error, "a bot's process cannot be asked to leave");
                }
                child.wait().await
            }
        };
        match ended {
            Ok(status) if status.success() => {}
            ended => {
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                let output = launch.output();
                tracing::error!(how, output = %output.display(), "a bot's process crashed");
                if let Err(error) = self.clear() {
                    tracing::warn!(%error, "the outputs of earlier bots cannot be removed");
                }
            }
        }
        BotExit::Ended
    }

    pub(super) async fn adopt(&self, job: JobId, attempt: u32, stop: Stop) -> BotExit {
        while self.is_alive(job, attempt) {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.drain.cancelled() => return BotExit::Detached,
            }
        }
        BotExit::Ended
    }

    async fn start(&self, launch: &BotLaunch) -> io::Result<Child> {
        let output =
            OpenOptions::new().create(true).append(true).mode(0o600).open(launch.output())?;
        output.lock()?;
        // The running program, also after an update has replaced its file.
        let mut command = Command::new("/proc/self/exe");
        // The job is for the list of processes.
        command.arg0("meetbot").arg("bot").arg(launch.order.job_id.to_string());
        for (name, _) in std::env::vars_os() {
            // Settings are for servers, and some are secrets.
            let is_setting = name.as_encoded_bytes().starts_with(b"MEETBOT_");
            if is_setting && name != "MEETBOT_LOG" {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let started = command.spawn();
        // The command holds the locked file, too.
        drop(command);
        let mut child = started?;
        if let Some(mut input) = child.stdin.take() {
            // A process that does not read its input ends, and is waited for.
            if let Err(error) = input.write_all(&serde_json::to_vec(launch)?).await {
                tracing::warn!(%error, "a bot's process takes no order");
            }
        }
        Ok(child)
    }

    /// Removes the oldest outputs of bots that crashed.
    fn clear(&self) -> io::Result<()> {
        let mut left = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_output = path.to_str().is_some_and(|path| path.ends_with(OUTPUT));
            if is_output && !is_locked(&path) {
                // Another process may have removed it.
                let Ok(found) = fs::metadata(&path) else { continue };
                left.push((found.modified().unwrap_or(SystemTime::UNIX_EPOCH), path));
            }
        }
        left.sort();
        left.truncate(left.len().saturating_sub(KEPT));
        for (_, path) in left {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whether a process has locked the file.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;

    use super::*;

    #[test]
    fn outputs_of_running_bots_and_of_the_newest_crashed_ones_are_kept() {
        let data = tempfile::tempdir().unwrap();
        let processes = Processes::new(data.path(), 1, true).unwrap();
        processes.set_server_url("http://127.0.0.1:1").unwrap();
        let job = JobId::generate(Timestamp::UNIX_EPOCH);
        let made = |attempt: u32| {
            let file = File::create(output(&processes.folder, job, attempt)).unwrap();
            let since = Duration::from_secs(attempt.into());
            file.set_modified(SystemTime::UNIX_EPOCH + since).unwrap();
            file
        };
        let living = made(1);
        living.lock().unwrap();
        for attempt in 2..=60 {
            made(attempt);
        }
        processes.set_server_url("http://127.0.0.1:2").unwrap();
        let there = |attempt| output(&processes.folder, job, attempt).exists();
        let kept: Vec<u32> = (1..=60).filter(|attempt| there(*attempt)).collect();
        assert_eq!(kept, [1].into_iter().chain(11..=60).collect::<Vec<_>>());
        assert!(
            processes.is_alive(job, 1)
                && !processes.is_alive(job, 60)
                && !processes.is_alive(job, 2)
        );
        drop(living);
        assert!(!processes.is_alive(job, 1));
        let server = fs::read_to_string(processes.folder.join(SERVER)).unwrap();
        assert_eq!(server, "http://127.0.0.1:2");
    }
}
