//! Runs the parts of the test command in parallel, since most of them are idle most of the time. The output of a part is shown in one piece
//! once it has ended; until then it is in a file.

use std::{
    collections::VecDeque,
    fs,
    io::{self, BufRead as _, BufReader, PipeReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use xtask::spec_file;

/// How long to wait for more output after a part has ended: a process that it left behind may keep the pipe open.
const REST: Duration = Duration::from_secs(1);

/// A program that is one step of the command.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) command: Command,
}

impl Part {
    pub(crate) fn new(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), command }
    }
}

/// A part that has ended.
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    /// Why it failed, if it did.
    pub(crate) failure: Option<String>,
    pub(crate) lines: Vec<Line>,
}

/// The output of a part.
pub(crate) struct Line {
    /// In seconds, since the part began.
    pub(crate) at: f64,
    pub(crate) text: String,
}

/// Runs all parts, also after one has failed: this many at once, started in their order.
pub(crate) fn run(parts: Vec<Part>, at_once: usize) -> Vec<Ended> {
    let waiting = Mutex::new(VecDeque::from(parts));
    let ended = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let lane = || {
        while let Some(part) = next() {
            let part = follow(part);
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            show(&part);
            ended.push(part);
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(lane);
        }
    });
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "a step says how long it took")]
fn follow(part: Part) -> Ended {
    let began = Instant::now();
    let mut lines = Vec::new();
    let Part { name, command } = part;
    let failure = output(&name, command, began, &mut lines).err();
    let failure = failure.map(|error| format!("{error:#}"));
    Ended { name, seconds: began.elapsed().as_secs_f64(), failure, lines }
}

/// Runs a part to its end, and keeps its output.
fn output(
    name: &str,
    mut command: Command,
    began: Instant,
    lines: &mut Vec<Line>,
) -> anyhow::Result<()> {
    let path = log(name)?;
    eprintln!("xtask: {name} begins, and prints to {}", path.display());
    let log = fs::File::create(&path).with_context(|| path.display().to_string())?;
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("{command:?} does not start"))?;
    // It keeps the pipe open.
    drop(command);
    let (sender, printed) = mpsc::channel();
    thread::spawn(move || read(reader, log, began, &sender));
    let status = child.wait();
    lines.extend(rest(&printed));
    let status = status?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn log(name: &str) -> anyhow::Result<PathBuf> {
    let folder = spec_file::path("target/test-output");
    fs::create_dir_all(&folder)?;
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    Ok(folder.join(name.chars().map(plain).collect::<String>()).with_extension("log"))
}

/// Every line until the end, as soon as it comes.
#[expect(clippy::disallowed_methods, reason = "a line has the time at which it came")]
fn read(reader: PipeReader, mut log: fs::File, began: Instant, lines: &Sender<Line>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        let at = began.elapsed().as_secs_f64();
        // Without the file the lines are shown at the end all the same.
        let _ = log.write_all(&line);
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        if lines.send(Line { at, text }).is_err() {
            return;
        }
        line.clear();
    }
}

/// All lines that came, and those that still come.
fn rest(printed: &Receiver<Line>) -> Vec<Line> {
    std::iter::from_fn(|| printed.recv_timeout(REST).ok()).collect()
}

/// In one write, so that nothing comes between the lines.
pub(crate) fn show(part: &Ended) {
    let mut text = String::new();
    for line in &part.lines {
        text.push_str(&line.text);
        text.push('\n');
    }
    let ended = part.failure.as_ref().map_or_else(
        || format!("took {:.0} s", part.seconds),
        |failure| format!("FAILED after {:.0} s: {failure}", part.seconds),
    );
    eprint!("xtask: output of {}\n{text}xtask: {} {ended}\n", part.name, part.name);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Part {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Part::new(name, command)
    }

    fn texts(ended: &Ended) -> Vec<&str> {
        ended.lines.iter().map(|line| &*line.text).collect()
    }

    #[test]
    fn all_parts_run_also_after_one_that_fails() {
        let parts = vec![
            shell("test of a failure", "echo one; echo two >&2; exit 3"),
            shell("test of a success", "echo three"),
            Part::new("test of no program", Command::new("/nowhere/program")),
        ];
        let ended = run(parts, 1);
        let [failed, succeeded, missing] = &ended[..] else { panic!("three parts end") };
        assert_eq!(texts(failed), ["one", "two"]);
        assert_eq!(failed.failure.as_deref(), Some("exit status: 3"));
        assert_eq!((texts(succeeded), &succeeded.failure), (vec!["three"], &None));
        let failure = missing.failure.as_deref().unwrap();
        assert!(failure.contains("/nowhere/program") && failure.contains("does not start"));
    }

    #[test]
    fn a_process_that_a_part_leaves_behind_holds_nothing_up() {
        let ended = run(vec![shell("test of a left process", "sleep 600 & echo $!")], 1);
        assert_eq!(ended[0].failure, None);
        let left = ended[0].lines[0].text.clone();
        assert!(Command::new("kill").arg(left).status().unwrap().success(), "it still runs");
    }

    #[test]
    fn two_parts_run_at_the_same_time() {
        let folder = spec_file::path("target/test-output/both");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // A pipe opens only once its other end does.
        let pipe = folder.join("pipe").display().to_string();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let write = shell("test of a writer", &format!("echo met > {pipe}"));
        let read = shell("test of a reader", &format!("cat {pipe}"));
        let ended = run(vec![write, read], 2);
        let read = ended.iter().find(|part| part.name == "test of a reader").unwrap();
        assert_eq!(texts(read), ["met"]);
    }
}
