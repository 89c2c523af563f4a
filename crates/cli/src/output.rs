//! What a command prints: text for people, or JSON for programs; results on standard output, the rest on standard error. Neither steers a
//! terminal: control characters are replaced, or escaped in JSON.

#![expect(clippy::print_stderr, reason = "this is where the program prints")]

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use serde::Serialize;
use serde_json::json;

use crate::text::{escaped, message, plain};

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

/// The command line asks for something that cannot be: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl Output {
    /// JSON or text.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON was asked for.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person watches the text as it comes.
    pub(crate) fn is_live(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// A line of the result, for people only. It is one line whatever is in it.
    pub(crate) fn line(self, text: impl std::fmt::Display) {
        if !self.json {
            print_line(&plain(&text.to_string()));
        }
    }

    /// Lines of the result, for people only.
    pub(crate) fn lines(self, lines: impl IntoIterator<Item: std::fmt::Display>) {
        lines.into_iter().for_each(|line| self.line(line));
    }

    /// A remark beside the result, for people only.
    pub(crate) fn remark(self, text: impl std::fmt::Display) {
        if !self.json {
            eprintln!("{}", plain(&text.to_string()));
        }
    }

    /// A value as the API has it, over several lines, for people only.
    pub(crate) fn pretty(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.lines(escaped(&serde_json::to_string_pretty(value)?).lines());
        Ok(())
    }

    /// A result, for programs only: one JSON object on a line of its own.
    pub(crate) fn object(self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            print_line(&escaped(&serde_json::to_string(value)?));
        }
        Ok(())
    }

    /// Says why a command failed, and gives its exit code.
    pub(crate) fn fail(self, error: &anyhow::Error) -> ExitCode {
        if self.json {
            eprintln!("{}", escaped(&json!({"error": format!("{error:#}")}).to_string()));
        } else {
            eprintln!("error: {}", message(&format!("{error:#}")));
        }
        ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
    }
}

/// Prints a line; a reader that has gone away (`| head`) is no error of ours.
fn print_line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Lines with rows under a header, columns aligned.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let all = || std::iter::once(&header).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}

/// A value, or a dash where the server does not say it.
pub(crate) fn known(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["Zoë".to_owned(), "1".to_owned()], vec!["B".to_owned(), "200".to_owned()]];
        assert_eq!(table(&["who", "packets"], &rows), ["who  packets", "Zoë  1", "B    200"]);
    }
}
