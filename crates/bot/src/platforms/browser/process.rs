//! Chromium as a child process, with a separate process group and profile; it ends with its bot.
//!
//! The `DevTools` pipe uses its descriptors 3 and 4. A shell moves them there from stdin and stdout, so that no code here is `unsafe` and no crate is needed.
//! Chromium ends by itself when the pipe does, and the kernel kills it when its parent dies (`setpriv --pdeathsig`). For the kernel the parent is the *thread* that
//! started it, so that thread waits until it ends. The profile is removed with the browser; the profile of a killed process is removed by the next one: while a
//! process lives, a file in its profile is locked.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::{
        fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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

use super::{
    account::{copy_profile, save_profile},
    limits::{allowed_processors, memory_of, processors},
    needs::{Environment, Need, SETPRIV, TASKSET, version},
};

/// The prefix of profiles' names, in the system's folder for temporary files.
const PROFILES: &str = "meetbot-browser-";
/// The file in a profile that is locked while its process lives.
const LOCK: &str = "lock";
/// How long Chromium may take to close by itself, and then to end after a kill.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest path of a folder in which Chromium can make its socket (`sun_path` has 108 bytes).
const LONGEST_FOLDER: usize = 107 - "/org.chromium.Chromium.XXXXXX/SingletonSocket".len();
/// One switch with all disabled features: a second such switch would replace it.
const DISABLED_FEATURES: &str = "--disable-features=Translate,MediaRouter,OptimizationHints,AutofillServerCommunication,GlobalMediaControls";

/// Why Chromium does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Needs(#[from] Need),
    #[error("Chromium cannot be started ({0}): {1}")]
    Start(PathBuf, io::Error),
    #[error(
        "the profile of the account {0:?} cannot be used: {1}; its operator signs in with `meetbot browser login google --account {0}`"
    )]
    Account(String, io::Error),
}

/// A running Chromium; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Browser {
    /// `None` once it has ended: its process group's number may be reused then.
    group: Arc<Mutex<Option<Pid>>>,
    ended: watch::Receiver<bool>,
    /// Whether the account's profile gets what this browser has changed.
    keeps_login: Arc<AtomicBool>,
}

impl Browser {
    /// Starts it with additional switches, and returns it with the ends of its pipe.
    pub(crate) fn start(
        settings: &BrowserSettings,
        switches: &[String],
    ) -> Result<(Self, ChildStdout, ChildStdin), Error> {
        let binary = Environment::of_process(|around| around.check(settings))?;
        let failed = |error| Error::Start(binary.clone(), error);
        let folder = std::env::temp_dir();
        remove_left_profiles(&folder);
        let profile = Profile::new(&folder).map_err(failed)?;
        let account = settings.profile.clone();
        if let Some(account) = &account {
            let name = account.file_name().unwrap_or_default().to_string_lossy().into_owned();
            copy_profile(account, profile.folder.path())
                .map_err(|error| Error::Account(name, error))?;
        }
        let mut command =
            command(&binary, profile.folder.path(), settings, switches).map_err(failed)?;
        let group = Arc::new(Mutex::new(None));
        let (tell, ended) = watch::channel(false);
        let (started, starts) = std::sync::mpsc::channel();
        let keeps_login = Arc::new(AtomicBool::new(false));
        let (shared, keeps) = (Arc::clone(&group), Arc::clone(&keeps_login));
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
            let ended_well = keep(&mut child, &shared);
            if let Some(account) = account.filter(|_| ended_well && keeps.load(Ordering::Relaxed))
                && let Err(error) = save_profile(profile.folder.path(), &account)
            {
                tracing::warn!(%error, "the cookies that an account has got are not kept");
            }
            drop(profile);
            tell.send_replace(true);
        };
        thread::Builder::new().name("browser".to_owned()).spawn(keeper).map_err(failed)?;
        let started = starts.recv().unwrap_or_else(|error| Err(io::Error::other(error)));
        // From here on an error drops the browser, which ends it.
        let browser = Self { group, ended, keeps_login };
        let (output, input) = started.map_err(failed)?;
        let output = ChildStdout::from_std(output).map_err(failed)?;
        let input = ChildStdin::from_std(input).map_err(failed)?;
        Ok((browser, output, input))
    }

    /// Waits until the browser and its whole process group have ended.
    pub(crate) async fn ends(&mut self) {
        // The waiting thread is gone: the browser has ended.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    /// Waits until it has closed after [`Page::close_browser`](super::page::Page::close_browser); else kills it.
    pub(crate) async fn closes(mut self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.ends()).await.is_err() {
            self.kill();
            if tokio::time::timeout(KILL_TIMEOUT, self.ends()).await.is_err() {
                tracing::error!("a browser cannot be killed");
            }
        }
    }

    /// Once it has closed by itself, its account's profile gets what it has changed: sites renew their cookies.
    pub(crate) fn keep_login(&self) {
        self.keeps_login.store(true, Ordering::Relaxed);
    }

    /// The memory of its processes, in bytes.
    pub(crate) async fn memory(&self) -> u64 {
        let group = *self.group.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(group) = group else { return 0 };
        // It reads a file of each process of the machine.
        tokio::task::spawn_blocking(move || memory_of(group)).await.unwrap_or_default()
    }

    fn kill(&self) {
        if let Some(group) = *self.group.lock().unwrap_or_else(PoisonError::into_inner) {
            // The group may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for the child's end, and kills the rest of its group. Returns whether it ended by itself, without an error.
fn keep(child: &mut Child, group: &Mutex<Option<Pid>>) -> bool {
    let pid = Pid::from_child(child);
    // The group's number is not reused before the second wait.
    let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    let mut group = group.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = kill_process_group(pid, Signal::KILL);
    *group = None;
    drop(group);
    child.wait().is_ok_and(|status| status.success())
}

/// The profile folder of one browser, readable by its owner only.
struct Profile {
    folder: TempDir,
    _lock: File,
}

impl Profile {
    fn new(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(PROFILES)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let private = |name: &str| {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(folder.path().join(name))
        };
        // Hidden from the removal of left profiles until it is locked.
        let lock = private("lock.new")?;
        lock.lock()?;
        fs::rename(folder.path().join("lock.new"), folder.path().join(LOCK))?;
        // Silence for the microphone, in case a meeting switches it on: Chromium's default fake device beeps.
        private("silence.wav")?.write_all(&silence_of_a_second())?;
        Ok(Self { folder, _lock: lock })
    }
}

/// Removes the profiles of killed processes in a folder.
pub(crate) fn remove_left_profiles(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let own = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        let is_profile = entry.file_name().to_string_lossy().starts_with(PROFILES)
            && entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == own);
        let path = entry.path();
        let Some(lock) = is_profile.then(|| File::open(path.join(LOCK)).ok()).flatten() else {
            continue;
        };
        if lock.try_lock().is_err() {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!("the profile of a killed browser is removed"),
            // The next browser tries again.
            Err(error) => {
                tracing::warn!(%error, "the profile of a killed browser cannot be removed");
            }
        }
    }
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
    command.args(["--pdeathsig", "KILL"]);
    let count = usize::try_from(settings.processors).unwrap_or(usize::MAX);
    // Browsers of different bots, which are different processes, begin with different processors.
    let first = usize::try_from(std::process::id()).unwrap_or_default();
    if let Some(list) = allowed_processors().and_then(|all| processors(&all, count, first)) {
        command.args([TASKSET, "-c", &list]);
    }
    command.args(["sh", "-c", to_descriptors]).arg(binary);
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
        DISABLED_FEATURES,
    ]);
    // With a window it needs the X server that the environment names.
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
    // Its temporary files (its shared memory, the folder of its socket) are removed with the profile.
    if profile.as_os_str().len() <= LONGEST_FOLDER {
        command.env("TMPDIR", profile);
    }
    for variable in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
        command.env(variable, profile);
    }
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

/// The user agent of this browser with a window. Without a window it would be `HeadlessChrome`, which some
/// pages refuse; the rest is unchanged.
fn user_agent(version: &str) -> String {
    let major = version.split('.').next().unwrap_or(version);
    // Chromium names every Linux like this, on any processor (user agent reduction).
    format!(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36"
    )
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::process::CommandExt as _,
        time::Duration,
    };

    use meetbot_testkit::polling::poll_until;

    use super::*;

    /// The environment variable that marks the process to be killed.
    const DRIVES: &str = "MEETBOT_TEST_DRIVES";
    const TIMEOUT: Duration = Duration::from_mins(1);
    const NAME: &str = "platforms::browser::process::tests::a_killed_driver_leaves_no_process_and_the_next_browser_removes_its_profile";

    fn settings() -> BrowserSettings {
        BrowserSettings { no_sandbox: true, ..BrowserSettings::default() }
    }

    /// The processes of a group.
    fn processes(group: i32) -> Vec<String> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let found = entries.filter_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name: state, parent, group.
            let (_, rest) = stat.rsplit_once(") ")?;
            let mut fields = rest.split(' ');
            let is_of_group = fields.next()? != "Z" && fields.nth(1)?.parse() == Ok(group);
            is_of_group.then_some(stat)
        });
        found.collect()
    }

    /// The names in a folder for temporary files.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Whether it holds one profile, and nothing else.
    fn has_one_profile(folder: &Path) -> bool {
        let names = names(folder);
        names.len() == 1 && names[0].starts_with(PROFILES)
    }

    #[tokio::test]
    async fn a_killed_driver_leaves_no_process_and_the_next_browser_removes_its_profile() {
        let can_start = Environment::of_process(|around| around.check(&settings())).is_ok();
        if !can_start && std::env::var_os("MEETBOT_TEST_AS_ROOT").is_none() {
            return;
        }
        if std::env::var_os(DRIVES).is_some() {
            let (browser, _output, _input) = Browser::start(&settings(), &[]).unwrap();
            let group = browser.group.lock().unwrap().unwrap().as_raw_nonzero();
            println!("\nbrowser {group}");
            std::future::pending::<()>().await;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut driver = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(DRIVES, "1")
            .env("TMPDIR", folder.path())
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let group = lines.find_map(|line| line.unwrap().strip_prefix("browser ")?.parse().ok());
        let group: i32 = group.unwrap();
        let missing = |is_there: bool, what| if is_there { Ok(()) } else { Err(what) };
        // It has begun to write into its profile, which has its temporary files too.
        let profile = folder.path().join(&names(folder.path())[0]);
        let has_socket = || names(&profile).iter().any(|name| name.starts_with("org.chromium."));
        poll_until(TIMEOUT, || missing(processes(group).len() > 3, "Chromium has begun"));
        poll_until(TIMEOUT, || missing(has_socket(), "Chromium has a socket"));
        remove_left_profiles(folder.path());
        assert!(has_one_profile(folder.path()), "{:?}", names(folder.path()));

        driver.kill().unwrap();
        driver.wait().unwrap();
        poll_until(TIMEOUT, || missing(processes(group).is_empty(), "Chromium is gone"));
        assert!(has_one_profile(folder.path()), "it is not removed yet");
        remove_left_profiles(folder.path());
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_browser_stays_on_its_processors_and_its_memory_is_known() {
        let settings = BrowserSettings { processors: 1, ..settings() };
        let can_start = Environment::of_process(|around| around.check(&settings)).is_ok();
        if !can_start && std::env::var_os("MEETBOT_TEST_AS_ROOT").is_none() {
            return;
        }
        let (browser, _output, _input) = Browser::start(&settings, &[]).unwrap();
        let group = browser.group.lock().unwrap().unwrap().as_raw_nonzero().get();
        let missing = |is_there: bool, what| if is_there { Ok(()) } else { Err(what) };
        poll_until(TIMEOUT, || missing(processes(group).len() > 3, "Chromium has begun"));
        for stat in processes(group) {
            let pid = stat.split(' ').next().unwrap();
            // A process may have ended meanwhile.
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
            let list = line.split_whitespace().last().unwrap();
            let has_one = list.parse::<usize>().is_ok();
            assert!(has_one || allowed_processors().unwrap().parse::<usize>().is_ok(), "{line}");
        }
        assert!(browser.memory().await > 20_000_000);
        browser.closes().await;
    }
}
