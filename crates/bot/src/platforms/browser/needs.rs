//! Checks the requirements of a browser: programs, settings and environment.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use meetbot_types::bot::BrowserSettings;

/// The names of Chromium's binary, by distribution.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
/// The program that makes the kernel kill Chromium when its parent dies; a part of util-linux.
pub(super) const SETPRIV: &str = "setpriv";
/// The program that limits the processors; a part of util-linux too.
pub(super) const TASKSET: &str = "taskset";
/// How long the program may take to print its version, and the most bytes of that.
const VERSION_TIMEOUT: Duration = Duration::from_secs(20);
const LONGEST_VERSION: u64 = 4096;
/// The first release with `--headless=new`; the headless mode of older ones is a different browser.
const OLDEST: u32 = 112;

/// A missing requirement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Need {
    #[error("Chromium is not installed: none of {} is on the path (Debian: apt-get install chromium); `bots.browser.binary` may name it", NAMES.join(", "))]
    Chromium,
    #[error("there is no Chromium at {}, which `bots.browser.binary` names", .0.display())]
    NotThere(PathBuf),
    #[error("{} does not tell its version, as Chromium does: {error}", path.display())]
    Version { path: PathBuf, error: io::Error },
    #[error("Chromium {0} is too old: install {OLDEST} or newer")]
    TooOld(String),
    #[error(
        "setpriv is not on the path, which ends Chromium when its bot dies: install util-linux (Debian: apt-get install util-linux)"
    )]
    Setpriv,
    #[error(
        "taskset is not on the path, which `bots.browser.processors` needs: install util-linux (Debian: apt-get install util-linux)"
    )]
    Taskset,
    #[error(
        "Chromium has no sandbox when root runs it: run the server as another user, or accept that with `bots.browser.no_sandbox`"
    )]
    Root,
    #[error(
        "`bots.browser.headful` needs an X server, and DISPLAY names none: start one (Debian: apt-get install xvfb; Xvfb :99 &) and set DISPLAY for the server, as in DISPLAY=:99"
    )]
    Display,
}

impl Need {
    /// A stable code for it.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Chromium | Self::NotThere(_) => "no_chromium",
            Self::Version { .. } => "chromium_does_not_start",
            Self::TooOld(_) => "chromium_too_old",
            Self::Setpriv => "no_setpriv",
            Self::Taskset => "no_taskset",
            Self::Root => "chromium_as_root",
            Self::Display => "no_display",
        }
    }
}

/// The environment of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment<'a> {
    pub(crate) path: &'a OsStr,
    pub(crate) display: &'a OsStr,
    pub(crate) is_root: bool,
}

impl Environment<'_> {
    /// Calls `ask` with the environment of this process.
    pub(crate) fn of_process<T>(ask: impl FnOnce(&Environment<'_>) -> T) -> T {
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        let is_root = rustix::process::geteuid().is_root();
        ask(&Environment { path: &variable("PATH"), display: &variable("DISPLAY"), is_root })
    }

    fn find(&self, names: &[&str]) -> Option<PathBuf> {
        let folders = || std::env::split_paths(self.path);
        let mut places =
            names.iter().flat_map(|name| folders().map(move |folder| folder.join(name)));
        places.find(|place| place.is_file())
    }

    /// The Chromium on the path, or the one that the settings name.
    fn chromium(&self, settings: &BrowserSettings) -> Result<PathBuf, Need> {
        match &settings.binary {
            Some(binary) if binary.is_file() => Ok(binary.clone()),
            Some(binary) => Err(Need::NotThere(binary.clone())),
            None => self.find(&NAMES).ok_or(Need::Chromium),
        }
    }

    /// Chromium's path, if it may be started with these settings. It makes only cheap checks.
    pub(crate) fn check(&self, settings: &BrowserSettings) -> Result<PathBuf, Need> {
        let binary = self.chromium(settings)?;
        match self.other_needs(settings).into_iter().next() {
            Some(need) => Err(need),
            None => Ok(binary),
        }
    }

    /// All missing requirements.
    pub(crate) fn missing(&self, settings: &BrowserSettings) -> Vec<Need> {
        let chromium = self.chromium(settings).and_then(|binary| recent(&binary));
        chromium.err().into_iter().chain(self.other_needs(settings)).collect()
    }

    /// Missing requirements other than the program.
    fn other_needs(&self, settings: &BrowserSettings) -> Vec<Need> {
        let mut needs = Vec::new();
        if self.find(&[SETPRIV]).is_none() {
            needs.push(Need::Setpriv);
        }
        if settings.processors > 0 && self.find(&[TASKSET]).is_none() {
            needs.push(Need::Taskset);
        }
        if self.is_root && !settings.no_sandbox {
            needs.push(Need::Root);
        }
        if settings.headful && self.display.is_empty() {
            needs.push(Need::Display);
        }
        needs
    }
}

/// The version of the Chromium that bots would run; `None` if there is none.
pub(crate) fn version_of(settings: &BrowserSettings) -> Option<String> {
    let binary = Environment::of_process(|around| around.chromium(settings)).ok()?;
    version(&binary).ok()
}

fn recent(binary: &Path) -> Result<(), Need> {
    let version =
        version(binary).map_err(|error| Need::Version { path: binary.to_owned(), error })?;
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major < OLDEST) {
        return Err(Need::TooOld(version));
    }
    Ok(())
}

/// The browser's version, as in `156.0.8078.108`. Fails if the program does not print it in time.
pub(super) fn version(binary: &Path) -> io::Result<String> {
    let mut program = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (printed, text) = mpsc::channel();
    if let Some(output) = program.stdout.take() {
        // This thread is left behind where another process holds the pipe.
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = output.take(LONGEST_VERSION).read_to_end(&mut text);
            let _ = printed.send(read.map(|_| text));
        });
    }
    let text = text.recv_timeout(VERSION_TIMEOUT);
    let _ = program.kill();
    program.wait()?;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "`--version` does not end");
    let text = text.map_err(late)??;
    let text = String::from_utf8_lossy(&text);
    let is_version =
        |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    text.split_whitespace()
        .find(is_version)
        .map(ToOwned::to_owned)
        .ok_or_else(|| io::Error::other("`--version` prints none"))
}

/// Whether unprivileged programs may create user namespaces, which Chromium's sandbox needs if its set-user-ID helper is missing. `None` if it
/// is unknown.
pub fn user_namespaces() -> Option<bool> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0)
        || number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1)
    {
        return Some(false);
    }
    number("/proc/sys/user/max_user_namespaces").map(|most| most > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;

    /// A folder with these programs, each of which prints a text.
    fn folder(programs: &[(&str, &str)]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for (name, prints) in programs {
            let file = folder.path().join(name);
            fs::write(&file, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn codes(around: &Environment<'_>, settings: &BrowserSettings) -> Vec<&'static str> {
        let codes: Vec<_> = around.missing(settings).iter().map(Need::code).collect();
        // The version is not checked before a start.
        let before = around.check(settings).err().map(|need| need.code());
        let of_version = ["chromium_too_old", "chromium_does_not_start"];
        assert_eq!(codes.iter().find(|code| !of_version.contains(code)).copied(), before);
        codes
    }

    #[test]
    fn all_missing_requirements_are_listed_with_what_to_install() {
        let all = folder(&[("chromium", "Chromium 156.0.8078.108 built on Debian"), (SETPRIV, "")]);
        let whole = Environment {
            path: all.path().as_os_str(),
            display: OsStr::new(":99"),
            is_root: false,
        };
        let settings = BrowserSettings::default();
        assert_eq!(codes(&whole, &settings), [""; 0]);
        let headful = BrowserSettings { headful: true, ..settings.clone() };
        assert_eq!(codes(&whole, &headful), [""; 0]);
        let bare = folder(&[]);
        let bare =
            Environment { path: bare.path().as_os_str(), display: OsStr::new(""), is_root: true };
        assert_eq!(
            codes(&bare, &headful),
            ["no_chromium", "no_setpriv", "chromium_as_root", "no_display"]
        );
        let missing: Vec<String> = bare.missing(&headful).iter().map(ToString::to_string).collect();
        for (message, remedy) in
            missing.iter().zip(["apt-get install chromium", "util-linux", "no_sandbox", "xvfb"])
        {
            assert!(message.contains(remedy), "{message}");
        }
        assert_eq!(codes(&Environment { is_root: true, ..whole }, &settings), ["chromium_as_root"]);
        let limited = BrowserSettings { processors: 1, ..settings.clone() };
        assert_eq!(codes(&whole, &limited), ["no_taskset"]);
        let accepted = BrowserSettings { no_sandbox: true, ..settings };
        assert_eq!(codes(&Environment { is_root: true, ..whole }, &accepted), [""; 0]);
    }

    #[test]
    fn an_old_chromium_and_another_program_give_different_codes() {
        for (prints, code) in [
            ("Chromium 111.0.5563.64", Some("chromium_too_old")),
            ("Google Chrome 112.0.5615.49", None),
            ("no such display", Some("chromium_does_not_start")),
            ("", Some("chromium_does_not_start")),
        ] {
            let folder = folder(&[("google-chrome", prints), (SETPRIV, "")]);
            let around = Environment {
                path: folder.path().as_os_str(),
                display: OsStr::new(""),
                is_root: false,
            };
            assert_eq!(
                codes(&around, &BrowserSettings::default()).first().copied(),
                code,
                "{prints}"
            );
        }
    }

    #[test]
    fn only_the_program_that_the_settings_name_is_used() {
        let folder = folder(&[("chromium", "Chromium 156.0"), (SETPRIV, "")]);
        let around = Environment {
            path: folder.path().as_os_str(),
            display: OsStr::new(""),
            is_root: false,
        };
        let elsewhere = folder.path().join("elsewhere");
        let settings =
            BrowserSettings { binary: Some(elsewhere.clone()), ..BrowserSettings::default() };
        assert_eq!(codes(&around, &settings), ["no_chromium"]);
        assert!(around.missing(&settings)[0].to_string().contains(&*elsewhere.to_string_lossy()));
    }
}
