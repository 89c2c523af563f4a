//! Programs from `PyPI` that check the project, each in a separate virtual environment under `target/`.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, bail};

use crate::spec_file;

/// A program of an environment, as in `python`.
pub fn program(environment: &str, name: &str) -> PathBuf {
    folder(environment).join("bin").join(name)
}

/// Makes the environment with these packages (`name==version`, with spaces between them) in it, unless it is there.
pub fn install(environment: &str, packages: &str) -> anyhow::Result<()> {
    let folder = folder(environment);
    let stamp = folder.join("installed");
    // An environment that was moved has programs that point to its old place: only running one shows that it works.
    let works = || Command::new(program(environment, "python")).arg("--version").output().is_ok();
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == packages) && works() {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("the tests need python3 with venv: apt-get install python3-venv")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(program(environment, "python")).args(pip).args(packages.split(' ')))
        .with_context(|| format!("the tests need {packages} from PyPI"))?;
    fs::write(&stamp, packages).with_context(|| stamp.display().to_string())
}

fn folder(environment: &str) -> PathBuf {
    spec_file::path("target").join(environment)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let ended = command.output().with_context(|| format!("{command:?} does not start"))?;
    if !ended.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&ended.stderr));
    }
    Ok(())
}
