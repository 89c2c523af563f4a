//! Chromium as a child process: in a process group and with a profile that nobody else has, and gone with its bot.
//!
//! The `DevTools` pipe is on its descriptors 3 and 4. A shell moves them there from stdin and stdout, so that no code here is `unsafe` and no crate is needed.
//! Chromium ends by itself when the pipe does, and the kernel kills it when its parent dies (`setpriv --pdeathsig`). The kernel takes the *thread* that started it
//! for the parent, so that thread waits until it ends.

use std::{
    fs::{OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::{
        fs::{OpenOptionsExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use meetbot_types::bot::BrowserSettings;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tempfile::TempDir;
use tokio::{
    process::{ChildStdin, ChildStdout},
    sync::watch,
};

use super::needs::{Need, SETPRIV, Surroundings, version};

/// How long Chromium may take to close by itself, and then to be killed.
const CLOSES: Duration = Duration::from_secs(3);
const DIES: Duration = Duration::from_secs(10);
/// One switch with all features that are switched off: each further one would replace it.
const WITHOUT: &str = "--disable-features=Translate,MediaRouter,OptimizationHints,AutofillServerCommunication,GlobalMediaControls";

/// Why Chromium does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Needs(#[from] Need),
    #[error("Chromium cannot be started ({0}): {1}")]
    Start(PathBuf, io::Error),
}

/// Chromium at work, until it is dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    /// `None` once it has ended: its number may be another's then.
    group: Arc<Mutex<Option<Pid>>>,
    ended: watch::Receiver<bool>,
}

impl Browser {
    /// Starts it with these switches beside its own, and answers it with the ends of its pipe.
    pub(crate) fn start(
        settings: &BrowserSettings,
        switches: &[String],
    ) -> Result<(Self, ChildStdout, ChildStdin), Error> {
        let binary = Surroundings::of_process(|around| around.check(settings))?;
        let failed = |error| Error::Start(binary.clone(), error);
        let profile = profile().map_err(failed)?;
        let mut command = command(&binary, profile.path(), settings, switches).map_err(failed)?;
        let group = Arc::new(Mutex::new(None));
        let (tell, ended) = watch::channel(false);
        let (started, starts) = std::sync::mpsc::channel();
        let shared = Arc::clone(&group);
        let keeper = move || {
            let child = command.spawn();
            let mut child = match child {
                Ok(child) => child,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Pid::from_child(&child));
            let pipe = child.stdout.take().zip(child.stdin.take());
            let _ = started.send(pipe.ok_or_else(|| io::Error::other("it has no pipe")));
            keep(&mut child, &shared);
            drop(profile);
            tell.send_replace(true);
        };
        thread::Builder::new().name("browser".to_owned()).spawn(keeper).map_err(failed)?;
        let started = starts.recv().unwrap_or_else(|error| Err(io::Error::other(error)));
        // Whatever fails from here on, the browser ends.
        let browser = Self { group, ended };
        let (output, input) = started.map_err(failed)?;
        let output = ChildStdout::from_std(output).map_err(failed)?;
        let input = ChildStdin::from_std(input).map_err(failed)?;
        Ok((browser, output, input))
    }

    /// Waits until it has ended and nothing of it is left.
    pub(crate) async fn ends(&mut self) {
        // Its keeper is gone: it ended.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    /// Waits until it has closed, which it was told to; else kills it.
    pub(crate) async fn closes(mut self) {
        if tokio::time::timeout(CLOSES, self.ends()).await.is_err() {
            self.kill();
            if tokio::time::timeout(DIES, self.ends()).await.is_err() {
                tracing::error!("a browser cannot be killed");
            }
        }
    }

    fn kill(&self) {
        if let Some(group) = *self.group.lock().unwrap_or_else(PoisonError::into_inner) {
            // It may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for the child's end, and ends what is left of its group.
fn keep(child: &mut Child, group: &Mutex<Option<Pid>>) {
    let pid = Pid::from_child(child);
    // Its number stays its own until it is waited for once more.
    let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    let mut group = group.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = kill_process_group(pid, Signal::KILL);
    *group = None;
    drop(group);
    let _ = child.wait();
}

/// A folder for one browser, for its owner alone.
fn profile() -> io::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("meetbot-browser-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    // What the microphone hears, should a meeting ever switch it on: Chromium's own stand-in beeps.
    let silence = folder.path().join("silence.wav");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(silence)?;
    file.write_all(&silence_of_a_second())?;
    Ok(folder)
}

/// A WAV file: 48 kHz, 16 bits, one channel.
fn silence_of_a_second() -> Vec<u8> {
    const BYTES: u32 = 96_000;
    let mut wav = Vec::with_capacity(44 + BYTES as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + BYTES).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend([1, 0, 1, 0]);
    wav.extend(48_000_u32.to_le_bytes());
    wav.extend(BYTES.to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(BYTES.to_le_bytes());
    wav.resize(44 + BYTES as usize, 0);
    wav
}

fn command(
    binary: &Path,
    profile: &Path,
    settings: &BrowserSettings,
    switches: &[String],
) -> io::Result<Command> {
    let mut command = Command::new(SETPRIV);
    let to_descriptors = "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null";
    command.args(["--pdeathsig", "KILL", "sh", "-c", to_descriptors]).arg(binary);
    command.args([
        "--remote-debugging-pipe",
        "--disable-blink-features=AutomationControlled",
        "--lang=en-US",
        "--accept-lang=en-US,en",
        "--window-size=1280,800",
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        "--mute-audio",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-breakpad",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--disable-extensions",
        "--disable-external-intent-requests",
        "--disable-gpu",
        "--disable-renderer-backgrounding",
        "--disable-sync",
        "--password-store=basic",
        WITHOUT,
    ]);
    // With a window it needs an X server, which the environment names.
    if !settings.headful {
        let version = version(binary)?;
        command.arg("--headless=new");
        command.arg(format!("--user-agent={}", user_agent(&version)));
    }
    if settings.no_sandbox {
        command.arg("--no-sandbox");
    }
    let silence = profile.join("silence.wav");
    command.arg(argument("--use-file-for-fake-audio-capture=", &silence));
    command.arg(argument("--user-data-dir=", profile)).args(switches).arg("about:blank");
    command.env("HOME", profile).env("LANG", "en_US.UTF-8").env_remove("LANGUAGE");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.current_dir(profile).process_group(0);
    Ok(command)
}

fn argument(name: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(name);
    argument.push(path);
    argument
}

/// What this browser calls itself with a window. Without one it would say `HeadlessChrome`, which tells nothing but that it has no screen, and which some
/// pages refuse; all else stays as it is.
fn user_agent(version: &str) -> String {
    let major = version.split('.').next().unwrap_or(version);
    // Chromium names every Linux so, whatever its processor (user agent reduction).
    format!(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36"
    )
}
