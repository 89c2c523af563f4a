//! A window in which a person signs in. No bot drives it: Google refuses to sign in a browser that a program drives.

use std::{
    io,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use meetbot_types::bot::BrowserSettings;

use super::{
    account::{is_signed_in_to_google, save_profile},
    needs::{Environment, Need},
};

/// Where a person signs in to Google.
const GOOGLE: &str = "https://accounts.google.com/";

/// Why nobody signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// There is no screen to show a window on.
    #[error("there is no screen here: neither DISPLAY nor WAYLAND_DISPLAY is set")]
    NoScreen,
    /// Chromium cannot be started.
    #[error("{0}")]
    Browser(String),
    /// The window was closed before somebody signed in.
    #[error("nobody signed in to Google before the window was closed")]
    NotSignedIn,
    /// The profile cannot be written.
    #[error("the profile cannot be saved: {0}")]
    Save(#[from] io::Error),
}

impl From<Need> for SignInError {
    fn from(need: Need) -> Self {
        Self::Browser(need.to_string())
    }
}

/// Shows Google's page for signing in, waits until the window is closed, and saves the profile of who has signed in as the profile of an account.
///
/// # Errors
/// There is no screen or no Chromium, nobody signed in, or the profile cannot be saved.
pub fn sign_in_to_google(settings: &BrowserSettings, account: &Path) -> Result<(), SignInError> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") {
        return Err(SignInError::NoScreen);
    }
    // `DISPLAY` is not required of it: the window may be one of Wayland.
    let settings = BrowserSettings { headful: false, ..settings.clone() };
    let binary = Environment::of_process(|around| around.check(&settings))?;
    let profile = tempfile::Builder::new().prefix("meetbot-sign-in-").tempdir()?;
    let failed = |why: String| SignInError::Browser(format!("{}: {why}", binary.display()));
    let ended = window(&binary, profile.path(), settings.no_sandbox);
    let ended = ended.map_err(|error| failed(error.to_string()))?;
    if !is_signed_in_to_google(profile.path())? {
        return Err(if ended.success() {
            SignInError::NotSignedIn
        } else {
            failed(format!("it ended with {ended}"))
        });
    }
    Ok(save_profile(profile.path(), account)?)
}

/// A window that bots can continue: the cookies are encrypted in the same way as theirs.
fn window(binary: &Path, profile: &Path, no_sandbox: bool) -> io::Result<ExitStatus> {
    let mut folder = std::ffi::OsString::from("--user-data-dir=");
    folder.push(profile);
    Command::new(binary)
        .arg(folder)
        .args(["--password-store=basic", "--no-first-run", "--no-default-browser-check"])
        .args(["--disable-sync", "--disable-extensions", "--lang=en-US"])
        .args(no_sandbox.then_some("--no-sandbox"))
        .args(["--new-window", GOOGLE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
}
