//! Redocly CLI (from npm), which judges the API's document by the rules of `xtask/redocly.yaml`.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, bail};
use xtask::spec_file;

use crate::installed;

/// It runs with Node.js 20.19 and newer.
const PACKAGE: &str = "@redocly/cli@2.77.0";
const WHY: &str = "the API's document is judged by a program from npm";

/// Installs Redocly under `target/`, unless it is there.
pub(crate) fn install() -> anyhow::Result<()> {
    installed("node", "nodejs", WHY)?;
    let stamp = folder().join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == PACKAGE) {
        return Ok(());
    }
    installed("npm", "npm", WHY)?;
    fs::create_dir_all(folder())?;
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]);
    install.arg(folder()).arg(PACKAGE);
    let ended = install.output().context("npm does not start")?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        bail!("{PACKAGE} cannot be installed from npm: {said}");
    }
    fs::write(&stamp, PACKAGE).with_context(|| stamp.display().to_string())
}

/// Fails with all that it finds, warnings included.
pub(crate) fn lint() -> anyhow::Result<()> {
    let mut lint = Command::new(folder().join("node_modules/.bin/redocly"));
    lint.args(["lint", "--format", "stylish", "--lint-config", "error", "--config"]);
    lint.arg(spec_file::path("xtask/redocly.yaml")).arg(spec_file::path("spec/openapi.json"));
    lint.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
    let ended = lint.output().context("redocly does not start")?;
    if !ended.status.success() {
        let (found, said) = (ended.stdout, ended.stderr);
        bail!(
            "redocly found something in spec/openapi.json:\n{}{}",
            String::from_utf8_lossy(&found),
            String::from_utf8_lossy(&said)
        );
    }
    Ok(())
}

fn folder() -> PathBuf {
    spec_file::path("target/redocly")
}
