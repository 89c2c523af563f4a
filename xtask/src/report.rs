//! The summary of `cargo xtask test`: seconds per step, the slowest tests, the tests that did not run, and the failures.

use std::time::Instant;

use anyhow::bail;
use xtask::NOT_TESTED;

use crate::parallel::{Ended, Line, show};

/// How many of the slowest tests are named.
const SLOWEST: usize = 20;

/// What is known so far.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<(f64, String)>,
    tests: Vec<(f64, String)>,
    not_tested: Vec<String>,
    failed: Vec<Ended>,
}

impl Report {
    /// Does a step, and keeps how long it took.
    #[expect(clippy::disallowed_methods, reason = "a step says how long it took")]
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        act: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        let done = act()?;
        self.steps.push((started.elapsed().as_secs_f64(), name.to_owned()));
        Ok(done)
    }

    /// Takes a part that has ended, with the seconds of its tests where they do not stand in its output.
    pub(crate) fn add(&mut self, part: Ended, tests: Vec<(f64, String)>) {
        self.steps.push((part.seconds, part.name.clone()));
        self.tests.extend(tests);
        self.tests.extend(part.lines.iter().filter_map(|line| printed(&part.name, line)));
        let not_tested = part.lines.iter().filter(|line| line.text.contains(NOT_TESTED));
        self.not_tested.extend(not_tested.map(|line| line.text.clone()));
        if part.failure.is_some() {
            self.failed.push(part);
        }
    }

    /// Prints all of it, and fails when a part has failed: those are shown again, at the end.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        eprintln!("xtask: seconds per step (parts run side by side)");
        for (seconds, name) in &self.steps {
            eprintln!("{seconds:8.1}  {name}");
        }
        eprintln!("xtask: the slowest {SLOWEST} tests, in seconds (those of Go are not measured)");
        self.tests.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        for (seconds, name) in self.tests.iter().take(SLOWEST) {
            eprintln!("{seconds:8.1}  {name}");
        }
        for line in &self.not_tested {
            eprintln!("xtask: {line}");
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        self.failed.iter().for_each(show);
        let names: Vec<&str> = self.failed.iter().map(|part| &*part.name).collect();
        bail!("failed: {}", names.join(", "))
    }
}

/// The seconds and the name of a test, as pytest (`--durations`) and Node.js print them.
fn printed(part: &str, line: &Line) -> Option<(f64, String)> {
    let text = line.text.trim_start();
    let (seconds, name) = if let Some(test) = text.strip_prefix("✔ ") {
        let (name, took) = test.rsplit_once(" (")?;
        (took.strip_suffix("ms)")?.parse::<f64>().ok()? / 1000.0, name)
    } else {
        let (seconds, name) = text.split_once("s call ")?;
        (seconds.parse().ok()?, name.trim_start())
    };
    Some((seconds, format!("{part}: {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seconds_of_tests_are_found_in_what_pytest_and_node_print() {
        let found = |text: &str| printed("part", &Line { at: 0.0, text: text.to_owned() });
        assert_eq!(
            found("12.50s call     tests/test_calls.py::test_it[sync]"),
            Some((12.5, "part: tests/test_calls.py::test_it[sync]".to_owned()))
        );
        assert_eq!(
            found("  ✔ a body (that is cut) is an error (2500.5ms)"),
            Some((2.5005, "part: a body (that is cut) is an error".to_owned()))
        );
        for other in ["1091 passed in 135.48s (0:02:15)", "0.10s setup tests/a.py", "✔ no time"] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn a_part_that_failed_fails_the_whole() {
        let part = |failure: Option<&str>| Ended {
            name: "some part".to_owned(),
            seconds: 1.0,
            failure: failure.map(ToOwned::to_owned),
            lines: vec![Line { at: 0.5, text: format!("{NOT_TESTED}: needs root") }],
        };
        let mut report = Report::default();
        report.add(part(None), vec![]);
        assert_eq!(report.not_tested.len(), 1);
        report.add(part(Some("exit status: 1")), vec![(1.0, "a test".to_owned())]);
        let error = report.end().unwrap_err().to_string();
        assert_eq!(error, "failed: some part");
        let mut report = Report::default();
        report.add(part(None), vec![]);
        assert!(report.end().is_ok());
        let mut report = Report::default();
        assert!(report.step("a step", || -> anyhow::Result<()> { bail!("no") }).is_err());
    }
}
