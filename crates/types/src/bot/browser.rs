//! The browser settings in the order of a bot that joins in a browser.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The folder, in a job's folder, with the evidence of joins that failed.
pub const EVIDENCE_FOLDER: &str = "evidence";

/// How a bot runs its browser.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrowserSettings {
    /// The program; `None`: the Chromium that is on the path.
    pub binary: Option<PathBuf>,
    /// It runs without its sandbox, as it has to where the user is root.
    pub no_sandbox: bool,
    /// The folder whose landmarks override those that are built in: `google-meet.toml`.
    pub landmarks_dir: Option<PathBuf>,
    /// It has a window, on the X server that `DISPLAY` names.
    pub headful: bool,
    /// The most memory of its processes, in MB; 0: no limit.
    pub memory_mb: u32,
    /// How many of the machine's processors it may use; 0: all.
    pub processors: u32,
    /// The profile of the account as which it is signed in. A browser runs on a copy of it. `None`: it is a guest's.
    pub profile: Option<PathBuf>,
}

/// Where an imitation plays a product's web site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImitationSeat {
    /// Where it listens.
    pub address: SocketAddr,
    /// The SHA-256 of its certificate's public key, in base64, which the browser trusts.
    pub spki_sha256: String,
}
