//! The output of commands: text for people, or JSON for programs; results on standard output, the rest on standard error. Control characters are
//! replaced, or escaped in JSON, so that no output controls a terminal.

#![expect(clippy::print_stderr, reason = "this is where the program prints")]

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use console::{Term, measure_text_width};
use serde::Serialize;
use serde_json::json;

use crate::{
    certificates,
    text::{escaped, message, plain},
};

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

/// An error of the command line: exit code 2.
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

    /// A line of the result, for people only. Line breaks in it are replaced.
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

    /// A result, for programs only: one JSON object per line.
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
            if let Some(advice) = certificates::advice(error) {
                eprintln!("{advice}");
            }
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

/// Between two columns.
const GAP: usize = 2;
/// Words of up to so many columns are never broken: ids have 30.
const LONGEST_WHOLE_WORD: usize = 30;

/// Lines with rows under a header, columns aligned, as wide as the terminal at most. Where standard output is no terminal, each row is one line.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let terminal = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    let terminal = terminal.filter(|_| std::io::stdout().is_terminal());
    // The width is measured after control characters are replaced.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell).into_owned()).collect()).collect();
    fitted(header, &rows, terminal)
}

/// The table for a terminal of so many columns: long cells go on in further lines. Where that is not enough, each row is a block with a line for each cell.
fn fitted(header: &[&str], rows: &[Vec<String>], terminal: Option<usize>) -> Vec<String> {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let all = || std::iter::once(&header).chain(rows);
    let largest = |column: usize, measure: fn(&str) -> usize| {
        all().map(|row| measure(&row[column])).max().unwrap_or(0)
    };
    let columns = 0..header.len();
    let mut widths: Vec<usize> =
        columns.clone().map(|column| largest(column, measure_text_width)).collect();
    if let Some(terminal) = terminal {
        let least: Vec<usize> = columns
            .clone()
            .map(|column| largest(column, longest_word).min(LONGEST_WHOLE_WORD))
            .collect();
        let gaps = GAP * header.len().saturating_sub(1);
        if least.iter().sum::<usize>() + gaps > terminal {
            return blocks(&header, rows);
        }
        while widths.iter().sum::<usize>() + gaps > terminal {
            let wide = columns.clone().filter(|column| widths[*column] > least[*column]);
            let Some(widest) = wide.max_by_key(|column| widths[*column]) else { break };
            widths[widest] -= 1;
        }
        // Words leave room at the ends of lines: a column needs what its longest line does.
        for column in columns {
            let lines = all().flat_map(|row| wrapped(&row[column], widths[column]));
            widths[column] = lines.map(|line| measure_text_width(&line)).max().unwrap_or(0);
        }
    }
    all().flat_map(|row| lines_of(row, &widths)).collect()
}

/// A row in as many lines as its longest cell needs.
fn lines_of(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> =
        row.iter().zip(widths).map(|(cell, width)| wrapped(cell, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |number: usize| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let part = cell.get(number).map_or("", String::as_str);
            line.push_str(part);
            line.extend(std::iter::repeat_n(
                ' ',
                (width + GAP).saturating_sub(measure_text_width(part)),
            ));
        }
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// A cell in lines of this width, broken at spaces; a word that is longer is broken anywhere.
fn wrapped(cell: &str, width: usize) -> Vec<String> {
    if measure_text_width(cell) <= width {
        return vec![cell.to_owned()];
    }
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in cell.split(' ') {
        let space = usize::from(!line.is_empty());
        if measure_text_width(&line) + space + measure_text_width(word) <= width {
            line.extend(std::iter::repeat_n(' ', space));
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for letter in word.chars() {
            let mut buffer = [0; 4];
            let wide = measure_text_width(letter.encode_utf8(&mut buffer));
            if !line.is_empty() && measure_text_width(&line) + wide > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(letter);
        }
    }
    lines.push(line);
    lines
}

fn longest_word(cell: &str) -> usize {
    cell.split(' ').map(measure_text_width).max().unwrap_or(0)
}

/// The rows one after the other, a line for each cell.
fn blocks(header: &[String], rows: &[Vec<String>]) -> Vec<String> {
    let width = header.iter().map(|name| measure_text_width(name)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for row in rows {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(header.iter().zip(row).map(|(name, cell)| {
            format!("{name}{:1$}{cell}", "", width + GAP - measure_text_width(name))
        }));
    }
    lines
}

/// A number of things: `1 bot`, `2 bots`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A number of bytes in the largest unit of which there is one: `39 kB`, `1.2 GB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes < 10 * unit => {
            format!("{:.1} {name}", bytes as f64 / unit as f64)
        }
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

/// A value, or a dash where the server did not send it.
pub(crate) fn known(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn a_size_is_printed_in_its_largest_unit() {
        let sizes = [0, 999, 1_000, 9_999, 39_400, 1_250_000, 2_000_000_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "10.0 kB", "39 kB", "1.2 MB", "2000 GB"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = rows(&[&["Zoë", "1"], &["B", "200"], &["日本", ""]]);
        let lines = ["who   packets", "Zoë   1", "B     200", "日本"];
        assert_eq!(fitted(&["who", "packets"], &rows, None), lines);
    }

    #[test]
    fn on_a_narrow_terminal_long_cells_wrap_and_ids_do_not() {
        let id = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ";
        let rows = rows(&[&[id, "the host  removes the bot", "x"], &["job_2", "", "y"]]);
        assert_eq!(
            fitted(&["id", "what happens", "end"], &rows, Some(50)),
            [
                "id                              what happens  end",
                "job_01KAB1CDEFGHJKMNPQRSTVWXYZ  the host      x",
                "                                removes the",
                "                                bot",
                "job_2                                         y",
            ]
        );
        let wide = fitted(&["id", "what happens", "end"], &rows, Some(200));
        assert_eq!(wide, fitted(&["id", "what happens", "end"], &rows, None));
    }

    #[test]
    fn if_wrapping_is_not_enough_each_row_is_a_block() {
        let url = format!("https://a.example/{}", "x".repeat(60));
        let rows = rows(&[&["job_1", &url], &["job_2", "-"]]);
        assert_eq!(
            fitted(&["id", "meeting"], &rows, Some(20)),
            [
                "id       job_1".to_owned(),
                format!("meeting  {url}"),
                String::new(),
                "id       job_2".to_owned(),
                "meeting  -".to_owned(),
            ]
        );
        for terminal in 1..100 {
            let lines = fitted(&["id", "meeting"], &rows, Some(terminal));
            let fits = lines.iter().all(|line| measure_text_width(line) <= terminal);
            assert!(fits || terminal < 37, "{terminal}: {lines:#?}");
            let said: String = lines.concat().split_whitespace().collect();
            assert!(said.contains(&url) || terminal >= 37, "{terminal}: {lines:#?}");
        }
    }

    #[test]
    fn counted_things_are_printed_with_their_number() {
        let said = [0, 1, 2].map(|number| counted(number, "bot"));
        assert_eq!(said, ["0 bots", "1 bot", "2 bots"]);
    }
}
