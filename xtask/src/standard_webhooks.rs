//! The published verifier of Standard Webhooks (`standardwebhooks` on `PyPI`), which judges our signatures.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, bail};

use crate::spec_file;

/// The version that judges.
const PACKAGE: &str = "standardwebhooks==1.1.0";

/// The Python that knows the verifier.
pub fn python() -> PathBuf {
    spec_file::path("target/standard-webhooks/bin/python")
}

/// Makes a virtual environment under `target/` and installs the verifier there, unless it is there.
pub fn install() -> anyhow::Result<()> {
    let known = Command::new(python())
        .args(["-c", "import standardwebhooks"])
        .output()
        .is_ok_and(|tried| tried.status.success());
    if known {
        return Ok(());
    }
    let folder = spec_file::path("target/standard-webhooks");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("the tests need python3 with venv: apt-get install python3-venv")?;
    run(Command::new(python()).args(["-m", "pip", "install", "--quiet", PACKAGE])).context(
        "the tests judge signatures with the published verifier of Standard Webhooks, from PyPI",
    )
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let ended = command.output().with_context(|| format!("{command:?} does not start"))?;
    if !ended.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&ended.stderr));
    }
    Ok(())
}
