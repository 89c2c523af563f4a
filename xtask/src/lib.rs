//! What the project's own commands and the tests of every crate share.

use std::process::Command;

pub mod ffmpeg;
pub mod janus;
pub mod nasty;
pub mod spec_file;
pub mod standard_webhooks;
pub mod test_log;
pub mod venv;

/// Whether this process may do everything on this machine.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

/// Debian's nginx, which is not on everybody's path.
pub const NGINX: &str = "/usr/sbin/nginx";
