//! The dashboard's tests: its modules are checked on the TypeScript SDK's types, tried by themselves, and in a real browser on a real server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use xtask::spec_file;

use crate::{
    cargo, installed,
    python::{self, target},
    step,
    typescript::{self, npm_install},
};

/// Nothing of these is in the dashboard itself.
const PACKAGES: [&str; 3] = ["axe-core@4.14.1", "playwright-core@1.65.1", "typescript@5.9.3"];
/// In the order in which they begin: those that take longest come first.
const TESTS: [&str; 8] =
    ["player", "feeds", "journey", "browser", "views", "lanes", "timeline", "levels"];
/// The program that writes a recording of an hour for the player's tests, and the folder that has it.
const LONG_RECORDING: &str = "long-recording";
/// The job that the recording says it is of.
const JOB: &str = "job_00000000000000000000000000";
const SECONDS: &str = "3600";

/// Builds the server and tests its page.
pub(crate) fn test() -> anyhow::Result<()> {
    build()?;
    test_prepared()
}

/// Plays a recording of an hour for ten minutes: each of 20 seeks for 30 s.
pub(crate) fn soak() -> anyhow::Result<()> {
    build()?;
    let mut player = node();
    player.env("MEETBOT_SOAK", "1");
    player.args(["--test", "--test-reporter=spec", "--test-force-exit"]);
    player.arg("dashboard/test/player.test.js");
    step("the player on a recording of an hour", player)
}

/// Takes the pictures of the README anew.
pub(crate) fn screenshots() -> anyhow::Result<()> {
    build()?;
    let mut pictures = node();
    pictures.args(["dashboard/test/screenshots.js", "docs/screenshots"]);
    step("screenshots", pictures)
}

/// Measures the page.
pub(crate) fn bench() -> anyhow::Result<()> {
    build()?;
    let mut bench = node();
    bench.arg("dashboard/test/bench.js");
    step("bench", bench)
}

fn build() -> anyhow::Result<()> {
    python::build_programs()?;
    typescript::install_runtimes()?;
    prepare()
}

/// Installs what the tests need, beside the Node.js of the TypeScript SDK.
pub(crate) fn prepare() -> anyhow::Result<()> {
    installed("chromium", "chromium", "the dashboard is tested in a browser")?;
    // Built with the whole workspace, dependencies have the features that the tests are built with.
    let example = ["build", "--workspace", "--locked", "--example", LONG_RECORDING];
    let feature = ["--features", "meetbot-bot/bench"];
    step("writer of long recordings", cargo(&[&example[..], &feature].concat()))?;
    write_long_recording()?;
    npm_install(&folder(), "packages of the dashboard's tests", &PACKAGES)
}

/// Writes the recording of an hour, unless the same program has written it: in a build without optimisation that takes 13 s.
fn write_long_recording() -> anyhow::Result<()> {
    let program = target().join("debug/examples").join(LONG_RECORDING);
    let (folder, part) = (target().join(LONG_RECORDING), target().join("long-recording.part"));
    let modified = |path: &Path| fs::metadata(path).and_then(|it| it.modified());
    if modified(&folder).is_ok_and(|written| modified(&program).is_ok_and(|built| built < written))
    {
        return Ok(());
    }
    for old in [&folder, &part] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    let mut write = Command::new(program);
    write.arg(&part).args([JOB, SECONDS]);
    step("recording of an hour", write)?;
    Ok(fs::rename(part, folder)?)
}

/// [`test`] where the server is built and [`prepare`] is done.
pub(crate) fn test_prepared() -> anyhow::Result<()> {
    let mut types = node();
    types.arg(folder().join("node_modules/typescript/bin/tsc"));
    types.args(["--project", "dashboard/tsconfig.json"]);
    step("types of the dashboard", types)?;
    let mut tests = node();
    tests.args(["--test", "--test-reporter=spec", "--test-force-exit"]);
    // Browsers wait most of the time.
    tests.arg("--test-concurrency=3");
    tests.args(TESTS.map(|name| format!("dashboard/test/{name}.test.js")));
    step("dashboard", tests)
}

fn node() -> Command {
    let mut node = Command::new(typescript::oldest_runtime());
    node.current_dir(spec_file::path(""));
    node.envs(python::programs());
    node.env("MEETBOT_LONG_RECORDING", target().join(LONG_RECORDING));
    node.env("MEETBOT_REPOSITORY", spec_file::path("")).env("MEETBOT_PACKAGES", folder());
    node
}

fn folder() -> PathBuf {
    target().join("dashboard")
}
