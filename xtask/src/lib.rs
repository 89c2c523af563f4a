//! Helpers that the project's commands and the tests of every crate share.

use std::{env, io::Write as _, process::Command};

pub mod ffmpeg;
pub mod hostile_inputs;
pub mod janus;
pub mod postgres;
pub mod spec_file;
pub mod standard_webhooks;
pub mod test_log;
pub mod venv;

/// Whether this process may do everything on this machine.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

/// The prefix of the line of a test that did not run.
pub const NOT_TESTED: &str = "*** NOT TESTED";

/// Prints why a test does not run, bypassing the capture of the test harness: a test that does not run must be visible.
///
/// # Panics
/// Where root is missing and `MEETBOT_TEST_AS_ROOT` is set, as in CI: the tests that need root run there.
pub fn not_tested(test: &str, why: &str) {
    assert!(
        is_root() || env::var_os("MEETBOT_TEST_AS_ROOT").is_none(),
        "{test} {why}, and MEETBOT_TEST_AS_ROOT is set: run the tests as root, or without it"
    );
    // Without a standard error nobody can see it.
    let _ = writeln!(std::io::stderr(), "\n{NOT_TESTED}: {test} {why} ***");
}

/// Debian's nginx, which is not on everybody's path.
pub const NGINX: &str = "/usr/sbin/nginx";
