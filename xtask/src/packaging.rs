//! The Python package as its users get it: the wheel that is published, and projects that pip, uv and poetry install it into.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use xtask::spec_file;

use crate::{
    python::{
        FOR_USE, Venv, emptied, folder, interpreters, only_entry, target, wheel, with_packagers,
    },
    step,
};

/// The oldest Linux that the wheel is for: glibc 2.17, of 2012.
const PLATFORM: &str = "manylinux2014";
/// The tool that links against an older glibc than the machine's.
const ZIG: &str = "ziglang==0.17.1";

/// What is done with the package once it is installed.
const FIRST_CALL: &str = "
from meetbot import testing
mb = testing.MockServer().client()
job = mb.dispatch_bot(meeting_url='https://sandbox.meetbot.dev/two-speakers')
assert mb.get_bot(job.id) == job and job.status == 'queued', job
";

/// A project with nothing in it. poetry is configured to read the index as pip and uv do: not every mirror has what else `PyPI` offers.
const PROJECT: &str = "\
[project]
name = \"trial\"
version = \"0\"
requires-python = \">=3.10\"

[tool.poetry]
package-mode = false

[[tool.poetry.source]]
name = \"index\"
url = \"https://pypi.org/simple/\"
";

/// Builds the wheel that is published, from the source distribution, and the package from the repository, and installs them in every way.
pub(crate) fn wheels() -> anyhow::Result<()> {
    ensure!(cfg!(target_os = "linux"), "the wheel for {PLATFORM} is built on Linux");
    let interpreters = interpreters()?;
    let (_, oldest) = interpreters.first_key_value().context("no interpreter")?;
    let (_, newest) = interpreters.last_key_value().context("no interpreter")?;
    let tools = Venv::new("tools", oldest)?;
    step("zig", tools.run(&["-m", "pip", "install", "--quiet", ZIG]))?;
    let zig: Vec<&str> = [FOR_USE, &["--zig", "--compatibility", PLATFORM]].concat();
    let wheel = wheel(&interpreters, &zig)?;
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fits = name.contains("-cp310-abi3-") && name.contains(PLATFORM);
    ensure!(fits, "{name} is not for every CPython from 3.10 on and {PLATFORM}");

    for interpreter in interpreters.values() {
        installed(interpreter, &wheel)?;
    }
    added(&wheel)?;
    installed(newest, &spec_file::path("sdks/python"))?;
    let size = fs::metadata(&wheel)?.len() as f64 / 1e6;
    eprintln!("xtask: {} of {size:.1} MB", wheel.display());
    Ok(())
}

/// Into an empty environment, with pip.
fn installed(interpreter: &Path, package: &Path) -> anyhow::Result<()> {
    emptied("empty")?;
    let python = Venv::new("empty", interpreter)?;
    let mut pip = python.run(&["-m", "pip", "install", "--quiet"]);
    pip.arg(package).env("CARGO_TARGET_DIR", target());
    step(&format!("pip install {}", package.display()), pip)?;
    step("first call", python.run(&["-c", FIRST_CALL]))
}

/// What the tests of the Python SDK have built, to new projects.
pub(crate) fn packagers() -> anyhow::Result<()> {
    added(&only_entry(&folder().join("wheels"))?)
}

/// To new projects, with uv and poetry.
fn added(wheel: &Path) -> anyhow::Result<()> {
    let packagers = with_packagers()?;
    for packager in ["uv", "poetry"] {
        let project = emptied(&format!("added-with-{packager}"))?;
        fs::write(project.join("pyproject.toml"), PROJECT)?;
        let run = |arguments: &[&str]| {
            let mut run = packagers.run(&["-m", packager]);
            run.args(arguments).current_dir(&project);
            // A separate environment for the project, in any folder.
            run.env_remove("VIRTUAL_ENV").env("UV_PYTHON", packagers.program());
            run.env("POETRY_VIRTUALENVS_IN_PROJECT", "true");
            run.env("POETRY_VIRTUALENVS_USE_POETRY_PYTHON", "true");
            // Nobody is asked anything, no desktop's keyring for a password either.
            run.env("POETRY_NO_INTERACTION", "1");
            run.env("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring");
            run
        };
        let mut add = run(&["add"]);
        add.arg(wheel);
        step(&format!("{packager} add"), add)?;
        step("first call", run(&["run", "python", "-c", FIRST_CALL]))?;
    }
    Ok(())
}
