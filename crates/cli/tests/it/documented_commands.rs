//! Runs the commands of README, quickstart, webhooks and operations in order in an empty home, and compares their output with the pages.
//!
//! Each page has separate network and process namespaces, so that its ports are free and no process outlives it. The program of this build replaces those that the
//! pages build (`cargo run`, `cargo install`).

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use meetbot_testkit::polling::poll_until;
use tempfile::TempDir;
use xtask::spec_file;

use crate::program::{PATIENCE, meetbot};

const PAGES: [&str; 4] =
    ["README.md", "docs/quickstart.md", "docs/webhooks.md", "docs/operations.md"];

/// The prefixes of commands that are not run, and why.
const NOT_TYPED: &[(&str, &str)] = &[
    ("git clone ", "no test uses the internet; the program is that of this checkout"),
    ("cd meetbot", "it goes into what is cloned"),
    ("cargo install --path crates/cli", "building takes minutes; this build's program is there"),
    ("cargo xtask test", "it runs this test"),
    ("pip install ./sdks/python", "the Python SDK's tests build and install it"),
    ("flask ", "it needs the SDK; the Python SDK's tests type the quickstart with it"),
    ("sudo ", "it changes the machine; another test runs the unit and lets systemd judge it"),
    ("meetbot serve --print-config | sudo ", "it changes the machine"),
    ("pg_dump ", "there is no PostgreSQL; the test of restored dumps types it with one"),
    ("createdb ", "there is no PostgreSQL; the test of restored dumps types it with one"),
    ("pg_restore ", "there is no PostgreSQL; the test of restored dumps types it with one"),
    (
        "meetbot restore --store ",
        "there is no PostgreSQL; the test of restored dumps types it with one",
    ),
    ("cp -a ", "there are no recordings; the restore's test types it with some"),
    ("export MEETBOT_API_KEY=mb_live_", "it is the key of an operator on another machine"),
    ("meetbot keys list --server ", "the test of operators runs it on a server"),
    ("meetbot keys create --server ", "the test of operators runs it on a server"),
    ("meetbot consumers limit --server ", "the test of operators runs it on a server"),
    ("meetbot webhooks rotate --server ", "the test of operators runs it on a server"),
    ("meetbot login --server ", "somebody approves it in a dashboard; its own test does"),
    ("meetbot webhooks redeliver --endpoint ", "the Python SDK's tests type it with a receiver"),
    ("meetbot webhooks test ", "the Python SDK's tests type it with a receiver"),
    ("curl -N ", "a stream does not end; the Python SDK's tests type it as a list"),
    ("journalctl ", "there is no journal; the logs' test reads the server's own lines"),
];

/// Commands that are replaced, and by what.
const IN_PLACE: &[(&str, &str)] = &[("cargo run --release -- demo", "meetbot demo")];

/// The prefixes of commands that run until they are stopped, and the text that they print once they run.
const KEEPS_RUNNING: &[(&str, &str)] = &[
    ("meetbot serve --sandbox", "serves at"),
    ("meetbot serve", "For real meetings"),
    ("meetbot sandbox serve", "plays at"),
    ("meetbot webhooks listen", "listening: "),
];

/// An item of a page.
enum Item {
    /// A command, continued lines joined.
    Command(String),
    /// The output of the command before it.
    Printed(Vec<String>),
}

fn items(page: &str) -> Vec<Item> {
    let text = fs::read_to_string(spec_file::path(page)).unwrap();
    let (mut items, mut fence, mut lines) = (Vec::new(), None::<String>, Vec::new());
    for line in text.lines() {
        match (&fence, line.strip_prefix("```")) {
            (None, Some(language)) => fence = Some(language.to_owned()),
            (Some(language), Some("")) => {
                match language.as_str() {
                    "sh" => items.extend(commands(&lines).into_iter().map(Item::Command)),
                    "text" => items.push(Item::Printed(lines.clone())),
                    _ => {}
                }
                (fence, lines) = (None, Vec::new());
            }
            (Some(_), _) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    assert!(!items.is_empty(), "{page} has commands");
    items
}

fn commands(lines: &[String]) -> Vec<String> {
    let whole = lines.join("\n").replace("\\\n", " ");
    let typed = whole.lines().map(|line| line.split(" #").next().unwrap().trim());
    typed.filter(|line| !line.is_empty() && !line.starts_with('#')).map(ToOwned::to_owned).collect()
}

fn not_typed(command: &str) -> Option<&'static str> {
    let listed = NOT_TYPED.iter().find(|(begin, _)| command.starts_with(begin));
    listed.map(|(begin, _)| *begin)
}

/// A shell in an empty home, alone on its network and among its processes. Dropping it ends all that it runs.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    home: TempDir,
    /// What stands for what on the page.
    filled: HashMap<&'static str, String>,
    started: usize,
}

impl Shell {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_meetbot"), bin.join("meetbot")).unwrap();
        fs::create_dir(home.path().join("tmp")).unwrap();
        let clean = meetbot();
        let removed = clean.get_envs().filter(|(_, value)| value.is_none());
        let mut command = Command::new("unshare");
        removed.for_each(|(name, _)| {
            command.env_remove(name);
        });
        let alone = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let rights = if xtask::is_root() { None } else { Some("--map-root-user") };
        let mut child = command
            .args(rights)
            .args(alone)
            .args(["bash", "--noprofile", "--norc"])
            .env("HOME", home.path())
            .env("TMPDIR", home.path().join("tmp"))
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs util-linux: apt-get install util-linux");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let stdout = BufReader::new(stdout);
        let mut shell = Self { child, stdin, stdout, home, filled: HashMap::new(), started: 0 };
        shell.types("exec 2>&1; ip link set lo up");
        let folder = |name: &str| shell.home.path().join(name).to_str().unwrap().to_owned();
        let (data, backup) = (folder("data"), folder("backup"));
        shell.filled.extend([("/var/lib/meetbot", data), ("/backup", backup)]);
        shell.types("mkdir backup");
        shell
    }

    fn fill_in(&self, command: &str) -> String {
        let filled = self.filled.iter();
        filled.fold(command.to_owned(), |command, (place, with)| command.replace(place, with))
    }

    /// Types a command and waits for its end, which has to be a good one; answers what it prints.
    fn types(&mut self, command: &str) -> String {
        let command = self.fill_in(command);
        assert!(!command.contains('…'), "nothing is known to fill in: {command}");
        writeln!(self.stdin, "{command}\nprintf '\\n\\001%d\\n' $?").unwrap();
        let (mut printed, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the shell ended: {printed}");
            if let Some(code) = line.strip_prefix('\u{1}') {
                assert_eq!(code.trim(), "0", "{command}\n{printed}");
                return printed;
            }
            printed.push_str(&line);
        }
    }

    /// Starts a command in a new terminal and waits for this output; returns all of its output.
    fn starts(&mut self, command: &str, word: &str) -> String {
        self.started += 1;
        let file = format!("terminal{}", self.started);
        let quoted = self.fill_in(command).replace('\'', "'\\''");
        self.types(&format!(
            "tail -f /dev/null | script --quiet --return --flush --command 'exec {quoted}' {file} > /dev/null &"
        ));
        let path = self.home.path().join(file);
        poll_until(PATIENCE, || {
            let printed = fs::read_to_string(&path).unwrap_or_default();
            if printed.lines().any(|line| line.contains(word)) && printed.ends_with('\n') {
                return Ok(printed);
            }
            Err(format!("{command} does not print {word}: {printed}"))
        })
    }

    /// The server of the page, and what it printed as it started.
    fn serves(&mut self, command: &str) -> String {
        let printed = self.starts(command, "For real meetings");
        let after = |begin: &str| {
            let rest = printed.split_once(begin).unwrap_or_else(|| panic!("{begin}: {printed}")).1;
            rest.split_whitespace().next().unwrap().to_owned()
        };
        self.filled.insert("mb_test_…", after("MEETBOT_API_KEY="));
        self.filled.insert("whsec_…", after("are signed with "));
        self.filled.insert("/…/meetbot-data", after("MEETBOT_SERVER_DATA_DIR="));
        printed
    }

    /// Types all that is on a page. Answers what was not typed.
    fn page(&mut self, page: &str) {
        let mut printed = String::new();
        for item in items(page) {
            let command = match item {
                Item::Printed(lines) => {
                    let tmp = self.home.path().join("tmp");
                    let printed = printed.replace(tmp.to_str().unwrap(), "/tmp");
                    compare(page, &lines, &printed);
                    continue;
                }
                Item::Command(command) if not_typed(&command).is_some() => continue,
                Item::Command(command) => command,
            };
            let in_place = IN_PLACE.iter().find(|(shown, _)| *shown == command);
            let command = in_place.map_or(command, |(_, typed)| (*typed).to_owned());
            let keeps = KEEPS_RUNNING.iter().find(|(begin, _)| command.starts_with(begin));
            let Some((begin, word)) = keeps.filter(|_| !command.contains("--print-config")) else {
                printed = self.types(&command);
                continue;
            };
            printed = match *begin {
                "meetbot serve" => self.serves(&command),
                "meetbot webhooks listen" => {
                    let printed = self.starts(&command, word);
                    // The page's next one listens at the same port.
                    self.types("kill $!; wait $! || true");
                    printed
                }
                _ => self.starts(&command, word),
            };
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each line that the page shows was printed; numbers and what `…` stands for differ, and so do the bars of who spoke when, and who came first.
#[track_caller]
fn compare(page: &str, shown: &[String], printed: &str) {
    let mut rest: Vec<&str> = printed.lines().collect();
    for line in shown.iter().filter(|line| !line.trim().is_empty()) {
        let found = rest.iter().position(|printed| alike(line, printed));
        let found = found.unwrap_or_else(|| panic!("{page} shows {line}, and there is\n{printed}"));
        rest.remove(found);
    }
}

fn alike(shown: &str, printed: &str) -> bool {
    let plain = |line: &str| {
        let mut plain = String::new();
        for letter in line.replace(['·', '█'], " ").chars() {
            let letter = if letter.is_ascii_digit() { '0' } else { letter };
            if !(matches!(letter, ' ' | '0') && plain.ends_with(letter)) {
                plain.push(letter);
            }
        }
        plain.trim().to_owned()
    };
    let (shown, printed) = (plain(shown), plain(printed));
    let mut rest = printed.as_str();
    let pieces: Vec<&str> = shown.split('…').collect();
    let (first, last) = (pieces[0], pieces[pieces.len() - 1]);
    if pieces.len() == 1 {
        return shown == printed;
    }
    let ends = rest.starts_with(first) && rest.ends_with(last);
    ends && pieces.iter().all(|piece| match rest.split_once(piece) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn lines_that_differ_only_in_numbers_are_equal() {
    assert!(alike(
        "Alice  20.0  39 kB  /tmp/demo-…/job_…/a.webm",
        "Alice 9.5 7 kB /tmp/demo-x/job_Y/a.webm"
    ));
    assert!(alike("  Alice  ··███··█", "  Alice  █·······"));
    assert!(!alike("completed", "failed") && !alike("job_… completed", "job_1 failed"));
}

#[test]
fn every_untested_command_is_on_a_page() {
    let mut unused: Vec<&str> = NOT_TYPED.iter().map(|(begin, _)| *begin).collect();
    let mut replaced: Vec<&str> = IN_PLACE.iter().map(|(shown, _)| *shown).collect();
    for item in PAGES.iter().flat_map(|page| items(page)) {
        let Item::Command(command) = item else { continue };
        unused.retain(|begin| not_typed(&command) != Some(begin));
        replaced.retain(|shown| command != *shown);
    }
    assert!(unused.is_empty() && replaced.is_empty(), "{unused:?} {replaced:?}");
}

#[test]
fn the_commands_of_the_readme_work() {
    let mut shell = Shell::new();
    shell.page("README.md");
    // What it shows to type next is what the server has printed.
    let printed = fs::read_to_string(shell.home.path().join("terminal1")).unwrap();
    let exports = items("README.md").into_iter().filter_map(|item| match item {
        Item::Command(command) if command.starts_with("export MEETBOT_API_") => Some(command),
        _ => None,
    });
    for export in exports {
        assert!(printed.contains(&shell.fill_in(&export)), "{export}: {printed}");
    }
    let next = "meetbot dispatch 'https://sandbox.meetbot.dev/two-speakers?seconds=20' --watch";
    assert!(printed.contains(next), "{printed}");
    assert!(shell.home.path().join("FILE").exists(), "the backup is there");
}

#[test]
fn the_commands_of_the_quickstart_work() {
    let mut shell = Shell::new();
    shell.page("docs/quickstart.md");
    assert_eq!(shell.types("echo $MEETBOT_API_BASE_URL").trim(), "http://127.0.0.1:3010");
    let key = shell.fill_in("mb_test_…");
    assert_eq!(shell.types("echo $MEETBOT_API_KEY").trim(), key);
    shell.types("meetbot jobs list");
}

#[test]
fn the_commands_of_the_webhooks_page_work() {
    let mut shell = Shell::new();
    shell.serves("meetbot serve --dev");
    shell.types("export MEETBOT_API_KEY=mb_test_… MEETBOT_API_BASE_URL=http://127.0.0.1:3010");
    shell.types(
        "meetbot dispatch 'https://sandbox.meetbot.dev/ends?seconds=1' --on-finalize http://127.0.0.1:9/ --watch",
    );
    let listed = shell.types("meetbot webhooks list --json");
    let start = listed.find("dlv_").unwrap();
    shell.filled.insert("dlv_…", listed[start..start + 30].to_owned());
    shell.page("docs/webhooks.md");
    let secrets = shell.types("meetbot webhooks secret");
    assert!(secrets.contains("the previous secret is valid too until"), "{secrets}");
}

#[test]
fn the_commands_of_the_operations_page_work() {
    let mut shell = Shell::new();
    shell.page("docs/operations.md");
    let backups: Vec<PathBuf> = fs::read_dir(shell.home.path().join("backup"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "db"))
        .collect();
    assert_eq!(backups.len(), 1, "{backups:?}");
    assert!(shell.home.path().join("data-restored/meetbot.db").exists(), "it is restored");
}
