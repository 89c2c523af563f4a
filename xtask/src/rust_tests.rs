//! The workspace's tests in Rust: all are built first, then each program of them is a part of the test command.

use std::{
    collections::HashMap,
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use xtask::spec_file;

use crate::{
    AT_ONCE, cargo,
    parallel::{self, Ended, Line, Part},
    prepare,
    report::Report,
    timed,
};

/// The programs that take longest, the longest first: they begin first.
const LONGEST: [&str; 4] =
    ["crates/cli it", "crates/bot it", "crates/orchestrator it", "crates/bot lib"];

/// A program that tests, as cargo has built it.
pub(crate) struct Binary {
    /// As in `crates/cli it`: the crate's folder, and which of its programs.
    name: String,
    program: PathBuf,
    folder: PathBuf,
    /// Its tests, in the order in which they begin.
    tests: Vec<String>,
}

/// Builds and runs them.
pub(crate) fn test() -> anyhow::Result<()> {
    prepare()?;
    let binaries = timed("build", build)?;
    let mut report = Report::default();
    for part in parallel::run(parts(&binaries), AT_ONCE) {
        let seconds = seconds(&binaries, &part);
        report.add(part, seconds);
    }
    report.end()
}

/// The programs, the longest first, and the examples in documents.
pub(crate) fn parts(binaries: &[Binary]) -> Vec<Part> {
    let mut binaries: Vec<&Binary> = binaries.iter().collect();
    let place = |binary: &&Binary| LONGEST.iter().position(|name| *name == binary.name);
    binaries.sort_by_key(|binary| place(binary).unwrap_or(LONGEST.len()));
    let programs = binaries.iter().map(|binary| Part::new(&*binary.name, binary.run()));
    let examples = cargo(&["test", "--workspace", "--locked", "--doc"]);
    programs.chain([Part::new("examples in Rust documents", examples)]).collect()
}

/// The seconds of each test of a part that is one of these programs.
pub(crate) fn seconds(binaries: &[Binary], part: &Ended) -> Vec<(f64, String)> {
    let binary = binaries.iter().find(|binary| binary.name == part.name);
    binary.map_or_else(Vec::new, |binary| binary.seconds(threads(), &part.lines))
}

/// How many tests of a program run at once: libtest's default, set explicitly since the evaluation needs the number.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Builds all tests, examples included, and the programs that they start.
pub(crate) fn build() -> anyhow::Result<Vec<Binary>> {
    let mut cargo = cargo(&["test", "--workspace", "--locked", "--no-run"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let built = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(built.status.success(), "the tests do not compile");
    let messages = String::from_utf8(built.stdout).context("what cargo prints is no text")?;
    let mut binaries = Vec::new();
    for message in messages.lines() {
        let message: Value = serde_json::from_str(message)?;
        if let Some(binary) = binary(&message)? {
            binaries.push(binary);
        }
    }
    ensure!(!binaries.is_empty(), "cargo has built no tests");
    Ok(binaries)
}

/// The program that cargo says it has built, when it is one with tests.
fn binary(message: &Value) -> anyhow::Result<Option<Binary>> {
    let (Some(program), Some(true)) =
        (message["executable"].as_str(), message["profile"]["test"].as_bool())
    else {
        return Ok(None);
    };
    let manifest = message["manifest_path"].as_str().context("a program without a manifest")?;
    let folder = Path::new(manifest).parent().context("a manifest without a folder")?;
    let target = &message["target"];
    let which = match target["kind"][0].as_str() {
        Some("test") => target["name"].as_str(),
        kind => kind,
    };
    let within = folder.strip_prefix(spec_file::path("")).unwrap_or(folder).display();
    let name = format!("{within} {}", which.unwrap_or("tests"));
    let (program, folder) = (PathBuf::from(program), folder.to_owned());
    let mut binary = Binary { name, program, folder, tests: Vec::new() };
    let listed = binary.command().args(["--list", "--format", "terse"]).output()?;
    if !listed.status.success() {
        bail!("{} does not list its tests: {}", binary.name, listed.status);
    }
    let listed = String::from_utf8(listed.stdout).context("names of tests are text")?;
    binary.tests = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test").map(ToOwned::to_owned))
        .collect();
    Ok((!binary.tests.is_empty()).then_some(binary))
}

impl Binary {
    /// As cargo starts it.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }

    fn run(&self) -> Command {
        let mut command = self.command();
        command.env("RUST_TEST_THREADS", threads().to_string());
        command
    }

    /// How many seconds each test took: libtest says it on nightly only. It prints a test when it ends, and then begins the next one of
    /// its list, so a test began when the one ended whose place it took.
    fn seconds(&self, at_once: usize, printed: &[Line]) -> Vec<(f64, String)> {
        let places: HashMap<&str, usize> =
            self.tests.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
        let ended: Vec<(f64, usize)> = printed
            .iter()
            .filter_map(|line| Some((line.at, *places.get(ended(&line.text)?)?)))
            .collect();
        let began = |place: usize| {
            place.checked_sub(at_once).map_or(Some(0.0), |before| Some(ended.get(before)?.0))
        };
        ended
            .iter()
            .filter_map(|(at, place)| {
                Some((at - began(*place)?, format!("{} {}", self.name, self.tests[*place])))
            })
            .collect()
    }
}

/// The name of a test that has ended. The line may begin with output of another program.
fn ended(line: &str) -> Option<&str> {
    let (before, _) = line.rsplit_once(" ... ")?;
    let (_, name) = before.rsplit_once("test ").filter(|(_, name)| !name.is_empty())?;
    Some(name.strip_suffix(" - should panic").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: f64, text: &str) -> Line {
        Line { at, text: text.to_owned() }
    }

    #[test]
    fn a_test_begins_when_the_one_ends_whose_place_it_takes() {
        let binary = Binary {
            name: "crates/cli it".to_owned(),
            program: PathBuf::new(),
            folder: PathBuf::new(),
            tests: ["a", "b", "c::slow", "d"].map(ToOwned::to_owned).to_vec(),
        };
        let printed = [
            line(0.0, "running 4 tests"),
            line(2.0, "test b ... ok"),
            line(3.0, "a child's words test a - should panic ... ok"),
            line(4.0, "test d ... FAILED"),
            line(9.0, "test c::slow ... ok"),
            line(9.0, "test result: FAILED. 3 passed; 1 failed"),
        ];
        let seconds = binary.seconds(2, &printed);
        let expected = [(2.0, "b"), (3.0, "a"), (1.0, "d"), (7.0, "c::slow")];
        let expected = expected.map(|(seconds, name)| (seconds, format!("crates/cli it {name}")));
        assert_eq!(seconds, expected);
    }

    #[test]
    fn a_program_with_tests_is_known_by_what_cargo_says_of_it() {
        let own = std::env::current_exe().unwrap();
        let mut message = serde_json::json!({
            "executable": own,
            "profile": {"test": true},
            "manifest_path": spec_file::path("xtask/Cargo.toml"),
            "target": {"kind": ["test"], "name": "it"},
        });
        let found = binary(&message).unwrap().unwrap();
        assert_eq!(found.name, "xtask it");
        let this = "rust_tests::tests::a_program_with_tests_is_known_by_what_cargo_says_of_it";
        assert!(found.tests.iter().any(|test| test == this), "{:?}", found.tests);
        message["profile"]["test"] = false.into();
        assert!(binary(&message).unwrap().is_none(), "an example is none");
    }
}
