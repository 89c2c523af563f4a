//! schemathesis (from `PyPI`) against the API: responses must match the server's document, and no request may crash the
//! server. `xtask/schemathesis/` has its settings, with the exceptions and their reasons.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, bail, ensure};
use xtask::{spec_file, test_log, venv};

use crate::server::Server;

const ENVIRONMENT: &str = "schemathesis";
const PACKAGE: &str = "schemathesis==4.32.5";
/// The default seed of the generated cases.
pub(crate) const SEED: &str = "7";
/// Fewer cases than this show too little.
const LEAST_CASES: u32 = 5_000;
/// How many cases each call gets in each phase.
const EXAMPLES: &str = "250";
/// The calls that only an operator's key opens, and how many cases each of them gets: other keys are refused before anything is read.
const OPERATORS: [&str; 4] = [
    "--include-path-regex",
    "^/api/v1/admin/(audit|consumers|keys|secrets)",
    "--max-examples",
    "50",
];
/// The log line of a request that panicked.
const BUG: &str = "a request met a bug";

/// Installs schemathesis under `target/`, unless it is there.
pub(crate) fn install() -> anyhow::Result<()> {
    venv::install(ENVIRONMENT, PACKAGE)
}

/// Runs all checks over at least [`LEAST_CASES`] cases.
pub(crate) fn run(seed: &str) -> anyhow::Result<()> {
    let folder = spec_file::path("target/attack");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let (log, path) = test_log::create("schemathesis");
    // In development, since some of the generated webhooks lead to loopback; with a test key bots join sandbox meetings only.
    let server = Server::start(folder.join("data"), log)?;
    let (key, operator) = (server.key("default", "write")?.key, server.operator("ops")?.key);
    let tested = attack(&folder, &server.url, &key, seed, &["--max-examples", EXAMPLES]);
    let tested = tested
        .and_then(|cases| Ok(cases + attack(&folder, &server.url, &operator, seed, &OPERATORS)?));
    let ended = server.stop();
    let cases = tested?;
    ended?;
    let log = fs::read_to_string(&path)?;
    ensure!(!log.contains(BUG), "the server met a bug: {}", path.display());
    ensure!(cases >= LEAST_CASES, "only {cases} cases were generated; {LEAST_CASES} are wanted");
    Ok(())
}

/// Runs schemathesis, and says how many cases it generated.
fn attack(folder: &Path, url: &str, key: &str, seed: &str, more: &[&str]) -> anyhow::Result<u32> {
    let settings = spec_file::path("xtask/schemathesis");
    let tested = Command::new(venv::program(ENVIRONMENT, "schemathesis"))
        .arg("--config-file")
        .arg(settings.join("schemathesis.toml"))
        .args(["run", &format!("{url}/openapi.json"), "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .args(["--seed", seed])
        .args(more)
        .env("PYTHONPATH", settings)
        .current_dir(folder)
        .output()
        .context("schemathesis does not start")?;
    let said = String::from_utf8_lossy(&tested.stdout);
    fs::write(folder.join("report.txt"), said.as_bytes())?;
    if !tested.status.success() {
        bail!(
            "schemathesis found something (with seed {seed}):\n{said}{}",
            String::from_utf8_lossy(&tested.stderr)
        );
    }
    let cases =
        said.lines().find_map(|line| line.trim().split_once(" generated, ")?.0.parse().ok());
    cases.context("the report says no number of cases")
}
